//! Messages on their way: what is sent next, and what is sent again.
//!
//! When a fragment is sent again is drawn when it is sent, from a generator of this outbox' own, and on
//! disk. A receipt ends it; nothing else moves it: not an answer that says nothing, not a connection
//! that breaks or comes back, not a restart. Whoever cuts a client off would see at its contacts'
//! mailboxes whose client it is, if anything left because it is back. So what fell due meanwhile is a
//! try that was missed: it waits for the next one, as if it had been sent in vain. When that is depends on how long
//! nothing could be sent and on the drawing; the miss itself is no try, and what waited behind others before
//! has missed nothing then: a client that is stopped again and again would put off what it never sent, and
//! out of its order. What is put off before it ever left leaves in the order in which it was accepted, and what is
//! accepted meanwhile for the same contact after it.
//!
//! The link carries as many packets with tries as without, so the first [`QUICK_TRIES`] of a fragment
//! follow each other at one wait, which is the same for everybody of a profile ([`first_wait`]): a
//! wait measured from receipts would let a mailbox steer it. Then the wait doubles, so that what
//! cannot be stored leaves the slots to the rest.
//!
//! A message is stored when as many of its fragments are as have text, whichever they are. What of it is parity
//! for the same provider is tried no more then: that is all that a receipt does to others. What is the second
//! copy, for another provider, is tried on, until it is stored as well or the message's time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rand::{CryptoRng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_packet::Sites;
use shoal_packet::command::ReceiptStatus;
use shoal_packet::fragment::{Copies, Kind, Shape};
use shoal_proto::{MessageId, Span, Time};
use shoal_topology::{NetworkParameters, Profile};

use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::error::{ClientError, SendError};
use crate::identity::{deposit_id, sites_of};
use crate::keys::PeerKey;
use crate::rows::{Change, MessageState, OutboxRow, RetryRow, Row, SentRow};
use crate::table::Table;

/// Tries of a fragment before the wait between them grows. With half of a layer gone a try comes
/// through, and its receipt back, one time in four: nine of ten fragments are stored within these.
const QUICK_TRIES: u32 = 8;

/// The wait, in the mean, between the first tries: longer than nearly every way to a mailbox and back
/// (nine delays in the mean), and a turn. The same for everybody of a profile.
pub(crate) fn first_wait(params: &NetworkParameters, profile: &Profile) -> Span {
    let way = params.mean_delay.scale(30, 1);
    match profile.real > 0.0 {
        true => way + Span::from_secs_f64(1.0 / profile.real),
        false => way,
    }
}

/// To how many mailboxes a text goes by the profile.
pub(crate) const fn copies(profile: &Profile) -> Copies {
    match profile.copies {
        1 => Copies::One,
        _ => Copies::Two,
    }
}

/// What keeps a message from being stored, as far as its sender can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Hindrance {
    /// The receiver's provider is not in the document in force: nothing can be sent to it.
    ProviderMissing,
    /// The receiver's mailbox refused it: it is full, its provider's disk is, or the address is void.
    Refused,
    /// The first eight tries were not answered: the provider is down, or packets are lost.
    NoAnswer,
}

/// How much of a message has to be stored.
#[derive(Clone, Copy)]
pub(crate) struct Needed {
    fragments: u16,
    /// How many more there are.
    more: u16,
    /// These are for another provider.
    both: bool,
}

impl From<Shape> for Needed {
    fn from(shape: Shape) -> Self {
        Self {
            fragments: shape.count(),
            more: shape.extra(),
            both: shape.copies() == Copies::Two,
        }
    }
}

/// A message that waits to be saved. The outbox keeps room for it.
pub(crate) struct Prepared {
    message: MessageId,
    row: SentRow,
    parts: Vec<OutboxRow>,
}

/// A fragment that waits for its "stored" receipt.
struct Part {
    row: OutboxRow,
    retry: RetryRow,
    /// Tries that were sent since the client was made.
    sent: u32,
}

struct Outgoing {
    message: MessageId,
    row: SentRow,
    parts: BTreeMap<u16, Part>,
    hindrance: Option<Hindrance>,
}

