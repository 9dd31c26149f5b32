//! `shoal bench`.

mod mix;
mod store;

use std::path::Path;

use shoal_node::Failure;

use super::args::Bench;

pub(super) async fn run(command: Bench, json: bool) -> Result<(), Failure> {
    match command {
        Bench::Store(args) => store::run(args, json).await,
        Bench::Mix(args) => mix::run(args, json).await,
    }
}

/// Whether files there are kept in memory. What can't be found out is taken for a disk.
#[cfg(target_os = "linux")]
#[allow(
    clippy::useless_conversion,
    reason = "the kind is narrower on other machines"
)]
fn is_memory(directory: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::statfs(directory)
        .is_ok_and(|found| [TMPFS, RAMFS].contains(&i64::from(found.f_type)))
}

#[cfg(not(target_os = "linux"))]
const fn is_memory(_: &Path) -> bool {
    false
}
