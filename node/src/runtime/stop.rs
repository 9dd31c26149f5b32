//! When a daemon is asked to stop, or to look at its configuration again.

use std::fmt;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a daemon does to take up what can be changed while it runs: the log's level.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() + Send + Sync>);

impl Reload {
    /// Calls this at each SIGHUP. It must not take long.
    pub fn new(reload: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(reload))
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

/// What SIGHUP means to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// Its terminal is gone: stop in good order.
    Stop,
    /// It has no terminal, so somebody asks it to read its configuration again.
    Reload,
    /// Who started it (`nohup`) wants it to live on without its terminal.
    Ignore,
}

impl Hangup {
    /// As the process was started.
    fn of_process() -> Self {
        if is_ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
            Self::Ignore
        } else if File::open("/dev/tty").is_ok() {
            Self::Stop
        } else {
            Self::Reload
        }
    }
}

/// Whether a process with this status, as Linux shows it, ignores SIGHUP, which is the first signal.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// Resolves when SIGINT or SIGTERM comes, when the terminal that the process was started from is closed,
/// or, with `with_stdin`, when standard input ends: a parent that holds the other end of the pipe takes its
/// children with it however it ends. SIGHUP to a process without a terminal calls `reload`.
///
/// # Errors
/// The signal handlers can't be installed.
pub fn stop_requested(
    with_stdin: bool,
    reload: Option<Reload>,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let mut stops = Stops::new(with_stdin, reload)?;
    Ok(async move {
        stops.next().await;
    })
}

/// How a daemon is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// By SIGTERM: in its own time, where it takes some.
    InTime,
    /// By SIGINT, or whoever started it is gone.
    AtOnce,
}

/// Each time that the process is asked to stop.
pub(super) struct Stops {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is closed, or standard input has ended.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_gone: bool,
}

impl Stops {
    /// As [`stop_requested`].
    pub(super) fn new(with_stdin: bool, reload: Option<Reload>) -> io::Result<Self> {
        // Before there is a handler, which would hide what the process was started with.
        let meaning = Hangup::of_process();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            gone: Box::pin(gone(meaning, with_stdin, reload)?),
            is_gone: false,
        })
    }

    /// The next time.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => {
                tracing::info!("SIGINT: stopping");
                Stop::AtOnce
            }
            _ = self.terminate.recv() => {
                tracing::info!("SIGTERM: stopping");
                Stop::InTime
            }
            () = &mut self.gone, if !self.is_gone => {
                self.is_gone = true;
                Stop::AtOnce
            }
        }
    }
}

/// Resolves when the terminal is closed, or with `with_stdin` when standard input ends.
fn gone(
    meaning: Hangup,
    with_stdin: bool,
    reload: Option<Reload>,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let mut hangup = match meaning {
        Hangup::Ignore => None,
        Hangup::Stop | Hangup::Reload => Some(signal(SignalKind::hangup())?),
    };
    let hung_up = async move {
        while let Some(hangup) = &mut hangup {
            hangup.recv().await;
            match (meaning, &reload) {
                (Hangup::Stop, _) => return,
                (_, Some(Reload(reload))) => reload(),
                (_, None) => {}
            }
        }
        std::future::pending().await
    };
    Ok(async move {
        tokio::select! {
            () = hung_up => tracing::info!("the terminal was closed: stopping"),
            () = stdin_ended(), if with_stdin => tracing::info!("standard input ended: stopping"),
        }
    })
}

/// Reads on a thread that nobody waits for, because a read from a terminal can't be cancelled.
async fn stdin_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    let reader = std::thread::Builder::new().name("stdin".to_owned());
    let spawned = reader.spawn(move || {
        let mut sink = io::sink();
        // An error ends it as the end of the file does.
        let _ = io::copy(&mut io::stdin().lock(), &mut sink);
        let _ = ended.send(());
    });
    if spawned.is_ok() {
        let _ = wait.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_did_is_seen() {
        assert!(is_ignored(
            "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"
        ));
        assert!(!is_ignored(
            "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"
        ));
        assert!(!is_ignored(""));
    }
}
