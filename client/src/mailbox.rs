//! What the client tells its mailbox: acks and drop ids, again and again until the mailbox's
//! window report says that the packet which carried them was received.

use std::collections::BTreeMap;

use rand::CryptoRng;
use shoal_packet::command::{DropChange, MAX_ACKS, StreamItem};
use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, Profile, View};

use crate::error::ClientError;
use crate::generation::{Generation, Seen};
use crate::keys::ClientKeys;
use crate::pool::{self, Pool};
use crate::rows::{Change, Row};

/// Acks remembered. Beyond that the oldest are forgotten: the mailbox pushes those entries again.
const MAX_PENDING_ACKS: usize = 4096;
/// Packets on their way whose content is remembered; the mailbox's window covers 64.
const MAX_IN_FLIGHT: usize = 64;

struct InFlight {
    acks: Vec<u64>,
    set: Option<usize>,
}

/// What a report of the mailbox brought.
#[derive(Default)]
pub(crate) struct Report {
    /// What is to be saved.
    pub(crate) changes: Vec<Change>,
    /// It has just refused drop ids.
    pub(crate) refused: bool,
}

/// What one mailbox packet says beside its reply blocks.
pub(crate) struct Commands {
    /// Index of the profile, which names the rate of the mailbox's clock.
    pub(crate) profile: u8,
    pub(crate) generation: u64,
    pub(crate) counter: u64,
    pub(crate) acks: Vec<u64>,
    pub(crate) drops: Vec<DropChange>,
}

/// The owner's side of a mailbox.
pub(crate) struct MailboxLink {
    profile: u8,
    /// Packets per second that the mailbox sends in the mean.
    clock: f64,
    generation: Generation,
    counter: u64,
    /// Entries to acknowledge, with the counter of the packet that last did (0 for none).
    acks: BTreeMap<u64, u64>,
    pool: Pool,
    in_flight: BTreeMap<u64, InFlight>,
    stock: u16,
    /// The epoch that reply blocks are stocked for once its switch is near.
    ahead: Option<Epoch>,
}

