//! The entry: clients that are attached, each with its queue and its downlink clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::{Delivery, Frame, NoticePiece};
use shoal_proto::{ClientHandle, Time};
use shoal_topology::PoissonClock;

use crate::clocks::Clocks;
use crate::{AttachAnswer, DropReason, Limits};

shoal_proto::counters! {
    /// Clients that are attached, and what is sent to them.
    pub struct EntryCounters("provider") {
        /// Clients attached now.
        attached: gauge "clients";
        /// Payloads for attached clients: replies and loops, which can't be told apart.
        queued: counter "payloads";
        /// Frames to clients with a payload.
        downlink_payload: counter "frames";
        /// Frames to clients with a piece of what all of them are told.
        downlink_notice: counter "frames";
        /// Frames to clients with random filler.
        downlink_filler: counter "frames";
        /// Ticks of downlinks that came more than a second late; nothing was sent for them.
        downlink_missed: counter "ticks",
            "The machine slept, or has too little processor time for what it does.";
        /// Payloads that waited for a client that left.
        abandoned: counter "payloads";
        /// Frames to clients that the link could not take.
        link_full: counter "frames",
            "Clients read too slowly, or the machine's uplink is full.";
    }
}

/// The clients that are attached.
///
/// A client gets one frame for each tick and nothing else, so what waits for it does not show on
/// its link. Each clock has a generator of its own, so that nothing that the provider does for
/// others or for this client moves an instant at which it sends.
pub(crate) struct Entry {
    queues: BTreeMap<ClientHandle, Waiting>,
    /// What all clients are told, in pieces, and how many such there have been.
    notices: (u64, Vec<NoticePiece>),
    clocks: Clocks<ClientHandle>,
    most_clients: usize,
    most_waiting: usize,
    counters: EntryCounters,
}

/// What waits for a client.
#[derive(Default)]
struct Waiting {
    payloads: VecDeque<Delivery>,
    /// How many pieces of the notices it has been sent.
    told: usize,
    /// A payload was sent last, so that it is a notice's turn.
    paid: bool,
}

impl Waiting {
    /// The place of the piece that is sent next, if one is: payloads and notices take turns.
    fn piece(&mut self, pieces: usize) -> Option<usize> {
        let turn = self.payloads.is_empty() || std::mem::take(&mut self.paid);
        let piece = (turn && self.told < pieces).then_some(self.told)?;
        self.told += 1;
        Some(piece)
    }
}

impl Entry {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            queues: BTreeMap::new(),
            notices: (0, Vec::new()),
            clocks: Clocks::new(),
            most_clients: limits.clients,
            most_waiting: limits.downlink_queue,
            counters: EntryCounters::default(),
        }
    }

    pub(crate) fn counters(&self) -> EntryCounters {
        EntryCounters {
            attached: self.queues.len() as u64,
            ..self.counters
        }
    }

    pub(crate) fn attach<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        handle: ClientHandle,
        rate: f64,
    ) -> AttachAnswer {
        if self.queues.len() >= self.most_clients || self.queues.contains_key(&handle) {
            return AttachAnswer::Full;
        }
        self.queues.insert(handle, Waiting::default());
        self.clocks.start(now, handle, PoissonClock::new(rng, rate));
        AttachAnswer::Accepted
    }

    pub(crate) fn detach(&mut self, handle: ClientHandle) {
        let waited = self.queues.remove(&handle);
        let waited = waited.map_or(0, |waiting| waiting.payloads.len());
        self.counters.abandoned += waited as u64;
        self.clocks.stop(&handle);
    }

    /// Tells all clients this, who come later, too, in place of what was before.
    pub(crate) fn tell(&mut self, notices: &[Arc<[u8]>]) {
        let (number, pieces) = &mut self.notices;
        pieces.clear();
        for notice in notices {
            *number = number.wrapping_add(1);
            pieces.extend(NoticePiece::all(*number, notice));
        }
        for waiting in self.queues.values_mut() {
            waiting.told = 0;
        }
    }

    /// Queues a reply or a loop, nobody here can say which, for the client that it is for.
    pub(crate) fn offer(&mut self, delivery: Delivery) -> Result<(), DropReason> {
        let queue = self
            .queues
            .get_mut(&ClientHandle::new(delivery.destination))
            .map(|waiting| &mut waiting.payloads)
            .ok_or(DropReason::UnknownDestination)?;
        if queue.len() >= self.most_waiting {
            return Err(DropReason::DownlinkFull);
        }
        queue.push_back(delivery);
        self.counters.queued += 1;
        Ok(())
    }

    pub(crate) const fn link_full(&mut self) {
        self.counters.link_full += 1;
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.clocks.deadline()
    }

    /// What a tick that is due by now sends, and to whom. Call it until it gives none.
    pub(crate) fn tick<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        epoch_byte: u8,
    ) -> Option<(ClientHandle, Frame)> {
        while let Some((handle, tick)) = self.clocks.tick(now) {
            if tick.missed {
                self.counters.downlink_missed += 1;
                continue;
            }
            let pieces = &self.notices.1;
            let mut waiting = self.queues.get_mut(&handle);
            let piece = waiting.as_mut().and_then(|it| it.piece(pieces.len()));
            if let Some(piece) = piece.and_then(|piece| pieces.get(piece)) {
                self.counters.downlink_notice += 1;
                return Some((handle, piece.frame(rng, epoch_byte)));
            }
            let payload = waiting.and_then(|waiting| {
                let payload = waiting.payloads.pop_front();
                waiting.paid = payload.is_some();
                payload
            });
            let frame = match payload {
                Some(waiting) => {
                    self.counters.downlink_payload += 1;
                    Frame::last_link(rng, waiting.epoch.byte(), waiting.id, waiting.payload)
                }
                None => {
                    self.counters.downlink_filler += 1;
                    Frame::filler(rng, epoch_byte)
                }
            };
            return Some((handle, frame));
        }
        None
    }
}
