//! The outer layer of a session: what leaves is wrapped once more, under a secret that ML-KEM-768 (FIPS 203) gave both ends.
//! Who records now and breaks X25519 later reads nothing of what was wrapped. Against who is there with a quantum
//! computer while it happens it does nothing: the keys are exchanged inside the session.
//!
//! One end **offers** a key, the other **answers** with a ciphertext, each in a packet that looks like any other; both then
//! have a secret. Who answered wraps once something wrapped has come, who offered at once: each knows then that the
//! other one has it. It is renewed after [`RENEW_AFTER`] messages or a day. The one before still opens what comes late.
//!
//! A wrapped message (1524 bytes): kind 3, id of the secret 8, nonce 24, and by XChaCha20-Poly1305 what stands there without
//! it, with zeros to 1475, and a tag 16. The nonce is a hash of the secret and of that, which is never twice the same.
//! An offer, in the place of a fragment (1343 bytes): the fragment's version, kind 4, id 8, encapsulation key 1184; an answer: kind 5, id
//! 8, ciphertext 1088; zeros.

use blake2::{Blake2b256, Digest};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag as AeadTag, XChaCha20Poly1305, XNonce};
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport, TryKeyInit};
use ml_kem::{DecapsulationKey768, EncapsulationKey768, Seed};
use rand::CryptoRng;
use shoal_packet::fragment::{CONTENT_BYTES, FRAGMENT_BYTES};
use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::tag::Tag;
use crate::clock::ClockStep;

/// The kind of a wrapped message, beside those of [`content`](super::content).
pub(super) const WRAPPED: u8 = 3;
/// Messages of a session, both ways, after which its secret is renewed.
const RENEW_AFTER: u32 = 100;
/// And the time.
const RENEW_EVERY: Span = Span::from_secs(86_400);
/// How long an offer waits for its answer before there is another.
const OFFER_AGAIN: Span = Span::from_secs(3_600);
/// Secrets that are kept of a session: the newest, and those before that still open something.
const MOST: usize = 8;

const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const AEAD_BYTES: usize = 16;
/// What a wrapped message holds.
pub(super) const INNER_BYTES: usize = CONTENT_BYTES - 1 - ID_BYTES - NONCE_BYTES - AEAD_BYTES;

/// The version of fragments, beside which these stand.
const VERSION: u8 = 4;
const OFFER: u8 = 4;
const ANSWER: u8 = 5;
const KEY_BYTES: usize = 1184;
const CIPHERTEXT_BYTES: usize = 1088;
const _: () = assert!(2 + ID_BYTES + KEY_BYTES <= FRAGMENT_BYTES);

/// What tells one exchange from others.
pub(crate) type ExchangeId = [u8; ID_BYTES];

/// What one end tells the other of keys.
pub(crate) enum Control {
    /// A key to answer to.
    Offer(ExchangeId, Box<[u8; KEY_BYTES]>),
    /// What gives the secret to who has offered.
    Answer(ExchangeId, Box<[u8; CIPHERTEXT_BYTES]>),
}

impl Control {
    /// As a session seals it.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (kind, id, value): (u8, &ExchangeId, &[u8]) = match self {
            Self::Offer(id, key) => (OFFER, id, &key[..]),
            Self::Answer(id, ciphertext) => (ANSWER, id, &ciphertext[..]),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(FRAGMENT_BYTES));
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(value);
        bytes.resize(FRAGMENT_BYTES, 0);
        bytes
    }

    /// What stands in the place of a fragment, if it is one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([version, kind], rest) = bytes.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        if *version != VERSION || bytes.len() != FRAGMENT_BYTES {
            return None;
        }
        let (control, rest) = match *kind {
            OFFER => {
                let (key, rest) = rest.split_first_chunk()?;
                (Self::Offer(*id, Box::new(*key)), rest)
            }
            ANSWER => {
                let (ciphertext, rest) = rest.split_first_chunk()?;
                (Self::Answer(*id, Box::new(*ciphertext)), rest)
            }
            _ => return None,
        };
        rest.iter().all(|byte| *byte == 0).then_some(control)
    }
}

/// A secret that both ends have, or will.
struct Secret {
    id: ExchangeId,
    key: Zeroizing<[u8; 32]>,
    /// The other end has shown that it has it.
    shown: bool,
    /// When it is wiped, once there is another one.
    until: Option<Time>,
}

/// A key of ours that was not answered yet.
struct Offered {
    id: ExchangeId,
    seed: Zeroizing<[u8; 64]>,
}

