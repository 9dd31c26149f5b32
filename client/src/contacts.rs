//! Whom this client knows: the next number of a message to each, the drop id for their answers, where they are
//! written to, whether they know where this client is, and what the user makes of them.
//!
//! A contact comes by an invitation, the own one or the other's. Who comes by an own one that is for many is a newcomer
//! until the user writes to him or verifies him: anybody can be many of these, so they have shares in common, are told
//! nothing, and the one who was heard of the longest ago is forgotten when there are too many.

use std::collections::{BTreeMap, BTreeSet};

use blake2::{Blake2b256, Digest};
use rand::CryptoRng;
use rand::seq::IndexedRandom as _;
use shoal_packet::Sites;
use shoal_packet::fragment::{Envelope, Kind};
use shoal_proto::Time;

use crate::clock::ClockStep;
use crate::error::{ClientError, SendError};
use crate::event::ContactStatus;
use crate::invitation::Invitation;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, Label, Mark, Row, Standing};
use crate::saved::first_number;
use crate::sessions::Sessions;
use crate::sets::IDS;
use crate::table::Table;

/// Notices of one place to one contact, each a time to live after the other. Then it is told by texts alone.
const MAX_NOTICES: u8 = 6;
/// Sites of one contact that are remembered.
const MAX_KNOWN: usize = 16;
/// Contacts that the user has taken for such.
const MOST: usize = 4096;

/// All contacts, by key.
#[derive(Default)]
pub(crate) struct Contacts {
    rows: BTreeMap<PeerKey, ContactRow>,
    /// The number of the first message to each.
    first: u64,
}

/// What the next message to a contact takes.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// The number of the drop id for answers.
    pub(crate) drop: u16,
    /// The contact gets a drop id that another one has as well.
    pub(crate) shared: bool,
    /// Where the message goes.
    pub(crate) sites: Sites,
    /// What a session is to be begun with, if one is.
    pub(crate) prekey: Option<PeerKey>,
}

/// What a contact has said of where it is.
pub(crate) struct News {
    /// The row to save.
    pub(crate) change: Change,
    /// Where what waits for it goes now, if that is somewhere else.
    pub(crate) moved: Option<Sites>,
    /// It uses a drop id of its own for the first time: the number of the invitation that it came by.
    pub(crate) left: Option<u32>,
}

/// What the user wants with a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactChange {
    /// It is called this from now on.
    Label(Label),
    /// The two have compared safety numbers, or have found them to differ.
    Verified(bool),
    /// Nothing goes to it and nothing that it writes is shown, or no longer so. It is not told.
    Blocked(bool),
    /// Both tell each other what they have read, if the other end wants it, too; or no longer so.
    Reads(bool),
}