impl MailboxLink {
    /// For the profile of this index, at this provider.
    pub(crate) fn new<R: CryptoRng>(
        index: u8,
        profile: &Profile,
        provider: NodeId,
        rng: &mut R,
    ) -> Self {
        Self {
            profile: index,
            clock: profile.mailbox_clock,
            generation: Generation::default(),
            counter: 0,
            acks: BTreeMap::new(),
            pool: Pool::new(provider, rng),
            in_flight: BTreeMap::new(),
            stock: 0,
            ahead: None,
        }
    }

    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        self.generation.restore(rows)?;
        self.pool.restore(rows)
    }

    /// Whether it is of the stream that the mailbox sends to this connection: then the mailbox listens.
    pub(crate) fn hears(&mut self, item: &StreamItem) -> bool {
        let current = self.is_current(item);
        if current {
            self.generation.heard();
        }
        current
    }

    fn is_current(&self, item: &StreamItem) -> bool {
        item.generation == self.generation.number()
    }

    /// Whether another copy of this client has the mailbox.
    pub(crate) fn is_superseded(&self) -> bool {
        self.generation.is_superseded()
    }

    pub(crate) fn stock(&self) -> u16 {
        self.stock
    }

    pub(crate) fn pending_acks(&self) -> usize {
        self.acks.len()
    }

    /// The drop ids for contacts.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A new connection: the reply blocks at the mailbox lead to the old one. Returns the row to save.
    pub(crate) fn restart<R: CryptoRng>(&mut self, now: Time, rng: &mut R) -> Option<Change> {
        self.begin(now);
        self.generation.advance(rng)
    }

    /// The mailbox has seen this generation.
    pub(crate) fn follow<R: CryptoRng>(&mut self, now: Time, seen: u64, rng: &mut R) -> Seen {
        let follows = self.generation.follow(seen, rng);
        if matches!(follows, Seen::Above(_)) {
            self.begin(now);
        }
        follows
    }

    fn begin(&mut self, now: Time) {
        self.counter = 0;
        self.in_flight.clear();
        self.stock = 0;
        self.ahead = None;
        self.acks.values_mut().for_each(|last| *last = 0);
        self.pool.restart(now);
    }

    /// The entry is safely here.
    pub(crate) fn acknowledge(&mut self, entry: u64) {
        self.acks.entry(entry).or_insert(0);
        if self.acks.len() > MAX_PENDING_ACKS {
            self.acks.pop_first();
        }
    }

    /// What the next packet says: what was said the longest ago goes first. One set of the
    /// pool at most, so that a packet has four changes or none.
    pub(crate) fn next_commands(&mut self, now: Time, keys: &ClientKeys) -> Commands {
        self.counter += 1;
        let counter = self.counter;
        let mut waiting: Vec<(u64, u64)> = self
            .acks
            .iter()
            .map(|(entry, last)| (*last, *entry))
            .collect();
        waiting.sort_unstable();
        waiting.truncate(MAX_ACKS);
        let acks: Vec<u64> = waiting.into_iter().map(|(_, entry)| entry).collect();
        for entry in &acks {
            self.acks.insert(*entry, counter);
        }
        let set = self.pool.say(now, counter);
        let numbers = set.into_iter().flat_map(pool::numbers);
        let drops = numbers.map(|number| DropChange::Register(keys.pool_drop(number)));
        let said = InFlight {
            acks: acks.clone(),
            set,
        };
        self.in_flight.insert(counter, said);
        while self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_first();
        }
        Commands {
            profile: self.profile,
            generation: self.generation.number(),
            counter,
            acks,
            drops: drops.collect(),
        }
    }

    /// The mailbox tells what it has received: what those packets said need not be said again, and
    /// what it refused of it is known.
    pub(crate) fn report(&mut self, item: &StreamItem) -> Report {
        let mut report = Report::default();
        if !self.is_current(item) {
            return report;
        }
        self.stock = item.stock;
        let received: Vec<u64> = self
            .in_flight
            .keys()
            .copied()
            .filter(|counter| window_has(item, *counter))
            .collect();
        for counter in received {
            let Some(said) = self.in_flight.remove(&counter) else {
                continue;
            };
            for entry in said.acks {
                self.acks.remove(&entry);
            }
            // Of one that is too far back to tell, the set is said again.
            let settled = said.set.zip(window_refused(item, counter));
            if let Some((set, refused)) = settled
                && let Some(change) = self.pool.settle(set, refused)
            {
                report.changes.push(change);
                report.refused |= refused;
            }
        }
        report
    }

    /// The epoch to stock reply blocks for: the one in force, until the switch to the next is
    /// nearer than the time for which a block made now would lie at the mailbox and travel. From
    /// then on the next one, for good: the older blocks, spent first, last until the switch.
    pub(crate) fn stock_epoch(
        &mut self,
        params: &NetworkParameters,
        view: &View,
        now: Time,
    ) -> Option<Epoch> {
        let in_force = view.current(params, now)?.epoch();
        let next = params.epoch_at(now).next();
        if self.ahead.is_some_and(|ahead| ahead != next) {
            self.ahead = None;
        }
        if self.ahead.is_none() && view.documents.contains_key(&next) {
            let lies = if self.clock > 0.0 {
                f64::from(self.stock) / self.clock
            } else {
                0.0
            };
            let lead = Span::from_secs_f64(lies) + travel_time(params);
            if now + lead >= params.start_of(next) {
                self.ahead = Some(next);
            }
        }
        Some(self.ahead.unwrap_or(in_force))
    }
}

/// Longer than nearly every way to the mailbox and back: seven hops with a delay and two waits at
/// providers have a mean of nine delays, and links and queues take their time too.
fn travel_time(params: &NetworkParameters) -> Span {
    params.mean_delay.scale(30, 1) + Span::from_secs(1)
}