/// A sent message and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageStatus {
    /// The message.
    pub message: MessageId,
    /// To whom it is.
    pub to: PeerKey,
    /// It is a text of the user's; else data of a program's.
    pub is_text: bool,
    /// Its state.
    pub state: MessageState,
    /// When it was accepted.
    pub accepted_at: Time,
    /// When it is given up.
    pub expires: Time,
    /// How many of its fragments have to be stored: as many as have text, of these and those of parity.
    pub fragments: u16,
    /// Of that many, those on the disk of the receiver's mailbox.
    pub stored: u16,
    /// What keeps it from being stored; none while nothing is known to, and once it is over.
    pub hindrance: Option<Hindrance>,
}

/// The fragment to send now.
pub(crate) struct Due {
    pub(crate) message: MessageId,
    pub(crate) to: PeerKey,
    pub(crate) index: u16,
    pub(crate) row: OutboxRow,
    pub(crate) again: bool,
}

/// What a receipt changed.
pub(crate) enum Settled {
    /// Nothing: it was settled, or is no fragment of ours, or will be tried again later.
    Nothing,
    /// A fragment is stored.
    Fragment(Vec<Change>),
    /// With it, the message is.
    Message(Vec<Change>),
    /// With it, a notice is.
    Notice(Vec<Change>),
}

/// What goes before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It never left.
    New,
    /// It was tried, a few times.
    Again,
    /// It was tried often, or is the second copy of a message that is stored.
    Late,
}

/// Sent messages in the order of their acceptance.
pub(crate) struct Outbox {
    by_order: BTreeMap<u64, Outgoing>,
    orders: BTreeMap<MessageId, u64>,
    /// Served last; the next due one after it is next.
    served: u64,
    /// Tries that were made.
    turns: u32,
    next_order: u64,
    rng: ChaCha20Rng,
    waiting: usize,
    /// Fragments of messages that wait to be saved.
    prepared: usize,
    /// When something could be sent last, as far as is known.
    able: Time,
    /// Messages with something new in their way; not told yet.
    hindered: BTreeSet<MessageId>,
    limit: usize,
    retry_after: Span,
    retry_max: Span,
    time_to_live: Span,
    history: usize,
    copies: Copies,
}

impl Outbox {
    /// Empty. Its waits are drawn from a generator that `rng` seeds; the first ones are `first_wait` in
    /// the mean, unless the configuration says otherwise. To who has two mailboxes go so many copies of a text.
    pub(crate) fn new<R: CryptoRng>(
        config: &ClientConfig,
        (first_wait, copies): (Span, Copies),
        rng: &mut R,
    ) -> Self {
        let retry_after = config.retry_after.unwrap_or(first_wait);
        Self {
            by_order: BTreeMap::new(),
            orders: BTreeMap::new(),
            served: 0,
            turns: 0,
            next_order: 1,
            rng: ChaCha20Rng::from_rng(rng),
            waiting: 0,
            prepared: 0,
            able: Time::default(),
            hindered: BTreeSet::new(),
            limit: config.limits.outbox_fragments,
            retry_after,
            retry_max: config.retry_max.max(retry_after),
            time_to_live: config.time_to_live,
            history: config.limits.sent_history,
            copies,
        }
    }

    /// How many copies of a text go to who is there.
    pub(crate) const fn copies_to(&self, sites: &Sites) -> Copies {
        match sites.second {
            Some(_) => self.copies,
            None => Copies::One,
        }
    }

    /// Fragments that wait for a receipt.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether so many fragments more fit.
    pub(crate) fn check_room(&self, fragments: usize) -> Result<(), SendError> {
        let (waiting, limit) = (self.waiting + self.prepared, self.limit);
        if waiting + fragments > limit {
            return Err(SendError::OutboxFull { waiting, limit });
        }
        Ok(())
    }

    /// Gives a message its place, and keeps room for it until it is on disk or forgotten. It is tried no longer
    /// than its own end, if it has one.
    pub(crate) fn prepare(
        &mut self,
        (now, expires): (Time, Option<Time>),
        (message, to, kind): (MessageId, PeerKey, Kind),
        parts: Vec<OutboxRow>,
        needed: Needed,
    ) -> Prepared {
        let given_up = now + self.time_to_live;
        let row = SentRow {
            order: self.next_order,
            to,
            kind,
            accepted_at: now,
            expires: expires.map_or(given_up, |at| at.min(given_up)),
            fragments: needed.fragments,
            state: MessageState::Queued,
            more: needed.more,
            both: needed.both,
        };
        self.next_order += 1;
        self.prepared += parts.len();
        Prepared {
            message,
            row,
            parts,
        }
    }

