//! `shoal client stop`.

use anyhow::Context as _;
use shoal_node::Failure;
use shoal_node::control::ControlError;
use shoal_node::control::protocol::{Request, Response};
use shoal_node::state::StateDir;
use tokio::sync::oneshot;

use super::ask::{connect, failed, late, strange, within};
use crate::cli::args::ClientStop;
use crate::cli::launch::directory;
use crate::cli::output;

pub(super) async fn run(args: &ClientStop, json: bool) -> Result<(), Failure> {
    let late_words = "the client daemon was asked to stop, and still has the directory";
    within(late(Some(args.timeout)), late_words, stop(args)).await?;
    output::show(json, &Response::Done, "stopped")
}

/// Asks it to stop, and waits until the directory is free for another process.
async fn stop(args: &ClientStop) -> Result<(), Failure> {
    let mut control = connect(&args.place).await?;
    match control.ask(Request::Stop).await {
        // It may be gone before it has said so.
        Ok(Response::Done) | Err(ControlError::Closed) => {}
        Ok(other) => return Err(strange(&other)),
        Err(error) => return Err(failed(error)),
    }
    let dir = directory(&args.place);
    let (free, wait) = oneshot::channel();
    // A thread that nobody waits for: waiting for a lock can't be cancelled.
    std::thread::Builder::new()
        .name("lock".to_owned())
        .spawn(move || {
            // Who waited may be gone.
            let _ = free.send(StateDir::wait_until_free(&dir));
        })
        .context("can't wait for the directory")
        .map_err(Failure::Failed)?;
    match wait.await {
        Ok(free) => free.map_err(Failure::failed),
        Err(error) => Err(Failure::failed(error)),
    }
}
