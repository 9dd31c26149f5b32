//! Connections that end in time: a peer that takes nothing any more can't hold one by not taking our good-bye.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::{StreamMuxerEvent, StreamMuxerExt as _};
use tokio::time::{Sleep, sleep};

/// A connection whose closing takes so long at most. What the peer has not taken by then is dropped with
/// the socket.
pub(super) struct Closing<M> {
    inner: M,
    patience: Duration,
    over: Option<Pin<Box<Sleep>>>,
}

impl<M> Closing<M> {
    pub(super) const fn new(inner: M, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            over: None,
        }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Closing<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<M::Substream, M::Error>> {
        self.inner.poll_inbound_unpin(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<M::Substream, M::Error>> {
        self.inner.poll_outbound_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        if let Poll::Ready(closed) = self.inner.poll_close_unpin(cx) {
            return Poll::Ready(closed);
        }
        let patience = self.patience;
        let over = self.over.get_or_insert_with(|| Box::pin(sleep(patience)));
        over.poll_unpin(cx).map(Ok)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        self.inner.poll_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::future::poll_fn;
    use std::io;

    use super::*;

    /// The connection with a peer that takes nothing.
    struct Stuck;

    impl StreamMuxer for Stuck {
        type Substream = futures::io::Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_holds_no_connection() {
        let mut closing = Closing::new(Stuck, Duration::from_millis(20));
        let closed = poll_fn(|cx| closing.poll_close_unpin(cx));
        let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
        closed.expect("it ends in time").unwrap();
    }
}
