//! What the client tells its mailbox: acks and drop ids, again and again until the mailbox's
//! window report says that the packet which carried them was received.

use std::collections::BTreeMap;

use blake2::{Blake2b256, Digest};
use ed25519_dalek::SigningKey;
use rand::CryptoRng;
use shoal_packet::DropSite;
use shoal_packet::command::{DropChange, MAX_ACKS, StreamItem};
use shoal_packet::token::Token;
use shoal_proto::{Epoch, MailboxId, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, View};
use zeroize::Zeroizing;

use crate::clock::ClockStep;
use crate::generation::{Generation, Seen};
use crate::rows::{Audience, BoxId, Change, MailboxRow, RevocationRow};
use crate::sets::{DropName, Said, Sets};
use crate::table::Table;
use crate::ticket::Ticket;
use crate::watch::BoxWatch;

/// Acks remembered. Beyond that the oldest are forgotten: the mailbox pushes those entries again.
const MAX_PENDING_ACKS: usize = 4096;
/// Packets on their way whose content is remembered; the mailbox's window covers 64.
const MAX_IN_FLIGHT: usize = 64;
/// Packets with a set that a new mailbox gets before it is not hurried any more, should it not confirm.
const HURRIED: u32 = 16;
/// Packets to each mailbox at the begin of a connection that are as for one with the smaller part.
const GREETING: u64 = 3;
/// Packets of the stream in a row without an entry, from when on a closed mailbox is empty: in the time that they
/// take, a provider pushes what was not acknowledged at least twice.
const EMPTY_AFTER: u32 = 100;

struct InFlight {
    acks: Vec<u64>,
    drops: Option<Said>,
    close: bool,
}

/// How far a mailbox is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It is not.
    Not,
    /// It is told so.
    Asked,
    /// It takes nothing more; so many packets of its stream had no entry since the last that had.
    Closed { idle: u32 },
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
    pub(crate) generation: u64,
    pub(crate) counter: u64,
    pub(crate) acks: Vec<u64>,
    pub(crate) drops: Vec<DropChange>,
    /// What opens the mailbox, if it has to be opened.
    pub(crate) token: Option<Token>,
}

/// The owner's side of a mailbox. Nothing that goes by its key, or by its drop ids, leads to another.
pub(crate) struct MailboxLink {
    id: BoxId,
    provider: NodeId,
    seed: Zeroizing<[u8; 32]>,
    key: SigningKey,
    generation: Generation,
    counter: u64,
    /// Entries to acknowledge, with the counter of the packet that last did (0 for none).
    acks: BTreeMap<u64, u64>,
    sets: Sets,
    in_flight: BTreeMap<u64, InFlight>,
    stock: u16,
    /// The epoch that reply blocks are stocked for once its switch is near.
    ahead: Option<Epoch>,
    watch: BoxWatch,
    /// Its provider was not in the document when it was last written to.
    missing: bool,
    closing: Closing,
    ticket: Ticket,
    /// Since when nothing has come from it, while it should.
    silent: Option<Time>,
    /// Packets with a set since the process began.
    sets_said: u32,
    /// It is on disk: what is sent to it is not lost with this process.
    kept: bool,
}

impl MailboxLink {
    /// As it was saved, or made.
    pub(crate) fn new<R: CryptoRng>(
        id: BoxId,
        row: MailboxRow,
        (audience, ask_from): (Audience, Time),
        watch: BoxWatch,
        rng: &mut R,
    ) -> Self {
        let key = SigningKey::from_bytes(&derive(&row.seed, b"key"));
        let mailbox = MailboxId::new(key.verifying_key().to_bytes());
        let secrets = [b"ids for strangers", b"ids for contacts."].map(|of| *derive(&row.seed, of));
        Self {
            id,
            provider: row.provider,
            seed: row.seed,
            key,
            generation: Generation::from_number(row.generation),
            counter: 0,
            acks: BTreeMap::new(),
            sets: Sets::new(mailbox, audience, secrets, row.states, rng),
            in_flight: BTreeMap::new(),
            stock: 0,
            ahead: None,
            watch,
            missing: false,
            closing: Closing::Not,
            ticket: Ticket::new(&row.ticket, ask_from),
            silent: None,
            sets_said: 0,
            kept: false,
        }
    }

    /// The row to save.
    pub(crate) fn saved(&self) -> Change {
        let row = MailboxRow {
            provider: self.provider,
            seed: self.seed.clone(),
            generation: self.generation.number(),
            states: self.sets.states(),
            ticket: self.ticket.row(),
        };
        Change::put(Table::Mailbox, self.id.encode(), row.encode())
    }

