//! Packets that the mix has not seen: made ahead, because making one costs more than passing it on.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Engine, Frame, Hop, SphinxPublic, SphinxSecret, Unwrapped};
use shoal_proto::{Epoch, NodeId, Span};
use shoal_topology::delay;

use super::place::Place;
use crate::Failure;
use crate::seed::seeded;

/// Of so many packets one is timed.
const TIMED_OF: u32 = 8;
/// Packets that are made ahead at most: 2.5 kB each.
pub(super) const MOST: usize = 400_000;

/// How a packet is known again when it has left the mix: the first bytes of its blinded key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

impl Mark {
    /// Of a frame that came from the mix.
    pub(super) fn of(frame: &Frame) -> Self {
        let bytes = frame.as_bytes().get(1..).and_then(<[u8]>::first_chunk);
        Self(bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }
}

/// A packet to send.
pub(super) struct Made {
    pub(super) frame: Frame,
    /// Of a timed one: what becomes of it, and the delay that it asks for.
    pub(super) timed: Option<(Mark, Span)>,
}

/// Makes packets, each from a peer over the mix to a peer that is drawn.
pub(super) struct Maker {
    rng: ChaCha20Rng,
    engine: Engine,
    epoch: Epoch,
    mix: (NodeId, SphinxPublic),
    secret: Arc<SphinxSecret>,
    to: Vec<(NodeId, SphinxPublic)>,
    mean: Span,
}

impl Maker {
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let keys = |id: &NodeId| Some((*id, place.document.member(id)?.key));
        let none = || Failure::failed(anyhow::anyhow!("the document has no mix"));
        Ok(Self {
            rng: seeded()?,
            engine: Engine::best(),
            epoch: place.document.epoch(),
            mix: keys(&place.mix).ok_or_else(none)?,
            secret: Arc::clone(&place.secret),
            to: place.document.providers().iter().filter_map(keys).collect(),
            mean: place.params.mean_delay,
        })
    }

    /// One that was not there before. None if the document names no peers.
    pub(super) fn make(&mut self) -> Option<Made> {
        let (last, key) = *self.to.choose(&mut self.rng)?;
        let (mix, mix_key) = self.mix;
        let asked = delay::sample(&mut self.rng, self.mean);
        let hop = |node, key, delay| Hop { node, key, delay };
        let route = [hop(mix, mix_key, asked), hop(last, key, Span::ZERO)];
        let packet = self.engine.build_forward(&mut self.rng, &route, b"bench");
        let packet = packet.ok()?;
        let timed = self.rng.random_ratio(1, TIMED_OF);
        let timed = timed.then(|| self.outcome(&packet)).flatten();
        Some(Made {
            frame: Frame::new(self.epoch, packet),
            timed: timed.map(|mark| (mark, asked)),
        })
    }

    /// What the mix is going to make of it.
    fn outcome(&self, packet: &shoal_packet::Packet) -> Option<Mark> {
        let packet = packet.clone();
        match self.engine.unwrap(&self.secret, packet, |_| true).ok()? {
            Unwrapped::Forward { packet, .. } => Some(Mark::of(&Frame::new(self.epoch, packet))),
            Unwrapped::Final { .. } => None,
        }
    }
}

/// Packets that are ready.
pub(super) struct Stock {
    ready: VecDeque<Made>,
    maker: Maker,
    /// Those that were made while the mix was measured.
    pub(super) late: u64,
}

impl Stock {
    /// None yet.
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        Ok(Self {
            ready: VecDeque::new(),
            maker: Maker::new(place)?,
            late: 0,
        })
    }

    /// Makes as many as are missing from so many, on all cores.
    pub(super) fn fill(&mut self, place: &Place, wanted: usize) -> Result<(), Failure> {
        let count = wanted.saturating_sub(self.ready.len());
        if count == 0 {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let makers: Result<Vec<Maker>, Failure> = (0..threads).map(|_| Maker::new(place)).collect();
        let parts = std::thread::scope(|scope| {
            let work = |mut maker: Maker| {
                let each = count / threads + 1;
                scope.spawn(move || (0..each).map_while(|_| maker.make()).collect::<Vec<_>>())
            };
            let threads: Vec<_> = makers?.into_iter().map(work).collect();
            let parts: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            Ok::<_, Failure>(parts)
        })?;
        self.ready.extend(parts.into_iter().flatten().flatten());
        Ok(())
    }

    pub(super) fn take(&mut self) -> Option<Made> {
        if let Some(made) = self.ready.pop_front() {
            return Some(made);
        }
        self.late += 1;
        self.maker.make()
    }

    /// It was not sent.
    pub(super) fn give_back(&mut self, made: Made) {
        self.ready.push_front(made);
    }
}
