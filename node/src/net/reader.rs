//! The task that reads a packet substream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _};
use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_proto::size::FRAME_BYTES;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clock::now;
use super::sink::FrameSink;
use super::stats::{Stats, count, count_many};

/// Frames that a reader's buffer has room for at first.
const FIRST_FRAMES: usize = 2;

/// When a peer was last heard of.
pub(super) struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            start: now(),
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
    /// Told of every whole frame.
    pub(super) heard: Arc<Heard>,
    /// Told of every byte.
    pub(super) alive: Arc<Heard>,
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
            count(&self.stats.malformed);
            self.sink.malformed(self.from);
        }
        count(&self.stats.ended);
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
                Ok(read) => {
                    self.alive.now();
                    filled += read;
                }
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
        if count > 0 {
            self.heard.now();
            count_many(&self.stats.read, count);
        }
        for frame in frames {
            if let Ok(frame) = Frame::from_bytes(frame) {
                self.sink.frame(self.from, frame);
            }
        }
        buffer.copy_within(count * FRAME_BYTES..filled, 0);
        rest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::super::pieces::{Pieces, block_on};
    use super::*;

    #[derive(Default)]
    struct Seen {
        frames: Mutex<Vec<u8>>,
        malformed: AtomicU64,
    }

    impl FrameSink for Seen {
        fn frame(&self, _: NodeId, frame: Frame) {
            self.frames
                .lock()
                .unwrap()
                .extend_from_slice(frame.as_bytes());
        }
        fn malformed(&self, _: NodeId) {
            count(&self.malformed);
        }
    }

    fn read(stream: Pieces) -> (ReadEnd, Arc<Seen>, Arc<Stats>) {
        let seen = Arc::new(Seen::default());
        let reader = Reader {
            stream,
            from: NodeId::new([1; 32]),
            sink: Arc::clone(&seen) as Arc<dyn FrameSink>,
            stats: Arc::default(),
            heard: block_on(async { Arc::new(Heard::new()) }),
            alive: block_on(async { Arc::new(Heard::new()) }),
            most: 16 * 1024,
        };
        let stats = Arc::clone(&reader.stats);
        let (_stop, stopped) = oneshot::channel();
        (block_on(reader.run(stopped)), seen, stats)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_bytes_in_any_pieces_are_their_whole_frames(
            length in 0..12 * FRAME_BYTES,
            seed: u8,
            sizes in proptest::collection::vec(1..9000_usize, 0..40),
        ) {
            let bytes: Vec<u8> = (0..length).map(|n| seed.wrapping_add((n / 7) as u8)).collect();
            let (end, seen, stats) = read(Pieces::new(bytes.clone(), sizes));
            let whole = length - length % FRAME_BYTES;
            let frames = seen.frames.lock().unwrap().clone();
            prop_assert!(frames == bytes[..whole]);
            let cut = whole < length;
            prop_assert_eq!(end, if cut { ReadEnd::Malformed } else { ReadEnd::Closed });
            prop_assert_eq!(seen.malformed.load(Ordering::Relaxed), u64::from(cut));
            prop_assert_eq!(stats.snapshot().ended, 1);
        }
    }
}
