//! The daemon's side of the control socket, and a node's.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::line::{Line, Lines, lines};
use super::places::{Bounds, Place, Places};
use super::protocol::{
    Event, MAX_REQUEST_BYTES, Outcome, Refusal, RefusalCode, Request, RequestLine, Response,
    ResponseLine, VERSION,
};
use super::socket::{SOCKET_FILE, listen, same_user};

/// Connections at a time, and those of them that wait for something.
const BOUNDS: Bounds = Bounds {
    connections: 256,
    waits: 192,
};

/// How long the other side may take to read what was written to it.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// A line that was begun and is not ended after one to two of these is refused.
const LINE_DEADLINE: Duration = Duration::from_secs(5);

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
        let places = Places::new(BOUNDS);
        let mut connections = JoinSet::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let place = places.take().await;
                    connections.spawn(connection(stream, Arc::clone(&handler), place));
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

async fn connection<H: Handler>(stream: UnixStream, handler: Arc<H>, place: Place) {
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
    let (read, write) = stream.into_split();
    let talk = Talk {
        reader: lines(read, MAX_REQUEST_BYTES),
        ahead: None,
        write,
        place,
    };
    // The other side closing is how a connection ends; nobody needs to be told.
    let _ = talk.converse(handler.as_ref()).await;
}

/// One connection.
struct Talk {
    reader: Lines<OwnedReadHalf>,
    /// A line that came while another was answered.
    ahead: Option<Line>,
    write: OwnedWriteHalf,
    place: Place,
}

impl Talk {
    async fn converse<H: Handler>(mut self, handler: &H) -> io::Result<()> {
        while let Some(line) = self.next_line().await? {
            let (id, request) = match line {
                Line::Whole(line) => parse(&line),
                Line::TooLong => {
                    let message = format!("a line has at most {MAX_REQUEST_BYTES} bytes");
                    (0, Err(Refusal::new(RefusalCode::Malformed, message)))
                }
            };
            let outcome = match request {
                Ok(Request::Events) => match self.place.wait() {
                    Some(_wait) => {
                        // Subscribed before the answer, so that nothing after it is missed.
                        let events = handler.events();
                        let following = Outcome::Ok(Response::Following);
                        respond(&mut self.write, id, following).await?;
                        return self.follow(id, events).await;
                    }
                    None => Err(too_many_wait()),
                },
                Ok(request) if waits(&request) => match self.place.wait() {
                    Some(_wait) => match self.unless_gone(handler.handle(request)).await? {
                        Some(outcome) => outcome,
                        None => return Ok(()),
                    },
                    None => Err(too_many_wait()),
                },
                Ok(request) => handler.handle(request).await,
                Err(refusal) => Err(refusal),
            };
            let outcome = outcome.map_or_else(Outcome::Error, Outcome::Ok);
            respond(&mut self.write, id, outcome).await?;
        }
        Ok(())
    }

    /// Writes events until the other side is gone; what it writes meanwhile is thrown away.
    async fn follow(&mut self, id: u64, mut events: broadcast::Receiver<Event>) -> io::Result<()> {
        let mut more = true;
        loop {
            let event = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => event,
                    Err(RecvError::Lagged(events)) => Event::Missed { events },
                    Err(RecvError::Closed) => return Ok(()),
                },
                line = self.reader.next(), if more => {
                    more = line.transpose()?.is_some();
                    if !more && self.is_gone() {
                        return Ok(());
                    }
                    continue;
                }
            };
            respond(&mut self.write, id, Outcome::Event(event)).await?;
        }
    }

    /// The next line; `None` when the other side has no more, or has to go.
    async fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.take() {
            return Ok(Some(line));
        }
        let mut told_to_go = self.place.rest();
        let mut begun = false;
        let line = loop {
            tokio::select! {
                biased;
                line = timeout(LINE_DEADLINE, self.reader.next()) => match line {
                    Ok(line) => break line.transpose()?,
                    Err(_) if begun && !self.reader.read_buffer().is_empty() => {
                        self.place.work();
                        return self.give_up("a request ends with a line feed, and none came").await;
                    }
                    Err(_) => begun = !self.reader.read_buffer().is_empty(),
                },
                _ = &mut told_to_go => return Ok(None),
            }
        };
        if line.is_some() && !self.place.work() {
            return self
                .give_up("too many connections: this one was idle for longest")
                .await;
        }
        Ok(line)
    }

    /// Says why the connection ends.
    async fn give_up(&mut self, why: &str) -> io::Result<Option<Line>> {
        let refusal = Refusal::new(RefusalCode::Malformed, why);
        respond(&mut self.write, 0, Outcome::Error(refusal)).await?;
        Ok(None)
    }

    /// Does the work, unless the other side goes away meanwhile. Who has only said that no more
    /// requests come still wants the answer.
    async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> io::Result<Option<T>> {
        let mut work = std::pin::pin!(work);
        let mut more = self.ahead.is_none();
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                line = self.reader.next(), if more => {
                    more = false;
                    self.ahead = line.transpose()?;
                    if self.ahead.is_none() && self.is_gone() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether the other side has closed the connection both ways.
    fn is_gone(&self) -> bool {
        let ready = self.write.ready(Interest::WRITABLE).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_write_closed()))
    }
}

/// Whether a request may be answered long after it was asked.
const fn waits(request: &Request) -> bool {
    matches!(
        request,
        Request::Messages { wait_ms: 1.., .. } | Request::Progress { wait_ms: 1.., .. }
    )
}

fn too_many_wait() -> Refusal {
    let message = format!(
        "{} requests wait already, and no more may; ask without waiting, or later",
        BOUNDS.waits
    );
    Refusal::new(RefusalCode::Busy, message)
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
