//! The table of packet links and the tasks behind them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::swarm::{ConnectionId, Stream};
use shoal_packet::Frame;
use shoal_proto::NodeId;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::packets::LinkId;
use super::reader::{Heard, Reader};
use super::shared::Shared;
use super::sink::FrameSink;
use super::stats::count_many;
use super::writer::{WriteEnd, Writer, batch};

/// Substreams of one peer that are read at a time: its new one, and its old one to the end.
const READERS: usize = 2;

/// What a task was doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Read(u64),
    Write(u64),
}

/// What a task leaves behind.
enum End {
    Read,
    Write(mpsc::Receiver<Frame>, WriteEnd),
}

struct WriterHandle {
    link: LinkId,
    job: u64,
    connection: ConnectionId,
    /// Frames that were written, and how many of them are known to have arrived.
    written: Arc<AtomicU64>,
    arrived: u64,
    /// Told if the connection is dead.
    dead: Arc<Notify>,
    /// Told if another one is to be written to.
    leave: Arc<Notify>,
    /// Dropped to stop it in order.
    _stop: oneshot::Sender<()>,
}

struct ReaderHandle {
    job: u64,
    connection: ConnectionId,
    /// When bytes last came.
    alive: Arc<Heard>,
    _stop: oneshot::Sender<()>,
}

struct Entry {
    heard: Arc<Heard>,
    writer: Option<WriterHandle>,
    /// The ring of a link that has just ended, for the one that is being opened in its place.
    spare: Option<mpsc::Receiver<Frame>>,
    readers: Vec<ReaderHandle>,
}

/// The link of a peer ended by itself; the driver decides whether its ring has a future.
pub(super) struct Ended {
    pub(super) node: NodeId,
    pub(super) link: LinkId,
    /// The connection to close, if the peer took nothing for too long.
    pub(super) stalled: Option<ConnectionId>,
    ring: Option<mpsc::Receiver<Frame>>,
}

/// What has been written to a peer.
#[derive(Clone, Copy)]
pub(super) struct Written {
    link: LinkId,
    pub(super) connection: ConnectionId,
    frames: u64,
}

impl Written {
    #[cfg(test)]
    pub(super) const fn nothing(link: LinkId, connection: ConnectionId) -> Self {
        Self {
            link,
            connection,
            frames: 0,
        }
    }
}

/// All packet links, both directions.
pub(super) struct Links {
    shared: Arc<Shared>,
    sink: Arc<dyn FrameSink>,
    entries: BTreeMap<NodeId, Entry>,
    tasks: JoinSet<End>,
    jobs: BTreeMap<Id, (NodeId, Job)>,
    next_job: u64,
}

impl Links {
    pub(super) fn new(shared: Arc<Shared>, sink: Arc<dyn FrameSink>) -> Self {
        Self {
            shared,
            sink,
            entries: BTreeMap::new(),
            tasks: JoinSet::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
        }
    }

    fn entry(&mut self, node: NodeId) -> &mut Entry {
        self.entries.entry(node).or_insert_with(|| Entry {
            heard: Arc::new(Heard::new()),
            writer: None,
            spare: None,
            readers: Vec::new(),
        })
    }

    fn job(&mut self) -> u64 {
        self.next_job = self.next_job.wrapping_add(1);
        self.next_job
    }

    /// Reads this substream. A peer has two at most: a third one stops the first.
    pub(super) fn read(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        let job = self.job();
        let alive = Arc::new(Heard::new());
        let (stop, stopped) = oneshot::channel();
        let reader = Reader {
            stream,
            from: node,
            sink: Arc::clone(&self.sink),
            stats: Arc::clone(&self.shared.stats),
            heard: Arc::clone(&self.entry(node).heard),
            alive: Arc::clone(&alive),
            most: self.shared.limits.read_bytes,
        };
        let readers = &mut self.entry(node).readers;
        if readers.len() >= READERS {
            readers.remove(0);
        }
        readers.push(ReaderHandle {
            job,
            connection,
            alive,
            _stop: stop,
        });
        let task = self.tasks.spawn(async {
            reader.run(stopped).await;
            End::Read
        });
        self.jobs.insert(task.id(), (node, Job::Read(job)));
    }