    /// Takes a message that is on disk.
    pub(crate) fn accept(&mut self, now: Time, prepared: Prepared) -> MessageId {
        self.prepared -= prepared.parts.len();
        let mut retry = self.first_try(now);
        retry.due = self.never_sent_to(&prepared.row.to).fold(now, Time::max);
        let parts = (0..).zip(prepared.parts);
        let parts = parts.map(|(index, row)| {
            (
                index,
                Part {
                    row,
                    retry,
                    sent: 0,
                },
            )
        });
        self.add(prepared.message, prepared.row, parts.collect());
        prepared.message
    }

    /// The message could not be saved.
    pub(crate) fn forget(&mut self, prepared: &Prepared) {
        self.prepared -= prepared.parts.len();
    }

    /// When what never left to a contact is due.
    fn never_sent_to(&self, to: &PeerKey) -> impl Iterator<Item = Time> {
        let own = self.by_order.values().filter(|it| it.row.to == *to);
        let parts = own.flat_map(|it| it.parts.values());
        parts
            .filter(|part| part.retry.tries == 0)
            .map(|part| part.retry.due)
    }

    /// What never left to a contact leaves in its order, at the instants that were drawn for all of it.
    fn put_in_order(&mut self) {
        let mut dues: BTreeMap<PeerKey, Vec<Time>> = BTreeMap::new();
        for outgoing in self.by_order.values() {
            let never = outgoing.parts.values().filter(|part| part.retry.tries == 0);
            dues.entry(outgoing.row.to)
                .or_default()
                .extend(never.map(|part| part.retry.due));
        }
        let sorted = dues.into_iter().map(|(to, mut all)| {
            all.sort_unstable();
            (to, all.into_iter())
        });
        let mut sorted: BTreeMap<PeerKey, _> = sorted.collect();
        for outgoing in self.by_order.values_mut() {
            let row = outgoing.row;
            let mut never: Vec<_> = outgoing
                .parts
                .iter_mut()
                .filter(|(_, part)| part.retry.tries == 0)
                .collect();
            never.sort_by_key(|(index, _)| row.place(**index));
            for (_, part) in never {
                if let Some(due) = sorted.get_mut(&row.to).and_then(Iterator::next) {
                    part.retry.due = due;
                }
            }
        }
    }

    /// A fragment that was never sent, of a message accepted then.
    fn first_try(&self, accepted_at: Time) -> RetryRow {
        RetryRow {
            tries: 0,
            due: accepted_at,
            wait: self.retry_after,
        }
    }

    fn add(&mut self, message: MessageId, row: SentRow, parts: BTreeMap<u16, Part>) {
        self.waiting += parts.len();
        self.orders.insert(message, row.order);
        self.next_order = self.next_order.max(row.order.saturating_add(1));
        self.by_order.insert(
            row.order,
            Outgoing {
                message,
                row,
                parts,
                hindrance: None,
            },
        );
    }