/// The outer layer of one session.
#[derive(Default)]
pub(super) struct Outer {
    /// The newest last.
    secrets: Vec<Secret>,
    offered: Option<Offered>,
    /// What answers to an offer of the other end, until it is sent.
    owed: Option<(ExchangeId, Box<[u8; CIPHERTEXT_BYTES]>)>,
    /// When the last exchange was begun.
    begun: Time,
    /// Messages since then.
    messages: u32,
}

impl Outer {
    /// One more message has left or come.
    pub(super) fn count(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Whether another secret is to be agreed on.
    pub(super) fn is_due(&self, now: Time) -> bool {
        let since = now.since(self.begun);
        match (self.begun == Time::default(), self.offered.is_some()) {
            (true, _) => true,
            // However much is written: the answer to it is on its way.
            (false, true) => since >= OFFER_AGAIN,
            (false, false) => self.messages >= RENEW_AFTER || since >= RENEW_EVERY,
        }
    }

    /// Offers a key. One before that was not answered is given up.
    pub(super) fn offer<R: CryptoRng>(&mut self, now: Time, rng: &mut R) -> Control {
        let mut id = [0; ID_BYTES];
        rng.fill_bytes(&mut id);
        let mut seed = Zeroizing::new([0; 64]);
        rng.fill_bytes(seed.as_mut_slice());
        let key = decapsulation_key(&seed);
        let mut public = Box::new([0; KEY_BYTES]);
        public.copy_from_slice(&key.encapsulation_key().to_bytes());
        self.offered = Some(Offered { id, seed });
        self.begun = now;
        self.messages = 0;
        Control::Offer(id, public)
    }

    /// Whether an offer is answered: nobody makes us answer more often than is any use.
    fn answers(&self, now: Time) -> bool {
        let long_ago = now.since(self.begun) >= OFFER_AGAIN;
        self.secrets.is_empty() || long_ago || self.messages >= RENEW_AFTER / 2
    }

    /// Takes an offer: what answers to it is sent with what is sent next ([`Outer::answer`]). Whether it is taken: not one
    /// that was, that comes too soon after another, or that is none.
    pub(super) fn take_offer<R: CryptoRng>(
        &mut self,
        (now, rng): (Time, &mut R),
        tag: &Tag,
        (id, key): (&ExchangeId, &[u8; KEY_BYTES]),
    ) -> bool {
        if self.has(id) || !self.answers(now) {
            return false;
        }
        let Ok(key) = EncapsulationKey768::new_from_slice(key) else {
            return false;
        };
        let (ciphertext, shared) = key.encapsulate_with_rng(rng);
        let shared = Zeroizing::new(shared);
        self.begun = now;
        self.messages = 0;
        self.add(Secret {
            id: *id,
            key: derive(&shared[..], id, tag),
            shown: false,
            until: None,
        });
        let mut bytes = Box::new([0; CIPHERTEXT_BYTES]);
        bytes.copy_from_slice(&ciphertext);
        self.owed = Some((*id, bytes));
        true
    }

    /// What answers to the offer that was taken last, once. It is not sent for itself: whoever offers would learn by it when
    /// we are online.
    pub(super) fn answer(&mut self) -> Option<Control> {
        let (id, ciphertext) = self.owed.take()?;
        Some(Control::Answer(id, ciphertext))
    }

    /// An answer came to the key that was offered last.
    pub(super) fn answered(
        &mut self,
        tag: &Tag,
        (id, ciphertext): (&ExchangeId, &[u8; CIPHERTEXT_BYTES]),
    ) -> bool {
        let Some(offered) = self.offered.take_if(|offered| offered.id == *id) else {
            return false;
        };
        let key = decapsulation_key(&offered.seed);
        let Ok(shared) = key.decapsulate_slice(ciphertext) else {
            return false;
        };
        let shared = Zeroizing::new(shared);
        self.add(Secret {
            id: *id,
            key: derive(&shared[..], id, tag),
            shown: true,
            until: None,
        });
        true
    }

    fn add(&mut self, secret: Secret) {
        self.secrets.push(secret);
        while self.secrets.len() > MOST {
            // The other end may have nothing newer than what is used.
            let used = self.secrets.iter().rposition(|secret| secret.shown);
            self.secrets.remove(usize::from(used == Some(0)));
        }
    }

    /// What came was wrapped under this secret: the other end has it, and uses none before it any more. These get an end.
    pub(super) fn shown(&mut self, id: &ExchangeId, (now, keep_for): (Time, Span)) {
        let Some(at) = self.secrets.iter().position(|secret| secret.id == *id) else {
            return;
        };
        for secret in self.secrets.iter_mut().take(at) {
            secret.until.get_or_insert(now + keep_for);
        }
        if let Some(secret) = self.secrets.get_mut(at) {
            secret.shown = true;
        }
    }

    /// What is over is wiped.
    pub(super) fn sweep(&mut self, now: Time) {
        let stays = |secret: &Secret| secret.until.is_none_or(|until| until > now);
        self.secrets.retain(stays);
    }

    /// The clock may have been another one when it was written.
    pub(super) fn bound(&mut self, now: Time, keep_for: Span) {
        self.begun = self.begun.min(now);
        for secret in &mut self.secrets {
            secret.until = secret.until.map(|until| until.min(now + keep_for));
        }
    }

    /// What both are known to have, and is used.
    fn newest(&self) -> Option<&Secret> {
        self.secrets.iter().rfind(|secret| secret.shown)
    }

    pub(super) fn has(&self, id: &ExchangeId) -> bool {
        self.secrets.iter().any(|secret| secret.id == *id)
    }

    /// Wraps what is inside a seal. None if there is no secret yet, or it has no room.
    pub(super) fn wrap(&self, inner: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.newest()?;
        // Behind it are zeros.
        let inner = inner.get(..INNER_BYTES)?;
        let nonce = nonce(secret, inner);
        let mut wrapped = Zeroizing::new(Vec::with_capacity(CONTENT_BYTES));
        wrapped.push(WRAPPED);
        wrapped.extend_from_slice(&secret.id);
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(inner);
        let head = 1 + ID_BYTES + NONCE_BYTES;
        let text = wrapped.get_mut(head..)?;
        let tag = cipher(secret)
            .encrypt_inout_detached(&nonce.into(), b"", text.into())
            .ok()?;
        wrapped.extend_from_slice(&tag);
        Some(wrapped)
    }

    /// Unwraps it. None if it was altered, or is of no secret that is kept.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (id, nonce, sealed) = parse(wrapped)?;
        let secret = self.secrets.iter().find(|secret| secret.id == *id)?;
        let (text, tag) = sealed.split_last_chunk::<AEAD_BYTES>()?;
        let mut inner = Zeroizing::new(Vec::with_capacity(CONTENT_BYTES));
        inner.extend_from_slice(text);
        let nonce: XNonce = (*nonce).into();
        let tag: AeadTag = (*tag).into();
        cipher(secret)
            .decrypt_inout_detached(&nonce, b"", inner.as_mut_slice().into(), &tag)
            .ok()?;
        inner.resize(CONTENT_BYTES, 0);
        Some(inner)
    }

