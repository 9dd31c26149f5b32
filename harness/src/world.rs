//! What the parties share: time, the future, the links between them, and the trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{ClientHandle, NodeId, Span, Time};
use shoal_topology::NetworkParameters;

use crate::conditions::Conditions;
use crate::flow::FlowLog;
use crate::ledger::Ledger;
use crate::link::{Link, LinkDelay, Passage};
use crate::queue::EventQueue;
use crate::trace::{Kind, Trace, TraceEvent};
use crate::{Party, SimulationError};

/// Wakes of one party at one instant after which a core counts as spinning.
const MAX_WAKES: u32 = 10_000;

/// A connection between a client and its entry provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) client: Party,
    pub(crate) entry: Party,
    pub(crate) handle: ClientHandle,
}

/// On which kind of link a frame travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Between members; the number is the receiver's incarnation when it was sent.
    Members(u64),
    /// From a client to its entry, on this connection.
    Uplink(u64),
    /// From an entry to its client, on this connection.
    Downlink(u64),
}

/// What will happen.
pub(crate) enum Event {
    /// A party's own deadline.
    Wake { party: Party },
    /// A frame comes out of a link, or would.
    Frame {
        from: Party,
        to: Party,
        lane: Lane,
        frame: Option<Frame>,
    },
    /// A descriptor comes by gossip.
    Gossip {
        from: Party,
        to: Party,
        bytes: Arc<[u8]>,
    },
    /// A directory is asked.
    Ask {
        from: Party,
        to: Party,
        number: u64,
        request: Vec<u8>,
    },
    /// A directory's answer comes.
    Answer {
        to: Party,
        number: u64,
        response: Vec<u8>,
    },
    /// An answer should be there by now.
    AskTimeout { party: Party, number: u64 },
    /// A node learns that a neighbour is there, or is not any more.
    Neighbour {
        party: Party,
        other: Party,
        there: bool,
    },
    /// The disk of a process has done what it was asked.
    Disk {
        party: Party,
        incarnation: u64,
        job: Job,
    },
    /// A client asks an entry to be attached.
    Attach {
        connection: Connection,
        profile: String,
    },
    /// An entry answers.
    AttachAnswer {
        connection: Connection,
        accepted: bool,
    },
    /// The other end of a connection is gone.
    Gone {
        party: Party,
        connection: Connection,
    },
    /// A client's turn to fetch documents or to try to attach.
    Housekeeping { party: Party, incarnation: u64 },
}

/// What a disk was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Write the replay tags that wait.
    Tags,
    /// Do the store's operations that wait.
    Store,
    /// Write a client's rows that wait.
    Rows,
}

/// Which stream of a connection: packets and the rest have one each, so that they do not delay
/// each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    Packets,
    Directory,
}

/// How links and disks behave.
#[derive(Clone, Copy)]
pub(crate) struct Physics {
    pub(crate) delay: LinkDelay,
    pub(crate) loss: f64,
    pub(crate) fsync: LinkDelay,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) queue: EventQueue<Event>,
    pub(crate) trace: Trace,
    pub(crate) physics: Physics,
    pub(crate) conditions: Conditions,
    pub(crate) flow: FlowLog,
    /// The incarnation of each party's process; none while it is down.
    pub(crate) presence: Vec<Option<u64>>,
    pub(crate) parties: BTreeMap<NodeId, Party>,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) members: Ledger,
    pub(crate) uplinks: Ledger,
    pub(crate) downlinks: Ledger,
    pub(crate) directory_bytes: u64,
    links: BTreeMap<(Channel, Party, Party), Link>,
    seed: u64,
    disks: BTreeMap<Party, ChaCha20Rng>,
    next_number: u64,
    wakes: (Time, Party, u32),
}

impl World {
    pub(crate) fn new(
        seed: u64,
        start: Time,
        params: Arc<NetworkParameters>,
        physics: Physics,
        keep_trace: bool,
        parties: usize,
    ) -> Self {
        Self {
            now: start,
            params,
            queue: EventQueue::new(),
            trace: Trace::new(keep_trace),
            physics,
            conditions: Conditions::default(),
            flow: FlowLog::default(),
            presence: vec![None; parties],
            parties: BTreeMap::new(),
            ids: Vec::new(),
            members: Ledger::default(),
            uplinks: Ledger::default(),
            downlinks: Ledger::default(),
            directory_bytes: 0,
            links: BTreeMap::new(),
            seed,
            disks: BTreeMap::new(),
            next_number: 0,
            wakes: (start, Party(0), 0),
        }
    }

    /// A generator of its own for each purpose and party, so that what one draws moves nobody
    /// else.
    pub(crate) fn generator(&self, purpose: &str, a: u64, b: u64) -> ChaCha20Rng {
        generator(self.seed, purpose, a, b)
    }

