//! How a command asks the daemon of a client, and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use shoal_node::control::protocol::{RefusalCode, Request, Response};
use shoal_node::control::{ControlClient, ControlError, unexpected};
use shoal_node::{Exit, Failure};
use shoal_proto::Span;

use crate::cli::args::{ContactPlace, Place};
use crate::cli::launch::directory;
use crate::cli::output;

/// The directory of this place, which is there: a slip of the pen is no daemon that does not run yet.
pub(in crate::cli) fn existing(place: &Place) -> Result<PathBuf, Failure> {
    let dir = directory(place);
    match dir.is_dir() {
        true => Ok(dir),
        false => Err(Failure::usage(anyhow::anyhow!(
            "there is no directory {}: `shoal client init` makes one",
            dir.display()
        ))),
    }
}

/// Connects to the daemon of this place.
pub(in crate::cli) async fn connect(place: &Place) -> Result<ControlClient, Failure> {
    ControlClient::connect(&existing(place)?)
        .await
        .map_err(failed)
}

/// Connects to the daemon of this place; if there is none, says so and waits until there is.
pub(super) async fn connect_when_up(place: &Place) -> Result<ControlClient, Failure> {
    let waiting = |error: &ControlError| output::note(&format!("waiting: {error}"));
    ControlClient::connect_when_up(&existing(place)?, waiting)
        .await
        .map_err(failed)
}

/// Asks it.
pub(super) async fn ask(client: &mut ControlClient, request: Request) -> Result<Response, Failure> {
    client.ask(request).await.map_err(failed)
}

/// What a failed request means for the exit code.
pub(in crate::cli) fn failed(error: ControlError) -> Failure {
    match error {
        ControlError::NotRunning(_) | ControlError::Closed => Failure::unreachable(error),
        ControlError::Refused(ref refusal) => match refusal.code {
            RefusalCode::Invalid | RefusalCode::NotFound => Failure::usage(error),
            RefusalCode::Busy => Failure::other(Exit::Refused, error),
            RefusalCode::Conflict => Failure::other(Exit::Exists, error),
            RefusalCode::Superseded => Failure::other(Exit::Superseded, error),
            RefusalCode::Stopped => Failure::unreachable(error),
            _ => Failure::failed(error),
        },
        other => Failure::failed(other),
    }
}

/// What another answer than there can be to a request means for the exit code.
pub(in crate::cli) fn strange(answer: &Response) -> Failure {
    failed(unexpected(answer))
}

/// Resolves when the time is over that a command may take; never if it may take any.
pub(in crate::cli) async fn late(timeout: Option<Span>) {
    match timeout {
        Some(span) => tokio::time::sleep(Duration::from(span)).await,
        None => std::future::pending().await,
    }
}

/// Works until it is done, but not past the time allowed, nor past Ctrl-C.
pub(in crate::cli) async fn within<T>(
    late: impl Future<Output = ()>,
    what_is_late: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = work => done,
        () = late => Err(Failure::other(Exit::Late, anyhow::anyhow!("{what_is_late}"))),
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::failed(error)),
        },
    }
}

/// Asks a daemon that may run, once, for no longer than allowed.
pub(in crate::cli) async fn ask_once(
    place: &Place,
    timeout: Span,
    request: Request,
) -> Result<Response, Failure> {
    let work = async { ask(&mut connect(place).await?, request).await };
    within(
        late(Some(timeout)),
        "the client daemon did not answer in time",
        work,
    )
    .await
}

/// Asks the daemon of this place, once.
pub(in crate::cli) async fn ask_at(
    at: &ContactPlace,
    request: Request,
) -> Result<Response, Failure> {
    ask_once(&at.place, at.timeout, request).await
}

/// What a command prints with `--json` that has nothing else to tell.
#[derive(Serialize)]
struct Done {
    state: &'static str,
}

/// Asks for what there is nothing to tell of but that it is done, and prints that.
pub(in crate::cli) async fn ask_for_done(
    at: &ContactPlace,
    request: Request,
    json: bool,
    state: &'static str,
) -> Result<(), Failure> {
    match ask_at(at, request).await? {
        Response::Done => output::show(json, &Done { state }, state),
        other => Err(strange(&other)),
    }
}
