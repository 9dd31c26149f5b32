//! What arrives: each fragment once, put together when enough are here, on disk before it is
//! acknowledged, and told in the order in which its sender wrote. Nobody fills it for the others: of what it holds, one sender has a share, and so have all strangers together.

mod done;
mod order;
mod partial;
mod seen;

use std::collections::{BTreeMap, VecDeque};

use shoal_packet::command::StreamEntry;
use shoal_packet::fragment::{self, Envelope, Fragment, Kind};
use shoal_proto::{MessageId, Span, Time};
use zeroize::Zeroizing;

use self::done::Done;
use self::order::{Order, Turn};
use self::partial::Partials;
use self::seen::{Seen, State};
use crate::clock::ClockStep;
use crate::config::{ClientConfig, Limits};
use crate::contacts::Contacts;
use crate::error::ClientError;
use crate::event::HopTrace;
use crate::identity::Identity;
use crate::invitations::{Admission, Invitations};
use crate::keys::PeerKey;
use crate::note::Note;
use crate::rows::{self, Change, InboxKey, InboxRow, Row, SeenKey};
use crate::sessions::{Control, Follows, Opened, RatchetError, Sessions, Tag};
use crate::table::Table;

/// What to do about a pushed entry.
pub(crate) enum Arrival {
    /// It is here and safe, or was: acknowledge it.
    Known,
    /// It is being saved: wait.
    Saving,
    /// The message is here and safe without it: acknowledge it.
    Spare,
    /// No room: leave it at the mailbox.
    Full,
    /// No room for this sender, or for strangers: leave it at the mailbox.
    ShareFull,
    /// It does not open, or holds no fragment: acknowledge it, so that it blocks nothing.
    Bad,
    /// Its time is over: acknowledge it, and tell nobody. What comes after it does not wait for it.
    Late { changes: Vec<Change> },
    /// Of somebody who is not let in, or is blocked: acknowledge it, and tell nobody.
    Unwelcome,
    /// Somebody came with an invitation that was for another one: acknowledge it, and tell nobody what it says.
    Second {
        /// The number of the invitation.
        invitation: u32,
    },
    /// It tells something of keys: save what follows from it, then acknowledge it.
    Control {
        seen: SeenKey,
        from: PeerKey,
        session: Tag,
        control: Control,
    },
    /// It says where its sender is, and nothing else: save what follows from it, then acknowledge it.
    Notice {
        seen: SeenKey,
        from: PeerKey,
        envelope: Envelope,
        note: Note,
    },
    /// With it, enough are here of a message that they do not make: save this, then acknowledge it, so
    /// that it blocks nothing.
    Spoilt { changes: Vec<Change>, kept: Kept },
    /// New: save this, then acknowledge it.
    New {
        changes: Vec<Change>,
        kept: Kept,
        from: PeerKey,
        envelope: Envelope,
    },
}

/// Whom a client knows and lets in, and by what.
pub(crate) struct Doors<'a> {
    pub(crate) owner: &'a Identity,
    pub(crate) contacts: &'a mut Contacts,
    pub(crate) invitations: &'a Invitations,
    pub(crate) sessions: &'a mut Sessions,
}

/// A pushed entry, taken in.
pub(crate) struct Taken {
    /// What to do about it.
    pub(crate) arrival: Arrival,
    /// What is to be saved of its session, before the entry is acknowledged if with anything.
    pub(crate) changes: Vec<Change>,
    /// Its sender is let in with it, by this invitation.
    pub(crate) guest: Option<u32>,
    /// Its sender is a contact already, and has begun a session anew by this invitation.
    pub(crate) met_again: Option<u32>,
    /// It came before, and could not be saved: all that is known of its sender is saved with it.
    pub(crate) again: bool,
}

/// What was saved together.
#[derive(Clone)]
pub(crate) struct Kept {
    seen: SeenKey,
    /// The message it completed.
    pub(crate) complete: Option<InboxKey>,
    /// The way it came.
    pub(crate) trace: Vec<HopTrace>,
}

