//! Work that takes long and waits for disks.

use shoal_node::Failure;
use tokio::sync::oneshot;

/// Works on a thread that nobody waits for once Ctrl-C is pressed: what it holds goes with the process.
pub(super) async fn interruptible<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (done, wait) = oneshot::channel();
    std::thread::Builder::new()
        .name("work".to_owned())
        .spawn(move || {
            // Who waited may be gone.
            let _ = done.send(work());
        })
        .map_err(Failure::failed)?;
    tokio::select! {
        biased;
        done = wait => done.map_err(Failure::failed)?,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::failed(error)),
        },
    }
}
