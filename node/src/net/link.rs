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
use super::clock::now;
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
        if count > 0 {
            self.heard.now();
            count_many(&self.stats.frames_read, count);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of these sizes, then ends; takes what is written.
    struct Pieces {
        bytes: Vec<u8>,
        sizes: Vec<usize>,
        at: usize,
        written: Vec<u8>,
        flushes: usize,
        /// Neither ends nor takes more than this.
        room: Option<usize>,
    }

    impl Pieces {
        fn new(bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
            Self {
                bytes,
                sizes,
                at: 0,
                written: Vec::new(),
                flushes: 0,
                room: None,
            }
        }

        fn taking(room: usize) -> Self {
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

    #[derive(Default)]
    struct Seen {
        frames: Mutex<Vec<u8>>,
        malformed: AtomicU64,
        closed: AtomicU64,
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
        fn closed(&self, _: NodeId) {
            count(&self.closed);
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn read(stream: Pieces) -> (ReadEnd, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let reader = Reader {
            stream,
            from: NodeId::new([1; 32]),
            sink: Arc::clone(&seen) as Arc<dyn FrameSink>,
            stats: Arc::default(),
            heard: block_on(async { Arc::new(Heard::new()) }),
            most: 16 * 1024,
        };
        let (_stop, stopped) = oneshot::channel();
        (block_on(reader.run(stopped)), seen)
    }

    fn frames(count: usize) -> Vec<Frame> {
        (0_u8..)
            .take(count)
            .map(|n| Frame::from_bytes(&[n; FRAME_BYTES]).unwrap())
            .collect()
    }

    fn writer(stream: &mut Pieces, ring: mpsc::Receiver<Frame>) -> Writer<&mut Pieces> {
        let batch = batch(&NetLimits::default());
        Writer {
            stream,
            ring,
            stats: Arc::default(),
            batch,
            stall: Duration::from_millis(20),
        }
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
            let (end, seen) = read(Pieces::new(bytes.clone(), sizes));
            let whole = length - length % FRAME_BYTES;
            let frames = seen.frames.lock().unwrap().clone();
            prop_assert!(frames == bytes[..whole]);
            let cut = whole < length;
            prop_assert_eq!(end, if cut { ReadEnd::Malformed } else { ReadEnd::Closed });
            prop_assert_eq!(seen.malformed.load(Ordering::Relaxed), u64::from(cut));
            prop_assert_eq!(seen.closed.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn what_waits_together_is_written_and_flushed_together() {
        let mut stream = Pieces::taking(usize::MAX);
        let (sender, ring) = mpsc::channel(64);
        for frame in frames(45) {
            sender.try_send(frame).unwrap();
        }
        drop(sender);
        let writer = writer(&mut stream, ring);
        let stats = Arc::clone(&writer.stats);
        let (_stop, stopped) = oneshot::channel();
        let (_, end) = block_on(writer.run(stopped));
        assert_eq!(end, WriteEnd::Stopped);
        let sent: Vec<u8> = frames(45)
            .iter()
            .flat_map(|frame| *frame.as_bytes())
            .collect();
        assert!(stream.written == sent);
        // 48 KiB are 20 frames: three writes, a flush each.
        assert_eq!((stats.snapshot().writes, stream.flushes), (3, 3));
    }

    #[test]
    fn a_write_that_is_not_taken_ends_the_link_and_gives_the_rest_back() {
        let mut stream = Pieces::taking(5_000);
        let (sender, ring) = mpsc::channel(64);
        for frame in frames(30) {
            sender.try_send(frame).unwrap();
        }
        let writer = writer(&mut stream, ring);
        let stats = Arc::clone(&writer.stats);
        let (_stop, stopped) = oneshot::channel();
        let (ring, end) = block_on(writer.run(stopped));
        assert_eq!((end, ring.len()), (WriteEnd::Stalled, 10));
        assert_eq!(stats.snapshot().frames_abandoned, 20);
    }

    #[test]
    fn a_stopped_writer_empties_its_ring_and_a_refused_one_gives_it_back() {
        let (sender, ring) = mpsc::channel(64);
        for frame in frames(3) {
            sender.try_send(frame).unwrap();
        }
        let mut refusing = Pieces::new(Vec::new(), Vec::new());
        let (stop, stopped) = oneshot::channel();
        let (ring, end) = block_on(writer(&mut refusing, ring).run(stopped));
        assert_eq!((end, ring.len()), (WriteEnd::Closed, 3));
        drop(stop);

        let mut stream = Pieces::taking(usize::MAX);
        let (stop, stopped) = oneshot::channel();
        drop(stop);
        let (ring, end) = block_on(writer(&mut stream, ring).run(stopped));
        assert_eq!((end, ring.len()), (WriteEnd::Stopped, 0));
        assert_eq!(stream.written.len(), 3 * FRAME_BYTES);
        assert!(sender.is_closed());
    }
}
