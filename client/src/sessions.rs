//! Sessions: what is sent to each peer, and comes from it, under keys that are wiped as soon as they are used.
//!
//! A session is a double ratchet. It is begun by who has an invitation of the other, with the prekey that stands in it, and the
//! first answer makes it whole: until then each message says once more how it was begun. Where both begin one, both go
//! on with the one that they have opened something of last.
//!
//! Messages are opened by which session they are of, which only who opens the seal around them sees.

mod content;
mod far;
mod outer;
mod prekey;
mod ratchet;
mod session;
mod tag;

use std::collections::{BTreeMap, BTreeSet};

use rand::CryptoRng;
use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

pub(crate) use self::outer::Control;
use self::outer::{ExchangeId, WRAPPED};
pub(crate) use self::prekey::Prekey;
pub(crate) use self::ratchet::RatchetError;
use self::ratchet::{Ratchet, Sealed};
use self::session::{MOST_LATE, MOST_LATE_OF_STRANGER, Session, Step};
pub(crate) use self::tag::Tag;
use crate::clock::ClockStep;
use crate::error::ClientError;
use crate::keys::{ClientKeys, PeerKey};
use crate::rows::{Change, LateRow, Row, SessionRow};
use crate::table::Table;

/// Sessions with one peer.
const MOST_WITH_ONE: usize = 4;

/// All sessions, and the prekeys that others begin them with.
pub(crate) struct Sessions {
    by_tag: BTreeMap<Tag, Session>,
    /// By the number of the invitation that it was made with.
    prekeys: BTreeMap<u32, Prekey>,
    used: u64,
    /// Those with peers that were never written to.
    most_of_strangers: usize,
    /// How long something may come late.
    keep_for: Span,
}

/// A message of a session, opened.
pub(crate) struct Opened {
    /// Who wrote it.
    pub(crate) from: PeerKey,
    /// The session that it was opened in.
    pub(crate) session: Tag,
    /// A fragment, as it was encoded.
    pub(crate) fragment: Zeroizing<Vec<u8>>,
    /// The number of the invitation that the session was begun with, as far as the message says so.
    pub(crate) via: Option<u32>,
    /// The secret of the outer layer that it was wrapped under.
    pub(crate) under: Option<ExchangeId>,
    /// What follows once it is taken.
    pub(crate) follows: Follows,
}

/// What a message makes of its session.
pub(crate) struct Follows(Move);

enum Move {
    /// Nothing.
    Nothing,
    /// It goes on.
    Step(Tag, Box<Step>),
    /// It begins.
    New(Tag, Box<Session>),
    /// It was opened before, and could not be saved: all of it is saved now.
    Again(Tag),
}

impl Follows {
    /// What was opened before in this session could not be saved.
    pub(crate) const fn again(session: Tag) -> Self {
        Self(Move::Again(session))
    }

    /// Whether a session begins with it.
    pub(crate) const fn begins(&self) -> bool {
        matches!(self.0, Move::New(..))
    }
}

impl Sessions {
    /// None yet. Those of strangers are bounded by number, and what comes late is opened for so long.
    pub(crate) fn new(most_of_strangers: usize, keep_for: Span) -> Self {
        Self {
            by_tag: BTreeMap::new(),
            prekeys: BTreeMap::new(),
            used: 0,
            most_of_strangers,
            keep_for,
        }
    }

