//! Sessions as two clients have them.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::fragment::{CONTENT_BYTES, FRAGMENT_BYTES};

use super::*;

const INVITATION: u32 = 7;
const MINUTE: Span = Span::from_secs(60);

fn at(secs: u64) -> Time {
    Time::from_micros(secs * 1_000_000)
}

/// A client's sessions, and its disk.
struct End {
    keys: ClientKeys,
    prekey: Zeroizing<[u8; 32]>,
    sessions: Sessions,
    disk: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    now: Time,
}

impl End {
    fn new(seed: u64) -> Self {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let mut end = Self {
            keys: ClientKeys::generate(rng),
            prekey: Zeroizing::default(),
            sessions: Sessions::new(3, MINUTE),
            disk: BTreeMap::new(),
            now: at(1),
        };
        end.prekey = Prekey::generate(rng).secret().clone();
        end.add_prekey();
        end
    }

    fn save(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => drop(self.disk.insert(key, value)),
                None => assert!(self.disk.remove(&key).is_some(), "it was there"),
            }
        }
    }

    fn add_prekey(&mut self) {
        let prekey = Prekey::from_secret(self.prekey.clone()).unwrap();
        self.sessions.add_prekey(INVITATION, prekey);
    }

    fn restart(&mut self) {
        let rows = self.disk.iter().map(|((table, key), value)| Row {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        });
        let rows = Vec::from_iter(rows);
        self.sessions = Sessions::new(3, MINUTE);
        self.add_prekey();
        let stray = self.sessions.restore(&rows, self.now).unwrap();
        self.save(stray);
    }

    fn write(&mut self, to: &Self, text: u8) -> Zeroizing<Vec<u8>> {
        let peer = to.keys.public();
        let prekey = to.sessions.prekeys.get(&INVITATION).map(Prekey::public);
        let prekey = prekey.filter(|_| !self.sessions.is_with(&peer));
        let fragment = [text; FRAGMENT_BYTES];
        let sealed = self
            .sessions
            .seal(&self.keys, (&peer, prekey.as_ref()), &fragment);
        let (content, change) = sealed.unwrap();
        assert_eq!(content.len(), CONTENT_BYTES);
        self.save([change]);
        content
    }

    /// The text of it, if it opens.
    fn read(&mut self, content: &[u8]) -> Option<(PeerKey, u8)> {
        self.read_of(content, true)
    }

    /// Of somebody who was written to, or was not.
    fn read_of(&mut self, content: &[u8], known: bool) -> Option<(PeerKey, u8)> {
        let opened = self.sessions.open(&self.keys, content).ok()?;
        let read = (opened.from, opened.fragment[0]);
        let (changes, _) = self
            .sessions
            .take(self.now, (opened.follows, opened.under), |_| known);
        self.save(changes);
        Some(read)
    }

    fn count(&self, table: Table) -> usize {
        self.disk.keys().filter(|(own, _)| *own == table).count()
    }
}

fn pair() -> (End, End) {
    (End::new(1), End::new(2))
}

/// Alice has written, and Bob has answered.
fn met() -> (End, End) {
    let (mut alice, mut bob) = pair();
    let first = alice.write(&bob, 1);
    assert_eq!(bob.read(&first), Some((alice.keys.public(), 1)));
    let answer = bob.write(&alice, 2);
    assert_eq!(alice.read(&answer), Some((bob.keys.public(), 2)));
    (alice, bob)
}

#[test]
fn both_read_each_other_over_restarts_and_each_text_once() {
    let (mut alice, mut bob) = met();
    let early = alice.write(&bob, 9);
    assert!(bob.read(&early).is_some());
    let again = bob.sessions.open(&bob.keys, &early).err();
    assert_eq!(again, Some(RatchetError::KeyGone));
    for text in 0..20 {
        alice.restart();
        let there = alice.write(&bob, text);
        bob.restart();
        assert_eq!(bob.read(&there), Some((alice.keys.public(), text)));
        let back = bob.write(&alice, text);
        assert_eq!(alice.read(&back), Some((bob.keys.public(), text)));
    }
    assert_eq!(
        (alice.count(Table::Session), bob.count(Table::Session)),
        (1, 1)
    );
}

