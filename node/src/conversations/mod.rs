//! What was said with each contact, kept for who shows it: both sides' texts, in the order in which they were accepted here
//! or came.
//!
//! What is here decides, and is driven by who hosts it: it keeps no text, and reads no clock. A line is two rows: what is
//! known of it, which is in memory too, and its text, which is read when it is shown.
//!
//! * [`row`]: the two rows of a line.

mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use shoal_client::{Change, PeerKey, Row, Table};
use shoal_proto::{MessageId, Time};
use zeroize::Zeroizing;

pub(crate) use self::row::text_key;

/// What becomes of an own text in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It is at the contact's mailbox.
    Stored,
    /// The contact has it.
    Delivered,
    /// The contact has read it.
    Read,
    /// Its time was over before it was stored.
    Expired,
}

/// A line, but for its text. The contact's and the number make its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its place in the conversation; grows.
    pub(crate) number: u64,
    /// Its sender's id of it.
    pub(crate) message: MessageId,
    /// We wrote it.
    pub(crate) own: bool,
    /// The minute in which it was written, by its writer's clock.
    pub(crate) at: Time,
    /// When it is deleted, if its writer wants it so.
    pub(crate) expires: Option<Time>,
    /// How many of the contact's right before it had not come.
    pub(crate) gap_before: u64,
    /// What became of an own one.
    pub(crate) fate: Option<Fate>,
    /// It came, and nobody has said that it was read.
    pub(crate) unread: bool,
    /// It is on disk.
    saved: bool,
}

impl Line {
    /// Whether there is nothing more to wait for, so that it may give way to later ones.
    const fn is_settled(&self) -> bool {
        match self.own {
            true => self.fate.is_some(),
            false => !self.unread,
        }
    }
}

/// A text that comes.
pub(crate) struct Incoming<'a> {
    pub(crate) message: MessageId,
    pub(crate) text: &'a [u8],
    pub(crate) at: Time,
    pub(crate) expires: Option<Time>,
    pub(crate) gap_before: u64,
}

/// An own text that the client role is being given.
struct Composing {
    request: u64,
    to: PeerKey,
    text: Zeroizing<Vec<u8>>,
    at: Time,
    expires: Option<Time>,
}

/// One conversation.
#[derive(Default)]
struct Talk {
    lines: BTreeMap<u64, Line>,
    /// The number of the next line.
    next: u64,
}

/// Whether a row is a line's.
pub(crate) fn is_line(row: &Row) -> bool {
    row::decode(row).is_some()
}

/// Whether a row is that of a line with this contact.
pub(crate) fn is_line_with(row: &Row, with: &PeerKey) -> bool {
    row.table == Table::Line && row.key.starts_with(with.as_bytes())
}

/// Where a line stands.
type Place = (PeerKey, u64);

/// All conversations.
pub(crate) struct Conversations {
    /// So many lines of each are kept, besides those that are unread or on their way.
    kept: usize,
    talks: BTreeMap<PeerKey, Talk>,
    /// Own ones, by what the client role calls them.
    own: BTreeMap<MessageId, Place>,
    /// Contacts', by whose they are and what those call them.
    theirs: BTreeMap<(PeerKey, MessageId), u64>,
    /// Those that are deleted at a time.
    expiring: BTreeSet<(Time, PeerKey, u64)>,
    composing: Option<Composing>,
    /// Own ones that wait for the disk, by the request that they were handed over with.
    pending: BTreeMap<u64, Place>,
}