/// What a fragment made of its message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is whole.
    Complete,
    /// More is missing.
    Partial,
    /// Enough are here, and they are no message: its sender is at fault.
    Spoilt,
}

struct Unread {
    row: InboxRow,
    /// What is saved with it, until it is.
    unsaved: Option<Vec<Change>>,
    told: bool,
    /// The way of the packet that completed it.
    trace: Vec<HopTrace>,
}

impl Unread {
    /// It is told of. The row on disk has the text; here it is not needed any more.
    fn tell(&mut self) -> InboxRow {
        self.told = true;
        let text = std::mem::take(&mut self.row.text);
        InboxRow {
            text,
            ..self.row.clone()
        }
    }
}

/// A message to tell of.
pub(crate) struct Told {
    pub(crate) key: InboxKey,
    pub(crate) row: InboxRow,
    /// The way of the packet that completed it; empty after a restart.
    pub(crate) trace: Vec<HopTrace>,
    /// What is to be saved for it.
    pub(crate) changes: Vec<Change>,
}

impl Arrival {
    /// Nothing follows but this.
    const fn alone(self) -> Taken {
        Taken {
            arrival: self,
            changes: Vec::new(),
            guest: None,
            met_again: None,
            again: false,
        }
    }
}

impl Doors<'_> {
    /// By which invitation a sender is let in who is no contact; what to do about its entry if it is not listened to.
    fn welcome(
        &self,
        now: Time,
        opened: &Opened,
        envelope: &Envelope,
    ) -> Result<Option<u32>, Box<Arrival>> {
        if self.contacts.is_blocked(&opened.from) {
            return Err(Box::new(Arrival::Unwelcome));
        }
        if self.contacts.contains(&opened.from) {
            return Ok(None);
        }
        let invitation = opened.via.ok_or(Box::new(Arrival::Unwelcome))?;
        let admits = (self.invitations).admits(now, invitation, &opened.from, envelope.sent_at);
        match admits {
            Admission::Guest => Ok(Some(invitation)),
            Admission::Second => Err(Box::new(Arrival::Second { invitation })),
            Admission::Refused => Err(Box::new(Arrival::Unwelcome)),
        }
    }
}

/// A fragment that was opened: its key is used.
struct OpenedBefore {
    from: PeerKey,
    session: Tag,
    fragment: Zeroizing<Vec<u8>>,
    /// The invitation that its session began with.
    via: Option<u32>,
}

/// Everything received that is not done with.
pub(crate) struct Inbox {
    seen: Seen,
    partials: Partials,
    done: Done,
    order: Order,
    unread: BTreeMap<InboxKey, Unread>,
    /// Fragments that were opened and are not saved: who wrote each, in which session. As many as are being saved, or
    /// could not be.
    opened: BTreeMap<SeenKey, OpenedBefore>,
    /// What is for programs and is to be told of.
    data: VecDeque<InboxKey>,
    /// What is to be saved of those that nobody is told of.
    unsaid: Vec<Change>,
    limits: Limits,
}

impl Inbox {
    pub(crate) fn new(config: &ClientConfig, patience: Span) -> Self {
        let limits = config.limits;
        Self {
            seen: Seen::new(limits.seen),
            partials: Partials::new(limits.partial_fragments, limits.partial_of_strangers),
            done: Done::new(limits.done),
            order: Order::new(patience, limits.numbered_strangers),
            unread: BTreeMap::new(),
            opened: BTreeMap::new(),
            data: VecDeque::new(),
            unsaid: Vec::new(),
            limits,
        }
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Messages that wait for those before them.
    pub(crate) fn held(&self) -> usize {
        self.order.waiting()
    }

    /// Fragments of unfinished messages given up for lack of room.
    pub(crate) fn discarded(&self) -> u64 {
        self.partials.discarded()
    }

    /// Rebuilds everything. What is unread is told again, in its order.
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        self.seen.restore(rows)?;
        self.partials.restore(rows)?;
        self.done.restore(rows)?;
        self.order.restore(rows)?;
        for row in rows.iter().filter(|row| row.table == Table::Inbox) {
            let key = InboxKey::decode(&row.key).map_err(|e| row.fault(e))?;
            let row = InboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            // The clock may have been another one when it arrived.
            match row.is_data {
                true => self.data.push_back(key),
                false => self.order.wait(key, row.sequence, row.arrived.min(now)),
            }
            self.unread.insert(
                key,
                Unread {
                    row,
                    unsaved: None,
                    told: false,
                    trace: Vec::new(),
                },
            );
        }
        Ok(())
    }

