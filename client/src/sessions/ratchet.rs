//! The double ratchet: Olm, by `vodozemac`, with keys of ours.
//!
//! The library makes its sessions from an account that draws keys of its own. Ours follow from what is kept of a
//! client, and its prekeys are as many as it gives out, so an account is made for one handshake, from its kept form, and
//! dropped. The kept forms of accounts and sessions are JSON, whose shape is the library's: its version is chosen, not
//! ranged.
//!
//! Ratchet keys are the library's to draw, from the system. Nothing is ordered by them.

use serde_json::{from_slice, to_writer};
use shoal_packet::fragment::FRAGMENT_BYTES;
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{
    Account, AccountPickle, DecryptionError, OlmMessage, PreKeyMessage, Session, SessionConfig,
    SessionPickle,
};
use zeroize::Zeroizing;

use super::far;
use super::prekey::Prekey;
use super::tag::Tag;
use crate::keys::{ClientKeys, PeerKey};

const CONFIG: SessionConfig = SessionConfig::version_1();

/// Why a message does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RatchetError {
    /// Its key was used: it is here, or was. Or it is not kept any more.
    KeyGone,
    /// It was not made for a session of ours, or was altered.
    Bad,
}

/// One end of a session with somebody.
pub(super) struct Ratchet(Session);

/// A message of a session, as it is read.
pub(super) struct Sealed(OlmMessage);

impl Sealed {
    /// Reads what [`Ratchet::seal`] gave.
    pub(super) fn parse(first: bool, bytes: &[u8]) -> Option<Self> {
        OlmMessage::from_parts(usize::from(!first), bytes)
            .ok()
            .map(Self)
    }

    /// If it may be the first of a session: who began it, the prekey that it was begun with, and what tells the session from others.
    pub(super) fn begins(&self) -> Option<([u8; 32], [u8; 32], Tag)> {
        let OlmMessage::PreKey(message) = &self.0 else {
            return None;
        };
        let keys = message.session_keys();
        Some((
            keys.identity_key.to_bytes(),
            keys.one_time_key.to_bytes(),
            Tag::of(&keys.session_id()),
        ))
    }

    /// The chain that its key is of, and its place there.
    pub(super) fn place(&self) -> ([u8; 32], u64) {
        let message = match &self.0 {
            OlmMessage::Normal(message) => message,
            OlmMessage::PreKey(message) => message.message(),
        };
        (message.ratchet_key().to_bytes(), message.chain_index())
    }
}

impl Ratchet {
    /// A session that we begin, with a prekey of theirs. None for keys that give no secret.
    pub(super) fn begin(keys: &ClientKeys, to: &PeerKey, prekey: &PeerKey) -> Option<Self> {
        let account = account(keys, None)?;
        let [to, prekey] = [to, prekey].map(|key| Curve25519PublicKey::from_bytes(*key.as_bytes()));
        let session = account.create_outbound_session(CONFIG, to, prekey);
        session.ok().map(Self)
    }

    /// A session that somebody begins with a prekey of ours, and what the message says.
    pub(super) fn accept(
        keys: &ClientKeys,
        prekey: &Prekey,
        message: &Sealed,
    ) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let OlmMessage::PreKey(message) = &message.0 else {
            return None;
        };
        Self::accepted(keys, prekey, message)
    }

    fn accepted(
        keys: &ClientKeys,
        prekey: &Prekey,
        message: &PreKeyMessage,
    ) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let mut account = account(keys, Some(prekey))?;
        let from = message.identity_key();
        let created = account.create_inbound_session(CONFIG, from, message).ok()?;
        Some((Self(created.session), Zeroizing::new(created.plaintext)))
    }

    /// Both ends have the same; no other session has.
    pub(super) fn tag(&self) -> Tag {
        Tag::of(&self.0.session_id())
    }

    /// Seals a fragment: whether it begins the session, since nothing has come from the other end, and the message.
    pub(super) fn seal(&mut self, fragment: &[u8]) -> Option<(bool, Vec<u8>)> {
        let (kind, bytes) = self.0.encrypt(fragment).ok()?.to_parts();
        Some((kind == 0, bytes))
    }

    /// Opens a message, and moves on. It stays as it was if it does not open.
    pub(super) fn open(&mut self, message: &Sealed) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        match self.0.decrypt(&message.0) {
            Ok(fragment) => whole(fragment),
            Err(DecryptionError::MissingMessageKey(_)) => Err(RatchetError::KeyGone),
            Err(DecryptionError::TooBigMessageGap(..)) => self.open_far(message),
            Err(_) => Err(RatchetError::Bad),
        }
    }

    /// Opens a message that is further ahead in its chain than the library goes at once: the other end has written
    /// thousands that are over. What is skipped on the way can't be opened any more.
    fn open_far(&mut self, message: &Sealed) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let kept = self.to_bytes();
        let (key, index) = message.place();
        let ahead = far::ahead(&kept, &key, index).ok_or(RatchetError::Bad)?;
        let mut ahead = Self::from_bytes(&ahead).ok_or(RatchetError::Bad)?;
        let fragment = ahead.0.decrypt(&message.0);
        let fragment = whole(fragment.map_err(|_| RatchetError::Bad)?)?;
        *self = ahead;
        Ok(fragment)
    }

    /// What is kept of it.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for it to grow in one place: what is left behind by growing is not wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
        // Writing to memory does not fail, and numbers and lists are all that it has.
        let _ = to_writer(&mut *bytes, &self.0.pickle());
        bytes
    }

    /// From what was kept of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let pickle: SessionPickle = from_slice(bytes).ok()?;
        Some(Self(Session::from_pickle(pickle)))
    }

    /// The same end once more, to try something with.
    pub(super) fn copy(&self) -> Self {
        Self(Session::from_pickle(self.0.pickle()))
    }
}