impl Conversations {
    /// With what an earlier run has stored.
    ///
    /// # Errors
    /// A row is damaged.
    pub(crate) fn restore(rows: &[Row], kept: usize) -> Result<Self, &'static str> {
        let mut all = Self {
            kept,
            talks: BTreeMap::new(),
            own: BTreeMap::new(),
            theirs: BTreeMap::new(),
            expiring: BTreeSet::new(),
            composing: None,
            pending: BTreeMap::new(),
        };
        for row in rows.iter().filter(|row| row.table == Table::Line) {
            let (with, line) = row::decode(row).ok_or("a row of the table line can't be read")?;
            all.insert(with, line);
        }
        Ok(all)
    }

    fn insert(&mut self, with: PeerKey, line: Line) {
        let number = line.number;
        match line.own {
            true => drop(self.own.insert(line.message, (with, number))),
            false => drop(self.theirs.insert((with, line.message), number)),
        }
        if let Some(expires) = line.expires {
            self.expiring.insert((expires, with, number));
        }
        let talk = self.talks.entry(with).or_default();
        talk.next = talk.next.max(number.saturating_add(1));
        talk.lines.insert(number, line);
    }

    fn remove(&mut self, (with, number): Place) -> Vec<Change> {
        let talk = self.talks.get_mut(&with);
        let Some(line) = talk.and_then(|talk| talk.lines.remove(&number)) else {
            return Vec::new();
        };
        match line.own {
            true => drop(self.own.remove(&line.message)),
            false => drop(self.theirs.remove(&(with, line.message))),
        }
        if let Some(expires) = line.expires {
            self.expiring.remove(&(expires, with, number));
        }
        row::delete(&with, number)
    }

    fn line_mut(&mut self, (with, number): Place) -> Option<&mut Line> {
        self.talks.get_mut(&with)?.lines.get_mut(&number)
    }

    /// Adds a line, and has those give way that are too many.
    fn add(&mut self, with: PeerKey, line: Line, text: &[u8]) -> Vec<Change> {
        let mut changes = row::put(&with, &line, text);
        self.insert(with, line);
        changes.extend(self.trim(with));
        changes
    }

    /// The oldest give way while there are too many, but none that is unread or on its way.
    fn trim(&mut self, with: PeerKey) -> Vec<Change> {
        let Some(talk) = self.talks.get(&with) else {
            return Vec::new();
        };
        let excess = talk.lines.len().saturating_sub(self.kept);
        let settled = talk.lines.values().filter(|line| line.is_settled());
        let numbers: Vec<u64> = settled.map(|line| line.number).take(excess).collect();
        let numbers = numbers.into_iter();
        numbers
            .flat_map(|number| self.remove((with, number)))
            .collect()
    }

    // --- Own texts ---

    /// The client role is given a text next: the first new message that it asks to save is this one.
    pub(crate) fn compose(
        &mut self,
        request: u64,
        to: PeerKey,
        text: &[u8],
        (at, expires): (Time, Option<Time>),
    ) {
        self.composing = Some(Composing {
            request,
            to,
            text: Zeroizing::new(text.to_vec()),
            at,
            expires,
        });
    }

    /// The client role has done what it does at once with what it was given.
    pub(crate) fn composed(&mut self) {
        self.composing = None;
    }

    /// The line of a new message, which is saved with it; none if it is not what was composed.
    pub(crate) fn accompany(&mut self, message: MessageId) -> Vec<Change> {
        let Some(composing) = self.composing.take() else {
            return Vec::new();
        };
        let with = composing.to;
        let number = self.talks.get(&with).map_or(0, |talk| talk.next);
        let line = Line {
            number,
            message,
            own: true,
            at: composing.at,
            expires: composing.expires,
            gap_before: 0,
            fate: None,
            unread: false,
            saved: true,
        };
        self.pending.insert(composing.request, (with, number));
        self.add(with, line, &composing.text)
    }

    /// The message that was handed over with this request is on disk, and its line is.
    pub(crate) fn accepted(&mut self, request: u64) {
        self.pending.remove(&request);
    }

    /// It is not, nor is its line.
    pub(crate) fn refused(&mut self, request: u64) {
        if let Some(place) = self.pending.remove(&request) {
            // There is nothing on disk to be deleted.
            self.remove(place);
        }
    }

    /// What has become of an own text: what to save. What is known is not unsaid.
    pub(crate) fn became(&mut self, message: &MessageId, fate: Fate) -> Vec<Change> {
        let Some(&place) = self.own.get(message) else {
            return Vec::new();
        };
        let Some(line) = self.line_mut(place).filter(|line| line.fate < Some(fate)) else {
            return Vec::new();
        };
        line.fate = Some(fate);
        let mut changes = vec![row::put_line(&place.0, line)];
        changes.extend(self.trim(place.0));
        changes
    }

    // --- Contacts' texts ---

    /// A text came, or is told of again after a restart: where it stands, and what to save if it is new.
    pub(crate) fn came(&mut self, from: PeerKey, incoming: &Incoming<'_>) -> (u64, Vec<Change>) {
        let message = incoming.message;
        if let Some(&number) = self.theirs.get(&(from, message)) {
            if let Some(line) = self.line_mut((from, number)) {
                line.unread = true;
            }
            return (number, Vec::new());
        }
        let number = self.talks.get(&from).map_or(0, |talk| talk.next);
        let line = Line {
            number,
            message,
            own: false,
            at: incoming.at,
            expires: incoming.expires,
            gap_before: incoming.gap_before,
            fate: None,
            unread: true,
            saved: false,
        };
        (number, self.add(from, line, incoming.text))
    }

    /// A line is on disk.
    pub(crate) fn saved(&mut self, with: PeerKey, number: u64) {
        if let Some(line) = self.line_mut((with, number)) {
            line.saved = true;
        }
    }

    /// What to save of a text that came before it may be forgotten elsewhere: nothing if its line is on disk, or none is kept.
    pub(crate) fn unsaved(
        &self,
        from: &PeerKey,
        message: MessageId,
        text: &[u8],
    ) -> Option<(u64, Vec<Change>)> {
        let number = *self.theirs.get(&(*from, message))?;
        let line = self.talks.get(from)?.lines.get(&number)?;
        (!line.saved).then(|| (number, row::put(from, line, text)))
    }

    /// The user has read a text that came.
    pub(crate) fn read(&mut self, from: &PeerKey, message: MessageId) -> Vec<Change> {
        let Some(&number) = self.theirs.get(&(*from, message)) else {
            return Vec::new();
        };
        let mut expires = None;
        if let Some(line) = self.line_mut((*from, number)) {
            line.unread = false;
            expires = line.expires;
        }
        if let Some(expires) = expires {
            // It may have been over before it was read.
            self.expiring.insert((expires, *from, number));
        }
        self.trim(*from)
    }

    /// A text that came is deleted: its time was over before it was read.
    pub(crate) fn vanished(&mut self, from: &PeerKey, message: MessageId) -> Vec<Change> {
        match self.theirs.get(&(*from, message)) {
            Some(&number) => self.remove((*from, number)),
            None => Vec::new(),
        }
    }

    // --- All ---

    /// When the next line is deleted.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.expiring.first().map(|(time, ..)| *time)
    }

    /// Those whose time is over are deleted: what is unread, once the client role says so.
    pub(crate) fn tidy(&mut self, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(&(time, with, number)) =
            self.expiring.first().filter(|(time, ..)| *time <= now)
        {
            let unread = self
                .line_mut((with, number))
                .is_some_and(|line| line.unread);
            self.expiring.remove(&(time, with, number));
            if !unread {
                changes.extend(self.remove((with, number)));
            }
        }
        changes
    }

    /// Forgets what was said with a contact, but what is unread or on its way.
    pub(crate) fn clear(&mut self, with: &PeerKey) -> Vec<Change> {
        let settled = |line: &&Line| line.is_settled();
        let lines = self
            .talks
            .get(with)
            .into_iter()
            .flat_map(|it| it.lines.values());
        let numbers: Vec<u64> = lines.filter(settled).map(|line| line.number).collect();
        let numbers = numbers.into_iter();
        numbers
            .flat_map(|number| self.remove((*with, number)))
            .collect()
    }

    /// Forgets all that was said with a contact, who is none any more.
    pub(crate) fn forget(&mut self, with: &PeerKey) -> Vec<Change> {
        let talk = self.talks.get(with);
        let numbers: Vec<u64> = talk.map_or_else(Vec::new, |it| it.lines.keys().copied().collect());
        let changes = numbers
            .into_iter()
            .flat_map(|number| self.remove((*with, number)))
            .collect();
        self.talks.remove(with);
        changes
    }

    /// With whom there are any.
    pub(crate) fn with(&self) -> impl Iterator<Item = &PeerKey> {
        self.talks.keys()
    }

    /// Lines before a number, or the last ones: at most so many, those said last first.
    pub(crate) fn lines(&self, with: &PeerKey, before: Option<u64>) -> impl Iterator<Item = &Line> {
        let lines = self.talks.get(with).into_iter();
        lines.flat_map(move |talk| {
            talk.lines
                .range(..before.unwrap_or(u64::MAX))
                .rev()
                .map(|it| it.1)
        })
    }

    /// Own ones of which it is not known what became of them.
    pub(crate) fn open(&self) -> impl Iterator<Item = MessageId> {
        let lines = self.talks.values().flat_map(|talk| talk.lines.values());
        lines
            .filter(|line| line.own && line.fate < Some(Fate::Read))
            .map(|line| line.message)
    }
}