    /// Rebuilds messages from their rows. What is due stays due when it was.
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        let of = |table| rows.iter().filter(move |row| row.table == table);
        let mut retries: BTreeMap<(MessageId, u16), (&Row, RetryRow)> = BTreeMap::new();
        for row in of(Table::Retry) {
            let key = OutboxRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let mut retry = RetryRow::decode(&row.value).map_err(|e| row.fault(e))?;
            // It was tried when that was drawn: at this moment, or later.
            let tried = Time::default() + retry.due.since(Time::default() + longest(retry.wait));
            self.able = self.able.max(tried.min(now));
            retry.wait = retry.wait.clamp(self.retry_after, self.retry_max);
            // The clock may have been another one when it was written.
            retry.due = retry.due.min(now + longest(self.retry_max));
            retries.insert(key, (row, retry));
        }
        let mut parts: BTreeMap<MessageId, Vec<(u16, &Row, OutboxRow)>> = BTreeMap::new();
        for row in of(Table::Outbox) {
            let (message, index) = OutboxRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let part = OutboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            parts.entry(message).or_default().push((index, row, part));
        }
        for row in of(Table::Sent) {
            let message = MessageId::try_from(row.key.as_slice())
                .map_err(|_| row.fault("the key is no message's"))?;
            let sent = SentRow::decode(&row.value).map_err(|e| row.fault(e))?;
            if self.by_order.contains_key(&sent.order) {
                return Err(row.fault("another message has its place"));
            }
            self.able = self.able.max(sent.accepted_at.min(now));
            let first = self.first_try(sent.accepted_at.min(now));
            let own = parts.remove(&message).unwrap_or_default();
            let own = own.into_iter().map(|(index, _, row)| {
                let retry = retries.remove(&(message, index));
                let retry = retry.map_or(first, |(_, retry)| retry);
                (
                    index,
                    Part {
                        row,
                        retry,
                        sent: 0,
                    },
                )
            });
            self.add(message, sent, own.collect());
        }
        let lost = parts.values().flatten().map(|(_, row, _)| *row).next();
        if let Some(row) = lost {
            return Err(row.fault("its message is missing"));
        }
        match retries.values().next() {
            Some((row, _)) => Err(row.fault("its fragment is missing")),
            None => Ok(()),
        }
    }

    /// The fragment whose turn it is: messages take turns, so that a long one holds up nobody,
    /// and within a message what never left goes before what did, in the order of [`SentRow::place`]: it is news to the
    /// receiver, where another try may be none. For the same reason what never left goes before all tries
    /// again, and these before what was often tried in vain and before the second copy of what is stored: a
    /// provider that is gone must not take the slots of one that is there. Of four turns one is for the
    /// latter first, so that it does not wait for ever.
    pub(crate) fn next_due(&self, now: Time) -> Option<Due> {
        let order = match self.turns % 4 {
            3 => [Class::Late, Class::New, Class::Again],
            _ => [Class::New, Class::Again, Class::Late],
        };
        order.into_iter().find_map(|class| self.due(now, class))
    }

    fn due(&self, now: Time, class: Class) -> Option<Due> {
        let after = self
            .by_order
            .range((Bound::Excluded(self.served), Bound::Unbounded));
        let before = self.by_order.range(..=self.served);
        after.chain(before).find_map(|(_, outgoing)| {
            let is_due =
                |part: &Part| part.retry.due <= now && outgoing.class(&part.retry) == class;
            let parts = outgoing.parts.iter().filter(|(_, part)| is_due(part));
            let (index, part) = parts
                .min_by_key(|(index, part)| (part.retry.tries > 0, outgoing.row.place(**index)))?;
            Some(Due {
                message: outgoing.message,
                to: outgoing.row.to,
                index: *index,
                row: part.row.clone(),
                again: part.retry.tries > 0,
            })
        })
    }

    /// Notes a try, sent or not: the next one comes after the wait. Returns the rows to save.
    pub(crate) fn tried(
        &mut self,
        message: &MessageId,
        index: u16,
        sent: bool,
        now: Time,
    ) -> Vec<Change> {
        let Some(order) = self.orders.get(message).copied() else {
            return Vec::new();
        };
        self.served = order;
        self.turns = self.turns.wrapping_add(1);
        let Some(outgoing) = self.by_order.get_mut(&order) else {
            return Vec::new();
        };
        let Some(part) = outgoing.parts.get_mut(&index) else {
            return Vec::new();
        };
        put_off(&mut part.retry, now, self.retry_max, &mut self.rng);
        let key = OutboxRow::key(message, index);
        let mut changes = vec![Change::put(Table::Retry, key, part.retry.encode())];
        if part.retry.tries >= QUICK_TRIES && part.row.turn(&mut self.rng) {
            changes.push(part.row.change(message, index));
        }
        let often = part.sent >= QUICK_TRIES;
        part.sent = part.sent.saturating_add(u32::from(sent));
        let hindrance = match (sent, outgoing.hindrance) {
            (false, _) => Some(Hindrance::ProviderMissing),
            (true, Some(Hindrance::ProviderMissing) | None) => often.then_some(Hindrance::NoAnswer),
            (true, known) => known,
        };
        if outgoing.hinder(hindrance) {
            self.hindered.insert(*message);
        }
        if sent && outgoing.row.state == MessageState::Queued {
            outgoing.row.state = MessageState::Sent;
            changes.push(outgoing.change());
        }
        changes
    }

    /// Somebody is elsewhere: what waits for it goes there, under new names, when it would have gone to where it
    /// was. Returns the rows to save.
    pub(crate) fn redirect<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        to: &PeerKey,
        sites: &Sites,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let own = self.by_order.values_mut().filter(|it| it.row.to == *to);
        for outgoing in own {
            for (index, part) in &mut outgoing.parts {
                let is_second = outgoing.row.both && *index >= outgoing.row.fragments;
                let goes = sites_of(sites, outgoing.row.both, is_second);
                if part.row.redirect(rng, goes) {
                    changes.push(part.row.change(&outgoing.message, *index));
                }
            }
        }
        changes
    }

    /// Whether it is one that the user knows nothing of.
    pub(crate) fn is_notice(&self, message: &MessageId) -> bool {
        let order = self.orders.get(message);
        let outgoing = order.and_then(|order| self.by_order.get(order));
        outgoing.is_some_and(|outgoing| outgoing.row.kind == Kind::Notice)
    }

    /// The next message that something new keeps from being stored, and what.
    pub(crate) fn next_hindered(&mut self) -> Option<(MessageId, Hindrance)> {
        while let Some(message) = self.hindered.pop_first() {
            let hindrance = self.status(&message).and_then(|status| status.hindrance);
            if let Some(hindrance) = hindrance {
                return Some((message, hindrance));
            }
        }
        None
    }

    /// A packet left, of whichever kind.
    pub(crate) fn is_able(&mut self, now: Time) {
        self.able = now;
    }

    /// Nothing could be sent until now: what fell due meanwhile has missed its try, and what was due before is as if it had
    /// fallen due then.
    pub(crate) fn miss(&mut self, now: Time) {
        let longest = longest(self.retry_max);
        let since = self.able.min(now);
        self.able = now;
        let parts = self
            .by_order
            .values_mut()
            .flat_map(|it| it.parts.values_mut());
        for part in parts.filter(|part| part.retry.due <= now) {
            let mut retry = part.retry;
            retry.due = retry.due.max(since);
            // Of many misses in a row only the last few matter.
            if retry.due + longest.scale(16, 1) < now {
                let phase = self.retry_max.scale(unit(&mut self.rng), UNIT);
                retry.due = now - longest.scale(8, 1) - phase;
                retry.wait = self.retry_max;
                retry.tries = retry.tries.max(QUICK_TRIES);
            }
            while retry.due <= now {
                let from = retry.due;
                put_off(&mut retry, from, self.retry_max, &mut self.rng);
            }
            part.retry.due = retry.due;
        }
        self.put_in_order();
    }

    /// A receipt for a fragment came.
    pub(crate) fn receipt(
        &mut self,
        message: &MessageId,
        index: u16,
        status: ReceiptStatus,
    ) -> Settled {
        let outgoing = self
            .orders
            .get(message)
            .and_then(|order| self.by_order.get_mut(order));
        let Some(outgoing) = outgoing else {
            return Settled::Nothing;
        };
        if !outgoing.parts.contains_key(&index) {
            return Settled::Nothing;
        }
        if !matches!(status, ReceiptStatus::Stored) {
            // It is tried again like what was not answered: after the wait.
            if outgoing.hinder(Some(Hindrance::Refused)) {
                self.hindered.insert(*message);
            }
            return Settled::Nothing;
        }
        outgoing.parts.remove(&index);
        outgoing.hindrance = None;
        self.waiting -= 1;
        let mut changes = deletions(message, index).to_vec();
        let enough = outgoing.parts.len() <= usize::from(outgoing.row.more);
        let news = enough && !outgoing.row.state.is_stored();
        let notice = outgoing.row.kind == Kind::Notice;
        if news {
            if !outgoing.row.both {
                // The receiver needs none of the rest.
                let rest = std::mem::take(&mut outgoing.parts);
                self.waiting -= rest.len();
                changes.extend(rest.keys().flat_map(|index| deletions(message, *index)));
            }
            outgoing.row.state = MessageState::Stored;
            changes.push(outgoing.change());
        }
        changes.extend(self.forget_old());
        match (news, notice) {
            (true, false) => Settled::Message(changes),
            (true, true) => Settled::Notice(changes),
            (false, _) => Settled::Fragment(changes),
        }
    }

    /// Its receiver says that it has a message, or has read it: nothing more of it is sent. What is to be saved, if that
    /// is news.
    pub(crate) fn delivered(
        &mut self,
        from: &PeerKey,
        message: &MessageId,
        read: bool,
    ) -> Option<Vec<Change>> {
        let order = self.orders.get(message)?;
        let outgoing = self.by_order.get_mut(order)?;
        let state = match read {
            true => MessageState::Read,
            false => MessageState::Delivered,
        };
        let known = match outgoing.row.state {
            MessageState::Read => true,
            MessageState::Delivered => !read,
            _ => false,
        };
        if outgoing.row.to != *from || outgoing.row.kind == Kind::Notice || known {
            return None;
        }
        outgoing.row.state = state;
        let (gone, mut changes) = outgoing.end();
        self.waiting -= gone;
        changes.extend(self.forget_old());
        Some(changes)
    }

    /// The earliest instant at which a message is given up.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.open().map(|outgoing| outgoing.row.expires).min()
    }

    /// Gives up one message whose time is over, or the second copy of one; whether the user
    /// is told that nothing of it was stored in time.
    pub(crate) fn expire(&mut self, now: Time) -> Option<(MessageId, bool, Vec<Change>)> {
        let message = self
            .open()
            .find(|outgoing| outgoing.row.expires <= now)?
            .message;
        let outgoing = self.by_order.get_mut(self.orders.get(&message)?)?;
        let expired = !outgoing.row.state.is_stored();
        let told = expired && outgoing.row.kind != Kind::Notice;
        if expired {
            outgoing.row.state = MessageState::Expired;
        }
        let (gone, mut changes) = outgoing.end();
        self.waiting -= gone;
        changes.extend(self.forget_old());
        Some((message, told, changes))
    }

    /// Nothing more goes to somebody: which texts of those under way the user is told of, and what is to be saved.
    pub(crate) fn give_up(&mut self, to: &PeerKey) -> (Vec<MessageId>, Vec<Change>) {
        let (mut told, mut changes) = (Vec::new(), Vec::new());
        let own = self.by_order.values_mut();
        for outgoing in own.filter(|it| it.row.to == *to && !it.finished()) {
            if !outgoing.row.state.is_stored() {
                outgoing.row.state = MessageState::Expired;
                told.extend((outgoing.row.kind == Kind::Text).then_some(outgoing.message));
            }
            let (gone, more) = outgoing.end();
            self.waiting -= gone;
            changes.extend(more);
        }
        changes.extend(self.forget_old());
        (told, changes)
    }

    /// What waits to be tried waits as long as before. A message's end stays: it is a date.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.able = step.apply(self.able);
        for outgoing in self.by_order.values_mut() {
            for part in outgoing.parts.values_mut() {
                part.retry.due = step.apply(part.retry.due);
            }
        }
    }

    /// How far one message has come.
    pub(crate) fn status(&self, message: &MessageId) -> Option<MessageStatus> {
        self.orders
            .get(message)
            .and_then(|order| self.by_order.get(order))
            .filter(|outgoing| outgoing.row.kind != Kind::Notice)
            .map(Outgoing::status)
    }

    /// All texts that are remembered, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = MessageStatus> + '_ {
        let texts = self
            .by_order
            .values()
            .filter(|it| it.row.kind == Kind::Text);
        texts.map(Outgoing::status)
    }

    fn open(&self) -> impl Iterator<Item = &Outgoing> {
        self.by_order
            .values()
            .filter(|outgoing| !outgoing.finished())
    }

    fn forget_old(&mut self) -> Vec<Change> {
        let finished = self.by_order.iter().filter(|(_, it)| it.finished());
        let (others, texts): (Vec<_>, Vec<_>) = finished
            .map(|(order, outgoing)| (outgoing.row.kind != Kind::Text, *order))
            .partition(|(other, _)| *other);
        let excess = texts.len().saturating_sub(self.history);
        let over = others.into_iter().chain(texts.into_iter().take(excess));
        let mut changes = Vec::new();
        for (_, order) in over {
            if let Some(outgoing) = self.by_order.remove(&order) {
                self.orders.remove(&outgoing.message);
                let key = outgoing.message.as_bytes().to_vec();
                changes.push(Change::delete(Table::Sent, key));
            }
        }
        changes
    }
}