    /// Takes a pushed entry.
    pub(crate) fn arrive(
        &mut self,
        now: Time,
        doors: Doors<'_>,
        entry: &StreamEntry,
        trace: Vec<HopTrace>,
    ) -> Taken {
        let seen = SeenKey {
            drop: entry.drop,
            deposit: entry.message,
        };
        match self.seen.state(&seen) {
            Some(State::Safe) => return Arrival::Known.alone(),
            Some(State::Saving) => return Arrival::Saving.alone(),
            None => {}
        }
        if self.unread.len() >= self.limits.unread {
            return Arrival::Full.alone();
        }
        let again = self.opened.contains_key(&seen);
        let opened = match self.open(&doors, &seen, entry) {
            Ok(opened) => opened,
            Err(RatchetError::KeyGone) => return Arrival::Known.alone(),
            Err(RatchetError::Bad) => return Arrival::Bad.alone(),
        };
        if let Some(control) = Control::decode(&opened.fragment) {
            return self.take_control(now, doors, (seen, again), opened, control);
        }
        let Ok(fragment) = Fragment::decode(&opened.fragment) else {
            return Arrival::Bad.alone();
        };
        let mut guest = match doors.welcome(now, &opened, &fragment.envelope) {
            Ok(guest) => guest,
            Err(arrival) => {
                self.opened.remove(&seen);
                return (*arrival).alone();
            }
        };
        let whole = (seen, opened.from, &opened.fragment[..]);
        let arrival = self.take(now, doors.contacts, whole, fragment, trace);
        match arrival {
            // It comes again, and its session has to open it then.
            Arrival::ShareFull => return arrival.alone(),
            // Until it is saved, nobody else has it: its key is used.
            Arrival::New { .. } | Arrival::Spoilt { .. } | Arrival::Notice { .. } => {
                let before = OpenedBefore {
                    from: opened.from,
                    session: opened.session,
                    fragment: opened.fragment,
                    via: opened.via,
                };
                self.opened.insert(seen, before);
            }
            _ => {
                self.opened.remove(&seen);
                // What nobody is told of begins nothing: who floods us with it would push the sessions of others out.
                if opened.follows.begins() {
                    return arrival.alone();
                }
            }
        }
        if matches!(arrival, Arrival::Spoilt { .. }) {
            guest = None;
        }
        let is_contact = doors.contacts.contains(&opened.from);
        let met_again = opened.via.filter(|_| is_contact && opened.follows.begins());
        let contacts = &doors.contacts;
        let alone = guest.is_some_and(|it| doors.invitations.is_for_one(it));
        // Not of who has just written: each of a thousand newcomers has.
        let waits = |peer: &PeerKey| *peer != opened.from && self.unread_of(peer).next().is_some();
        let is_guest = |peer: &PeerKey| alone && *peer == opened.from;
        let known = |peer: &PeerKey| contacts.is_known(peer) || is_guest(peer) || waits(peer);
        let (mut changes, lost) = doors
            .sessions
            .take(now, (opened.follows, opened.under), known);
        // Who can't be heard any more is none.
        if let Some(peer) = lost
            && let Some(change) = doors.contacts.forget_newcomer(&peer)
        {
            changes.push(change);
            changes.extend(self.forget_sender(&peer));
        }
        Taken {
            arrival,
            changes,
            guest,
            met_again,
            again,
        }
    }

