//! The daemon's side of the local API, and a node's: who connects, and how long anything may take.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request as HttpRequest, Response as HttpResponse};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::guard::Guard;
use super::links::Links;
use super::patient::Patient;
use super::places::{Bounds, Busy, Places, Seat, open_files, raise_open_files};
use super::protocol::{Refusal, Request, Response};
use super::socket::{SOCKET_FILE, listen, same_user};
use super::token::Token;
use super::wire::BodyDeadline;

/// Headers of a request, and bytes of all of them; more are refused (431).
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 32 << 10;

/// When to try again if the system has no more files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long a connection that has to go, and has asked nothing yet, may take to ask.
const BEGIN: Duration = Duration::from_millis(250);

/// How long a connection that has to go may take to finish what it does.
const LEAVE: Duration = Duration::from_secs(1);

/// How many there may be, and how long anything may take. The defaults are what daemons go by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that ask or idle, on the socket and over TCP each; those that wait are not among them.
    pub places: usize,
    /// From when a connection may ask until its request's head is here. An idle one is closed after it, too.
    pub head: Duration,
    /// From a request's head until its body is here.
    pub body: Duration,
    /// How long the other side may take nothing of what is written to it.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places: 256,
            head: Duration::from_secs(30),
            body: Duration::from_secs(10),
            write: Duration::from_secs(10),
        }
    }
}

/// What answers requests. Calls come from several connections at a time.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Response, Refusal>>;
}

/// Where the API is over TCP, and what is asked for there.
#[derive(Clone)]
pub struct TcpDoor {
    pub(super) address: SocketAddr,
    pub(super) token: Arc<Token>,
    pub(super) links: Arc<Links>,
}

/// The listening API. Dropping it removes the socket's file.
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
    tcp: Option<(TcpListener, Guard)>,
    door: Option<TcpDoor>,
    limits: Limits,
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
            tcp: None,
            door: None,
            limits: Limits::default(),
        })
    }

    /// Listens on this address too, for who has the token; gives it with the port that it is.
    ///
    /// # Errors
    /// The address is not this machine's own only, or what the system says.
    pub async fn also_at(&mut self, address: SocketAddr, token: Token) -> io::Result<SocketAddr> {
        if !address.ip().is_loopback() {
            let message = "others can reach it: listen on 127.0.0.1 or ::1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let token = Arc::new(token);
        self.door = Some(TcpDoor {
            address,
            token: Arc::clone(&token),
            links: Arc::default(),
        });
        self.tcp = Some((listener, Guard::new(token, address.port())));
        Ok(address)
    }

    /// Where it listens over TCP, if it does, for [`api::pages`](super::api::pages).
    #[must_use]
    pub fn door(&self) -> Option<TcpDoor> {
        self.door.clone()
    }

    /// Goes by other limits.
    #[must_use]
    pub const fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers until `stop` resolves, and then ends what is being answered, within a second. Dropping the future
    /// closes every connection.
    pub async fn serve_until(mut self, router: Router, stop: impl Future<Output = ()>) {
        raise_open_files();
        let (stopping, stopped) = watch::channel(false);
        let host = |guard| {
            Arc::new(Host {
                router: router.clone(),
                guard,
                limits: self.limits,
                stopped: stopped.clone(),
            })
        };
        let local = host(None);
        let remote = self.tcp.take();
        let remote = remote.map(|(listener, guard)| (listener, host(Some(guard))));
        let tcp = async {
            if let Some((listener, host)) = remote {
                admit(&listener, host).await;
            }
        };
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        tokio::join!(admit(&self.listener, local), tcp, stop);
    }
}

/// Answers on this listener, to whoever connects, until `stop` resolves: within the same bounds, and with no token. Who
/// may ask is the router's business.
pub(crate) async fn serve_open(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let host = Arc::new(Host {
        router,
        guard: None,
        limits: Limits::default(),
        stopped,
    });
    let stop = async {
        stop.await;
        stopping.send_replace(true);
    };
    tokio::join!(admit(&listener, host), stop);
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // It may be gone with the whole directory already.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where connections come in.
trait Door: Sync {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection; none if it is nobody's who may ask.
    fn next(&self) -> impl Future<Output = io::Result<Option<Self::Stream>>> + Send;
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.accept().await?;
        Ok(match same_user(&stream) {
            Ok(true) => Some(stream),
            Ok(false) => {
                tracing::warn!("refused another user on the control socket");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "can't tell who is on the control socket");
                None
            }
        })
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<Option<TcpStream>> {
        let (stream, _) = self.accept().await?;
        // An event is one small write, and nobody waits for more.
        let _ = stream.set_nodelay(true);
        Ok(Some(stream))
    }
}

/// What all connections of a door have in common.
struct Host {
    router: Router,
    guard: Option<Guard>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

/// Lets connections in until it is stopped; then those that there are end.
async fn admit<D: Door>(door: &D, host: Arc<Host>) {
    let places = Places::new(Bounds {
        places: host.limits.places,
        // The other half is for the other door, and for the daemon's own work.
        open: open_files() / 2,
    });
    let mut stopped = host.stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        let coming = async {
            let stream = door.next().await?;
            Ok::<_, io::Error>(match stream {
                Some(stream) => Some((stream, places.take().await)),
                None => None,
            })
        };
        tokio::select! {
            () = stop(&mut stopped) => break,
            come = coming => match come {
                Ok(Some((stream, place))) => {
                    connections.spawn(converse(stream, Arc::clone(&host), place));
                }
                Ok(None) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: let some be closed first.
                    tracing::warn!(%error, "the local API can't accept a connection");
                    places.spare_one();
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    // Those that have not ended by then are closed.
    let _ = timeout(LEAVE, ended).await;
}

/// Resolves when it stops.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // Whoever says so goes last.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// One connection.
async fn converse<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    host: Arc<Host>,
    (seat, told_to_go): (Seat, oneshot::Receiver<()>),
) {
    let limits = host.limits;
    let mut stopped = host.stopped.clone();
    let router = TowerToHyperService::new(host.router.clone());
    let service = Answering {
        router,
        host,
        seat: seat.clone(),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.write)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // The other side closing is how a connection ends; nobody needs to be told.
    let makes_room = tokio::select! {
        _ = connection.as_mut() => return,
        _ = told_to_go => true,
        () = stop(&mut stopped) => false,
    };
    if makes_room && !seat.has_asked() {
        // What it asks may be here and not read yet, as others may have come in the same moment. A head that is not
        // whole is not waited for.
        let ended = timeout(BEGIN, connection.as_mut()).await.is_ok();
        if ended || !seat.has_asked() {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LEAVE, connection).await;
}

/// What answers the requests of a connection.
struct Answering {
    router: TowerToHyperService<Router>,
    host: Arc<Host>,
    seat: Seat,
}

impl Service<HttpRequest<Incoming>> for Answering {
    type Response = HttpResponse<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: HttpRequest<Incoming>) -> Self::Future {
        let busy = self.seat.work();
        let (mut parts, body) = request.into_parts();
        let guarded = self.host.guard.as_ref().map(|guard| guard.check(&parts));
        if let Some(Err(refusal)) = guarded {
            let refused = refusal
                .into_response()
                .map(|body| Answer { body, _busy: busy });
            return Box::pin(std::future::ready(Ok(refused)));
        }
        parts.extensions.insert(self.seat.clone());
        parts.extensions.insert(BodyDeadline(self.host.limits.body));
        let request = HttpRequest::from_parts(parts, Body::new(body));
        let answering = self.router.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|body| Answer { body, _busy: busy }))
        })
    }
}

/// The body of an answer. The connection works until all of it is written, or it is given up.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