    pub(crate) fn id(&self) -> BoxId {
        self.id
    }

    /// Who holds it.
    pub(crate) fn provider(&self) -> NodeId {
        self.provider
    }

    /// What its owner signs with.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Where who has this drop id writes to.
    pub(crate) fn site(&self, name: DropName) -> DropSite {
        DropSite {
            provider: self.provider,
            drop: self.sets.id(name),
        }
    }

    /// Has a drop id take nothing more from then on. What is to be saved.
    pub(crate) fn revoke(&mut self, name: DropName, from: Time) -> Change {
        self.sets.revoke(name, RevocationRow { from, done: false });
        self.saved_revocation(name)
    }

    /// That one was to take nothing more, as it was saved.
    pub(crate) fn restore_revocation(&mut self, name: DropName, row: RevocationRow) {
        self.sets.revoke(name, row);
    }

    /// What is to be saved of one that takes nothing more.
    fn saved_revocation(&self, name: DropName) -> Change {
        let key = RevocationRow::key(self.id, name);
        match self.sets.revocation(name) {
            Some(row) => Change::put(Table::Revocation, key, row.encode()),
            None => Change::delete(Table::Revocation, key),
        }
    }

    /// All that is kept of it goes.
    pub(crate) fn forgotten(&self) -> Vec<Change> {
        let revoked = self.sets.revoked();
        let revoked = revoked.map(|name| RevocationRow::key(self.id, name));
        let revoked = revoked.map(|key| Change::delete(Table::Revocation, key));
        let own = Change::delete(Table::Mailbox, self.id.encode());
        revoked.chain([own]).collect()
    }

    pub(crate) fn sets(&self) -> &Sets {
        &self.sets
    }

    pub(crate) fn watch(&self) -> &BoxWatch {
        &self.watch
    }

    pub(crate) fn watch_mut(&mut self) -> &mut BoxWatch {
        &mut self.watch
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    pub(crate) fn set_kept(&mut self) {
        self.kept = true;
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.missing
    }

    pub(crate) fn set_missing(&mut self, missing: bool) {
        self.missing = missing;
    }

    pub(crate) fn ticket_mut(&mut self) -> &mut Ticket {
        &mut self.ticket
    }

    /// Whether somebody works for its token.
    pub(crate) fn is_worked_for(&self) -> bool {
        self.ticket.is_worked_for()
    }

    /// Whether it can't be written to because it is not there, and a token for it is missing.
    pub(crate) fn is_locked(&self) -> bool {
        !self.sets.is_there() && self.ticket.is_missing()
    }

    /// Nothing has come from it for so long that it may be gone, as one is that its owner has left alone for
    /// months: it is opened anew, under its key, should that be so. Whether that is news.
    pub(crate) fn reopen(&mut self, now: Time, trouble: Span, elsewhere: bool) -> bool {
        if elsewhere || self.watch.paused().is_none() {
            self.silent = None;
            return false;
        }
        let since = *self.silent.get_or_insert(now);
        if now.since(since) < trouble || self.closing != Closing::Not {
            return false;
        }
        self.silent = None;
        self.sets_said = 0;
        self.sets.forget();
        true
    }

    /// It has confirmed all, and is empty if it is closed: for who simulates no packets.
    pub(crate) fn settle_at_once(&mut self) {
        self.sets.confirm();
        self.counter = self.counter.max(GREETING);
        if self.closing != Closing::Not {
            self.closing = Closing::Closed { idle: EMPTY_AFTER };
        }
    }

    /// What waits, waits as long as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.ticket.clock_moved(step);
        self.sets.clock_moved(step);
        self.silent = self.silent.map(|since| step.apply(since));
    }

    /// Whether it gets more than its share: it is new, and is to be open soon; or the connection is, and what has
    /// come while the client was away does not wait for the slowest clock.
    pub(crate) fn is_hurried(&self) -> bool {
        let opening = self.sets.unconfirmed() > 0 && self.sets_said < HURRIED;
        opening || self.counter < GREETING
    }

    /// It is to take nothing more, and is told so until it has heard it.
    pub(crate) fn close(&mut self) {
        if self.closing == Closing::Not {
            self.closing = Closing::Asked;
        }
    }