/// What a message held, if it is a fragment.
fn whole(fragment: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
    let fragment = Zeroizing::new(fragment);
    match fragment.len() == FRAGMENT_BYTES {
        true => Ok(fragment),
        false => Err(RatchetError::Bad),
    }
}

/// An account with our key, and the one prekey that a handshake is about.
fn account(keys: &ClientKeys, prekey: Option<&Prekey>) -> Option<Account> {
    // The key to sign with is never used.
    let mut text = Zeroizing::new(Vec::with_capacity(2048));
    text.extend_from_slice(br#"{"signing_key":{"Normal":"#);
    list(&mut text, &[0; 32]);
    text.extend_from_slice(br#"},"diffie_hellman_key":"#);
    list(&mut text, keys.sealing().as_bytes());
    text.extend_from_slice(
        br#","one_time_keys":{"next_key_id":0,"public_keys":{},"private_keys":{}},"fallback_keys":{"key_id":1,"fallback_key":"#,
    );
    match prekey {
        Some(prekey) => {
            text.extend_from_slice(br#"{"key_id":0,"key":"#);
            list(&mut text, prekey.secret());
            text.extend_from_slice(br#","published":true}"#);
        }
        None => text.extend_from_slice(b"null"),
    }
    text.extend_from_slice(br#","previous_fallback_key":null}}"#);
    let pickle: AccountPickle = from_slice(&text).ok()?;
    Some(Account::from_pickle(pickle))
}

/// A list of numbers.
fn list(text: &mut Vec<u8>, bytes: &[u8; 32]) {
    // Writing to memory does not fail.
    let _ = to_writer(text, bytes);
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    /// What the library's own account of these keys is: if its kept form changes, this fails.
    #[test]
    fn an_account_has_our_keys() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let (keys, prekey) = (ClientKeys::generate(rng), Prekey::generate(rng));
        let account = account(&keys, Some(&prekey)).unwrap();
        let own = account.curve25519_key().to_bytes();
        assert_eq!(own, *keys.public().as_bytes());
        let bob = ClientKeys::generate(rng);
        let mut begun = Ratchet::begin(&bob, &keys.public(), &prekey.public()).unwrap();
        let (first, bytes) = begun.seal(&[7; FRAGMENT_BYTES]).unwrap();
        assert!(first);
        let message = Sealed::parse(first, &bytes).unwrap();
        let (from, to, tag) = message.begins().unwrap();
        assert_eq!(
            (from, to),
            (*bob.public().as_bytes(), *prekey.public().as_bytes())
        );
        assert_eq!(tag, begun.tag());
        let (mut accepted, text) = Ratchet::accept(&keys, &prekey, &message).unwrap();
        assert_eq!((accepted.tag(), &text[..]), (tag, &[7; FRAGMENT_BYTES][..]));
        // Both ways, and over what is kept.
        let (first, bytes) = accepted.seal(&[8; FRAGMENT_BYTES]).unwrap();
        assert!(!first);
        let mut begun = Ratchet::from_bytes(&begun.to_bytes()).unwrap();
        let answer = Sealed::parse(first, &bytes).unwrap();
        assert_eq!(begun.open(&answer).unwrap()[..], [8; FRAGMENT_BYTES][..]);
        assert_eq!(begun.open(&answer).err(), Some(RatchetError::KeyGone));
        let other = Prekey::generate(rng);
        assert!(Ratchet::accept(&keys, &other, &message).is_none());
    }
}
