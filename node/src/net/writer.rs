//! The task that writes a packet substream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::config::NetLimits;
use super::stats::{Stats, count, count_many};

/// Why a writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// The peer closed the substream, or the connection was lost.
    Closed,
    /// The peer took nothing for too long.
    Stalled,
    /// We were told that the connection is dead.
    Dead,
    /// We were told to leave it for another one.
    Left,
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
    /// Frames that were written.
    pub(super) written: Arc<AtomicU64>,
    /// Comes if the connection is dead.
    pub(super) dead: Arc<Notify>,
    /// Comes if another connection is to be written to. What was taken from the ring is written before.
    pub(super) leave: Arc<Notify>,
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
                () = self.dead.notified() => return (self.ring, WriteEnd::Dead),
                () = self.leave.notified() => return (self.ring, WriteEnd::Left),
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
        let written = tokio::select! {
            () = self.dead.notified() => {
                count_many(&self.stats.abandoned, taken);
                return Err(WriteEnd::Dead);
            }
            written = written => written,
        };
        match written {
            Ok(Ok(())) => {
                count(&self.stats.coalesced);
                count_many(&self.stats.written, taken);
                count_many(&self.written, taken);
                Ok(())
            }
            Ok(Err(_)) => {
                count_many(&self.stats.abandoned, taken);
                Err(WriteEnd::Closed)
            }
            Err(_) => {
                count_many(&self.stats.abandoned, taken);
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::pieces::{Pieces, block_on};
    use super::*;

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
            written: Arc::default(),
            dead: Arc::default(),
            leave: Arc::default(),
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
        assert_eq!((stats.snapshot().coalesced, stream.flushes), (3, 3));
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
        assert_eq!(stats.snapshot().abandoned, 20);
    }

    #[test]
    fn a_writer_on_a_dead_connection_ends_at_once_and_gives_the_rest_back() {
        let mut stream = Pieces::taking(5_000);
        let (sender, ring) = mpsc::channel(64);
        for frame in frames(30) {
            sender.try_send(frame).unwrap();
        }
        let writer = Writer {
            stall: Duration::from_secs(3600),
            ..writer(&mut stream, ring)
        };
        let dead = Arc::clone(&writer.dead);
        let stats = Arc::clone(&writer.stats);
        let (_stop, stopped) = oneshot::channel();
        let run = async {
            let (ended, _) = tokio::join!(writer.run(stopped), async {
                tokio::task::yield_now().await;
                dead.notify_one();
            });
            ended
        };
        let (ring, end) = block_on(run);
        assert_eq!((end, ring.len()), (WriteEnd::Dead, 10));
        assert_eq!(stats.snapshot().abandoned, 20);
    }

    #[test]
    fn a_writer_that_leaves_gives_its_ring_back_and_loses_nothing() {
        let mut stream = Pieces::taking(usize::MAX);
        let (sender, ring) = mpsc::channel(64);
        for frame in frames(30) {
            sender.try_send(frame).unwrap();
        }
        let writer = writer(&mut stream, ring);
        let (leave, stats) = (Arc::clone(&writer.leave), Arc::clone(&writer.stats));
        let (_stop, stopped) = oneshot::channel();
        leave.notify_one();
        let (ring, end) = block_on(writer.run(stopped));
        assert_eq!((end, ring.len()), (WriteEnd::Left, 30));
        assert_eq!(stats.snapshot().abandoned, 0);
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
