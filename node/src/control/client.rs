//! The commands' side of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::appear::Changes;
use super::line::{Line, Lines, lines};
use super::protocol::{
    Event, MAX_RESPONSE_BYTES, Outcome, Refusal, Request, RequestLine, Response, ResponseLine,
    VERSION,
};
use super::socket::connect;

/// Why the daemon could not be asked, or did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No daemon listens in this directory.
    #[error(
        "no client daemon runs for {dir}: start it with `shoal client run --dir {dir}`, and leave \
         it running (who goes online only to send shows when they send)",
        dir = .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket failed.
    #[error("the control socket failed: {0}")]
    Io(#[source] io::Error),
    /// The daemon refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The daemon closed the connection.
    #[error("the client daemon stopped before it answered")]
    Closed,
    /// The daemon says something that we don't understand: another version, most likely.
    #[error("the client daemon's answer makes no sense: {0}; is it of the same version?")]
    Protocol(String),
}

/// A connection to the daemon.
pub struct ControlClient {
    reader: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    next_id: u64,
}

impl ControlClient {
    /// Connects to the daemon that runs in this directory.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] if there is none.
    pub async fn connect(dir: &Path) -> Result<Self, ControlError> {
        let stream = connect(dir).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning(dir.to_owned())
            }
            _ => ControlError::Io(error),
        })?;
        let (read, writer) = stream.into_split();
        Ok(Self {
            reader: lines(read, MAX_RESPONSE_BYTES),
            writer,
            next_id: 1,
        })
    }

    /// Connects to the daemon that runs in this directory, and waits for one if there is none;
    /// `waiting` is told so.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] if there is no such directory, so that none can come to run.
    pub async fn connect_when_up(
        dir: &Path,
        waiting: impl FnOnce(&ControlError),
    ) -> Result<Self, ControlError> {
        // Before the first try, so that no daemon comes unseen after it.
        let mut changes = Changes::of(dir);
        let mut waiting = Some(waiting);
        loop {
            match Self::connect(dir).await {
                Err(error @ ControlError::NotRunning(_)) if dir.is_dir() => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&error);
                    }
                }
                outcome => return outcome,
            }
            changes.next().await;
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`ControlError`], [`ControlError::Refused`] among it.
    pub async fn ask(&mut self, request: Request) -> Result<Response, ControlError> {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        let line = RequestLine {
            version: VERSION,
            id,
            request,
        };
        let mut bytes =
            serde_json::to_vec(&line).map_err(|error| ControlError::Protocol(error.to_string()))?;
        bytes.push(b'\n');
        self.writer.write_all(&bytes).await.map_err(closed)?;
        let line = self.line().await?;
        if line.id != id {
            return Err(ControlError::Protocol(
                "it answers another request".to_owned(),
            ));
        }
        match line.outcome {
            Outcome::Ok(response) => Ok(response),
            Outcome::Error(refusal) => Err(ControlError::Refused(refusal)),
            Outcome::Event(_) => Err(ControlError::Protocol("an event came first".to_owned())),
        }
    }

    /// Asks for events. From now on only [`ControlClient::event`] makes sense.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn follow(&mut self) -> Result<(), ControlError> {
        match self.ask(Request::Events).await? {
            Response::Following => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for the next event. If the wait is given up, nothing is lost.
    ///
    /// # Errors
    /// [`ControlError::Closed`] when the daemon stops.
    pub async fn event(&mut self) -> Result<Event, ControlError> {
        match self.line().await?.outcome {
            Outcome::Event(event) => Ok(event),
            Outcome::Error(refusal) => Err(ControlError::Refused(refusal)),
            Outcome::Ok(response) => Err(unexpected(&response)),
        }
    }

    async fn line(&mut self) -> Result<ResponseLine, ControlError> {
        match self.reader.next().await.transpose().map_err(closed)? {
            Some(Line::Whole(line)) => serde_json::from_slice(&line)
                .map_err(|error| ControlError::Protocol(error.to_string())),
            Some(Line::TooLong) => Err(ControlError::Protocol("a line is too long".to_owned())),
            None => Err(ControlError::Closed),
        }
    }
}

/// An answer of another kind than the request asks for.
#[must_use]
pub fn unexpected(response: &Response) -> ControlError {
    let kind = match response {
        Response::Accepted(_) => "accepted",
        Response::Progress(_) => "progress",
        Response::Outgoing(_) => "outgoing",
        Response::Messages(_) => "messages",
        Response::Done => "done",
        Response::Status(_) => "status",
        Response::Node(_) => "node",
        Response::Address(_) => "address",
        Response::Following => "following",
    };
    ControlError::Protocol(format!("it answered `{kind}`"))
}

fn closed(error: io::Error) -> ControlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ControlError::Closed,
        _ => ControlError::Io(error),
    }
}
