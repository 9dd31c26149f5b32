//! What the system says of the mix's process: time of the processor by thread, and memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// In which Linux tells times of the processor, on every architecture (proc(5), `USER_HZ`).
const TICK_MICROS: f64 = 10_000.0;
/// What threads of a mix do, by their names.
pub(super) const PARTS: [&str; 5] = ["links", "unwrap", "core", "replay_log", "other"];

/// Time of the processor that a process and its threads have taken, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    pub(super) total: f64,
    /// By thread, with what it does.
    threads: BTreeMap<u32, (&'static str, f64)>,
}

impl Cpu {
    /// What it is now. Linux alone says it so.
    pub(super) fn of(process: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let mut cpu = Self {
            total: micros(&stat).unwrap_or_default(),
            threads: BTreeMap::new(),
        };
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            let thread = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            // It may have ended meanwhile.
            let (Some(thread), Ok(stat)) = (thread, fs::read_to_string(entry.path().join("stat")))
            else {
                continue;
            };
            let part = if thread == process {
                "core"
            } else {
                part(&stat)
            };
            let micros = micros(&stat).unwrap_or_default();
            cpu.threads.insert(thread, (part, micros));
        }
        Ok(cpu)
    }

    /// What has been taken since, by part.
    pub(super) fn parts_since(&self, before: &Self) -> BTreeMap<&'static str, f64> {
        let mut parts: BTreeMap<_, _> = PARTS.into_iter().map(|part| (part, 0.0)).collect();
        for (thread, (part, micros)) in &self.threads {
            let was = before
                .threads
                .get(thread)
                .map_or(0.0, |(_, micros)| *micros);
            *parts.entry(part).or_default() += micros - was;
        }
        parts
    }
}

/// The main thread runs the loop around the composition.
fn part(stat: &str) -> &'static str {
    let name = stat.split_once('(').map_or("", |(_, rest)| rest);
    match name {
        _ if name.starts_with("unwrap-") => "unwrap",
        _ if name.starts_with("replay-log") => "replay_log",
        _ if name.starts_with("tokio-rt") => "links",
        _ => "other",
    }
}

/// User and system time of a line of `stat`: the 14th and 15th field, after a name that may hold anything.
fn micros(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((f64::from(user) + f64::from(system)) * TICK_MICROS)
}

/// The most that the process ever had in memory, in bytes.
pub(super) fn memory_peak(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| io::Error::other("the system does not say how much memory was taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let line = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 1";
        assert_eq!(micros(line), Some(3e6));
        assert_eq!(micros("7 (a"), None);
        assert_eq!(part("7 (unwrap-1) R 1"), "unwrap");
        assert_eq!(part("7 (tokio-rt-worker) R 1"), "links");
    }
}