    /// Rebuilds them. Returns what is to be saved: rows that belong to nothing go.
    pub(crate) fn restore(&mut self, rows: &[Row], now: Time) -> Result<Vec<Change>, ClientError> {
        let of = |table| rows.iter().filter(move |row| row.table == table);
        for row in of(Table::Session) {
            let tag = row.key.as_slice().try_into().map(Tag::new);
            let tag = tag.map_err(|_| row.fault("the key is no session's"))?;
            let kept = SessionRow::decode(&row.value).map_err(|e| row.fault(e))?;
            let session = Session::from_row(&kept);
            let mut session = session.ok_or_else(|| row.fault("its ratchet can't be read"))?;
            session.outer.bound(now, self.keep_for);
            self.used = self.used.max(session.used);
            self.by_tag.insert(tag, session);
        }
        let mut stray = Vec::new();
        for row in of(Table::Late) {
            let (tag, number) = LateRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let kept = LateRow::decode(&row.value).map_err(|e| row.fault(e))?;
            // It was to go, and the disk had no room to say so.
            let Some(session) = self.by_tag.get_mut(&Tag::new(tag)) else {
                stray.push(Change::delete(Table::Late, row.key.clone()));
                continue;
            };
            let read = session.with_late(number, &kept);
            read.ok_or_else(|| row.fault("its ratchet can't be read"))?;
        }
        Ok(stray)
    }