/// Whether the report says that the packet with this counter, which is never 0, was received.
fn window_has(item: &StreamItem, counter: u64) -> bool {
    match item.window_highest.checked_sub(counter) {
        None => false,
        Some(0) => true,
        Some(back) => bit(item.window_bits, back - 1) == Some(true),
    }
}

/// Whether a set of drop ids in the packet with this counter, which was received, was refused; none if
/// the report does not go back so far.
fn window_refused(item: &StreamItem, counter: u64) -> Option<bool> {
    bit(item.refused_bits, item.window_highest.checked_sub(counter)?)
}

/// The bit at a place; none beyond the last.
fn bit(bits: u64, place: u64) -> Option<bool> {
    let place = u32::try_from(place).ok()?;
    Some(bits.checked_shr(place)? & 1 == 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    const NOW: Time = Time::from_micros(1);

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn link() -> MailboxLink {
        let params = NetworkParameters::example();
        let profile = params.profiles.values().next().unwrap();
        let mut link = MailboxLink::new(0, profile, NodeId::new([1; 32]), &mut rng());
        let _ = link.restart(NOW, &mut rng());
        link
    }

    fn item(link: &MailboxLink, window_highest: u64, window_bits: u64) -> StreamItem {
        let generation = link.generation.number();
        StreamItem {
            generation,
            number: 0,
            window_highest,
            window_bits,
            refused_bits: 0,
            stock: 7,
            entry: None,
        }
    }

    #[test]
    fn the_window_names_the_highest_and_64_before_it() {
        let link = link();
        let report = item(&link, 100, 0b101 | 1 << 63);
        let has: Vec<u64> = (1..130)
            .filter(|counter| window_has(&report, *counter))
            .collect();
        assert_eq!(has, [36, 97, 99, 100]);
        assert!(!window_has(&item(&link, u64::MAX, u64::MAX), 1));
        assert!(!window_has(&item(&link, 0, 0), 1));
    }

    #[test]
    fn acks_repeat_in_turn_until_reported() {
        let keys = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let mut link = link();
        (0..30).for_each(|entry| link.acknowledge(entry));
        let first = link.next_commands(NOW, &keys);
        assert_eq!((first.counter, first.acks.len()), (1, MAX_ACKS));
        let second = link.next_commands(NOW, &keys);
        assert!((24..30).all(|entry| second.acks.contains(&entry)));
        // Only the second was received.
        link.report(&item(&link, 2, 0));
        assert_eq!(link.pending_acks(), 30 - MAX_ACKS);
        assert_eq!(link.stock(), 7);
        let third = link.next_commands(NOW, &keys);
        assert!(third.acks.iter().all(|entry| !second.acks.contains(entry)));
        // A report about another generation says nothing.
        let _ = link.restart(NOW, &mut rng());
        let mut foreign = item(&link, 3, u64::MAX);
        foreign.generation += 1;
        link.report(&foreign);
        assert_eq!(link.pending_acks(), 30 - MAX_ACKS);
    }

    #[test]
    fn pending_acks_are_bounded() {
        let mut link = link();
        (0..10_000).for_each(|entry| link.acknowledge(entry));
        assert_eq!(link.pending_acks(), MAX_PENDING_ACKS);
    }

    #[test]
    fn a_set_is_settled_by_the_packet_that_named_it() {
        let keys = ClientKeys::generate(&mut rng());
        let mut link = link();
        let sets = crate::rows::SETS;
        (0..3).for_each(|_| drop(link.next_commands(NOW, &keys)));
        // The first and the last were received, and of the last something was refused.
        let report = link.report(&StreamItem {
            refused_bits: 0b1,
            ..item(&link, 3, 0b10)
        });
        assert_eq!((report.changes.len(), report.refused), (2, true));
        assert_eq!(
            (link.pool.unconfirmed(), link.pool.refused()),
            (sets - 2, 1)
        );
        // The second goes before those that were never said only when its turn has come.
        let next = link.next_commands(NOW, &keys).drops;
        assert_eq!(next[0], DropChange::Register(keys.pool_drop(3 * 4)));
    }
}