    /// Something of keys, of a contact and in a session that is there.
    fn take_control(
        &mut self,
        now: Time,
        doors: Doors<'_>,
        (seen, again): (SeenKey, bool),
        opened: Opened,
        control: Control,
    ) -> Taken {
        let from = opened.from;
        let blocked = doors.contacts.is_blocked(&from) || !doors.contacts.contains(&from);
        if blocked || opened.follows.begins() {
            return Arrival::Unwelcome.alone();
        }
        let session = opened.session;
        let before = OpenedBefore {
            from,
            session,
            fragment: opened.fragment,
            via: None,
        };
        self.opened.insert(seen, before);
        let contacts = &doors.contacts;
        let known = |peer: &PeerKey| contacts.is_known(peer);
        let follows = (opened.follows, opened.under);
        let (changes, _) = doors.sessions.take(now, follows, known);
        Taken {
            arrival: Arrival::Control {
                seen,
                from,
                session,
                control,
            },
            changes,
            guest: None,
            met_again: None,
            again,
        }
    }

    /// Nothing is known of a sender any more, but for what waits to be read. What is to be saved.
    pub(crate) fn forget_sender(&mut self, sender: &PeerKey) -> Vec<Change> {
        let mut changes = self.partials.forget(sender);
        changes.extend(self.done.forget(sender));
        changes.extend(self.order.forget(sender));
        changes
    }

    /// What was opened, and is saved now, or needs no saving, is not kept any more.
    pub(crate) fn settled(&mut self, seen: &SeenKey) {
        self.opened.remove(seen);
    }

    /// Opens an entry, or finds it opened: it was, and could not be saved.
    fn open(
        &self,
        doors: &Doors<'_>,
        seen: &SeenKey,
        entry: &StreamEntry,
    ) -> Result<Opened, RatchetError> {
        if let Some(before) = self.opened.get(seen) {
            return Ok(Opened {
                from: before.from,
                session: before.session,
                fragment: before.fragment.clone(),
                via: before.via,
                under: None,
                follows: Follows::again(before.session),
            });
        }
        let content = doors.owner.open(entry).map_err(|_| RatchetError::Bad)?;
        doors.sessions.open(doors.owner.keys(), &content)
    }

    /// Takes a fragment that was opened.
    fn take(
        &mut self,
        now: Time,
        contacts: &Contacts,
        (seen, sender, plaintext): (SeenKey, PeerKey, &[u8]),
        fragment: Fragment,
        trace: Vec<HopTrace>,
    ) -> Arrival {
        let envelope = fragment.envelope;
        if envelope.kind == Kind::Notice {
            let parts = BTreeMap::from([(fragment.index, fragment.part)]);
            // One is enough: a notice has one packet.
            return match fragment::join(fragment.shape, &parts) {
                Ok(text) => Arrival::Notice {
                    seen,
                    from: sender,
                    envelope,
                    note: Note::decode(&text),
                },
                Err(_) => Arrival::Bad,
            };
        }
        let is_text = envelope.kind == Kind::Text;
        if envelope.expires.is_some_and(|at| at <= now) && is_text {
            let mut changes = self.order.pass(now, sender, envelope.sequence, contacts);
            let message = envelope.message;
            // What is here of it is told to nobody either.
            changes.extend(self.partials.give_up(&InboxKey { sender, message }));
            return Arrival::Late { changes };
        }
        let key = InboxKey {
            sender,
            message: envelope.message,
        };
        if self.is_safe(&key) {
            return Arrival::Spare;
        }
        if !self.has_share(&sender, contacts) {
            return Arrival::ShareFull;
        }
        if is_text {
            self.order.heard(now, &sender, envelope.sequence);
        }
        if self.partials.contradicts(&key, &fragment) {
            return Arrival::Bad;
        }
        let index = fragment.index;
        let (outcome, mut changes) = self.put_together(now, key, fragment, contacts);
        let complete = (outcome == Outcome::Complete).then_some(key);
        if outcome == Outcome::Partial {
            let value = rows::encode_partial(now, plaintext);
            changes.push(Change::put(Table::Partial, key.partial(index), value));
        }
        changes.push(Change::put(
            Table::Seen,
            seen.to_bytes(),
            rows::encode_number(now.as_micros()),
        ));
        changes.extend(self.seen.add(seen, State::Saving));
        let kept = Kept {
            seen,
            complete,
            trace,
        };
        match outcome {
            Outcome::Spoilt => Arrival::Spoilt { changes, kept },
            Outcome::Complete | Outcome::Partial => Arrival::New {
                changes,
                kept,
                from: sender,
                envelope,
            },
        }
    }