    /// What is kept is as old as before.
    pub(super) fn clock_moved(&mut self, step: ClockStep) {
        if self.begun != Time::default() {
            self.begun = step.apply(self.begun);
        }
        for secret in &mut self.secrets {
            secret.until = secret.until.map(|until| step.apply(until));
        }
    }

    /// What is kept of it.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let room = 256 + ID_BYTES + CIPHERTEXT_BYTES + MOST * (ID_BYTES + 32 + 9);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        bytes.extend_from_slice(&self.begun.as_micros().to_be_bytes());
        bytes.extend_from_slice(&self.messages.to_be_bytes());
        match &self.offered {
            Some(offered) => {
                bytes.push(1);
                bytes.extend_from_slice(&offered.id);
                bytes.extend_from_slice(offered.seed.as_slice());
            }
            None => bytes.push(0),
        }
        match &self.owed {
            Some((id, ciphertext)) => {
                bytes.push(1);
                bytes.extend_from_slice(id);
                bytes.extend_from_slice(&ciphertext[..]);
            }
            None => bytes.push(0),
        }
        for secret in &self.secrets {
            bytes.extend_from_slice(&secret.id);
            bytes.extend_from_slice(secret.key.as_slice());
            bytes.push(u8::from(secret.shown));
            let until = secret.until.unwrap_or_default();
            bytes.extend_from_slice(&until.as_micros().to_be_bytes());
        }
        bytes
    }

    /// From what was kept of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (begun, rest) = bytes.split_first_chunk()?;
        let (messages, rest) = rest.split_first_chunk()?;
        let ([has], mut rest) = rest.split_first_chunk()?;
        let mut offered = None;
        if *has == 1 {
            let (id, after) = rest.split_first_chunk()?;
            let (seed, after) = after.split_first_chunk()?;
            let seed = Zeroizing::new(*seed);
            offered = Some(Offered { id: *id, seed });
            rest = after;
        } else if *has != 0 {
            return None;
        }
        let ([has], after) = rest.split_first_chunk()?;
        rest = after;
        let mut owed = None;
        if *has == 1 {
            let (id, after) = rest.split_first_chunk()?;
            let (ciphertext, after) = after.split_first_chunk()?;
            owed = Some((*id, Box::new(*ciphertext)));
            rest = after;
        } else if *has != 0 {
            return None;
        }
        let mut secrets = Vec::new();
        while !rest.is_empty() {
            let (id, after) = rest.split_first_chunk()?;
            let (key, after) = after.split_first_chunk()?;
            let ([shown], after) = after.split_first_chunk()?;
            let (until, after) = after.split_first_chunk()?;
            rest = after;
            let until = Time::from_micros(u64::from_be_bytes(*until));
            secrets.push(Secret {
                id: *id,
                key: Zeroizing::new(*key),
                shown: *shown == 1,
                until: Some(until).filter(|until| *until != Time::default()),
            });
        }
        Some(Self {
            secrets,
            offered,
            owed,
            begun: Time::from_micros(u64::from_be_bytes(*begun)),
            messages: u32::from_be_bytes(*messages),
        })
    }
}