/// Parts of a wait that can be drawn.
const UNIT: u64 = 1000;

fn unit(rng: &mut ChaCha20Rng) -> u64 {
    rng.random_range(0..UNIT)
}

/// The longest that a wait of this mean can get.
fn longest(wait: Span) -> Span {
    wait.scale(3, 2)
}

/// A try is over, made or missed: the next one is half to one and a half of the wait later.
fn put_off(retry: &mut RetryRow, from: Time, most: Span, rng: &mut ChaCha20Rng) {
    retry.tries = retry.tries.saturating_add(1);
    if retry.tries >= QUICK_TRIES {
        retry.wait = retry.wait.scale(2, 1).min(most);
    }
    let share = UNIT / 2 + unit(rng);
    // Never nothing: a wait of no length would come again for ever.
    let wait = retry.wait.scale(share, UNIT).max(Span::from_micros(1));
    retry.due = from + wait;
}

/// A fragment's rows go.
fn deletions(message: &MessageId, index: u16) -> [Change; 2] {
    [Table::Outbox, Table::Retry].map(|table| Change::delete(table, OutboxRow::key(message, index)))
}

/// The row of a message to save.
fn saved(message: &MessageId, row: &SentRow) -> Change {
    Change::put(Table::Sent, message.as_bytes().to_vec(), row.encode())
}