    /// Whether a message is on disk, or was: told or not, read or not.
    fn is_safe(&self, key: &InboxKey) -> bool {
        match self.unread.get(key) {
            Some(unread) => unread.unsaved.is_none(),
            None => self.done.contains(key),
        }
    }

    /// Messages of a sender that wait to be read.
    fn unread_of(&self, sender: &PeerKey) -> impl Iterator<Item = &InboxKey> {
        let sender = *sender;
        let message = MessageId::new([0; 16]);
        let from = InboxKey { sender, message };
        let all = self.unread.range(from..).map(|(key, _)| key);
        all.take_while(move |key| key.sender == sender)
    }

    /// Whether one more message of a sender may wait to be read.
    fn has_share(&self, sender: &PeerKey, contacts: &Contacts) -> bool {
        if self.unread_of(sender).count() >= self.limits.unread_of_one {
            return false;
        }
        let is_stranger = |key: &&InboxKey| !contacts.is_known(&key.sender);
        let strangers = || self.unread.keys().filter(is_stranger).count();
        contacts.is_known(sender) || strangers() < self.limits.unread_of_strangers
    }

    /// What was saved with this is safe now. A message that it completed waits for its turn; whether
    /// it did.
    pub(crate) fn safe(&mut self, kept: Kept) -> bool {
        self.seen.safe(&kept.seen);
        self.opened.remove(&kept.seen);
        let whole = kept
            .complete
            .and_then(|key| Some((key, self.unread.get_mut(&key)?)));
        let Some((key, unread)) = whole.filter(|(_, unread)| unread.unsaved.is_some()) else {
            return false;
        };
        unread.unsaved = None;
        unread.trace = kept.trace;
        match unread.row.is_data {
            true => self.data.push_back(key),
            false => (self.order).wait(key, unread.row.sequence, unread.row.arrived),
        }
        true
    }

    /// Saving failed: when the mailbox pushes the fragment again, it is new again.
    pub(crate) fn forget(&mut self, kept: &Kept) {
        self.seen.forget(&kept.seen);
    }

    /// The next message whose turn it is to be told of.
    pub(crate) fn next_told(&mut self, now: Time, contacts: &Contacts) -> Option<Told> {
        loop {
            let Turn { key, gap } = self.order.next(now)?;
            let Some(unread) = self.unread.get_mut(&key).filter(|unread| !unread.told) else {
                continue;
            };
            let number = unread.row.sequence;
            let mut changes = self.order.told(now, key.sender, number, contacts);
            let over = unread.row.expires.is_some_and(|at| at <= now);
            if over || contacts.is_blocked(&key.sender) {
                // Nobody is told of it: it was its turn, and it goes.
                changes.push(self.remove(&key));
                self.unsaid.extend(changes);
                continue;
            }
            if let Some(gap) = gap.filter(|gap| *gap > 0) {
                unread.row.gap_before = gap;
                // Or a restart would tell it without.
                changes.push(put(&key, &unread.row));
            }
            return Some(Told {
                key,
                row: unread.tell(),
                trace: std::mem::take(&mut unread.trace),
                changes,
            });
        }
    }

    /// The next for a program to tell of.
    pub(crate) fn next_data(&mut self, contacts: &Contacts) -> Option<(InboxKey, InboxRow)> {
        loop {
            let key = self.data.pop_front()?;
            if contacts.is_blocked(&key.sender) {
                let gone = self.remove(&key);
                self.unsaid.push(gone);
                continue;
            }
            let Some(unread) = self.unread.get_mut(&key).filter(|unread| !unread.told) else {
                continue;
            };
            return Some((key, unread.tell()));
        }
    }