impl Contacts {
    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        self.first = first_number(rows)?;
        for row in rows.iter().filter(|row| row.table == Table::Contact) {
            let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
            self.rows.insert(key, contact);
        }
        Ok(())
    }

    /// Whether somebody is a contact, if only a newcomer.
    pub(crate) fn contains(&self, contact: &PeerKey) -> bool {
        self.rows.contains_key(contact)
    }

    /// Whether the user has taken somebody for a contact.
    pub(crate) fn is_known(&self, contact: &PeerKey) -> bool {
        self.rows.get(contact).is_some_and(|row| row.standing.known)
    }

    pub(crate) fn is_blocked(&self, contact: &PeerKey) -> bool {
        self.rows
            .get(contact)
            .is_some_and(|row| row.standing.blocked)
    }

    /// Whether one more may be.
    pub(crate) fn has_room(&self) -> bool {
        self.rows.values().filter(|row| row.standing.known).count() < MOST
    }

    /// All, for the user: those who came first first.
    pub(crate) fn all(&self, sessions: &Sessions) -> Vec<ContactStatus> {
        let peers = sessions.peers();
        let status = |(key, row): (&PeerKey, &ContactRow)| row.status(*key, peers.contains(key));
        let mut all: Vec<ContactStatus> = self.rows.iter().map(status).collect();
        all.sort_by_key(|contact| (contact.since, contact.key));
        all
    }

    pub(crate) fn status(&self, contact: &PeerKey, sessions: &Sessions) -> Option<ContactStatus> {
        let row = self.rows.get(contact)?;
        Some(row.status(*contact, sessions.is_with(contact)))
    }

    /// Whether a contact is told that a message of its is here.
    pub(crate) fn is_told_of_deliveries(&self, contact: &PeerKey) -> bool {
        let row = self.rows.get(contact);
        row.is_some_and(|row| row.standing.verified && row.is_told())
    }

    /// Whether a contact is told that a message of its was read, and tells that.
    pub(crate) fn tells_reads(&self, contact: &PeerKey) -> bool {
        let row = self.rows.get(contact);
        row.is_some_and(|row| row.standing.reads && row.is_told())
    }

    /// The number of the drop id that a contact was given.
    pub(crate) fn drop(&self, contact: &PeerKey) -> Option<u16> {
        self.rows.get(contact)?.drop
    }

    /// The number of the own invitation that a contact came by, until it writes elsewhere.
    pub(crate) fn via(&self, contact: &PeerKey) -> Option<u32> {
        self.rows.get(contact)?.via
    }

    /// The row to save.
    pub(crate) fn saved(&self, contact: &PeerKey) -> Option<Change> {
        self.rows.get(contact).map(|row| row.change(contact))
    }

    /// The user accepts an invitation; there is no place of ours before the `newest` that its maker could know. Who is a
    /// contact already is met again: with another session, unless this invitation was accepted before. What it was before
    /// is given back, in case this can't be saved.
    pub(crate) fn accept(
        &mut self,
        now: Time,
        invitation: &Invitation,
        label: &Label,
        newest: u32,
    ) -> Option<ContactRow> {
        let before = self.rows.get(&invitation.key).cloned();
        let fresh = || ContactRow::new(now, newest, invitation.sites, self.first);
        let row = self.rows.entry(invitation.key).or_insert_with(fresh);
        row.standing.known = true;
        row.standing.blocked = false;
        // What somebody is called already stays: who wrote the file that an invitation came in may have named him anything.
        if row.label.is_empty() {
            row.label = label.clone();
        }
        if !row.known.contains(&mark(&invitation.sites)) {
            row.sites = invitation.sites;
            // It may count its texts anew: what it says next counts.
            row.said = (0, Time::default());
            row.prekey = Some(invitation.prekey);
            row.remember(&invitation.sites);
        }
        before
    }

    /// Back to what it was before it was accepted.
    pub(crate) fn take_back(&mut self, contact: &PeerKey, before: Option<ContactRow>) {
        match before {
            Some(row) => drop(self.rows.insert(*contact, row)),
            None => drop(self.rows.remove(contact)),
        }
    }

    /// Somebody has come by an own invitation. Who came by one for him alone is told at `tell` where contacts write to.
    /// The row to save.
    pub(crate) fn welcome(
        &mut self,
        now: Time,
        guest: PeerKey,
        (via, label): (u32, Label),
        (newest, tell): (u32, Option<Time>),
        envelope: &Envelope,
    ) -> Change {
        let mut row = ContactRow::new(now, newest, envelope.reply, self.first);
        row.standing.known = tell.is_some();
        row.tell = tell;
        row.via = Some(via);
        row.label = label;
        let change = row.change(&guest);
        self.rows.insert(guest, row);
        change
    }

    /// A contact has begun a session anew by an own invitation, for it alone or not: what it says of where it is next counts,
    /// though it may count its texts anew. What is to be saved.
    pub(crate) fn met_again(&mut self, contact: &PeerKey, alone: bool) -> Option<Change> {
        let row = self.rows.get_mut(contact)?;
        row.said = (0, Time::default());
        row.standing.known |= alone;
        Some(row.change(contact))
    }

    /// The number of the next text to a contact.
    pub(crate) fn number(&self, contact: &PeerKey) -> Option<u64> {
        self.rows.get(contact).map(|row| row.sequence)
    }

    /// A newcomer is forgotten. What is to be saved.
    pub(crate) fn forget_newcomer(&mut self, contact: &PeerKey) -> Option<Change> {
        let row = self.rows.get(contact)?;
        // Who is blocked stays so.
        if row.standing.known || row.standing.blocked {
            return None;
        }
        self.remove(contact).map(|(change, _)| change)
    }

    /// A contact is no more. What is to be saved, and the number of the drop id for its answers.
    pub(crate) fn remove(&mut self, contact: &PeerKey) -> Option<(Change, Option<u16>)> {
        let row = self.rows.remove(contact)?;
        let change = Change::delete(Table::Contact, contact.as_bytes().to_vec());
        Some((change, row.drop))
    }

    /// What the user wants with a contact; the drop id that takes nothing more from then on, if any. None if it is none.
    pub(crate) fn change(
        &mut self,
        contact: &PeerKey,
        change: ContactChange,
    ) -> Option<(Change, Option<u16>)> {
        let row = self.rows.get_mut(contact)?;
        let mut revoked = None;
        match change {
            ContactChange::Label(label) => row.label = label,
            ContactChange::Verified(verified) => {
                row.standing.verified = verified;
                row.standing.known |= verified;
            }
            ContactChange::Blocked(blocked) => {
                row.standing.blocked = blocked;
                if blocked {
                    // It is to have another one should it not be blocked any more.
                    revoked = row.drop.take();
                    row.tell = None;
                }
            }
            ContactChange::Reads(reads) => row.standing.reads = reads,
        }
        Some((row.change(contact), revoked))
    }

    /// What the next message to a contact takes. A drop id stays the contact's. It is drawn of those that take
    /// something, so that contacts of whom an old copy was restored meet by chance only what
    /// was given out since.
    pub(crate) fn plan<R: CryptoRng>(
        &self,
        contact: &PeerKey,
        revoked: impl Fn(u16) -> bool,
        rng: &mut R,
    ) -> Result<Plan, SendError> {
        let row = self.rows.get(contact).ok_or(SendError::UnknownContact)?;
        if row.standing.blocked {
            return Err(SendError::Blocked);
        }
        // One that was shared may have been revoked with the other's.
        let (drop, shared) = match row.drop.filter(|drop| !revoked(*drop)) {
            Some(drop) => (drop, false),
            None => {
                let taken: BTreeSet<u16> = self.rows.values().filter_map(|row| row.drop).collect();
                let good: Vec<u16> = (0..IDS).filter(|id| !revoked(*id)).collect();
                let is_free = |id: &&u16| !taken.contains(id);
                let free: Vec<&u16> = good.iter().filter(is_free).collect();
                let own = free.choose(rng).map(|id| **id);
                let any = own.or_else(|| good.choose(rng).copied());
                (any.ok_or(SendError::ContactsFull)?, own.is_none())
            }
        };
        Ok(Plan {
            number: row.sequence,
            drop,
            shared,
            sites: row.sites,
            prekey: row.prekey,
        })
    }

    /// Whether two contacts have the same drop id.
    pub(crate) fn share_drops(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut drops = self.rows.values().filter_map(|row| row.drop);
        !drops.all(|drop| seen.insert(drop))
    }

    /// Something is written to a contact: a text, which uses a number up, or something else. It is a known one by all but a
    /// notice. What is written says
    /// where this client is: there is no need to say so before `again`, if it has to be said. Returns the row to save.
    pub(crate) fn use_up(
        &mut self,
        contact: &PeerKey,
        plan: &Plan,
        kind: Kind,
        again: Time,
    ) -> Option<Change> {
        let row = self.rows.get_mut(contact)?;
        row.drop = Some(plan.drop);
        if kind == Kind::Text {
            row.sequence = plan.number.saturating_add(1);
        }
        row.standing.known |= kind != Kind::Notice;
        // The session is begun.
        row.prekey = None;
        row.tell = row.tell.map(|at| at.max(again));
        Some(row.change(contact))
    }

    /// The message of this number could not be saved: the number is free again, unless one came
    /// after it.
    pub(crate) fn free_number(&mut self, contact: &PeerKey, number: u64) {
        if let Some(row) = self.rows.get_mut(contact)
            && row.sequence == number.saturating_add(1)
        {
            row.sequence = number;
        }
    }

    /// A contact has written, to this place of ours if it was by its own drop id there, and says where it is.
    /// What is older than what it has said changes nothing of that.
    pub(crate) fn hear(
        &mut self,
        contact: &PeerKey,
        place: Option<u32>,
        newest: u32,
        envelope: &Envelope,
    ) -> Option<News> {
        let row = self.rows.get_mut(contact)?;
        let before = row.clone();
        let mut left = None;
        if let Some(place) = place {
            left = row.via.take();
            row.used = row.used.max(place);
            if row.used >= newest {
                row.tell = None;
            }
        }
        let said = (envelope.sequence, envelope.sent_at);
        if said >= row.said {
            row.said = said;
            row.sites = envelope.reply;
            row.remember(&envelope.reply);
        }
        // That the numbers go on is in the inbox' rows.
        let moved = row.sites != before.sites;
        let news = moved || left.is_some() || row.used != before.used || row.tell != before.tell;
        news.then(|| News {
            moved: moved.then_some(row.sites),
            change: row.change(contact),
            left,
        })
    }

    /// This client has moved to a new place: everybody who has not written to it and is to know is told, when `at` says
    /// for each. Returns the rows to save.
    pub(crate) fn moved(&mut self, newest: u32, mut at: impl FnMut() -> Time) -> Vec<Change> {
        let mut changes = Vec::new();
        for (contact, row) in &mut self.rows {
            if row.used < newest && row.is_told() {
                row.tell = Some(at());
                row.notices = 0;
                changes.push(row.change(contact));
            }
        }
        changes
    }

    /// Whether nobody is known who may still write to places before this one.
    pub(crate) fn all_use(&self, newest: u32) -> bool {
        let mut told = self.rows.values().filter(|row| row.is_told());
        told.all(|row| row.used >= newest)
    }

    /// Who is to be told first of where this client is, and when.
    pub(crate) fn next_to_tell(&self) -> Option<(Time, PeerKey)> {
        let waiting = self
            .rows
            .iter()
            .filter_map(|(key, row)| Some((row.tell?, *key)));
        waiting.min()
    }

    /// A contact is told, or could not be: the next time is at `again`. Returns the row to save.
    pub(crate) fn told(&mut self, contact: &PeerKey, again: Time, done: bool) -> Option<Change> {
        let row = self.rows.get_mut(contact)?;
        row.notices = row.notices.saturating_add(u8::from(done));
        row.tell = (row.notices < MAX_NOTICES).then_some(again);
        Some(row.change(contact))
    }

    /// Who is to be told later is told as much later as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for row in self.rows.values_mut() {
            row.tell = row.tell.map(|at| step.apply(at));
        }
    }
}