/// What was opened and not taken opens again.
#[test]
fn what_is_not_taken_changes_nothing() {
    let (mut alice, mut bob) = met();
    let text = alice.write(&bob, 5);
    for _ in 0..3 {
        assert!(bob.sessions.open(&bob.keys, &text).is_ok());
    }
    assert!(bob.read(&text).is_some());
}

/// As from two mailboxes, of which one is far behind: hundreds out of order, and some more so.
#[test]
fn hundreds_that_come_late_open() {
    let (mut alice, mut bob) = met();
    let mut texts: Vec<_> = (0..400_u16)
        .map(|number| {
            (
                number.to_le_bytes()[0],
                alice.write(&bob, number.to_le_bytes()[0]),
            )
        })
        .collect();
    let mut first: Vec<_> = texts
        .extract_if(.., |(number, _)| *number % 2 == 0)
        .collect();
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    // A retry here and there.
    first[60..80].shuffle(rng);
    texts[100..200].shuffle(rng);
    for (place, (text, content)) in first.iter().chain(&texts).enumerate() {
        if place.is_multiple_of(50) {
            bob.restart();
        }
        assert_eq!(
            bob.read(content),
            Some((alice.keys.public(), *text)),
            "{place}"
        );
    }
    assert_eq!(bob.count(Table::Late), 1, "one reaches them all");
}

/// The first of a session that comes need not be its first by far.
#[test]
fn what_was_before_the_first_that_came_opens() {
    let (mut alice, mut bob) = pair();
    let texts: Vec<_> = (0..130_u8).map(|text| alice.write(&bob, text)).collect();
    for number in (0..130_u8).rev() {
        let content = &texts[usize::from(number)];
        assert_eq!(
            bob.read_of(content, false),
            Some((alice.keys.public(), number))
        );
        if number.is_multiple_of(40) {
            bob.restart();
        }
    }
}

/// Who was away while thousands were written, and are over, reads what comes then.
#[test]
fn what_is_thousands_ahead_opens() {
    let (mut alice, mut bob) = met();
    for thousands in [3, 18] {
        (0..thousands * 1000).for_each(|_| drop(alice.write(&bob, 1)));
        let far = alice.write(&bob, 7);
        assert_eq!(bob.read(&far), Some((alice.keys.public(), 7)));
        bob.restart();
        let next = alice.write(&bob, 8);
        assert_eq!(bob.read(&next), Some((alice.keys.public(), 8)));
    }
    let back = bob.write(&alice, 9);
    assert_eq!(alice.read(&back), Some((bob.keys.public(), 9)));
}

/// A late text of an old session does not bring it back.
#[test]
fn an_old_session_stays_old() {
    let (mut alice, mut bob) = met();
    let late = bob.write(&alice, 5);
    // Bob has lost his rows, and writes anew.
    bob.sessions = Sessions::new(3, MINUTE);
    bob.disk.clear();
    let first = bob.write(&alice, 6);
    assert_eq!(alice.read(&first), Some((bob.keys.public(), 6)));
    assert_eq!(alice.read(&late), Some((bob.keys.public(), 5)));
    let answer = alice.write(&bob, 7);
    assert_eq!(bob.read(&answer), Some((alice.keys.public(), 7)));
}

/// A row that the disk had no room to delete keeps nobody from starting.
#[test]
fn a_stray_row_goes() {
    let (mut alice, mut bob) = pair();
    let texts: Vec<_> = (0..128_u8).map(|text| alice.write(&bob, text)).collect();
    for content in texts.iter().step_by(2) {
        assert!(bob.read(content).is_some());
    }
    assert_eq!(bob.count(Table::Late), 1);
    bob.disk.retain(|(table, _), _| *table != Table::Session);
    bob.restart();
    assert_eq!(bob.count(Table::Late), 0);
}

