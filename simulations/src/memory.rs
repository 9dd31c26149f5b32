//! How much memory a run may take: the least of what is free, of what the container's cgroups
//! leave, and of what the process's own limits leave. Never part of a result.
//!
//! Sources: `proc(5)`, the kernel's documentation of both versions of cgroups, `getrlimit(2)`.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

/// Larger limits of cgroups of version 1 are how they say that there is none.
const NO_LIMIT: u64 = 1 << 60;

/// What keeps a run from taking more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// What the machine has free (`MemAvailable`).
    Free,
    /// The limit of a cgroup, of version 1 or 2: of a container, or of a unit of systemd.
    Cgroup,
    /// The process's limit of address space (`ulimit -v`).
    AddressSpace,
    /// The process's limit of data (`ulimit -d`).
    Data,
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free on this machine",
            Self::Cgroup => "left by the limit of the container or unit (its cgroup's memory)",
            Self::AddressSpace => "left by the limit of address space (ulimit -v)",
            Self::Data => "left by the limit of data (ulimit -d)",
        })
    }
}

/// Memory that can still be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// Bytes, beside what the process has already.
    pub bytes: u64,
    /// What allows no more.
    pub limit: Limit,
}

impl Available {
    /// Whether what is estimated at so many bytes is sure to fit. An estimate has been a fifth too
    /// low, so it takes a quarter more: who runs out in a container is killed, and learns nothing.
    #[must_use]
    pub const fn holds(&self, estimated: u64) -> bool {
        estimated.saturating_add(estimated / 4) <= self.bytes
    }
}

/// The memory that this process can still take; `None` where the system says nothing of it.
#[must_use]
pub fn available() -> Option<Available> {
    below(Path::new("/"))
}

/// The same on a system whose files are below this folder.
fn below(root: &Path) -> Option<Available> {
    let process = root.join("proc/self");
    let free = kib(&root.join("proc/meminfo"), "MemAvailable:");
    let bounds = [
        (free, Limit::Free),
        (cgroups(root, &process), Limit::Cgroup),
        (
            rlimit(&process, "Max address space", "VmSize:"),
            Limit::AddressSpace,
        ),
        (rlimit(&process, "Max data size", "VmData:"), Limit::Data),
    ];
    bounds
        .into_iter()
        .filter_map(|(bytes, limit)| bytes.map(|bytes| Available { bytes, limit }))
        .min_by_key(|available| available.bytes)
}

/// What a soft limit of the process leaves beside what it has.
fn rlimit(process: &Path, name: &str, used: &str) -> Option<u64> {
    let limits = fs::read_to_string(process.join("limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    // "unlimited" is no number.
    let soft: u64 = line.split_whitespace().next()?.parse().ok()?;
    let used = kib(&process.join("status"), used).unwrap_or(0);
    Some(soft.saturating_sub(used))
}

/// The least that the cgroups of the process leave, of both versions.
fn cgroups(root: &Path, process: &Path) -> Option<u64> {
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
    let left = groups.lines().filter_map(|line| {
        // "4:memory:/path" of version 1, "0::/path" of version 2.
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match controllers {
            "" => &VERSION_2,
            of if of.split(',').any(|name| name == "memory") => &VERSION_1,
            _ => return None,
        };
        let mount = mounts.lines().find_map(|line| version.mount(line))?;
        let inside = Path::new(path).strip_prefix(&mount.group).ok();
        let point = root.join(mount.point.strip_prefix("/").ok()?);
        let inside = inside.unwrap_or(Path::new(""));
        // A group is bound by all groups around it.
        let around = inside.ancestors().map(|group| point.join(group));
        around.filter_map(|group| version.left(&group)).min()
    });
    left.min()
}

/// The names of one version of cgroups.
struct Version {
    filesystem: &'static str,
    /// What the options of its mount have.
    option: &'static str,
    limits: &'static [&'static str],
    used: &'static str,
    /// Of the memory in use, what is cache that makes room when it is wanted.
    cache: &'static str,
}

const VERSION_1: Version = Version {
    filesystem: "cgroup",
    option: "memory",
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file ",
};

const VERSION_2: Version = Version {
    filesystem: "cgroup2",
    option: "",
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    cache: "inactive_file ",
};

/// Where a hierarchy of cgroups is seen.
struct Mount {
    /// The group that is at the mount's point.
    group: PathBuf,
    point: PathBuf,
}

impl Version {
    /// The mount of a line of `mountinfo`, if it is of this version: "ID parent device group point
    /// options … - filesystem source options".
    fn mount(&self, line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        if after.next()? != self.filesystem {
            return None;
        }
        let options = after.nth(1)?;
        if !self.option.is_empty() && !options.split(',').any(|option| option == self.option) {
            return None;
        }
        let mut before = before.split(' ').skip(3);
        Some(Mount {
            group: PathBuf::from(before.next()?),
            point: PathBuf::from(before.next()?),
        })
    }

    /// What a group's limits leave; none without a limit.
    fn left(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| -> Option<u64> {
            let text = fs::read_to_string(group.join(name)).ok()?;
            text.trim().parse().ok()
        };
        let limits = self.limits.iter().filter_map(|name| number(name));
        let limit = limits.filter(|limit| *limit < NO_LIMIT).min()?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.cache));
        let cache: u64 = cache.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let used = number(self.used).unwrap_or(0).saturating_sub(cache);
        Some(limit.saturating_sub(used))
    }
}