impl ContactRow {
    /// Of somebody who is met now.
    pub(crate) fn new(now: Time, newest: u32, sites: Sites, first: u64) -> Self {
        Self {
            sequence: first,
            drop: None,
            used: newest,
            tell: None,
            notices: 0,
            sites,
            said: (0, Time::default()),
            known: Vec::new(),
            standing: Standing::default(),
            prekey: None,
            via: None,
            since: Time::from_minutes(now.minutes()),
            label: Label::default(),
        }
    }

    /// Whether it is told of places.
    const fn is_told(&self) -> bool {
        self.standing.known && !self.standing.blocked
    }

    fn status(&self, key: PeerKey, has_session: bool) -> ContactStatus {
        ContactStatus {
            key,
            label: self.label.clone(),
            known: self.standing.known,
            verified: self.standing.verified,
            blocked: self.standing.blocked,
            reads: self.standing.reads,
            since: self.since,
            needs_invitation: self.is_told() && self.prekey.is_none() && !has_session,
        }
    }

    fn remember(&mut self, sites: &Sites) {
        let mark = mark(sites);
        self.known.retain(|known| *known != mark);
        self.known.push(mark);
        let over = self.known.len().saturating_sub(MAX_KNOWN);
        self.known.drain(..over);
    }

    fn change(&self, contact: &PeerKey) -> Change {
        Change::put(Table::Contact, contact.as_bytes().to_vec(), self.encode())
    }
}