    /// A number that was never given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn note(&mut self, party: Party, kind: Kind, other: Party, detail: u64) {
        let event = TraceEvent {
            at: self.now,
            party: party.0,
            kind,
            other: other.0,
            detail,
        };
        self.trace.record(event);
    }

    pub(crate) fn note_own(&mut self, party: Party, kind: Kind, detail: u64) {
        self.note(party, kind, party, detail);
    }

    pub(crate) fn after(&mut self, span: Span, event: Event) {
        self.queue.push(self.now + span, event);
    }

    /// The identity of a node; none for a client.
    pub(crate) fn id(&self, party: Party) -> Option<NodeId> {
        self.ids.get(party.index()).copied()
    }

    /// A party's process is there from now on, or not any more.
    pub(crate) fn set_presence(&mut self, party: Party, incarnation: Option<u64>) {
        if let Some(presence) = self.presence.get_mut(party.index()) {
            *presence = incarnation;
        }
    }

    pub(crate) fn is_up(&self, party: Party) -> bool {
        self.incarnation(party).is_some()
    }

    pub(crate) fn incarnation(&self, party: Party) -> Option<u64> {
        self.presence.get(party.index()).copied().flatten()
    }

    /// Sets the wake of a party for its deadline, if it is not set for it already.
    pub(crate) fn wake(
        &mut self,
        party: Party,
        deadline: Option<Time>,
        set: &mut Option<Time>,
    ) -> Result<(), SimulationError> {
        let deadline = deadline.map(|deadline| deadline.max(self.now));
        if deadline == *set {
            return Ok(());
        }
        *set = deadline;
        let Some(at) = deadline else { return Ok(()) };
        if at == self.now {
            let (time, last, count) = &mut self.wakes;
            *count = if (*time, *last) == (at, party) {
                *count + 1
            } else {
                0
            };
            (*time, *last) = (at, party);
            if *count > MAX_WAKES {
                return Err(SimulationError::Spin { party, at });
            }
        }
        self.queue.push(at, Event::Wake { party });
        Ok(())
    }

    /// Puts a frame on a packet link.
    pub(crate) fn send_frame(&mut self, from: Party, to: Party, lane: Lane, frame: Frame) {
        self.note(from, Kind::FrameSent, to, 0);
        let ledger = self.ledger(lane);
        ledger.sent += 1;
        ledger.in_flight += 1;
        ledger.bytes += FRAME_BYTES as u64;
        let passage = self.carry(Channel::Packets, from, to, FRAME_BYTES);
        let arrives = matches!(passage, Passage::Arrives(_));
        if !matches!(lane, Lane::Downlink(_)) {
            self.flow.put_on_link(self.now, from, &frame, arrives);
        }
        let frame = arrives.then_some(frame);
        self.queue.push(
            passage.at(),
            Event::Frame {
                from,
                to,
                lane,
                frame,
            },
        );
    }

    /// Takes a frame off a packet link; `taken` tells whether somebody was there.
    pub(crate) fn land_frame(&mut self, from: Party, to: Party, lane: Lane, fate: Fate) {
        let ledger = self.ledger(lane);
        ledger.in_flight -= 1;
        let kind = match fate {
            Fate::Received => {
                ledger.received += 1;
                Kind::FrameReceived
            }
            Fate::Lost => {
                ledger.lost += 1;
                Kind::FrameLost
            }
            Fate::Unclaimed => {
                ledger.unclaimed += 1;
                Kind::FrameUnclaimed
            }
        };
        self.note(to, kind, from, 0);
    }

    /// A frame came out of a link, or was lost there, and nobody is there.
    pub(crate) fn land_unclaimed(&mut self, from: Party, to: Party, lane: Lane, arrived: bool) {
        let fate = if arrived { Fate::Unclaimed } else { Fate::Lost };
        self.land_frame(from, to, lane, fate);
    }

    /// Sends something that is no packet, on the stream for it; false if the link loses it.
    pub(crate) fn send_message(
        &mut self,
        from: Party,
        to: Party,
        bytes: usize,
        event: Event,
    ) -> bool {
        self.directory_bytes = self.directory_bytes.saturating_add(bytes as u64);
        match self.carry(Channel::Directory, from, to, bytes) {
            Passage::Arrives(at) => {
                self.queue.push(at, event);
                true
            }
            Passage::Lost(_) => false,
        }
    }

    /// Has something happen at the other end of a packet link, behind what is on it; never lost,
    /// but a link that is cut carries no new connection. That an end is gone is seen across a cut
    /// too, as silence.
    pub(crate) fn signal(&mut self, from: Party, to: Party, event: Event) {
        let connects = matches!(event, Event::Attach { .. } | Event::AttachAnswer { .. });
        if connects && self.conditions.cuts(from, to) {
            return;
        }
        let at = self.carry(Channel::Packets, from, to, 0).at();
        self.queue.push(at, event);
    }

    /// Has `party` learn whether its neighbour is there. Who can't be reached is found when
    /// nothing separates them any more.
    pub(crate) fn meet(&mut self, party: Party, other: Party, there: bool) {
        if there && self.conditions.cuts(party, other) {
            let pair = (party.min(other), party.max(other));
            self.conditions.silent.insert(pair);
            return;
        }
        let event = Event::Neighbour {
            party,
            other,
            there,
        };
        self.signal(other, party, event);
    }

    /// Has a disk do a job.
    pub(crate) fn write(&mut self, party: Party, incarnation: u64, job: Job) {
        let fsync = self.physics.fsync;
        let delay = fsync.sample(self.disk(party));
        self.after(
            delay,
            Event::Disk {
                party,
                incarnation,
                job,
            },
        );
    }

    /// Whether what a disk was doing when its process crashed is done.
    pub(crate) fn was_written(&mut self, party: Party) -> bool {
        self.disk(party).random()
    }

    fn disk(&mut self, party: Party) -> &mut ChaCha20Rng {
        let seed = self.seed;
        self.disks
            .entry(party)
            .or_insert_with(|| generator(seed, "disk", u64::from(party.0), 0))
    }

    /// Bytes put on the packet link between two parties, in this direction.
    pub(crate) fn bytes(&self, from: Party, to: Party) -> u64 {
        self.links
            .get(&(Channel::Packets, from, to))
            .map_or(0, Link::bytes)
    }

    pub(crate) fn ledger(&mut self, lane: Lane) -> &mut Ledger {
        match lane {
            Lane::Members(_) => &mut self.members,
            Lane::Uplink(_) => &mut self.uplinks,
            Lane::Downlink(_) => &mut self.downlinks,
        }
    }

    /// Puts `bytes` bytes on a link, as it is now.
    fn carry(&mut self, channel: Channel, from: Party, to: Party, bytes: usize) -> Passage {
        let (physics, seed, now) = (self.physics, self.seed, self.now);
        let link = self.links.entry((channel, from, to)).or_insert_with(|| {
            let purpose = match channel {
                Channel::Packets => "packet link",
                Channel::Directory => "directory link",
            };
            let rng = generator(seed, purpose, u64::from(from.0), u64::from(to.0));
            Link::new(physics.delay, physics.loss, rng)
        });
        let (delay, survival) = match self.conditions.undisturbed() {
            true => (Span::ZERO, 1.0),
            false => self.conditions.extra(from, to, link.rng()),
        };
        let passage = link.carry_disturbed(now, bytes, delay, survival);
        if !self.conditions.cuts(from, to) {
            return passage;
        }
        if channel == Channel::Packets && bytes > 0 {
            self.conditions.cut_frames += 1;
        }
        Passage::Lost(passage.at())
    }
}

