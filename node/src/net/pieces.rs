//! A stream for tests of readers and writers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

/// Gives its bytes in pieces of these sizes, then ends; takes what is written.
pub(super) struct Pieces {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    at: usize,
    pub(super) written: Vec<u8>,
    pub(super) flushes: usize,
    /// Neither ends nor takes more than this.
    room: Option<usize>,
}

impl Pieces {
    pub(super) fn new(bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        Self {
            bytes,
            sizes,
            at: 0,
            written: Vec::new(),
            flushes: 0,
            room: None,
        }
    }

    pub(super) fn taking(room: usize) -> Self {
        Self {
            room: Some(room),
            ..Self::new(Vec::new(), Vec::new())
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.room.is_some() {
            return Poll::Pending;
        }
        let size = self.sizes.pop().unwrap_or(usize::MAX).max(1);
        let rest = &self.bytes[self.at..];
        let taken = size.min(rest.len()).min(buffer.len());
        buffer[..taken].copy_from_slice(&rest[..taken]);
        self.at += taken;
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = self
            .room
            .unwrap_or(usize::MAX)
            .saturating_sub(self.written.len());
        if room == 0 {
            return Poll::Pending;
        }
        let taken = room.min(bytes.len());
        self.written.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future with a clock.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}
