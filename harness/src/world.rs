//! What the parties share: time, the future, the links between them, and the trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{NodeId, Span, Time};
use shoal_roles::RequestKind;
use shoal_topology::NetworkParameters;

use crate::conditions::Conditions;
use crate::error::SimulationError;
use crate::event::{Asker, DiskJob, Event, Lane, Rumour};
use crate::flow::FlowLog;
use crate::ledger::Ledger;
use crate::link::{Link, LinkDelay, Passage};
use crate::memo::Workshop;
use crate::mesh::Mesh;
use crate::party::Party;
use crate::queue::EventQueue;
use crate::trace::{Kind, Trace, TraceEvent};

/// Wakes of one party at one instant after which a core counts as spinning.
const MAX_WAKES: u32 = 10_000;

/// After what time the transport gives a request up that is not answered, and a node that does not
/// answer a new connection.
const ASK_TIMEOUT: Span = Span::from_secs(5);
pub(crate) const DIAL_TIMEOUT: Span = Span::from_secs(10);

/// Which stream between two parties: packets and the rest have one each, so that they do not delay
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
    pub(crate) mesh: Mesh,
    pub(crate) workshop: Workshop,
    /// The numbers of descriptors by the hash of their bytes.
    rumours: BTreeMap<[u8; 32], usize>,
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
            mesh: Mesh::default(),
            workshop: Workshop::new(),
            rumours: BTreeMap::new(),
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

    /// A descriptor to be spread. The same bytes have the same number each time.
    pub(crate) fn rumour(&mut self, bytes: Vec<u8>) -> Rumour {
        let next = self.rumours.len();
        let hash: [u8; 32] = Blake2s256::digest(&bytes).into();
        Rumour {
            number: *self.rumours.entry(hash).or_insert(next),
            bytes: bytes.into(),
        }
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
        let deadline = deadline.filter(|at| *at < Time::MAX);
        let deadline = deadline.map(|at| at.max(self.now));
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

    /// Something reaches a party that is down: of a frame the books say what became of it.
    pub(crate) fn land_nowhere(&mut self, event: &Event) {
        if let Event::Frame {
            from,
            to,
            lane,
            frame,
        } = event
        {
            let arrived = frame.is_some();
            let fate = if arrived { Fate::Unclaimed } else { Fate::Lost };
            self.land_frame(*from, *to, *lane, fate);
        }
    }

    /// Asks a node, on the stream for that. Gives the number that the answer will have.
    pub(crate) fn ask(&mut self, by: Asker, to: Party, kind: RequestKind, request: Vec<u8>) -> u64 {
        let (party, number, bytes) = (by.party(), self.number(), request.len());
        self.after(ASK_TIMEOUT, Event::AskTimeout { party, number });
        let event = Event::Ask {
            by,
            to,
            number,
            kind,
            request,
        };
        match kind {
            RequestKind::Directory => {
                self.note(party, Kind::SyncAsked, to, 0);
                self.send_message(party, to, bytes, event);
            }
            RequestKind::Attach => self.signal(party, to, event),
        }
        number
    }

    /// Sends something that is no packet, on the stream for it; false if the link loses it.
    pub(crate) fn send_message(
        &mut self,
        from: Party,
        to: Party,
        bytes: usize,
        event: Event,
    ) -> bool {
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
        if event.connects() && self.conditions.cuts(from, to) {
            return;
        }
        let at = self.carry(Channel::Packets, from, to, 0).at();
        self.queue.push(at, event);
    }

    /// Has `party` learn whether its neighbour is there. Who can't be reached is found when
    /// nothing separates them any more.
    pub(crate) fn meet(&mut self, party: Party, other: Party, there: bool) {
        if there && self.separates(party, other) {
            return;
        }
        let event = Event::Neighbour {
            party,
            other,
            there,
        };
        self.signal(other, party, event);
    }

    /// Whether frames pass between two members, or are lost without being missed yet.
    pub(crate) fn linked(&self, a: Party, b: Party) -> bool {
        self.mesh.both(a, b) && !self.conditions.silent(a, b)
    }

    /// A node exchanges packets with another from now on, or does not any more.
    pub(crate) fn allow(&mut self, party: Party, other: Party, may: bool) {
        if self.mesh.allow(party, other, may) && !(may && self.separates(party, other)) {
            self.tell_links(party, other);
        }
    }

    /// Has two nodes look at the link between them.
    pub(crate) fn tell_links(&mut self, a: Party, b: Party) {
        self.tell_link(a, b);
        self.tell_link(b, a);
    }

    /// Has a node look at its link with another, together with others of which it is told then.
    pub(crate) fn tell_link(&mut self, party: Party, other: Party) {
        if self.mesh.tell(party, other) {
            self.signal(other, party, Event::Links { party });
        }
    }

    /// Whether nothing gets from one to the other. Then they take each other for gone, until
    /// nothing separates them any more.
    fn separates(&mut self, a: Party, b: Party) -> bool {
        let cut = self.conditions.cuts(a, b);
        if cut {
            self.conditions.silence(a, b);
        }
        cut
    }

    /// Has a disk do a job.
    pub(crate) fn write(&mut self, party: Party, incarnation: u64, job: DiskJob) {
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
        let (delay, survival) = self.conditions.extra(from, to, link.rng());
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

/// A generator of its own for each purpose and party.
pub(crate) fn generator(seed: u64, purpose: &str, a: u64, b: u64) -> ChaCha20Rng {
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