/// Nor do they make us keep a ratchet for each message that they skip: one, which is enough for a long text in two copies.
#[test]
fn a_stranger_has_one_ratchet_kept() {
    let (mut alice, mut bob) = pair();
    let texts: Vec<_> = (0..128_u8).map(|text| alice.write(&bob, text)).collect();
    for content in texts
        .iter()
        .skip(1)
        .step_by(2)
        .chain(texts.iter().step_by(2))
    {
        assert!(bob.read_of(content, false).is_some());
    }
    assert_eq!(bob.count(Table::Late), 1);
    for _ in 0..3 {
        (0..1_950).for_each(|text| drop(alice.write(&bob, text as u8)));
        let far = alice.write(&bob, 1);
        assert!(bob.read_of(&far, false).is_some());
        assert_eq!(bob.count(Table::Late), 1);
    }
}

/// A ratchet that was kept goes with its time, and another is kept when that is needed again.
#[test]
fn what_is_kept_is_kept_anew() {
    let (mut alice, mut bob) = met();
    for round in 1..4 {
        bob.now = at(1000 * round);
        let texts: Vec<_> = (0..100_u8).map(|text| alice.write(&bob, text)).collect();
        for content in texts
            .iter()
            .skip(1)
            .step_by(2)
            .chain(texts.iter().step_by(2))
        {
            assert!(bob.read(content).is_some(), "{round}");
        }
        assert_eq!(bob.count(Table::Late), 1);
    }
}

/// A text of many turns ago.
#[test]
fn what_comes_turns_later_opens() {
    let (mut alice, mut bob) = met();
    let late = alice.write(&bob, 77);
    let mut kept = 0;
    for text in 0..12 {
        let there = alice.write(&bob, text);
        assert!(bob.read(&there).is_some());
        let back = bob.write(&alice, text);
        assert!(alice.read(&back).is_some());
        kept = kept.max(bob.count(Table::Late));
    }
    bob.restart();
    assert_eq!(bob.read(&late), Some((alice.keys.public(), 77)));
    assert!((2..=8).contains(&kept), "{kept}");
    // And what was kept for it goes with the time that anything can come late.
    bob.now = at(1000);
    let there = alice.write(&bob, 1);
    assert!(bob.read(&there).is_some());
    assert!(bob.count(Table::Late) <= 1);
}

#[test]
fn both_begin_at_once() {
    let (mut alice, mut bob) = pair();
    let there: Vec<_> = (0..3).map(|text| alice.write(&bob, text)).collect();
    let back: Vec<_> = (0..3).map(|text| bob.write(&alice, text)).collect();
    for content in &there {
        assert!(bob.read(content).is_some());
    }
    for content in &back {
        assert!(alice.read(content).is_some());
    }
    for text in 0..10 {
        let there = alice.write(&bob, text);
        assert_eq!(bob.read(&there), Some((alice.keys.public(), text)));
        let back = bob.write(&alice, text);
        assert_eq!(alice.read(&back), Some((bob.keys.public(), text)));
    }
}

/// Who steals everything of Bob's after an invitation is gone can't begin what was sent by it; sessions go on.
#[test]
fn a_prekey_goes_with_its_invitation() {
    let (mut alice, mut bob) = met();
    let mut carol = End::new(3);
    let first = carol.write(&bob, 1);
    let opened = bob.sessions.open(&bob.keys, &first).unwrap();
    assert_eq!(opened.via, Some(INVITATION));
    bob.sessions.remove_prekey(INVITATION);
    assert_eq!(bob.read(&first), None);
    let there = alice.write(&bob, 9);
    assert_eq!(bob.read(&there), Some((alice.keys.public(), 9)));
    assert!(!carol.sessions.is_with(&alice.keys.public()));
    let peer = (&alice.keys.public(), None);
    assert!(
        carol
            .sessions
            .seal(&carol.keys, peer, &[0; FRAGMENT_BYTES])
            .is_none()
    );
}