/// Whether a wake is the one that was set last; then none is set any more.
pub(crate) fn is_due(set: &mut Option<Time>, now: Time) -> bool {
    set.take_if(|at| *at == now).is_some()
}

/// How a frame's time on a link ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Received,
    Lost,
    Unclaimed,
}

fn generator(seed: u64, purpose: &str, a: u64, b: u64) -> ChaCha20Rng {
    let hash = Blake2s256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(a.to_le_bytes())
        .chain_update(b.to_le_bytes())
        .chain_update(purpose)
        .finalize();
    ChaCha20Rng::from_seed(hash.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let params = Arc::new(NetworkParameters::example());
        let physics = Physics {
            delay: LinkDelay::Fixed(Span::from_millis(1)),
            loss: 0.0,
            fsync: LinkDelay::Fixed(Span::from_millis(1)),
        };
        World::new(1, params.genesis, params, physics, false, 2)
    }

    #[test]
    fn a_core_that_spins_is_found() {
        let mut world = world();
        let (party, past) = (Party(0), Some(Time::default()));
        let spun = (0..=MAX_WAKES).find_map(|_| world.wake(party, past, &mut None).err());
        assert!(matches!(
            spun,
            Some(SimulationError::Spin {
                party: Party(0),
                ..
            })
        ));
    }

    #[test]
    fn a_wake_is_set_once() {
        let mut world = world();
        let mut set = None;
        let deadline = Some(world.now + Span::from_secs(1));
        for _ in 0..3 {
            assert!(world.wake(Party(1), deadline, &mut set).is_ok());
        }
        assert_eq!(set, deadline);
        assert_eq!(world.queue.iter().count(), 1);
    }

    #[test]
    fn purposes_and_parties_draw_apart() {
        let world = world();
        let first = |purpose, a, b| world.generator(purpose, a, b).random::<u64>();
        assert_eq!(first("x", 1, 2), first("x", 1, 2));
        assert_ne!(first("x", 1, 2), first("y", 1, 2));
        assert_ne!(first("x", 1, 2), first("x", 2, 1));
    }
}