/// The secret that a wrapped message is under.
pub(super) fn secret_of(wrapped: &[u8]) -> Option<ExchangeId> {
    parse(wrapped).map(|(id, ..)| *id)
}

fn parse(wrapped: &[u8]) -> Option<(&ExchangeId, &[u8; NONCE_BYTES], &[u8])> {
    let (kind, rest) = wrapped.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    (*kind == WRAPPED && wrapped.len() == CONTENT_BYTES).then_some((id, nonce, rest))
}

fn cipher(secret: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*secret.key))
}

fn nonce(secret: &Secret, inner: &[u8]) -> [u8; NONCE_BYTES] {
    let hash = Blake2b256::new_with_prefix(b"shoal outer nonce")
        .chain_update(secret.key.as_slice())
        .chain_update(inner)
        .finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

fn decapsulation_key(seed: &Zeroizing<[u8; 64]>) -> DecapsulationKey768 {
    DecapsulationKey768::from_seed(Seed::from(**seed))
}

/// The key of a session's outer layer.
fn derive(shared: &[u8], id: &ExchangeId, tag: &Tag) -> Zeroizing<[u8; 32]> {
    let hash = Blake2b256::new_with_prefix(b"shoal outer key")
        .chain_update(shared)
        .chain_update(id)
        .chain_update(tag.as_bytes())
        .finalize();
    Zeroizing::new(hash.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    const KEEP: Span = Span::from_secs(100);

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn tag() -> Tag {
        Tag::new([7; 8])
    }

    /// One offers, the other answers.
    fn exchange(one: &mut Outer, other: &mut Outer, now: u64) -> ExchangeId {
        let rng = &mut ChaCha20Rng::seed_from_u64(now);
        let Some(Control::Offer(id, key)) = Control::decode(&one.offer(at(now), rng).encode())
        else {
            panic!("an offer");
        };
        assert!(other.take_offer((at(now), rng), &tag(), (&id, &key)));
        let mut restarted = Outer::from_bytes(&other.to_bytes()).unwrap();
        let answer = restarted.answer().unwrap();
        assert!(restarted.answer().is_none(), "once");
        *other = restarted;
        let Some(Control::Answer(same, ciphertext)) = Control::decode(&answer.encode()) else {
            panic!("an answer");
        };
        assert_eq!(same, id);
        assert!(one.answered(&tag(), (&id, &ciphertext)));
        assert!(!one.answered(&tag(), (&id, &ciphertext)), "once");
        let again = other.take_offer((at(now), rng), &tag(), (&id, &key));
        assert!(!again, "once");
        id
    }

    fn inner(fill: u8) -> Vec<u8> {
        let mut inner = vec![fill; INNER_BYTES];
        inner.resize(CONTENT_BYTES, 0);
        inner
    }

    #[test]
    fn each_wraps_once_it_knows_that_the_other_can_unwrap() {
        let (mut one, mut other) = (Outer::default(), Outer::default());
        assert!(one.wrap(&inner(1)).is_none() && one.is_due(at(1)));
        let id = exchange(&mut one, &mut other, 1);
        assert!(
            other.wrap(&inner(1)).is_none(),
            "nothing shows that it is there"
        );
        let wrapped = one.wrap(&inner(2)).unwrap();
        assert_eq!(
            (wrapped.len(), secret_of(&wrapped)),
            (CONTENT_BYTES, Some(id))
        );
        assert_eq!(*other.unwrap(&wrapped).unwrap(), inner(2));
        other.shown(&id, (at(2), KEEP));
        let back = other.wrap(&inner(3)).unwrap();
        assert_eq!(*one.unwrap(&back).unwrap(), inner(3));
        // The same once more is the same, and something else has another nonce.
        assert!(one.wrap(&inner(2)).unwrap() == wrapped);
        assert!(one.wrap(&inner(4)).unwrap()[9..33] != wrapped[9..33]);
    }

    #[test]
    fn it_is_renewed_after_a_day_or_a_hundred_messages_and_what_is_late_opens_for_a_while() {
        let (mut one, mut other) = (Outer::default(), Outer::default());
        let first = exchange(&mut one, &mut other, 1);
        assert!(!one.is_due(at(2)) && !other.is_due(at(2)));
        assert!(one.is_due(at(1 + 86_400)));
        (0..99).for_each(|_| one.count());
        assert!(!one.is_due(at(2)));
        one.count();
        assert!(one.is_due(at(2)));
        let late = one.wrap(&inner(1)).unwrap();
        (0..50).for_each(|_| other.count());
        let second = exchange(&mut one, &mut other, 50);
        assert!(!one.is_due(at(51)) && other.has(&first) && other.has(&second));
        let next = one.wrap(&inner(2)).unwrap();
        assert_eq!(secret_of(&next), Some(second));
        // Who has offered goes on opening what the other may still write, however long that takes.
        one.sweep(at(1_000_000));
        assert!(one.has(&first));
        other.shown(&second, (at(60), KEEP));
        other.sweep(at(60));
        assert!(other.unwrap(&late).is_some());
        // A restart keeps what is to go, when.
        let mut other = Outer::from_bytes(&other.to_bytes()).unwrap();
        (0..50).for_each(|_| other.count());
        let third = exchange(&mut one, &mut other, 170);
        other.shown(&third, (at(170), KEEP));
        other.sweep(at(170));
        assert!(!other.has(&first) && other.has(&second));
        assert!(other.unwrap(&late).is_none());
        // Of exchanges that come to nothing no secrets pile up, and what is used stays.
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let used = one.wrap(&inner(3)).unwrap();
        for hour in 1..50 {
            let now = at(200 + 3600 * hour);
            for soon in [false, true] {
                let Control::Offer(id, key) = one.offer(now, rng) else {
                    panic!("an offer");
                };
                let taken = other.take_offer((now, rng), &tag(), (&id, &key));
                assert_eq!(!taken, soon, "nor are answers made for nothing");
            }
            assert!(other.secrets.len() <= MOST);
        }
        assert!(other.unwrap(&used).is_some() && other.wrap(&inner(4)).is_some());
    }

    /// Nothing that comes in the meantime is written under a key that was given up.
    #[test]
    fn an_offer_waits_for_its_answer() {
        let mut one = Outer::default();
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        drop(one.offer(at(1), rng));
        (0..1_000).for_each(|_| one.count());
        assert!(!one.is_due(at(3_600)) && one.is_due(at(3_601)));
    }

    #[test]
    fn who_has_everything_but_the_secret_unwraps_nothing() {
        let (mut one, mut other) = (Outer::default(), Outer::default());
        let id = exchange(&mut one, &mut other, 1);
        let wrapped = one.wrap(&inner(1)).unwrap();
        let (mut third, mut fourth) = (Outer::default(), Outer::default());
        exchange(&mut third, &mut fourth, 2);
        third.secrets[0].id = id;
        assert!(third.unwrap(&wrapped).is_none());
        // What is recorded of the exchange is of another session.
        let shared = [1; 32];
        assert_ne!(
            derive(&shared, &id, &tag()),
            derive(&shared, &id, &Tag::new([8; 8]))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_altered_does_not_unwrap(place in 0..CONTENT_BYTES, flip in 1u8..) {
            let (mut one, mut other) = (Outer::default(), Outer::default());
            exchange(&mut one, &mut other, 1);
            let mut wrapped = one.wrap(&inner(1)).unwrap();
            wrapped[place] ^= flip;
            prop_assert!(other.unwrap(&wrapped).is_none());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
            let _ = (Outer::from_bytes(&bytes), Control::decode(&bytes), secret_of(&bytes));
        }
    }
}
