//! The tasks behind a packet substream: a reader and a writer of frames.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_proto::size::FRAME_BYTES;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::NetLimits;
use super::event::FrameSink;
use super::stats::{Stats, count, count_many};

/// Frames that a reader's buffer has room for at first.
const FIRST_FRAMES: usize = 2;

/// When a peer was last heard of, for its idle deadline.
pub(super) struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        let last = self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}

/// Why a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// The peer closed the substream between two frames, or the connection was lost.
    Closed,
    /// It ended in the middle of a frame.
    Malformed,
    /// We stopped it.
    Stopped,
}

/// Reads frames from one substream and hands them to the sink.
pub(super) struct Reader<S> {
    pub(super) stream: S,
    pub(super) from: NodeId,
    pub(super) sink: Arc<dyn FrameSink>,
    pub(super) stats: Arc<Stats>,
    pub(super) heard: Arc<Heard>,
    /// Most bytes taken at once.
    pub(super) most: usize,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Reads until the substream ends, or `stop` is sent or dropped.
    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) -> ReadEnd {
        let end = tokio::select! {
            _ = stop => ReadEnd::Stopped,
            end = self.read() => end,
        };
        if end == ReadEnd::Malformed {
            count(&self.stats.streams_malformed);
            self.sink.malformed(self.from);
        }
        self.sink.closed(self.from);
        end
    }

    async fn read(&mut self) -> ReadEnd {
        let most = (self.most / FRAME_BYTES).max(FIRST_FRAMES) * FRAME_BYTES;
        let mut buffer = vec![0; FIRST_FRAMES * FRAME_BYTES];
        let mut filled = 0;
        loop {
            let Some(room) = buffer.get_mut(filled..) else {
                return ReadEnd::Malformed;
            };
            match self.stream.read(room).await {
                Ok(0) if filled == 0 => return ReadEnd::Closed,
                Ok(0) => return ReadEnd::Malformed,
                Ok(read) => filled += read,
                // A lost connection may cut a frame; that is nobody's fault.
                Err(_) => return ReadEnd::Closed,
            }
            let full = filled >= buffer.len();
            filled = self.hand_over(&mut buffer, filled);
            if full && buffer.len() < most {
                buffer.resize((buffer.len() * 2).min(most), 0);
            }
            // Substreams do not take part in Tokio's budget: a peer that always has more must
            // not keep this thread from the others.
            tokio::task::yield_now().await;
        }
    }

    /// Hands over the whole frames of the buffer and moves the rest to its front; its length is
    /// returned.
    fn hand_over(&self, buffer: &mut [u8], filled: usize) -> usize {
        let bytes = buffer.get(..filled).unwrap_or_default();
        let frames = bytes.chunks_exact(FRAME_BYTES);
        let (count, rest) = (frames.len(), frames.remainder().len());
        for frame in frames {
            if let Ok(frame) = Frame::from_bytes(frame) {
                self.sink.frame(self.from, frame);
            }
        }
        if count > 0 {
            self.heard.now();
            count_many(&self.stats.frames_read, count);
            buffer.copy_within(count * FRAME_BYTES..filled, 0);
        }
        rest
    }
}

/// Why a writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// The peer closed the substream, or the connection was lost.
    Closed,
    /// The peer took nothing for too long.
    Stalled,
    /// We stopped it; the ring was emptied and the substream closed.
    Stopped,
}

/// Empties a ring into one substream.
pub(super) struct Writer<S> {
    pub(super) stream: S,
    pub(super) ring: mpsc::Receiver<Frame>,
    pub(super) stats: Arc<Stats>,
    /// Most frames in one write.
    pub(super) batch: usize,
    pub(super) stall: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<S> {
    /// Writes until the substream ends, all senders are gone, or `stop` is sent or dropped. Gives
    /// the ring back, with what is still in it.
    pub(super) async fn run(
        mut self,
        mut stop: oneshot::Receiver<()>,
    ) -> (mpsc::Receiver<Frame>, WriteEnd) {
        let mut frames = Vec::new();
        let mut buffer = Vec::new();
        loop {
            let taken = tokio::select! {
                biased;
                _ = &mut stop => {
                    self.ring.close();
                    0
                }
                () = ended(&mut self.stream) => return (self.ring, WriteEnd::Closed),
                taken = self.ring.recv_many(&mut frames, self.batch) => taken,
            };
            if taken == 0 {
                let end = self.finish(&mut frames, &mut buffer).await;
                return (self.ring, end);
            }
            if let Err(end) = self.write(&mut frames, &mut buffer).await {
                return (self.ring, end);
            }
        }
    }

    /// Writes what is left in the closed ring, then closes the substream.
    async fn finish(&mut self, frames: &mut Vec<Frame>, buffer: &mut Vec<u8>) -> WriteEnd {
        while self.ring.recv_many(frames, self.batch).await > 0 {
            if let Err(end) = self.write(frames, buffer).await {
                return end;
            }
        }
        match timeout(self.stall, self.stream.close()).await {
            Ok(_) => WriteEnd::Stopped,
            Err(_) => WriteEnd::Stalled,
        }
    }

    /// One write and one flush for all of them.
    async fn write(
        &mut self,
        frames: &mut Vec<Frame>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), WriteEnd> {
        buffer.clear();
        let taken = frames.len();
        for frame in frames.drain(..) {
            buffer.extend_from_slice(frame.as_bytes());
        }
        let written = timeout(self.stall, async {
            self.stream.write_all(buffer).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => {
                count(&self.stats.writes);
                count_many(&self.stats.frames_written, taken);
                Ok(())
            }
            Ok(Err(_)) => {
                count_many(&self.stats.frames_abandoned, taken);
                Err(WriteEnd::Closed)
            }
            Err(_) => {
                count_many(&self.stats.frames_abandoned, taken);
                count(&self.stats.stalled_closed);
                Err(WriteEnd::Stalled)
            }
        }
    }
}

/// Waits for the end of a one-way substream: nothing ever comes back on it, so anything that is
/// read, the end included, means that the peer does not want it any more.
async fn ended<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut byte = [0];
    let _: io::Result<usize> = stream.read(&mut byte).await;
}

/// The most frames in one write under these limits.
pub(super) fn batch(limits: &NetLimits) -> usize {
    limits.write_bytes.clamp(16 * 1024, 64 * 1024) / FRAME_BYTES
}
