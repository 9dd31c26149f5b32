//! Who this client has written to: the next number of a message to each, the drop id for their
//! answers, where they are written to, and whether they know where this client is.

use std::collections::{BTreeMap, BTreeSet};

use blake2::{Blake2b256, Digest};
use rand::seq::IndexedRandom as _;
use rand::{CryptoRng, RngExt as _};
use shoal_packet::Sites;
use shoal_packet::fragment::Envelope;
use shoal_proto::Time;

use crate::clock::ClockStep;
use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, Mark, Row};
use crate::sets::CONTACT_IDS;
use crate::table::Table;

/// Notices of one place to one contact, each a time to live after the other. Then it is told by texts alone.
const MAX_NOTICES: u8 = 6;
/// Sites of one contact that are remembered.
const MAX_KNOWN: usize = 16;

/// All contacts, by key.
#[derive(Default)]
pub(crate) struct Contacts {
    rows: BTreeMap<PeerKey, ContactRow>,
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
}

/// What a contact has said of where it is.
pub(crate) struct News {
    /// The row to save.
    pub(crate) change: Change,
    /// Where what waits for it goes now, if that is somewhere else.
    pub(crate) moved: Option<Sites>,
}

impl Contacts {
    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Contact) {
            let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
            self.rows.insert(key, contact);
        }
        Ok(())
    }

    /// Whether this client has written to somebody.
    pub(crate) fn contains(&self, contact: &PeerKey) -> bool {
        self.rows.contains_key(contact)
    }

    /// What the next message to a contact takes, whom the user writes to at `given`. A drop id stays the
    /// contact's. It is drawn, so that contacts of whom an old copy was restored meet by chance only what
    /// was given out since.
    pub(crate) fn plan<R: CryptoRng>(&self, contact: &PeerKey, given: &Sites, rng: &mut R) -> Plan {
        if let Some(known) = self.rows.get(contact) {
            // What the contact has told since counts; what nobody has seen before is news from the user.
            let sites = match known.known.contains(&mark(given)) {
                true => known.sites,
                false => *given,
            };
            return known.plan(sites);
        }
        let taken: BTreeSet<u16> = self.rows.values().map(|row| row.drop).collect();
        let free: Vec<u16> = (0..CONTACT_IDS).filter(|id| !taken.contains(id)).collect();
        let own = free.choose(rng).copied();
        Plan {
            number: 0,
            drop: own.unwrap_or_else(|| rng.random_range(0..CONTACT_IDS)),
            shared: own.is_none(),
            sites: *given,
        }
    }

    /// What a notice to a contact takes: the number of the next text, which stays free.
    pub(crate) fn plan_notice(&self, contact: &PeerKey) -> Option<Plan> {
        let known = self.rows.get(contact)?;
        Some(known.plan(known.sites))
    }

    /// Whether two contacts have the same drop id.
    pub(crate) fn share_drops(&self) -> bool {
        let mut seen = BTreeSet::new();
        let mut drops = self.rows.values().map(|row| row.drop);
        !drops.all(|drop| seen.insert(drop))
    }

    /// Uses a number up; the contact becomes one with it. The text says where this client is: there is no need
    /// to say so before `again`, if it has to be said. Who is new knows no place before the `newest`. Returns the
    /// row to save.
    pub(crate) fn use_up(
        &mut self,
        contact: PeerKey,
        plan: &Plan,
        given: &Sites,
        (again, newest): (Time, u32),
    ) -> Change {
        let fresh = || ContactRow {
            sequence: 0,
            drop: plan.drop,
            used: newest,
            tell: None,
            notices: 0,
            sites: plan.sites,
            said: (0, Time::default()),
            known: Vec::new(),
        };
        let row = self.rows.entry(contact).or_insert_with(fresh);
        row.sequence = plan.number.saturating_add(1);
        row.sites = plan.sites;
        row.remember(given);
        row.tell = row.tell.map(|at| at.max(again));
        row.change(&contact)
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

    /// A contact has written, to this place of ours if it is one for contacts, and says where it is.
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
        if let Some(place) = place {
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
        let news = moved || row.used != before.used || row.tell != before.tell;
        news.then(|| News {
            moved: moved.then_some(row.sites),
            change: row.change(contact),
        })
    }

    /// This client has moved to a new place: everybody who has not written to it is told, when `at` says for
    /// each. Returns the rows to save.
    pub(crate) fn moved(&mut self, newest: u32, mut at: impl FnMut() -> Time) -> Vec<Change> {
        let mut changes = Vec::new();
        for (contact, row) in &mut self.rows {
            if row.used < newest {
                row.tell = Some(at());
                row.notices = 0;
                changes.push(row.change(contact));
            }
        }
        changes
    }

    /// Whether nobody is known who may still write to places before this one.
    pub(crate) fn all_use(&self, newest: u32) -> bool {
        self.rows.values().all(|row| row.used >= newest)
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
    const fn plan(&self, sites: Sites) -> Plan {
        Plan {
            number: self.sequence,
            drop: self.drop,
            shared: false,
            sites,
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
    use shoal_packet::fragment::Kind;
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

    fn plan(contacts: &Contacts) -> Plan {
        contacts.plan(&contact(), &sites(1), &mut ChaCha20Rng::seed_from_u64(2))
    }

    fn use_up(contacts: &mut Contacts, plan: &Plan, given: &Sites) {
        let _ = contacts.use_up(contact(), plan, given, (at(0), 0));
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
        let mut contacts = Contacts::default();
        for number in 0..2 {
            let plan = plan(&contacts);
            assert_eq!(plan.number, number);
            use_up(&mut contacts, &plan, &sites(1));
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
        for n in 0..CONTACT_IDS + 1 {
            let keys = crate::ClientKeys::generate(rng);
            let plan = contacts.plan(&keys.public(), &sites(1), rng);
            assert_eq!(plan.shared, n == CONTACT_IDS);
            assert_eq!(seen.insert(plan.drop), n < CONTACT_IDS);
            let _ = contacts.use_up(keys.public(), &plan, &sites(1), (at(0), 0));
            let again = contacts.plan(&keys.public(), &sites(1), rng);
            assert_eq!(again.drop, plan.drop);
        }
        assert!(contacts.share_drops());
    }

    #[test]
    fn a_contact_is_written_to_where_it_said_last_or_where_the_user_newly_says() {
        let mut contacts = Contacts::default();
        let hear = |contacts: &mut Contacts, said: &Envelope| {
            let news = contacts.hear(&contact(), None, 0, said);
            news.and_then(|news| news.moved)
        };
        assert!(hear(&mut contacts, &says(0, 1, 9)).is_none(), "a stranger");
        let first = plan(&contacts);
        use_up(&mut contacts, &first, &sites(1));
        let goes = |contacts: &Contacts, given| {
            let rng = &mut ChaCha20Rng::seed_from_u64(2);
            contacts.plan(&contact(), &sites(given), rng).sites
        };
        assert_eq!(goes(&contacts, 1), sites(1));
        assert_eq!(hear(&mut contacts, &says(0, 1, 2)), Some(sites(2)));
        assert_eq!(hear(&mut contacts, &says(5, 1, 3)), Some(sites(3)));
        // What overtook what was written before, a second part, and a notice that is older.
        assert_eq!(hear(&mut contacts, &says(4, 9, 2)), None);
        assert_eq!(hear(&mut contacts, &says(5, 1, 3)), None);
        assert_eq!(hear(&mut contacts, &says(5, 0, 2)), None);
        // A notice, and one that the next place sends before any text.
        assert_eq!(hear(&mut contacts, &says(5, 7, 4)), Some(sites(4)));
        for old in 1..=4 {
            assert_eq!(goes(&contacts, old), sites(4));
        }
        assert_eq!(goes(&contacts, 5), sites(5));
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let plan = contacts.plan(&contact(), &sites(5), rng);
        use_up(&mut contacts, &plan, &sites(5));
        for old in 1..=5 {
            assert_eq!(goes(&contacts, old), sites(5));
        }
        assert_eq!(hear(&mut contacts, &says(6, 8, 6)), Some(sites(6)));
        assert_eq!(goes(&contacts, 5), sites(6));
    }

    #[test]
    fn who_has_not_come_along_is_told_a_few_times() {
        let mut contacts = Contacts::default();
        let first = plan(&contacts);
        use_up(&mut contacts, &first, &sites(1));
        assert!(contacts.next_to_tell().is_none() && contacts.all_use(0));
        assert_eq!(contacts.moved(2, || at(100)).len(), 1);
        assert!(!contacts.all_use(2));
        assert_eq!(contacts.next_to_tell(), Some((at(100), contact())));
        // A text says it as well.
        let text = plan(&contacts);
        let _ = contacts.use_up(contact(), &text, &sites(1), (at(500), 2));
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

    #[test]
    fn contacts_round_trip() {
        let mut contacts = Contacts::default();
        let first = plan(&contacts);
        use_up(&mut contacts, &first, &sites(1));
        let _ = contacts.hear(&contact(), Some(3), 4, &says(8, 1, 2));
        let row = contacts.rows[&contact()].clone();
        assert_eq!(ContactRow::decode(&row.encode()), Ok(row.clone()));
        let mut bytes = row.encode();
        bytes.push(0);
        assert!(ContactRow::decode(&bytes).is_err());
    }
}