    /// Writes to this substream from now on, with the ring of the link before if there is one.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        link: LinkId,
        connection: ConnectionId,
        stream: Stream,
    ) {
        let job = self.job();
        let (stop, stopped) = oneshot::channel();
        let (dead, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let written = Arc::new(AtomicU64::new(0));
        let spare = self.entry(node).spare.take();
        let frames = self.shared.limits.ring_frames;
        let writer = Writer {
            stream,
            ring: spare.unwrap_or_else(|| self.shared.rings.open(node, frames)),
            stats: Arc::clone(&self.shared.stats),
            batch: batch(&self.shared.limits),
            stall: self.shared.limits.stall_deadline,
            written: Arc::clone(&written),
            dead: Arc::clone(&dead),
            leave: Arc::clone(&leave),
        };
        self.entry(node).writer = Some(WriterHandle {
            link,
            job,
            connection,
            written,
            arrived: 0,
            dead,
            leave,
            _stop: stop,
        });
        let task = self.tasks.spawn(async {
            let (ring, end) = writer.run(stopped).await;
            End::Write(ring, end)
        });
        self.jobs.insert(task.id(), (node, Job::Write(job)));
    }

    /// Stops sending to this peer: what is in its ring is still written. Whether there was a link.
    pub(super) fn stop_writing(&mut self, node: &NodeId) -> bool {
        self.forget_spare(node);
        let writer = self
            .entries
            .get_mut(node)
            .and_then(|entry| entry.writer.take());
        if writer.is_some() {
            self.shared.rings.remove(node);
        }
        self.prune(node);
        writer.is_some()
    }

    /// Stops reading from this peer.
    pub(super) fn stop_reading(&mut self, node: &NodeId) {
        if let Some(entry) = self.entries.get_mut(node) {
            entry.readers.clear();
        }
        self.prune(node);
    }

    /// Gives up a ring that was kept for a link that did not come.
    pub(super) fn forget_spare(&mut self, node: &NodeId) {
        let spare = self
            .entries
            .get_mut(node)
            .and_then(|entry| entry.spare.take());
        if let Some(ring) = spare {
            count_many(&self.shared.stats.abandoned, ring.len());
            self.shared.rings.remove(node);
        }
    }

    /// Keeps the ring for the link that is being opened.
    pub(super) fn keep_ring(&mut self, ended: Ended) {
        match ended.ring {
            Some(ring) => self.entry(ended.node).spare = Some(ring),
            None => self.shared.rings.remove(&ended.node),
        }
    }

    /// Gives the ring up: the link has no successor yet.
    pub(super) fn drop_ring(&mut self, ended: Ended) {
        if let Some(ring) = ended.ring {
            count_many(&self.shared.stats.abandoned, ring.len());
        }
        self.shared.rings.remove(&ended.node);
        self.prune(&ended.node);
    }

    /// Stops all writers; each still empties its ring.
    pub(super) fn stop_all_writing(&mut self) {
        self.shared.rings.clear();
        for entry in self.entries.values_mut() {
            entry.writer = None;
            if let Some(ring) = entry.spare.take() {
                count_many(&self.shared.stats.abandoned, ring.len());
            }
        }
    }

    /// Whether a writer still has work.
    pub(super) fn is_writing(&self) -> bool {
        self.jobs
            .values()
            .any(|(_, job)| matches!(job, Job::Write(_)))
    }

    /// Peers with a link that were silent for so long.
    pub(super) fn silent(&self, now: Instant, deadline: Duration) -> Vec<NodeId> {
        let silent = |entry: &Entry| {
            (entry.writer.is_some() || !entry.readers.is_empty())
                && entry.heard.silent_for(now) >= deadline
        };
        self.entries
            .iter()
            .filter(|(_, entry)| silent(entry))
            .map(|(node, _)| *node)
            .collect()
    }

    /// The peers that are written to, in order.
    pub(super) fn written_to(&self) -> impl Iterator<Item = NodeId> + '_ {
        let writing = |(node, entry): (&NodeId, &Entry)| entry.writer.is_some().then_some(*node);
        self.entries.iter().filter_map(writing)
    }

    fn writer(&self, node: &NodeId) -> Option<&WriterHandle> {
        self.entries.get(node)?.writer.as_ref()
    }

    fn writer_on(&mut self, node: &NodeId, connection: ConnectionId) -> Option<&mut WriterHandle> {
        let writer = self.entries.get_mut(node)?.writer.as_mut();
        writer.filter(|writer| writer.connection == connection)
    }

    /// What the present writer of this peer has written, and on which connection.
    pub(super) fn written(&self, node: &NodeId) -> Option<Written> {
        let writer = self.writer(node)?;
        Some(Written {
            link: writer.link,
            connection: writer.connection,
            frames: writer.written.load(Ordering::Relaxed),
        })
    }

    /// What had been written when a question left has arrived, if the answer came on this connection and
    /// its writer is still the same.
    pub(super) fn arrived(&mut self, node: &NodeId, connection: ConnectionId, written: Written) {
        let writer = self.writer_on(node, connection);
        if let Some(writer) = writer.filter(|writer| writer.link == written.link) {
            writer.arrived = writer.arrived.max(written.frames);
        }
    }

    /// Whether bytes of packets came on this connection within so long.
    pub(super) fn hears(
        &self,
        node: &NodeId,
        connection: ConnectionId,
        (now, within): (Instant, Duration),
    ) -> bool {
        let entry = self.entries.get(node);
        let mut readers = entry.iter().flat_map(|entry| &entry.readers);
        readers
            .any(|reader| reader.connection == connection && reader.alive.silent_for(now) < within)
    }

    /// Another connection is to be written to: a writer on this one ends once it has written what it has
    /// taken, and keeps what is in its ring.
    pub(super) fn leave(&mut self, node: &NodeId, connection: ConnectionId) {
        if let Some(writer) = self.writer_on(node, connection) {
            writer.leave.notify_one();
        }
    }

    /// This connection is dead: a writer on it ends now, and keeps what is in its ring.
    pub(super) fn dead(&mut self, node: &NodeId, connection: ConnectionId) {
        if let Some(writer) = self.writer_on(node, connection) {
            let lost = writer.written.load(Ordering::Relaxed) - writer.arrived;
            // Once: the connection is closed.
            writer.arrived += lost;
            writer.dead.notify_one();
            let lost = usize::try_from(lost).unwrap_or(0);
            count_many(&self.shared.stats.unconfirmed, lost);
        }
    }

    /// Waits for the end of a task; without tasks it waits for ever. Says so if a link ended by
    /// itself. Nothing is lost if the wait is given up.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.task_ended(ended),
            None => std::future::pending().await,
        }
    }

    fn task_ended(&mut self, ended: Result<(Id, End), JoinError>) -> Option<Ended> {
        let (id, end) = match ended {
            Ok((id, end)) => (id, Some(end)),
            // Only the sink can have panicked; its peer's link ends, the node runs on.
            Err(error) => (error.id(), None),
        };
        let (node, job) = self.jobs.remove(&id)?;
        match (job, end) {
            (Job::Read(job), _) => {
                if let Some(entry) = self.entries.get_mut(&node) {
                    entry.readers.retain(|reader| reader.job != job);
                }
                self.prune(&node);
                None
            }
            (Job::Write(job), Some(End::Write(ring, end))) => {
                let ended = self.writer_ended(node, job, end);
                match ended {
                    Some(ended) => Some(Ended {
                        ring: Some(ring),
                        ..ended
                    }),
                    None => {
                        count_many(&self.shared.stats.abandoned, ring.len());
                        None
                    }
                }
            }
            (Job::Write(job), _) => self.writer_ended(node, job, WriteEnd::Closed),
        }
    }

    fn writer_ended(&mut self, node: NodeId, job: u64, end: WriteEnd) -> Option<Ended> {
        let entry = self.entries.get_mut(&node)?;
        let writer = entry.writer.take_if(|writer| writer.job == job)?;
        let stalled = (end == WriteEnd::Stalled).then_some(writer.connection);
        Some(Ended {
            node,
            link: writer.link,
            stalled,
            ring: None,
        })
    }

    fn prune(&mut self, node: &NodeId) {
        let idle = |entry: &Entry| {
            entry.writer.is_none() && entry.spare.is_none() && entry.readers.is_empty()
        };
        if self.entries.get(node).is_some_and(idle) {
            self.entries.remove(node);
        }
    }
}