/// A short hash of where somebody is written to.
fn mark(sites: &Sites) -> Mark {
    let hash = Blake2b256::new_with_prefix(b"shoal sites")
        .chain_update(sites.to_bytes())
        .finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::DropSite;
    use shoal_proto::{DropId, MessageId, NodeId};

    use super::*;

    fn contact() -> PeerKey {
        // The base point: a sound key whose secret nobody needs here.
        let mut bytes = [0; 32];
        bytes[0] = 9;
        PeerKey::parse(bytes).unwrap()
    }

    fn sites(fill: u8) -> Sites {
        let first = DropSite {
            provider: NodeId::new([fill; 32]),
            drop: DropId::new([fill; 32]),
        };
        Sites {
            first,
            second: None,
        }
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn invitation(fill: u8) -> Invitation {
        Invitation {
            network: [0; 8],
            key: contact(),
            prekey: contact(),
            sites: sites(fill),
            once: true,
            expires: at(1000),
            seen: None,
        }
    }

    fn accept(contacts: &mut Contacts, fill: u8) {
        let _ = contacts.accept(at(0), &invitation(fill), &Label::default(), 0);
    }

    fn met() -> Contacts {
        let mut contacts = Contacts::default();
        accept(&mut contacts, 1);
        contacts
    }

    fn plan(contacts: &Contacts) -> Plan {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        contacts.plan(&contact(), |_| false, rng).unwrap()
    }

    fn use_up(contacts: &mut Contacts, plan: &Plan) {
        let _ = contacts.use_up(&contact(), plan, Kind::Text, at(0));
    }

    fn says(sequence: u64, minute: u64, where_to: u8) -> Envelope {
        Envelope {
            kind: Kind::Text,
            message: MessageId::new([0; 16]),
            sequence,
            sent_at: at(60 * minute),
            expires: None,
            reply: sites(where_to),
        }
    }

    #[test]
    fn a_number_is_free_again_only_if_it_was_the_last() {
        let mut contacts = met();
        for number in 0..2 {
            let plan = plan(&contacts);
            assert_eq!(plan.number, number);
            use_up(&mut contacts, &plan);
        }
        contacts.free_number(&contact(), 0);
        assert_eq!(plan(&contacts).number, 2);
        contacts.free_number(&contact(), 1);
        assert_eq!(plan(&contacts).number, 1);
    }

    #[test]
    fn each_has_a_drop_id_of_its_own_while_there_are_some() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let mut contacts = Contacts::default();
        let mut seen = BTreeSet::new();
        // One takes nothing any more.
        let revoked = |number| number == 7;
        for n in 0..IDS {
            let key = crate::ClientKeys::generate(rng).public();
            let invitation = Invitation {
                key,
                ..invitation(1)
            };
            let _ = contacts.accept(at(0), &invitation, &Label::default(), 0);
            let plan = contacts.plan(&key, revoked, rng).unwrap();
            assert_eq!(plan.shared, n == IDS - 1);
            assert_eq!(seen.insert(plan.drop), n < IDS - 1);
            assert!(plan.drop != 7);
            let _ = contacts.use_up(&key, &plan, Kind::Text, at(0));
            assert_eq!(contacts.plan(&key, revoked, rng).unwrap().drop, plan.drop);
        }
        assert!(contacts.share_drops());
    }

    #[test]
    fn a_contact_is_written_to_where_it_said_last_or_where_a_new_invitation_leads() {
        let mut contacts = Contacts::default();
        let hear = |contacts: &mut Contacts, said: &Envelope| {
            let news = contacts.hear(&contact(), None, 0, said);
            news.and_then(|news| news.moved)
        };
        assert!(hear(&mut contacts, &says(0, 1, 9)).is_none(), "a stranger");
        accept(&mut contacts, 1);
        let goes = |contacts: &Contacts| plan(contacts).sites;
        assert!(goes(&contacts) == sites(1) && plan(&contacts).prekey.is_some());
        let first = plan(&contacts);
        use_up(&mut contacts, &first);
        assert!(plan(&contacts).prekey.is_none(), "the session is begun");
        assert_eq!(hear(&mut contacts, &says(0, 1, 2)), Some(sites(2)));
        assert_eq!(hear(&mut contacts, &says(5, 1, 3)), Some(sites(3)));
        // What overtook what was written before, a second part, and a notice that is older.
        assert_eq!(hear(&mut contacts, &says(4, 9, 2)), None);
        assert_eq!(hear(&mut contacts, &says(5, 1, 3)), None);
        assert_eq!(hear(&mut contacts, &says(5, 0, 2)), None);
        // A notice, and one that the next place sends before any text.
        assert_eq!(hear(&mut contacts, &says(5, 7, 4)), Some(sites(4)));
        // One that was accepted before changes nothing.
        accept(&mut contacts, 1);
        assert!(goes(&contacts) == sites(4) && plan(&contacts).prekey.is_none());
        accept(&mut contacts, 5);
        assert!(goes(&contacts) == sites(5) && plan(&contacts).prekey.is_some());
        let next = plan(&contacts);
        use_up(&mut contacts, &next);
        assert_eq!(hear(&mut contacts, &says(6, 8, 6)), Some(sites(6)));
        accept(&mut contacts, 5);
        assert_eq!(goes(&contacts), sites(6));
    }

    #[test]
    fn who_has_not_come_along_is_told_a_few_times() {
        let mut contacts = met();
        let first = plan(&contacts);
        use_up(&mut contacts, &first);
        assert!(contacts.next_to_tell().is_none() && contacts.all_use(0));
        assert_eq!(contacts.moved(2, || at(100)).len(), 1);
        assert!(!contacts.all_use(2));
        assert_eq!(contacts.next_to_tell(), Some((at(100), contact())));
        // A text says it as well.
        let text = plan(&contacts);
        let _ = contacts.use_up(&contact(), &text, Kind::Text, at(500));
        assert_eq!(contacts.next_to_tell(), Some((at(500), contact())));
        for notice in 1..=u64::from(MAX_NOTICES) {
            let again = at(500 + notice);
            let _ = contacts.told(&contact(), at(400), false);
            let _ = contacts.told(&contact(), again, true);
        }
        assert!(contacts.next_to_tell().is_none() && !contacts.all_use(2));
        let _ = contacts.moved(3, || at(900));
        // To an older place, and to one for strangers.
        for place in [Some(2), None] {
            let _ = contacts.hear(&contact(), place, 3, &says(0, 1, 1));
            assert!(contacts.next_to_tell().is_some());
        }
        let news = contacts.hear(&contact(), Some(3), 3, &says(0, 1, 1));
        assert!(news.is_some() && contacts.next_to_tell().is_none() && contacts.all_use(3));
    }

    /// Who is a newcomer, or blocked, is not told where this client is, and nothing waits for him.
    #[test]
    fn who_is_not_a_known_contact_is_told_nothing() {
        let mut contacts = Contacts::default();
        let of = (9, Label::default());
        let _ = contacts.welcome(at(0), contact(), of.clone(), (1, None), &says(0, 1, 1));
        assert!(contacts.contains(&contact()) && !contacts.is_known(&contact()));
        assert!(contacts.moved(2, || at(100)).is_empty() && contacts.all_use(2));
        // Until he is written to.
        let first = plan(&contacts);
        let _ = contacts.use_up(&contact(), &first, Kind::Notice, at(0));
        assert!(
            !contacts.is_known(&contact()),
            "a notice is no word of the user's"
        );
        use_up(&mut contacts, &first);
        assert_eq!(contacts.moved(2, || at(100)).len(), 1);
        let blocked = contacts.change(&contact(), ContactChange::Blocked(true));
        assert_eq!(blocked.unwrap().1, Some(first.drop));
        assert!(contacts.next_to_tell().is_none() && contacts.all_use(3));
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let refused = contacts.plan(&contact(), |_| false, rng);
        assert_eq!(refused.err(), Some(SendError::Blocked));
        assert!(contacts.moved(3, || at(100)).is_empty());
        assert!(contacts.forget_newcomer(&contact()).is_none());
        // And again from then on.
        let _ = contacts.change(&contact(), ContactChange::Blocked(false));
        assert!(plan(&contacts).number == 1 && contacts.moved(3, || at(100)).len() == 1);
        // Who comes alone by an invitation is told.
        let _ = contacts.welcome(at(0), contact(), of, (1, Some(at(5))), &says(0, 1, 1));
        assert_eq!(contacts.next_to_tell(), Some((at(5), contact())));
        assert_eq!(contacts.via(&contact()), Some(9));
        // And leaves it once he writes where contacts do.
        let news = contacts.hear(&contact(), Some(1), 1, &says(0, 1, 1));
        assert_eq!(news.and_then(|news| news.left), Some(9));
        let news = contacts.hear(&contact(), Some(1), 1, &says(1, 1, 2));
        assert_eq!(news.and_then(|news| news.left), None);
    }

    #[test]
    fn contacts_round_trip() {
        let mut contacts = Contacts::default();
        let fresh = |contacts: &Contacts| contacts.rows[&contact()].clone();
        accept(&mut contacts, 1);
        let mut rows = vec![fresh(&contacts)];
        let first = plan(&contacts);
        use_up(&mut contacts, &first);
        let _ = contacts.hear(&contact(), Some(3), 4, &says(8, 1, 2));
        let label = ContactChange::Label("Zo\u{eb}".parse().unwrap());
        let _ = contacts.change(&contact(), label);
        rows.push(fresh(&contacts));
        let _ = contacts.change(&contact(), ContactChange::Verified(true));
        let _ = contacts.change(&contact(), ContactChange::Blocked(true));
        rows.push(fresh(&contacts));
        let of = (9, Label::default());
        let _ = contacts.welcome(at(0), contact(), of, (1, Some(at(5))), &says(0, 1, 1));
        rows.push(fresh(&contacts));
        for row in rows {
            assert_eq!(ContactRow::decode(&row.encode()), Ok(row.clone()));
            let mut bytes = row.encode();
            bytes.push(0);
            assert!(ContactRow::decode(&bytes).is_err());
        }
    }
}
