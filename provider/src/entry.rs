use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Frame, Payload};
use shoal_proto::{ClientHandle, SurbId, Time};

use crate::clock::next_tick;
use crate::{AttachAnswer, DropReason, Limits};

/// The clients that are attached, each with its queue and its downlink clock.
///
/// A client gets one frame for each tick and nothing else, so what waits for it does not show on
/// its link.
pub(crate) struct Entry {
    clients: BTreeMap<ClientHandle, Client>,
    clocks: BTreeSet<(Time, ClientHandle)>,
    most_clients: usize,
    most_waiting: usize,
}

struct Client {
    rate: f64,
    next: Option<Time>,
    /// Of its own, so that nothing that the provider does for others or for this client moves an
    /// instant at which it sends.
    clock: ChaCha20Rng,
    queue: VecDeque<ForClient>,
}

/// A payload on its way to a client: a reply or a loop, nobody here can say which.
pub(crate) struct ForClient {
    pub(crate) epoch_byte: u8,
    pub(crate) id: SurbId,
    pub(crate) payload: Payload,
}

/// What a tick sends.
pub(crate) struct Downlink {
    pub(crate) handle: ClientHandle,
    pub(crate) frame: Frame,
    pub(crate) filler: bool,
}

impl Entry {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            clients: BTreeMap::new(),
            clocks: BTreeSet::new(),
            most_clients: limits.clients,
            most_waiting: limits.downlink_queue,
        }
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn attach<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        handle: ClientHandle,
        rate: f64,
    ) -> AttachAnswer {
        if self.clients.len() >= self.most_clients || self.clients.contains_key(&handle) {
            return AttachAnswer::Full;
        }
        let mut clock = ChaCha20Rng::from_rng(rng);
        let next = next_tick(&mut clock, rate, now, now);
        if let Some(next) = next {
            self.clocks.insert((next, handle));
        }
        self.clients.insert(
            handle,
            Client {
                rate,
                next,
                clock,
                queue: VecDeque::new(),
            },
        );
        AttachAnswer::Accepted
    }

    /// How many payloads waited.
    pub(crate) fn detach(&mut self, handle: ClientHandle) -> usize {
        let Some(client) = self.clients.remove(&handle) else {
            return 0;
        };
        if let Some(next) = client.next {
            self.clocks.remove(&(next, handle));
        }
        client.queue.len()
    }

    pub(crate) fn offer(
        &mut self,
        handle: ClientHandle,
        payload: ForClient,
    ) -> Result<(), DropReason> {
        let client = self
            .clients
            .get_mut(&handle)
            .ok_or(DropReason::UnknownDestination)?;
        if client.queue.len() >= self.most_waiting {
            return Err(DropReason::DownlinkFull);
        }
        client.queue.push_back(payload);
        Ok(())
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.clocks.first().map(|(due, _)| *due)
    }

    /// One tick that is due.
    pub(crate) fn tick<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        epoch_byte: u8,
    ) -> Option<Downlink> {
        let (due, handle) = self
            .clocks
            .first()
            .copied()
            .filter(|(due, _)| *due <= now)?;
        self.clocks.remove(&(due, handle));
        let client = self.clients.get_mut(&handle)?;
        client.next = next_tick(&mut client.clock, client.rate, due, now);
        if let Some(next) = client.next {
            self.clocks.insert((next, handle));
        }
        let waiting = client.queue.pop_front();
        let filler = waiting.is_none();
        let frame = match waiting {
            Some(waiting) => Frame::last_link(rng, waiting.epoch_byte, waiting.id, waiting.payload),
            None => Frame::filler(rng, epoch_byte),
        };
        Some(Downlink {
            handle,
            frame,
            filler,
        })
    }
}