    /// It takes nothing more, and there is nothing in it, as far as its provider says.
    pub(crate) fn is_empty(&self) -> bool {
        let idle = matches!(self.closing, Closing::Closed { idle } if idle >= EMPTY_AFTER);
        idle && self.acks.is_empty()
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

    /// Whether it has listened to this client since that was made.
    pub(crate) fn is_heard(&self) -> bool {
        self.generation.is_heard()
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

    /// A new connection: the reply blocks at the mailbox lead to the old one. Returns the row to save.
    pub(crate) fn restart<R: CryptoRng>(&mut self, now: Time, rng: &mut R) -> Option<Change> {
        self.begin(now);
        self.generation.advance(rng).then(|| self.saved())
    }

    /// The mailbox has seen this generation.
    pub(crate) fn follow<R: CryptoRng>(
        &mut self,
        now: Time,
        (seen, lost_another): (u64, bool),
        rng: &mut R,
    ) -> Seen {
        let follows = self.generation.follow(seen, lost_another, rng);
        if matches!(follows, Seen::Above) {
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
        self.sets.restart(now);
    }

    /// The entry is safely here.
    pub(crate) fn acknowledge(&mut self, entry: u64) {
        self.acks.entry(entry).or_insert(0);
        if self.acks.len() > MAX_PENDING_ACKS {
            self.acks.pop_first();
        }
    }

    /// What the next packet says: what was said the longest ago goes first. One set of drop ids at most, so
    /// that it is known which was refused.
    pub(crate) fn next_commands(&mut self, now: Time) -> Commands {
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
        let close = self.closing == Closing::Asked;
        let token = self.ticket.token().filter(|_| !self.sets.is_there());
        let set = match self.closing {
            Closing::Not => self.sets.say(now, counter),
            Closing::Asked | Closing::Closed { .. } => None,
        };
        let of_set = matches!(set, Some(Said::Set(_)));
        self.sets_said = self.sets_said.saturating_add(u32::from(of_set));
        let drops = set.and_then(|said| self.sets.change(said)).into_iter();
        let drops = drops.chain(close.then_some(DropChange::Close)).collect();
        let said = InFlight {
            acks: acks.clone(),
            drops: set,
            close,
        };
        self.in_flight.insert(counter, said);
        while self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_first();
        }
        Commands {
            generation: self.generation.number(),
            counter,
            acks,
            drops,
            token,
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
        if let Closing::Closed { idle } = &mut self.closing {
            *idle = match item.entry {
                Some(_) => 0,
                None => idle.saturating_add(1),
            };
        }
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
            if said.close && window_refused(item, counter) == Some(false) {
                self.closing = Closing::Closed { idle: 0 };
            }
            // Of one that is too far back to tell, the set is said again.
            let settled = said.drops.zip(window_refused(item, counter));
            match settled {
                Some((said, refused)) if self.sets.settle(said, refused) => match said {
                    Said::Set(_) => {
                        self.ticket.spent();
                        report.changes.push(self.saved());
                        report.refused |= refused;
                    }
                    Said::Revoked(name) => report.changes.push(self.saved_revocation(name)),
                },
                _ => {}
            }
        }
        report
    }

    /// The epoch to stock reply blocks for: the one in force, until the switch to the next is
    /// nearer than the time for which a block made now would lie at the mailbox and travel. From
    /// then on the next one, for good: the older blocks, spent first, last until the switch.
    /// `clock` is how many packets a second the mailbox sends in the mean.
    pub(crate) fn stock_epoch(
        &mut self,
        params: &NetworkParameters,
        view: &View,
        now: Time,
        clock: f64,
    ) -> Option<Epoch> {
        let in_force = view.current(params, now)?.epoch();
        let next = params.epoch_at(now).next();
        if self.ahead.is_some_and(|ahead| ahead != next) {
            self.ahead = None;
        }
        if self.ahead.is_none() && view.documents.contains_key(&next) {
            let lies = if clock > 0.0 {
                f64::from(self.stock) / clock
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

/// What follows from a mailbox's seed for one purpose.
fn derive(seed: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let hash = Blake2b256::new_with_prefix(b"shoal mailbox 1")
        .chain_update(seed)
        .chain_update(purpose);
    Zeroizing::new(hash.finalize().into())
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

    use shoal_packet::command::{Blob, StreamEntry};
    use shoal_proto::MessageId;
    use shoal_proto::size::BLOB_BYTES;

    use super::*;
    use crate::rows::{SetState, TicketRow};

    const NOW: Time = Time::from_micros(1);

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn link() -> MailboxLink {
        let id = BoxId { place: 0, copy: 0 };
        let row = MailboxRow {
            provider: NodeId::new([1; 32]),
            seed: Zeroizing::new([2; 32]),
            generation: 0,
            states: [SetState::Unknown; 2],
            ticket: TicketRow::None,
        };
        let watch = BoxWatch::new(Span::from_secs(30), Span::from_secs(10));
        let mut link = MailboxLink::new(id, row, (Audience::All, NOW), watch, &mut rng());
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
        let mut link = link();
        (0..30).for_each(|entry| link.acknowledge(entry));
        let first = link.next_commands(NOW);
        assert_eq!((first.counter, first.acks.len()), (1, MAX_ACKS));
        let second = link.next_commands(NOW);
        assert!((24..30).all(|entry| second.acks.contains(&entry)));
        // Only the second was received.
        link.report(&item(&link, 2, 0));
        assert_eq!(link.pending_acks(), 30 - MAX_ACKS);
        assert_eq!(link.stock(), 7);
        let third = link.next_commands(NOW);
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
        let mut link = link();
        let said: Vec<_> = (0..3).map(|_| link.next_commands(NOW).drops).collect();
        assert!(said[0] == said[2] && said[0] != said[1]);
        // The second alone was received, and refused.
        let report = link.report(&StreamItem {
            refused_bits: 0b1,
            ..item(&link, 2, 0)
        });
        assert!(report.changes.len() == 1 && report.refused);
        assert_eq!((link.sets.unconfirmed(), link.sets.refused()), (256, 256));
        assert_eq!(link.next_commands(NOW).drops, said[0]);
    }

    #[test]
    fn each_connection_begins_with_three_packets_in_a_hurry() {
        let mut link = link();
        link.sets.confirm();
        for _ in 0..2 {
            for _ in 0..3 {
                assert!(link.is_hurried());
                let _ = link.next_commands(NOW);
            }
            assert!(!link.is_hurried());
            let _ = link.restart(NOW, &mut rng());
        }
    }

    #[test]
    fn a_closed_mailbox_is_empty_once_nothing_has_come_for_long() {
        let mut link = link();
        let sets = link.next_commands(NOW).drops;
        assert!(!sets.contains(&DropChange::Close));
        link.close();
        let closes = |link: &mut MailboxLink| link.next_commands(NOW).drops == [DropChange::Close];
        assert!(closes(&mut link) && closes(&mut link));
        // Received, and refused: it is asked again. Then it was taken.
        let mut refused = item(&link, 2, 0);
        refused.refused_bits = 1;
        let _ = link.report(&refused);
        assert!(closes(&mut link));
        let _ = link.report(&item(&link, 4, 0));
        assert!(link.next_commands(NOW).drops.is_empty());
        let idle = |link: &mut MailboxLink| {
            let quiet = item(link, 4, 0);
            let mut times = 0;
            while !link.is_empty() && times < 1000 {
                let _ = link.report(&quiet);
                times += 1;
            }
            times
        };
        let mut with_entry = item(&link, 4, 0);
        with_entry.entry = Some(StreamEntry {
            entry: 1,
            drop: link.site(DropName::Invitation(0)).drop,
            message: MessageId::new([1; 16]),
            blob: Box::new(Blob::from_bytes(&[0; BLOB_BYTES]).unwrap()),
        });
        for _ in 0..EMPTY_AFTER - 1 {
            let _ = link.report(&item(&link, 4, 0));
        }
        let _ = link.report(&with_entry);
        assert_eq!(idle(&mut link), EMPTY_AFTER);
        link.acknowledge(1);
        assert!(
            !link.is_empty(),
            "the mailbox has not heard that it is here"
        );
    }

    #[test]
    fn a_mailbox_is_the_same_after_a_restart_and_no_other_is_like_it() {
        let mut first = link();
        let change = first.saved();
        let row = MailboxRow::decode(&change.value.unwrap()).unwrap();
        assert_eq!(row.generation, first.generation.number());
        let watch = || BoxWatch::new(Span::from_secs(30), Span::from_secs(10));
        let new = |row| MailboxLink::new(first.id, row, (Audience::All, NOW), watch(), &mut rng());
        let again = new(row.clone());
        assert_eq!(again.key, first.key);
        assert_eq!(
            again.site(DropName::Contact(7)).drop,
            first.site(DropName::Contact(7)).drop
        );
        assert_ne!(
            first.site(DropName::Contact(0)).drop,
            first.site(DropName::Invitation(0)).drop
        );
        let other = MailboxRow {
            seed: Zeroizing::new([3; 32]),
            ..row
        };
        let other = new(other);
        assert_ne!(other.key, first.key);
        assert_ne!(
            other.site(DropName::Contact(7)).drop,
            first.site(DropName::Contact(7)).drop
        );
        let _ = first.restart(NOW, &mut rng());
    }
}
