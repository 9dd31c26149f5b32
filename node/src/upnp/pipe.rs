//! The way to the router, which cuts its answer off.
//!
//! `rupnp` takes an answer in whatever its length. So it is given a socket of this machine to ask, and what passes there
//! is carried to the router and back, as much as an answer may have and no more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::error::UpnpError;

/// The longest answer that is taken, head and body. Descriptions of routers have 3 to 30 kB.
pub(super) const ANSWER_MOST: u64 = 64 << 10;
/// The longest question; ours have less than 2 kB.
const QUESTION_MOST: usize = 8 << 10;

/// Has one exchange with the router, which is asked at the socket that `ask` is given.
pub(super) async fn exchange<T>(
    router: SocketAddrV4,
    patience: Duration,
    ask: impl AsyncFnOnce(SocketAddr) -> Result<T, rupnp::Error>,
) -> Result<T, UpnpError> {
    let both = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?;
        let mut ask = pin!(ask(own));
        tokio::select! {
            answered = &mut ask => return Ok(answered?),
            carried = carry(listener, own, router) => carried?,
        }
        Ok(ask.await?)
    };
    let in_time = tokio::time::timeout(patience, both).await;
    in_time.unwrap_or(Err(UpnpError::Late))
}

/// Carries one connection, until the router has answered or has said too much. Whatever fails once there is a router,
/// who asks gets to know it by what comes, or does not.
///
/// # Errors
/// There is no connection to the router.
async fn carry(listener: TcpListener, own: SocketAddr, router: SocketAddrV4) -> io::Result<()> {
    let (mut asks, _) = listener.accept().await?;
    drop(listener);
    let mut answers = TcpStream::connect(router).await?;
    let (mut from_us, mut to_us) = asks.split();
    let (from_router, mut to_router) = answers.split();
    let there = async {
        let head = head(&mut from_us).await?;
        // A router may refuse who names another machine: that is how it is attacked by way of a browser.
        let head = head.replacen(&own.to_string(), &router.to_string(), 1);
        to_router.write_all(head.as_bytes()).await?;
        let mut body = from_us.take(QUESTION_MOST as u64);
        tokio::io::copy(&mut body, &mut to_router).await?;
        // The question is all there; the way back ends this.
        std::future::pending::<io::Result<()>>().await
    };
    let back = async {
        let mut answer = from_router.take(ANSWER_MOST);
        tokio::io::copy(&mut answer, &mut to_us).await?;
        to_us.shutdown().await
    };
    let _: io::Result<()> = tokio::select! {
        failed = there => failed,
        done = back => done,
    };
    Ok(())
}

/// What comes up to the end of a head, with what came with it.
async fn head(from: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if bytes.len() >= QUESTION_MOST || from.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}