impl Prepared {
    /// The rows to save.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = vec![saved(&self.message, &self.row)];
        let parts = (0..).zip(&self.parts);
        changes.extend(parts.map(|(index, row)| row.change(&self.message, index)));
        changes
    }
}

impl OutboxRow {
    /// It goes to its receiver's other mailbox from now on, under a new name; whether there is one.
    fn turn<R: CryptoRng>(&mut self, rng: &mut R) -> bool {
        let Some(other) = &mut self.other else {
            return false;
        };
        std::mem::swap(&mut self.site, other);
        self.deposit = deposit_id(rng);
        true
    }

    /// Its receiver is here now. Whether it goes elsewhere than before; then it does under a new name.
    fn redirect<R: CryptoRng>(&mut self, rng: &mut R, goes: Sites) -> bool {
        let before = (Some(self.site), self.other);
        let now = (Some(goes.first), goes.second);
        if before == now || before == (now.1, now.0) {
            return false;
        }
        (self.site, self.other) = (goes.first, goes.second);
        self.deposit = deposit_id(rng);
        true
    }

    fn change(&self, message: &MessageId, index: u16) -> Change {
        let key = Self::key(message, index);
        Change::put(Table::Outbox, key, self.encode())
    }
}

impl Outgoing {
    /// What a part of it is to those of all others.
    fn class(&self, retry: &RetryRow) -> Class {
        let stored = self.row.state.is_stored();
        match retry.tries {
            0 => Class::New,
            tries if tries >= QUICK_TRIES || stored => Class::Late,
            _ => Class::Again,
        }
    }

