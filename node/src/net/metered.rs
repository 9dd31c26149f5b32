//! Connections that count the bytes of their substreams.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::{StreamMuxerEvent, StreamMuxerExt as _};

use tokio::time::Instant;

use super::reader::Heard;
use super::stats::{Stats, count_many};
use super::way::Way;

/// When bytes last came from each peer that is connected, whichever of its connections they came on. They are
/// seen before anything understands them: an answer that waits for others of its own is no silence.
#[derive(Default)]
pub(super) struct Hearing(Mutex<BTreeMap<PeerId, Weak<Heard>>>);

impl Hearing {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Weak<Heard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be told of this peer's bytes, as long as it is held.
    pub(super) fn of(&self, peer: PeerId) -> Arc<Heard> {
        let mut peers = self.peers();
        peers.retain(|_, heard| heard.strong_count() > 0);
        if let Some(heard) = peers.get(&peer).and_then(Weak::upgrade) {
            return heard;
        }
        let heard = Arc::new(Heard::new());
        peers.insert(peer, Arc::downgrade(&heard));
        heard
    }

    /// Whether bytes came from this peer within so long.
    pub(super) fn hears(&self, peer: &PeerId, now: Instant, within: Duration) -> bool {
        let heard = self.peers().get(peer).and_then(Weak::upgrade);
        heard.is_some_and(|heard| heard.silent_for(now) < within)
    }
}

/// A connection, or one of its substreams, whose bytes are counted.
pub(super) struct Metered<T> {
    inner: T,
    stats: Arc<Stats>,
    heard: Arc<Heard>,
}

impl<T> Metered<T> {
    fn received(&self, bytes: usize) {
        count_many(&self.stats.received, bytes);
        if bytes > 0 {
            self.heard.now();
        }
    }
}

/// A connection that is counted among those that are open for as long as it is there.
pub(super) struct Counted<M> {
    inner: M,
    stats: Arc<Stats>,
    heard: Arc<Heard>,
    way: Way,
}

impl<M> Counted<M> {
    pub(super) fn new(inner: M, stats: Arc<Stats>, heard: Arc<Heard>, way: Way) -> Self {
        stats.open_by(way).fetch_add(1, Ordering::Relaxed);
        Self {
            inner,
            stats,
            heard,
            way,
        }
    }

    fn metered<S>(&self, inner: S) -> Metered<S> {
        Metered {
            inner,
            stats: Arc::clone(&self.stats),
            heard: Arc::clone(&self.heard),
        }
    }
}

impl<M> Drop for Counted<M> {
    fn drop(&mut self) {
        self.stats.open_by(self.way).fetch_sub(1, Ordering::Relaxed);
    }
}

impl<M> StreamMuxer for Counted<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
{
    type Substream = Metered<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(self.inner.poll_inbound_unpin(cx))?;
        Poll::Ready(Ok(self.metered(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(self.inner.poll_outbound_unpin(cx))?;
        Poll::Ready(Ok(self.metered(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.inner.poll_close_unpin(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        self.inner.poll_unpin(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, into);
        if let Poll::Ready(Ok(bytes)) = read {
            self.received(bytes);
        }
        read
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read_vectored(cx, into);
        if let Poll::Ready(Ok(bytes)) = read {
            self.received(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            count_many(&self.stats.sent, bytes);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            count_many(&self.stats.sent, bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
