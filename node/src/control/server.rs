//! The daemon's side of the control socket.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::line::{Line, Lines, lines};
use super::protocol::{
    Event, MAX_REQUEST_BYTES, Outcome, Refusal, RefusalCode, Request, RequestLine, Response,
    ResponseLine, VERSION,
};
use super::socket::{SOCKET_FILE, listen, same_user};

/// Connections at a time. Beyond it, the next waits in the system's backlog.
const MAX_CONNECTIONS: usize = 64;

/// How long the other side may take to read what was written to it.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// What answers requests. Calls come from several connections at a time; those of one connection
/// come one after the other.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. [`Request::Events`] never gets here.
    fn handle(&self, request: Request) -> impl Future<Output = Result<Response, Refusal>> + Send;

    /// The events from now on. The channel's capacity bounds what a slow reader holds up; what it
    /// loses is told to it as [`Event::Missed`].
    fn events(&self) -> broadcast::Receiver<Event>;
}

/// The listening control socket. Dropping it removes the socket's file.
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlServer {
    /// Listens in this directory, which the caller has locked: a socket that is left there by a
    /// crash is replaced.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            listener: listen(dir)?,
            path: dir.join(SOCKET_FILE),
        })
    }

    /// Answers until the future is dropped, which closes every connection.
    pub async fn serve<H: Handler>(self, handler: Arc<H>) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&handler), slot));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: let some be closed first.
                    tracing::warn!(%error, "the control socket can't accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // It may be gone with the whole directory already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn connection<H: Handler>(stream: UnixStream, handler: Arc<H>, slot: OwnedSemaphorePermit) {
    match same_user(&stream) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("refused another user on the control socket");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "can't tell who is on the control socket");
            return;
        }
    }
    // The other side closing is how a connection ends; nobody needs to be told.
    let _ = converse(stream, handler.as_ref()).await;
    drop(slot);
}

async fn converse<H: Handler>(stream: UnixStream, handler: &H) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = lines(read, MAX_REQUEST_BYTES);
    while let Some(line) = reader.next().await.transpose()? {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                let message = format!("a line has at most {MAX_REQUEST_BYTES} bytes");
                let refusal = Refusal::new(RefusalCode::Malformed, message);
                respond(&mut write, 0, Outcome::Error(refusal)).await?;
                continue;
            }
        };
        let (id, request) = parse(&line);
        match request {
            Ok(Request::Events) => {
                // Subscribed before the answer, so that nothing after it is missed.
                let events = handler.events();
                respond(&mut write, id, Outcome::Ok(Response::Following)).await?;
                return follow(&mut reader, &mut write, id, events).await;
            }
            Ok(request) => {
                let outcome = match handler.handle(request).await {
                    Ok(response) => Outcome::Ok(response),
                    Err(refusal) => Outcome::Error(refusal),
                };
                respond(&mut write, id, outcome).await?;
            }
            Err(refusal) => respond(&mut write, id, Outcome::Error(refusal)).await?,
        }
    }
    Ok(())
}

/// Writes events until the other side closes; what it writes meanwhile is thrown away.
async fn follow(
    reader: &mut Lines<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    id: u64,
    mut events: broadcast::Receiver<Event>,
) -> io::Result<()> {
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(events)) => Event::Missed { events },
                Err(RecvError::Closed) => return Ok(()),
            },
            line = reader.next() => match line.transpose()? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        respond(write, id, Outcome::Event(event)).await?;
    }
}

/// The request's id, as far as it can be read, and the request.
fn parse(line: &[u8]) -> (u64, Result<Request, Refusal>) {
    #[derive(serde::Deserialize)]
    struct Envelope {
        version: Option<u32>,
        #[serde(default)]
        id: u64,
    }
    let malformed = |error: serde_json::Error| {
        Refusal::new(RefusalCode::Malformed, format!("not a request: {error}"))
    };
    let envelope: Envelope = match serde_json::from_slice(line) {
        Ok(envelope) => envelope,
        Err(error) => return (0, Err(malformed(error))),
    };
    if envelope.version != Some(VERSION) {
        let message = format!("this daemon speaks version {VERSION} of the control protocol");
        return (
            envelope.id,
            Err(Refusal::new(RefusalCode::Version, message)),
        );
    }
    let request = serde_json::from_slice::<RequestLine>(line);
    (
        envelope.id,
        request.map(|line| line.request).map_err(malformed),
    )
}

async fn respond(write: &mut OwnedWriteHalf, id: u64, outcome: Outcome) -> io::Result<()> {
    let line = ResponseLine {
        version: VERSION,
        id,
        outcome,
    };
    let mut bytes = serde_json::to_vec(&line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let written = tokio::time::timeout(WRITE_DEADLINE, write.write_all(&bytes)).await;
    written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Whether the daemon takes these bytes for a request; for fuzzing.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn is_request(line: &[u8]) -> bool {
    parse(line).1.is_ok()
}