/// Bob has lost his rows and invites Alice anew: she goes on with the session that begins by that.
#[test]
fn another_prekey_begins_another_session() {
    let (mut alice, mut bob) = met();
    bob.sessions = Sessions::new(3, MINUTE);
    bob.disk.clear();
    bob.add_prekey();
    let lost = alice.write(&bob, 1);
    assert_eq!(bob.read(&lost), None);
    let prekey = bob.sessions.prekeys.get(&INVITATION).map(Prekey::public);
    let with = (&bob.keys.public(), prekey.as_ref());
    let sealed = alice.sessions.seal(&alice.keys, with, &[2; FRAGMENT_BYTES]);
    let (content, change) = sealed.unwrap();
    alice.save([change]);
    assert_eq!(bob.read(&content), Some((alice.keys.public(), 2)));
    let next = alice.write(&bob, 3);
    assert_eq!(bob.read(&next), Some((alice.keys.public(), 3)));
    let back = bob.write(&alice, 4);
    assert_eq!(alice.read(&back), Some((bob.keys.public(), 4)));
}

#[test]
fn who_is_forgotten_has_no_session_left() {
    let (mut alice, mut bob) = met();
    let early = alice.write(&bob, 1);
    let gone = bob.sessions.forget(&alice.keys.public());
    bob.save(gone);
    assert_eq!(bob.count(Table::Session), 0);
    assert_eq!(bob.read(&early), None);
}

#[test]
fn strangers_have_so_many_sessions_and_one_peer_a_few() {
    let mut bob = End::new(2);
    let mut lost = Vec::new();
    for seed in 10..20 {
        let first = End::new(seed).write(&bob, 1);
        let opened = bob.sessions.open(&bob.keys, &first).unwrap();
        let (changes, gone) = bob.sessions.take(at(1), (opened.follows, None), |_| false);
        lost.extend(gone);
        bob.save(changes);
    }
    assert_eq!(bob.count(Table::Session), 3);
    let first: Vec<_> = (10..17).map(|seed| End::new(seed).keys.public()).collect();
    assert_eq!(lost, first, "told, in the order in which they came");
    // Known ones are not strangers, and begin a few.
    for _ in 0..10 {
        let first = End::new(30).write(&bob, 1);
        let opened = bob.sessions.open(&bob.keys, &first).unwrap();
        let known = |peer: &PeerKey| *peer == opened.from;
        let (changes, _) = bob.sessions.take(at(1), (opened.follows, None), known);
        bob.save(changes);
    }
    assert_eq!(bob.count(Table::Session), 3 + MOST_WITH_ONE);
}

