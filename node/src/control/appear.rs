//! Waiting until a daemon listens in a directory.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// How often it is looked where the system does not tell of changes.
const GLANCE: Duration = Duration::from_millis(100);

/// Tells when something in a directory changes that a new socket changes too.
pub(super) struct Changes(Option<Receiver>);

impl Changes {
    /// Of this directory, from now on.
    pub(super) fn of(dir: &Path) -> Self {
        // Without the system's help (it may have no watch left) it takes a little longer.
        Self(watch(dir).ok())
    }

    /// Resolves once something may have changed since the last time.
    pub(super) async fn next(&mut self) {
        // What changed is of no interest: whoever asks looks for himself.
        let mut events = [0; 4096];
        let told = match &mut self.0 {
            Some(watch) => watch.read(&mut events).await.is_ok(),
            None => false,
        };
        if !told {
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// A socket is made, and then its mode is set, when it listens. The system's events are read as from a
/// pipe.
#[cfg(target_os = "linux")]
fn watch(dir: &Path) -> io::Result<Receiver> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

    let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    add_watch(&watch, dir, WatchFlags::CREATE | WatchFlags::ATTRIB)?;
    Receiver::from_owned_fd_unchecked(watch)
}

#[cfg(not(target_os = "linux"))]
fn watch(_: &Path) -> io::Result<Receiver> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_new_file_is_told_and_what_was_before_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("before"), b"").unwrap();
        let mut changes = Changes::of(dir.path());
        assert!(changes.next().now_or_never().is_none());
        std::fs::write(dir.path().join("after"), b"").unwrap();
        changes.next().await;
        assert!(
            changes.0.is_some() || !cfg!(target_os = "linux"),
            "it is told by the system"
        );
    }
}
