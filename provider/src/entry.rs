//! The entry: clients that are attached, each with its queue and its downlink clock.

use std::collections::{BTreeMap, VecDeque};

use rand::CryptoRng;
use shoal_packet::{Delivery, Frame};
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
    queues: BTreeMap<ClientHandle, VecDeque<Delivery>>,
    clocks: Clocks<ClientHandle>,
    most_clients: usize,
    most_waiting: usize,
    counters: EntryCounters,
}

impl Entry {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            queues: BTreeMap::new(),
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
        self.queues.insert(handle, VecDeque::new());
        self.clocks.start(now, handle, PoissonClock::new(rng, rate));
        AttachAnswer::Accepted
    }

    pub(crate) fn detach(&mut self, handle: ClientHandle) {
        let waited = self.queues.remove(&handle).map_or(0, |queue| queue.len());
        self.counters.abandoned += waited as u64;
        self.clocks.stop(&handle);
    }

    /// Queues a reply or a loop, nobody here can say which, for the client that it is for.
    pub(crate) fn offer(&mut self, delivery: Delivery) -> Result<(), DropReason> {
        let queue = self
            .queues
            .get_mut(&ClientHandle::new(delivery.destination))
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
            let waiting = self.queues.get_mut(&handle).and_then(VecDeque::pop_front);
            let frame = match waiting {
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