/// Eve knows everybody's public keys. What she says in Alice's name does not open.
#[test]
fn nobody_speaks_for_another() {
    let (mut alice, mut bob) = met();
    let mut eve = End::new(4);
    let mut forged = eve.write(&bob, 1);
    let own = alice.write(&bob, 2);
    let key = *eve.keys.public().as_bytes();
    let place = forged.windows(32).position(|part| part == key).unwrap();
    forged[place..place + 32].copy_from_slice(alice.keys.public().as_bytes());
    assert_eq!(bob.read(&forged), None);
    let (tag, _) = content::decode(&own).unwrap();
    forged[1..9].copy_from_slice(tag.as_bytes());
    assert_eq!(bob.read(&forged), None);
    assert_eq!(bob.read(&own), Some((alice.keys.public(), 2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_altered_does_not_open(at in 0..CONTENT_BYTES, flip in 1u8.., later in any::<bool>()) {
        let (mut alice, mut bob) = if later { met() } else { pair() };
        let mut content = alice.write(&bob, 1);
        content[at] ^= flip;
        // The highest bit of a key means nothing to X25519; the key is another all the same.
        prop_assert!(bob.read(&content).is_none());
        content[at] ^= flip;
        prop_assert!(bob.read(&content).is_some());
    }

    #[test]
    fn no_content_panics(content in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let mut bob = End::new(2);
        prop_assert!(bob.read(&content).is_none());
    }
}

/// An outer layer is agreed on: what each tells the other comes in the session.
fn agree(one: &mut End, other: &mut End, now: Time) {
    let rng = &mut ChaCha20Rng::seed_from_u64(now.as_micros());
    let keys = [one.keys.public(), other.keys.public()];
    let told = one.sessions.tell_keys((now, rng), &keys[0], &keys[1]);
    let (offer, change) = told.unwrap();
    one.save([change]);
    let tell = |to: &mut End, content: &[u8], rng: &mut ChaCha20Rng| {
        let opened = to.sessions.open(&to.keys, content).unwrap();
        let (tag, control) = (opened.session, Control::decode(&opened.fragment).unwrap());
        let follows = (opened.follows, opened.under);
        let (changes, _) = to.sessions.take(now, follows, |_| true);
        to.save(changes);
        let own = to.keys.public();
        let told = (&tag, &control);
        let change = to.sessions.control((now, rng), &own, told);
        to.save(change);
    };
    tell(other, &offer, rng);
    let told = other.sessions.tell_keys((now, rng), &keys[1], &keys[0]);
    let (answer, change) = told.unwrap();
    other.save([change]);
    tell(one, &answer, rng);
    let more = other.sessions.tell_keys((now, rng), &keys[1], &keys[0]);
    assert!(more.is_none(), "once");
}

#[test]
fn what_is_written_is_wrapped_once_both_ends_have_the_secret() {
    let (mut alice, mut bob) = met();
    if alice.keys.public() > bob.keys.public() {
        std::mem::swap(&mut alice, &mut bob);
    }
    let is_wrapped = |content: &[u8]| content[0] == WRAPPED;
    let late = alice.write(&bob, 7);
    assert!(!is_wrapped(&late));
    agree(&mut alice, &mut bob, at(1));
    let early = bob.write(&alice, 1);
    assert!(!is_wrapped(&early), "nothing has shown him that she has it");
    bob.restart();
    alice.restart();
    let first = alice.write(&bob, 2);
    assert!(is_wrapped(&first));
    assert_eq!(bob.read(&first), Some((alice.keys.public(), 2)));
    bob.restart();
    let back = bob.write(&alice, 3);
    assert!(is_wrapped(&back));
    assert_eq!(alice.read(&back), Some((bob.keys.public(), 3)));
    // What was not wrapped, and comes late, opens.
    assert_eq!(alice.read(&early), Some((bob.keys.public(), 1)));
    assert_eq!(bob.read(&late), Some((alice.keys.public(), 7)));
    // Another secret: what was under the one before opens for as long as it is kept.
    let late = alice.write(&bob, 8);
    let gone = alice.write(&bob, 9);
    agree(&mut alice, &mut bob, at(90_000));
    let next = alice.write(&bob, 4);
    assert!(next[1..9] != late[1..9] && late[1..9] == first[1..9]);
    bob.now = at(90_000);
    assert_eq!(bob.read(&next), Some((alice.keys.public(), 4)));
    assert_eq!(bob.read(&late), Some((alice.keys.public(), 8)));
    agree(&mut alice, &mut bob, at(200_000));
    let next = alice.write(&bob, 5);
    bob.now = at(200_000);
    assert_eq!(bob.read(&next), Some((alice.keys.public(), 5)));
    assert_eq!(bob.read(&gone), None, "its secret is wiped");
    assert_eq!(bob.count(Table::Session), 1);
}

/// Of the two ends the one whose key is smaller offers, once something has come in the session.
#[test]
fn one_of_the_two_offers() {
    let (mut alice, mut bob) = pair();
    if alice.keys.public() > bob.keys.public() {
        std::mem::swap(&mut alice, &mut bob);
    }
    let [own, other] = [alice.keys.public(), bob.keys.public()];
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let first = alice.write(&bob, 1);
    assert!(
        alice
            .sessions
            .tell_keys((at(1), rng), &own, &other)
            .is_none()
    );
    assert!(bob.read(&first).is_some());
    let answer = bob.write(&alice, 2);
    assert!(bob.sessions.tell_keys((at(1), rng), &other, &own).is_none());
    assert!(alice.read(&answer).is_some());
    agree(&mut alice, &mut bob, at(1));
    assert!(
        alice
            .sessions
            .tell_keys((at(2), rng), &own, &other)
            .is_none()
    );
    agree(&mut alice, &mut bob, at(90_000));
}
