//! How a command asks the daemon of a client, and how long it waits.

use std::time::Duration;

use anyhow::anyhow;
use shoal_node::Failure;
use shoal_node::control::protocol::{RefusalCode, Request, Response};
use shoal_node::control::{ControlClient, ControlError};
use shoal_proto::Span;

use crate::cli::args::Place;
use crate::cli::launch::directory;

/// Connects to the daemon of this place.
pub(super) async fn connect(place: &Place) -> Result<ControlClient, Failure> {
    ControlClient::connect(&directory(place))
        .await
        .map_err(failed)
}

/// Asks it.
pub(super) async fn ask(client: &mut ControlClient, request: Request) -> Result<Response, Failure> {
    client.ask(request).await.map_err(failed)
}

/// What a failed request means for the exit code.
pub(super) fn failed(error: ControlError) -> Failure {
    match error {
        ControlError::NotRunning(_) | ControlError::Closed => Failure::unreachable(error),
        ControlError::Refused(ref refusal) if refusal.code == RefusalCode::Invalid => {
            Failure::usage(error)
        }
        other => Failure::failed(other),
    }
}

/// Waits, but not past the time allowed, nor past Ctrl-C.
pub(super) async fn within<T>(
    timeout: Option<Span>,
    late: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || Failure::Unreachable(anyhow!("{late}"));
    let bounded = async {
        match timeout {
            Some(span) => {
                let limit = tokio::time::timeout(Duration::from(span), work);
                limit.await.unwrap_or_else(|_| Err(late()))
            }
            None => work.await,
        }
    };
    tokio::select! {
        done = bounded => done,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::failed(error)),
        },
    }
}
