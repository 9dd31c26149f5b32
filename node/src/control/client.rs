//! The commands' side of the local API: what they ask of a daemon, over the socket in its directory.

mod calls;

use std::io;
use std::path::{Path, PathBuf};

use axum::http::{Request as HttpRequest, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use self::calls::Call;
use super::api::{PageLink, Told};
use super::appear::Changes;
use super::protocol::{Event, MAX_FILE_BYTES, MAX_RESPONSE_BYTES, Refusal, Request, Response};
use super::socket::connect;
use super::sse::Parser;

/// Why the daemon could not be asked, or did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No daemon listens in this directory.
    #[error(
        "no client daemon runs for {dir}: start it with `shoal daemon --dir {dir}`, and leave \
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
    /// The daemon closed the connection before it had answered.
    #[error("the client daemon stopped before it answered")]
    Closed,
    /// The daemon says something that we don't understand: another version, most likely.
    #[error("the client daemon's answer makes no sense: {0}; is it of the same version?")]
    Protocol(String),
}

/// What asks the daemon of a directory. Each request has a connection of its own: nothing is asked on one that the
/// daemon is about to close.
pub struct ControlClient {
    dir: PathBuf,
    /// That by which it was seen that a daemon listens, for the first request.
    first: Option<SendRequest<Full<Bytes>>>,
    following: Option<Following>,
}

/// Events that come.
struct Following {
    body: Incoming,
    parser: Parser,
}

impl ControlClient {
    /// Connects to the daemon that runs in this directory.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] if there is none.
    pub async fn connect(dir: &Path) -> Result<Self, ControlError> {
        Ok(Self {
            first: Some(open(dir).await?),
            dir: dir.to_owned(),
            following: None,
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
    /// [`ControlError`], [`ControlError::Refused`] among it. After [`ControlError::NotRunning`] nothing was asked.
    pub async fn ask(&mut self, request: Request) -> Result<Response, ControlError> {
        let call = Call::of(request)?;
        let (status, body) = self.exchange(call.request()?).await?;
        // A file is the longest answer there is.
        let most = MAX_RESPONSE_BYTES.max(MAX_FILE_BYTES);
        let body = Limited::new(body, most).collect().await;
        let bytes = body.map_err(|_| ControlError::Closed)?.to_bytes();
        match status.is_success() {
            true => call.response(&bytes),
            false => Err(refused(status, &bytes)),
        }
    }

    /// Asks for a link that opens the page for people once.
    ///
    /// # Errors
    /// [`ControlError`]; [`ControlError::Refused`] if there is no page.
    pub async fn page_link(&mut self) -> Result<PageLink, ControlError> {
        let (status, body) = self.exchange(calls::post("/v1/page")?).await?;
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let bytes = body.map_err(|_| ControlError::Closed)?.to_bytes();
        match status.is_success() {
            true => calls::parse(&bytes),
            false => Err(refused(status, &bytes)),
        }
    }

    /// Asks for events, which [`ControlClient::event`] gives.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn follow(&mut self) -> Result<(), ControlError> {
        let (status, body) = self.exchange(calls::get("/v1/events")?).await?;
        if !status.is_success() {
            let bytes = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
            let bytes = bytes.map_err(|_| ControlError::Closed)?.to_bytes();
            return Err(refused(status, &bytes));
        }
        let parser = Parser::default();
        self.following = Some(Following { body, parser });
        Ok(())
    }

    /// Waits for the next event. If the wait is given up, nothing is lost.
    ///
    /// # Errors
    /// [`ControlError::Closed`] when the daemon stops.
    pub async fn event(&mut self) -> Result<Event, ControlError> {
        let following = self.following.as_mut().ok_or(ControlError::Closed)?;
        loop {
            let next = following.parser.next();
            let next =
                next.map_err(|_| ControlError::Protocol("an event is too long".to_owned()))?;
            if let Some(data) = next {
                let told: Told = calls::parse(&data)?;
                return Ok(told.event);
            }
            match following.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        following.parser.push(bytes);
                    }
                }
                Some(Err(_)) | None => return Err(ControlError::Closed),
            }
        }
    }

    async fn exchange(
        &mut self,
        request: HttpRequest<Full<Bytes>>,
    ) -> Result<(StatusCode, Incoming), ControlError> {
        let (mut connection, maybe_stale) = match self.first.take() {
            Some(first) => (first, true),
            None => (open(&self.dir).await?, false),
        };
        let answer = match connection.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut error) => match error.take_message() {
                // It was closed while it idled, and nothing left.
                Some(request) if maybe_stale => {
                    let again = open(&self.dir).await?.send_request(request).await;
                    again.map_err(|error| broken(&error))?
                }
                _ => return Err(broken(error.error())),
            },
        };
        let (parts, body) = answer.into_parts();
        Ok((parts.status, body))
    }
}

async fn open(dir: &Path) -> Result<SendRequest<Full<Bytes>>, ControlError> {
    let stream = connect(dir).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(dir.to_owned())
        }
        _ => ControlError::Io(error),
    })?;
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| broken(&error))?;
    // It ends with what it carries: how is told to who waits for the answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn refused(status: StatusCode, bytes: &[u8]) -> ControlError {
    match serde_json::from_slice::<Refusal>(bytes) {
        Ok(refusal) => ControlError::Refused(refusal),
        Err(_) => ControlError::Protocol(format!("HTTP {status}")),
    }
}

fn broken(error: &hyper::Error) -> ControlError {
    match error.is_parse() {
        true => ControlError::Protocol(error.to_string()),
        false => ControlError::Closed,
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
        Response::Profiles(_) => "profiles",
        Response::Node(_) => "node",
        Response::Invited(_) => "invited",
        Response::Invitations(_) => "invitations",
        Response::Contact(_) => "contact",
        Response::File(_) => "a file",
        Response::Files(_) => "files",
        Response::FileContent(_) => "what is in a file",
        Response::MessageBox(_) => "how the message box is",
        Response::MessageBoxes(_) => "the message boxes",
        Response::BoxContents(_) => "what is in a message box",
        Response::Contacts(_) => "contacts",
        Response::Conversations(_) => "conversations",
        Response::Conversation(_) => "conversation",
    };
    ControlError::Protocol(format!("it answered `{kind}`"))
}
