//! The one place with a wall clock: how long a run took and how much memory it needed. Neither is
//! part of a result; they are written to a file of their own.

use std::time::{Duration, Instant};

/// Measures elapsed time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the place for the wall clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The most memory that this process has had resident, in bytes (`VmHWM` of Linux); `None` where
/// the system does not say.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    status_kib("VmHWM:").map(|kib| kib * 1024)
}

/// The memory that the machine could still give, in bytes (`MemAvailable` of Linux); `None` where
/// the system does not say.
#[must_use]
pub fn available_memory() -> Option<u64> {
    line_kib("/proc/meminfo", "MemAvailable:").map(|kib| kib * 1024)
}

/// Seconds that this process's main thread has had a processor (`schedstat` of Linux), which is
/// less than the time on the wall when others want it too; `None` where the system does not say.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

fn status_kib(key: &str) -> Option<u64> {
    line_kib("/proc/self/status", key)
}

fn line_kib(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
