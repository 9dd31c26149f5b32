//! What a daemon says of itself as a process.

use rustix::process::{Resource, getrlimit};

use super::page::Page;
use shoal_proto::{Metric, MetricKind};

shoal_proto::counters! {
    /// What a process holds of the machine.
    pub struct ProcessFigures("node") {
        /// Files and sockets that the process has open.
        open: gauge "files", "If it grows all the time, something is not closed: report it.";
        /// Files and sockets that the process may have open.
        allowed: gauge "files", "Raise it (LimitNOFILE in a unit, `ulimit -n`) long before as many are open.";
        /// What the process has in memory; 0 where the system does not say as Linux does.
        resident: gauge "bytes", "The unit in deploy allows 900 MB: lower queues.packets_per_second or queues.replay_memory, or allow more.";
    }
}

impl ProcessFigures {
    /// What it is now; 0 for what the machine does not tell.
    #[must_use]
    pub fn now() -> Self {
        // Linux and BSD. One is that of the listing itself.
        let open = ["/proc/self/fd", "/dev/fd"].into_iter().find_map(|dir| {
            let listed = std::fs::read_dir(dir).ok()?.count().saturating_sub(1);
            u64::try_from(listed).ok()
        });
        Self {
            open: open.unwrap_or(0),
            allowed: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            resident: resident_bytes().unwrap_or(0),
        }
    }
}

/// Bytes that the process has in memory; none where the system does not say as Linux does.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Which build runs: always 1, with the version and what unwraps packets as labels.
pub(super) const BUILD: Metric = Metric {
    name: "shoal_node_build_info",
    kind: MetricKind::Gauge,
    unit: "info",
    label: None,
    values: &[],
    help: "Always 1: the labels are the version and the back end that unwraps packets.",
    advice: "",
};

/// Puts on the page what the process is and holds. A client unwraps nothing for others: `backend` is empty.
pub(super) fn export(page: &mut Page, backend: &str) {
    let version = env!("CARGO_PKG_VERSION");
    page.set(&BUILD, &[("version", version), ("backend", backend)], 1.0);
    page.add(ProcessFigures::now().samples());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_what_the_system_says() {
        let bytes = resident_bytes().unwrap();
        assert!((1 << 20..1 << 36).contains(&bytes), "{bytes}");
        assert!(ProcessFigures::now().resident > 1 << 20);
    }

    #[test]
    fn open_files_are_counted() {
        let before = ProcessFigures::now();
        let held: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        let after = ProcessFigures::now();
        // Other tests of this process open and close some too.
        assert!(after.open > before.open + 20, "{before:?} {after:?}");
        assert!(after.open < after.allowed, "{after:?}");
        drop(held);
    }
}