    fn finished(&self) -> bool {
        self.parts.is_empty()
            && (self.row.state.is_stored() || self.row.state == MessageState::Expired)
    }

    fn change(&self) -> Change {
        saved(&self.message, &self.row)
    }

    /// Nothing more of it is sent: how many fragments wait no more, and what is to be saved.
    fn end(&mut self) -> (usize, Vec<Change>) {
        let parts = std::mem::take(&mut self.parts);
        self.hindrance = None;
        let mut changes = vec![self.change()];
        let rows = parts.keys();
        changes.extend(rows.flat_map(|index| deletions(&self.message, *index)));
        (parts.len(), changes)
    }

    /// What keeps it from being stored is this now; whether that is news.
    fn hinder(&mut self, by: Option<Hindrance>) -> bool {
        // The receiver has it, or will: that the other copy has not come is no news to the sender.
        if self.row.state.is_stored() {
            return false;
        }
        let news = by.is_some() && by != self.hindrance;
        self.hindrance = by;
        news
    }

    fn status(&self) -> MessageStatus {
        let waiting = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        let stored = match self.row.state {
            MessageState::Expired => 0,
            state if state.is_stored() => self.row.fragments,
            _ => (self.row.fragments.saturating_add(self.row.more))
                .saturating_sub(waiting)
                .min(self.row.fragments),
        };
        MessageStatus {
            message: self.message,
            to: self.row.to,
            is_text: self.row.kind == Kind::Text,
            state: self.row.state,
            accepted_at: self.row.accepted_at,
            expires: self.row.expires,
            fragments: self.row.fragments,
            stored,
            hindrance: self.hindrance,
        }
    }
}

#[cfg(test)]
mod tests;