    /// What is kept is as old as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for session in self.by_tag.values_mut() {
            session.clock_moved(step);
        }
    }

    /// Sessions may be begun by an invitation of this number.
    pub(crate) fn add_prekey(&mut self, invitation: u32, prekey: Prekey) {
        self.prekeys.insert(invitation, prekey);
    }

    /// None is begun by it any more: its prekey is wiped.
    pub(crate) fn remove_prekey(&mut self, invitation: u32) {
        self.prekeys.remove(&invitation);
    }

    /// What those begin a session with who come by this invitation.
    pub(crate) fn prekey(&self, invitation: u32) -> Option<PeerKey> {
        self.prekeys.get(&invitation).map(Prekey::public)
    }

    /// Forgets those with nobody who is known. What is to be saved.
    pub(crate) fn retain_with(&mut self, is_there: impl Fn(&PeerKey) -> bool) -> Vec<Change> {
        let peers = self.by_tag.values().map(|session| session.peer);
        let gone: Vec<PeerKey> = peers.filter(|peer| !is_there(peer)).collect();
        gone.iter().flat_map(|peer| self.forget(peer)).collect()
    }

    /// Forgets all sessions with a peer. What is to be saved.
    pub(crate) fn forget(&mut self, peer: &PeerKey) -> Vec<Change> {
        let own = self.by_tag.iter().filter(|(_, it)| it.peer == *peer);
        let own: Vec<Tag> = own.map(|(tag, _)| *tag).collect();
        let gone = own.into_iter().filter_map(|tag| {
            let session = self.by_tag.remove(&tag)?;
            Some(session.forgotten(&tag))
        });
        gone.flatten().collect()
    }

    /// Whether a peer can be written to without a prekey of its.
    pub(crate) fn is_with(&self, peer: &PeerKey) -> bool {
        self.latest(peer).is_some()
    }

    /// All those.
    pub(crate) fn peers(&self) -> BTreeSet<PeerKey> {
        self.by_tag.values().map(|session| session.peer).collect()
    }

    /// The session with a peer that was used last.
    fn latest(&self, peer: &PeerKey) -> Option<Tag> {
        let own = self
            .by_tag
            .iter()
            .filter(|(_, session)| session.peer == *peer);
        own.max_by_key(|(_, session)| session.used)
            .map(|(tag, _)| *tag)
    }

    /// Seals a fragment for a peer: in a session that begins with this prekey, if there is one, and else in the one that
    /// there is. What is inside the seal, and what is to be saved before that leaves. None without either, or if they
    /// give no secret.
    pub(crate) fn seal(
        &mut self,
        keys: &ClientKeys,
        (to, prekey): (&PeerKey, Option<&PeerKey>),
        fragment: &[u8],
    ) -> Option<(Zeroizing<Vec<u8>>, Change)> {
        let tag = match (prekey, self.latest(to)) {
            (None, latest) => latest?,
            (Some(prekey), _) => {
                let ratchet = Ratchet::begin(keys, to, prekey)?;
                let tag = ratchet.tag();
                self.used += 1;
                let mut session = Session::new(*to, ratchet, None);
                session.used = self.used;
                self.by_tag.insert(tag, session);
                tag
            }
        };
        self.seal_in(&tag, fragment)
    }

    /// Seals it in this session.
    fn seal_in(&mut self, tag: &Tag, fragment: &[u8]) -> Option<(Zeroizing<Vec<u8>>, Change)> {
        let session = self.by_tag.get_mut(tag)?;
        let (first, message) = session.seal(fragment)?;
        let content = content::encode(tag, first, &message)?;
        // What may be the first of a session has no room for it, nor a secret.
        let wrapped = match first {
            true => None,
            false => session.outer.wrap(&content),
        };
        Some((wrapped.unwrap_or(content), session.saved(tag)))
    }

    /// What is to be told of keys with something that is sent to a peer: what answers to an offer, or an offer, which of the
    /// two ends the one makes whose key is smaller. What is inside the seal, and what is to be saved.
    pub(crate) fn tell_keys<R: CryptoRng>(
        &mut self,
        (now, rng): (Time, &mut R),
        own: &PeerKey,
        peer: &PeerKey,
    ) -> Option<(Zeroizing<Vec<u8>>, Change)> {
        let tag = self.latest(peer)?;
        let session = self.by_tag.get_mut(&tag)?;
        let control = match session.outer.answer() {
            Some(answer) => answer,
            None => {
                let offers = own < peer && session.is_whole() && session.outer.is_due(now);
                offers.then(|| session.outer.offer(now, rng))?
            }
        };
        self.seal_in(&tag, &control.encode())
    }

    /// The other end of a session tells something of keys. What is to be saved.
    pub(crate) fn control<R: CryptoRng>(
        &mut self,
        with: (Time, &mut R),
        own: &PeerKey,
        (tag, control): (&Tag, &Control),
    ) -> Option<Change> {
        let session = self.by_tag.get_mut(tag)?;
        let news = match control {
            // Of the two ends one offers.
            Control::Offer(..) if session.peer > *own => false,
            Control::Offer(id, key) => session.outer.take_offer(with, tag, (id, key)),
            Control::Answer(id, ciphertext) => session.outer.answered(tag, (id, ciphertext)),
        };
        news.then(|| session.saved(tag))
    }

    /// Opens what was inside a seal. Nothing changes before [`Sessions::take`].
    ///
    /// # Errors
    /// [`RatchetError`]: it was opened before, or it is altered, of no session and begins none.
    pub(crate) fn open(&self, keys: &ClientKeys, content: &[u8]) -> Result<Opened, RatchetError> {
        let (unwrapped, under) = match content.first() {
            Some(&WRAPPED) => {
                let id = outer::secret_of(content).ok_or(RatchetError::Bad)?;
                let mut sessions = self.by_tag.values();
                let session = sessions.find(|session| session.outer.has(&id));
                let inner = session.and_then(|session| session.outer.unwrap(content));
                (Some(inner.ok_or(RatchetError::Bad)?), Some(id))
            }
            _ => (None, None),
        };
        let content = unwrapped.as_deref().map_or(content, Vec::as_slice);
        let (tag, message) = content::decode(content).ok_or(RatchetError::Bad)?;
        // A secret is of one session only.
        let own = |id: &ExchangeId| self.by_tag.get(&tag).is_some_and(|it| it.outer.has(id));
        if under.as_ref().is_some_and(|id| !own(id)) {
            return Err(RatchetError::Bad);
        }
        let Some(session) = self.by_tag.get(&tag) else {
            return self.begun(keys, tag, &message).ok_or(RatchetError::Bad);
        };
        let via = message
            .begins()
            .and_then(|(_, prekey, _)| self.invitation_of(&prekey));
        let (fragment, follows) = match session.open(&message) {
            Ok((fragment, Some(step))) => (fragment, Move::Step(tag, Box::new(step))),
            Ok((fragment, None)) => (fragment, Move::Nothing),
            // One before the first that came: it says how the session was begun, and that is still so.
            Err(error) => {
                let begun = self.begun(keys, tag, &message).ok_or(error)?;
                (begun.fragment, Move::Nothing)
            }
        };
        Ok(Opened {
            from: session.peer,
            session: tag,
            fragment,
            via,
            under,
            follows: Follows(follows),
        })
    }

    /// The invitation that this prekey is of.
    fn invitation_of(&self, prekey: &[u8; 32]) -> Option<u32> {
        let mut prekeys = self.prekeys.iter();
        let own = prekeys.find(|(_, own)| own.public().as_bytes() == prekey);
        own.map(|(number, _)| *number)
    }

    /// The first message of a session with a prekey of ours.
    fn begun(&self, keys: &ClientKeys, tag: Tag, message: &Sealed) -> Option<Opened> {
        let (from, prekey, named) = message.begins()?;
        let from = PeerKey::parse(from).ok().filter(|_| named == tag)?;
        let via = self.invitation_of(&prekey)?;
        let prekey = self.prekeys.get(&via)?;
        let (ratchet, fragment) = Ratchet::accept(keys, prekey, message)?;
        let session = Session::new(from, ratchet, Some(message));
        Some(Opened {
            from,
            session: tag,
            fragment,
            via: Some(via),
            under: None,
            follows: Follows(Move::New(tag, Box::new(session))),
        })
    }

    /// What was opened is taken: what is to be saved with it, and of whom no session is left for that. Those are strangers
    /// who are not `known`.
    pub(crate) fn take(
        &mut self,
        now: Time,
        (follows, under): (Follows, Option<ExchangeId>),
        known: impl Fn(&PeerKey) -> bool,
    ) -> (Vec<Change>, Option<PeerKey>) {
        let mut lost = None;
        let (tag, mut changes) = match follows.0 {
            Move::Nothing => return (Vec::new(), None),
            Move::Again(tag) => {
                let session = self.by_tag.get(&tag);
                let saved = session.map_or_else(Vec::new, |session| session.saved_whole(&tag));
                return (saved, None);
            }
            Move::Step(tag, step) => {
                let Some(session) = self.by_tag.get_mut(&tag) else {
                    return (Vec::new(), None);
                };
                let most = match known(&session.peer) {
                    true => MOST_LATE,
                    false => MOST_LATE_OF_STRANGER,
                };
                // An old text of an old session does not bring that back.
                if step.turns {
                    self.used += 1;
                    session.used = self.used;
                }
                if let Some(id) = &under {
                    session.outer.shown(id, (now, self.keep_for));
                }
                session.outer.sweep(now);
                (tag, session.take(&tag, *step, (now, self.keep_for, most)))
            }
            Move::New(tag, mut session) => {
                let peer = session.peer;
                self.used += 1;
                session.used = self.used;
                self.by_tag.insert(tag, *session);
                let own = |other: &PeerKey| *other == peer;
                let (_, mut changes) = self.make_room(MOST_WITH_ONE, &tag, own);
                if !known(&peer) {
                    let (gone, more) =
                        self.make_room(self.most_of_strangers, &tag, |it| !known(it));
                    lost = gone.filter(|peer| !self.is_with(peer));
                    changes.extend(more);
                }
                (tag, changes)
            }
        };
        changes.extend(self.by_tag.get(&tag).map(|session| session.saved(&tag)));
        (changes, lost)
    }

    /// Forgets the session that was used least, beside this one, of those with these peers, if there are more than so many:
    /// with whom it was, and what is to be saved.
    fn make_room(
        &mut self,
        most: usize,
        beside: &Tag,
        with: impl Fn(&PeerKey) -> bool,
    ) -> (Option<PeerKey>, Vec<Change>) {
        let those = || {
            self.by_tag
                .iter()
                .filter(|(_, session)| with(&session.peer))
        };
        if those().count() <= most {
            return (None, Vec::new());
        }
        let old = those().filter(|(tag, _)| *tag != beside);
        let first = old.min_by_key(|(_, session)| session.used);
        let gone = first.map(|(tag, _)| *tag);
        let gone = gone.and_then(|tag| Some((tag, self.by_tag.remove(&tag)?)));
        match gone {
            Some((tag, session)) => (Some(session.peer), session.forgotten(&tag)),
            None => (None, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
