//! When a daemon is asked to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when SIGINT or SIGTERM comes, or, with `with_stdin`, when standard input ends: a parent
/// that holds the other end of the pipe takes its children with it however it ends.
///
/// # Errors
/// The signal handlers can't be installed.
pub fn stop_requested(with_stdin: bool) -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
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