    /// What is to be saved of messages that nobody is told of.
    pub(crate) fn unsaid(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.unsaid)
    }

    /// When a message that waits for those before it has waited long enough, or one vanishes.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let told = self.unread.values().filter(|unread| unread.told);
        let vanishes = told.filter_map(|unread| unread.row.expires).min();
        self.order.deadline().into_iter().chain(vanishes).min()
    }

    /// A message that was told of, and whose time is over: it is here no more. What is to be saved.
    pub(crate) fn vanish(&mut self, now: Time) -> Option<(InboxKey, Change)> {
        let over = |unread: &Unread| unread.told && unread.row.expires.is_some_and(|at| at <= now);
        let key = *self.unread.iter().find(|(_, unread)| over(unread))?.0;
        Some((key, self.remove(&key)))
    }

    /// Whether a message that waits to be read is a text.
    pub(crate) fn is_text(&self, key: &InboxKey) -> bool {
        self.unread
            .get(key)
            .is_some_and(|unread| !unread.row.is_data)
    }

    /// Whether a text waits to be read, and who wrote it.
    pub(crate) fn writer_of(&self, message: &MessageId) -> Option<PeerKey> {
        let is_it = |(key, unread): &(&InboxKey, &Unread)| {
            key.message == *message && unread.told && !unread.row.is_data
        };
        self.unread.iter().find(is_it).map(|(key, _)| key.sender)
    }

    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.order.clock_moved(step);
    }

    /// The user has it: what to delete.
    pub(crate) fn read(&mut self, message: &MessageId) -> Vec<Change> {
        let told = |(key, unread): (&InboxKey, &Unread)| {
            (key.message == *message && unread.told).then_some(*key)
        };
        let read: Vec<InboxKey> = self.unread.iter().filter_map(told).collect();
        read.iter().map(|key| self.remove(key)).collect()
    }

    /// A message is here no more. What is to be saved.
    fn remove(&mut self, key: &InboxKey) -> Change {
        self.unread.remove(key);
        Change::delete(Table::Inbox, key.to_bytes())
    }

    /// Adds a fragment; what is to be saved or deleted for it, beside its own row.
    fn put_together(
        &mut self,
        now: Time,
        key: InboxKey,
        fragment: Fragment,
        contacts: &Contacts,
    ) -> (Outcome, Vec<Change>) {
        // The row of a message that is complete but could not be saved is saved anew.
        if let Some(unread) = self.unread.get(&key) {
            let mut changes = vec![put(&key, &unread.row)];
            changes.extend(unread.unsaved.iter().flatten().cloned());
            return (Outcome::Complete, changes);
        }
        self.partials.insert(key, fragment);
        let Some(whole) = self.partials.take_whole(&key) else {
            return (Outcome::Partial, self.partials.make_room(&key, contacts));
        };
        let mut with = whole.changes;
        with.extend(self.finish(now, key));
        let Some(text) = whole.text else {
            return (Outcome::Spoilt, with);
        };
        let row = InboxRow {
            arrived: now,
            sent_at: whole.envelope.sent_at,
            sequence: whole.envelope.sequence,
            reply: whole.envelope.reply,
            text,
            gap_before: 0,
            is_data: whole.envelope.kind == Kind::Data,
            expires: whole.envelope.expires,
        };
        let mut changes = vec![put(&key, &row)];
        changes.extend(with.iter().cloned());
        self.unread.insert(
            key,
            Unread {
                row,
                unsaved: Some(with),
                told: false,
                trace: Vec::new(),
            },
        );
        (Outcome::Complete, changes)
    }

    /// The message takes no more of its fragments, nor one of them again under another name; what is to be saved for
    /// that.
    fn finish(&mut self, now: Time, key: InboxKey) -> Vec<Change> {
        let at = rows::encode_number(now.as_micros());
        let mut changes = vec![Change::put(Table::Done, key.to_bytes(), at)];
        changes.extend(self.done.add(key));
        changes
    }
}

/// The row of a message to save.
fn put(key: &InboxKey, row: &InboxRow) -> Change {
    Change::put(Table::Inbox, key.to_bytes(), row.encode())
}

#[cfg(test)]
mod tests;