/// The most memory that this process has had resident, in bytes (`VmHWM` of Linux); `None` where
/// the system does not say.
#[must_use]
pub fn peak() -> Option<u64> {
    kib(Path::new("/proc/self/status"), "VmHWM:")
}

/// Bytes, from a line `key NUMBER kB` of a file.
fn kib(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// A system that has so much free, with these files besides.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = (
            "proc/meminfo",
            "MemTotal: 1 kB\nMemAvailable:   8000000 kB\n",
        );
        let status = (
            "proc/self/status",
            "VmSize:\t  100000 kB\nVmData:\t   50000 kB\n",
        );
        for (path, text) in [meminfo, status].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> (u64, Limit) {
        let available = below(system(files).path()).unwrap();
        (available.bytes, available.limit)
    }

    const UNLIMITED: (&str, &str) = (
        "proc/self/limits",
        "Limit  Soft Limit  Hard Limit  Units\nMax address space  unlimited  unlimited  bytes\n",
    );

    #[test]
    fn an_estimate_fits_with_a_quarter_more() {
        let available = Available {
            bytes: 500 * MB,
            limit: Limit::Cgroup,
        };
        assert!(available.holds(400 * MB));
        assert!(!available.holds(400 * MB + 4));
        assert!(!available.holds(u64::MAX));
    }

    #[test]
    fn without_limits_it_is_what_is_free() {
        assert_eq!(found(&[UNLIMITED]), (8_192_000_000, Limit::Free));
        assert_eq!(below(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn a_container_of_version_2_has_what_its_limit_leaves() {
        let mount = "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
        let group = [
            UNLIMITED,
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/memory.max", "512000000\n"),
            ("sys/fs/cgroup/memory.current", "112000000\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 7\ninactive_file 50000000\n",
            ),
        ];
        // What is cache counts as free.
        assert_eq!(found(&group), (450 * MB, Limit::Cgroup));
        let high = ("sys/fs/cgroup/memory.high", "412000000\n");
        let all: Vec<_> = group.into_iter().chain([high]).collect();
        assert_eq!(found(&all), (350 * MB, Limit::Cgroup));
        // A unit within a slice is bound by both.
        let nested = [
            UNLIMITED,
            ("proc/self/cgroup", "0::/user.slice/run.scope\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/user.slice/memory.max", "300000000\n"),
            ("sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n"),
        ];
        assert_eq!(found(&nested), (300 * MB, Limit::Cgroup));
    }

    #[test]
    fn a_container_of_version_1_sees_its_group_at_the_mount() {
        let mounts = "33 25 0:28 /docker/ab /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      34 25 0:29 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let group = |limit: &'static str| {
            [
                UNLIMITED,
                (
                    "proc/self/cgroup",
                    "5:cpu:/docker/ab\n4:memory:/docker/ab\n0::/\n",
                ),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", limit),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "12000000\n"),
            ]
        };
        assert_eq!(found(&group("512000000\n")), (500 * MB, Limit::Cgroup));
        let none = "9223372036854771712\n";
        assert_eq!(found(&group(none)), (8_192_000_000, Limit::Free));
    }

    #[test]
    fn limits_of_the_process_count_what_it_has_already() {
        let limits = |name: &str| format!("{name}  500000000  unlimited  bytes\n");
        let address = limits("Max address space         ");
        let found = |text: &str| found(&[("proc/self/limits", text)]);
        assert_eq!(found(&address), (397_600_000, Limit::AddressSpace));
        let data = limits("Max data size             ");
        assert_eq!(found(&data), (448_800_000, Limit::Data));
    }
}
