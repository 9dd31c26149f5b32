//! Sessions: what a handshake has agreed on, which requests were seen, and when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;
use rand::Rng as _;
use rand_chacha::ChaCha20Rng;
use sha2::{Digest as _, Sha256};
use shoal_proto::{Span, Time};

use super::keys::{IdentityKey, NotAKey, Secret};
use super::message::{AuthMessage, VERSION};

/// Bytes of a nonce of ours: a multiple of three, so that its base64 has no padding. Clients decode the two nonces of a
/// handshake as one text.
const NONCE_BYTES: usize = 48;

/// Longest nonce of a client's, in base64.
const MAX_NONCE: usize = 128;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(in crate::messagebox) struct Limits {
    /// Sessions. The handshake proves nothing yet, so those go first that nobody has signed anything in.
    pub(in crate::messagebox) sessions: usize,
    /// Requests in a session; then the client begins another.
    pub(in crate::messagebox) requests: usize,
    /// How long a session is good that nothing is asked in.
    pub(in crate::messagebox) idle: Span,
}

/// Why somebody is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::messagebox) enum Denied {
    /// The client has to shake hands again.
    #[error("there is no such session: shake hands first")]
    NoSession,
    /// It was asked before.
    #[error("this request was seen before")]
    Replayed,
    /// Someone else's signature, or of something else.
    #[error("the signature is not right")]
    Forged,
    /// It is no message of BRC-103.
    #[error("this is no message of BRC-103, version 0.1")]
    Malformed,
}

impl From<NotAKey> for Denied {
    fn from(NotAKey: NotAKey) -> Self {
        Self::Malformed
    }
}

/// Who has asked, and in which session.
#[derive(Clone)]
pub(in crate::messagebox) struct Proven {
    pub(in crate::messagebox) identity: IdentityKey,
    /// The client's nonce of the session, to which answers are signed.
    pub(in crate::messagebox) client_nonce: String,
}

/// What a client says of a request.
pub(in crate::messagebox) struct Claim<'a> {
    pub(in crate::messagebox) identity: &'a str,
    pub(in crate::messagebox) nonce: &'a str,
    pub(in crate::messagebox) our_nonce: &'a str,
    pub(in crate::messagebox) signature: &'a [u8],
    pub(in crate::messagebox) payload: &'a [u8],
}

/// A signature of ours, and the nonce that goes with it.
pub(in crate::messagebox) struct Signed {
    pub(in crate::messagebox) nonce: String,
    pub(in crate::messagebox) signature: Vec<u8>,
}

/// The daemon's own identity in that world.
pub(in crate::messagebox) struct Keyring {
    secret: Secret,
    identity: IdentityKey,
    rng: Mutex<ChaCha20Rng>,
}

impl Keyring {
    pub(in crate::messagebox) fn new(secret: Secret, rng: ChaCha20Rng) -> Result<Self, NotAKey> {
        Ok(Self {
            identity: secret.identity()?,
            secret,
            rng: Mutex::new(rng),
        })
    }

    pub(in crate::messagebox) const fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    fn nonce(&self) -> String {
        let mut bytes = [0; NONCE_BYTES];
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fill_bytes(&mut bytes);
        BASE64.encode(&bytes)
    }

    /// Signs something for who has asked.
    pub(in crate::messagebox) fn sign(
        &self,
        to: &Proven,
        payload: &[u8],
    ) -> Result<Signed, Denied> {
        let nonce = self.nonce();
        let key_id = format!("{nonce} {}", to.client_nonce);
        let signature = self.secret.sign(&to.identity, &key_id, payload)?;
        Ok(Signed { nonce, signature })
    }

    /// The same as a message.
    pub(in crate::messagebox) fn message(
        &self,
        to: &Proven,
        payload: Vec<u8>,
    ) -> Result<AuthMessage, Denied> {
        let Signed { nonce, signature } = self.sign(to, &payload)?;
        Ok(AuthMessage {
            version: VERSION.to_owned(),
            message_type: "general".to_owned(),
            identity_key: self.identity.to_string(),
            nonce: Some(nonce),
            your_nonce: Some(to.client_nonce.clone()),
            payload: Some(payload),
            signature: Some(signature),
            ..AuthMessage::default()
        })
    }
}

struct Session {
    with: Proven,
    /// When something was asked last.
    used: Time,
    /// Somebody has signed in it, so it is with who it says.
    signed: bool,
    /// Hashes of the nonces of its requests.
    seen: BTreeSet<[u8; 32]>,
}

/// All sessions of a door.
pub(in crate::messagebox) struct Sessions {
    keyring: Arc<Keyring>,
    limits: Limits,
    table: Mutex<BTreeMap<String, Session>>,
}

impl Sessions {
    pub(in crate::messagebox) fn new(keyring: Arc<Keyring>, limits: Limits) -> Self {
        Self {
            keyring,
            limits,
            table: Mutex::default(),
        }
    }

    /// Answers a handshake: the answer has our signature, which only who has asked can check.
    pub(in crate::messagebox) fn greet(
        &self,
        now: Time,
        asked: &AuthMessage,
    ) -> Result<AuthMessage, Denied> {
        let client_nonce = asked.initial_nonce.as_deref().unwrap_or_default();
        if asked.version != VERSION
            || asked.message_type != "initialRequest"
            || client_nonce.len() > MAX_NONCE
        {
            return Err(Denied::Malformed);
        }
        let identity: IdentityKey = asked.identity_key.parse()?;
        let theirs = BASE64.decode(client_nonce.as_bytes());
        let theirs = theirs.map_err(|_| Denied::Malformed)?;
        if theirs.len() < 16 {
            return Err(Denied::Malformed);
        }
        let own_nonce = self.keyring.nonce();
        let own = BASE64.decode(own_nonce.as_bytes());
        let data = [theirs, own.map_err(|_| Denied::Malformed)?].concat();
        let key_id = format!("{client_nonce} {own_nonce}");
        let signature = self.keyring.secret.sign(&identity, &key_id, &data)?;
        let session = Session {
            with: Proven {
                identity,
                client_nonce: client_nonce.to_owned(),
            },
            used: now,
            signed: false,
            seen: BTreeSet::new(),
        };
        self.add(now, own_nonce.clone(), session);
        Ok(AuthMessage {
            version: VERSION.to_owned(),
            message_type: "initialResponse".to_owned(),
            identity_key: self.keyring.identity.to_string(),
            initial_nonce: Some(own_nonce),
            your_nonce: Some(client_nonce.to_owned()),
            signature: Some(signature),
            ..AuthMessage::default()
        })
    }

    fn add(&self, now: Time, nonce: String, session: Session) {
        let mut table = self.table();
        table.retain(|_, it| now.since(it.used) < self.limits.idle);
        while table.len() >= self.limits.sessions {
            let first = table.iter().min_by_key(|(_, it)| (it.signed, it.used));
            let Some(nonce) = first.map(|(nonce, _)| nonce.clone()) else {
                break;
            };
            table.remove(&nonce);
        }
        table.insert(nonce, session);
    }

    /// Who has asked this: it is in a session, signed by whom that is with, and was not seen before.
    pub(in crate::messagebox) fn check(
        &self,
        now: Time,
        claim: &Claim<'_>,
    ) -> Result<Proven, Denied> {
        let mut table = self.table();
        let session = table.get_mut(claim.our_nonce);
        let session = session.filter(|it| now.since(it.used) < self.limits.idle);
        let session = session.ok_or(Denied::NoSession)?;
        if session.seen.len() >= self.limits.requests {
            table.remove(claim.our_nonce);
            return Err(Denied::NoSession);
        }
        if claim.identity.parse() != Ok(session.with.identity) || claim.nonce.len() > MAX_NONCE {
            return Err(Denied::Forged);
        }
        let key_id = format!("{} {}", claim.nonce, claim.our_nonce);
        let (identity, secret) = (&session.with.identity, &self.keyring.secret);
        if !secret.verifies(identity, &key_id, claim.payload, claim.signature) {
            return Err(Denied::Forged);
        }
        if !session.seen.insert(Sha256::digest(claim.nonce).into()) {
            return Err(Denied::Replayed);
        }
        (session.used, session.signed) = (now, true);
        Ok(session.with.clone())
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        // Nothing in here panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 3,
        requests: 4,
        idle: Span::from_secs(60),
    };

    fn sessions() -> Sessions {
        let mut rng = crate::seeded().unwrap();
        let secret = Secret::generate(&mut rng);
        Sessions::new(Arc::new(Keyring::new(secret, rng).unwrap()), LIMITS)
    }

    fn client() -> Secret {
        Secret::generate(&mut crate::seeded().unwrap())
    }

    fn hello(client: &Secret) -> AuthMessage {
        AuthMessage {
            version: VERSION.to_owned(),
            message_type: "initialRequest".to_owned(),
            identity_key: client.identity().unwrap().to_string(),
            initial_nonce: Some(BASE64.encode(&[9; 48])),
            ..AuthMessage::default()
        }
    }

    fn greeted(sessions: &Sessions, now: Time, client: &Secret) -> String {
        sessions
            .greet(now, &hello(client))
            .unwrap()
            .initial_nonce
            .unwrap()
    }

    fn ask(
        sessions: &Sessions,
        now: Time,
        client: &Secret,
        our_nonce: &str,
        nonce: &str,
    ) -> Result<Proven, Denied> {
        let identity = client.identity().unwrap().to_string();
        let to = sessions.keyring.identity();
        let signature = client
            .sign(to, &format!("{nonce} {our_nonce}"), b"asked")
            .unwrap();
        let claim = Claim {
            identity: &identity,
            nonce,
            our_nonce,
            signature: &signature,
            payload: b"asked",
        };
        sessions.check(now, &claim)
    }

    fn denied(outcome: Result<Proven, Denied>) -> Option<Denied> {
        outcome.err()
    }

    #[test]
    fn the_answer_to_a_handshake_proves_who_answers() {
        let (sessions, client) = (sessions(), client());
        let answer = sessions.greet(Time::default(), &hello(&client)).unwrap();
        let (theirs, ours) = (answer.your_nonce.unwrap(), answer.initial_nonce.unwrap());
        let data = BASE64.decode(format!("{theirs}{ours}").as_bytes()).unwrap();
        let from: IdentityKey = answer.identity_key.parse().unwrap();
        let signature = answer.signature.unwrap();
        assert!(client.verifies(&from, &format!("{theirs} {ours}"), &data, &signature));
    }

    #[test]
    fn a_request_is_believed_once_and_only_with_its_signature() {
        let (sessions, client, now) = (sessions(), client(), Time::default());
        let nonce = greeted(&sessions, now, &client);
        let identity = client.identity().unwrap();
        assert!(
            ask(&sessions, now, &client, &nonce, "one")
                .unwrap()
                .identity
                == identity
        );
        assert_eq!(
            denied(ask(&sessions, now, &client, &nonce, "one")),
            Some(Denied::Replayed)
        );
        let other = self::client();
        assert_eq!(
            denied(ask(&sessions, now, &other, &nonce, "two")),
            Some(Denied::Forged)
        );
        assert_eq!(
            denied(ask(&sessions, now, &client, "none", "two")),
            Some(Denied::NoSession)
        );
        // The other one's signature under the right name.
        let signature = other
            .sign(
                sessions.keyring.identity(),
                &format!("two {nonce}"),
                b"asked",
            )
            .unwrap();
        let claim = Claim {
            identity: &identity.to_string(),
            nonce: "two",
            our_nonce: &nonce,
            signature: &signature,
            payload: b"asked",
        };
        assert_eq!(denied(sessions.check(now, &claim)), Some(Denied::Forged));
    }

    #[test]
    fn sessions_end_and_are_bounded() {
        let (sessions, client, now) = (sessions(), client(), Time::default());
        let nonce = greeted(&sessions, now, &client);
        let later = now + Span::from_secs(60);
        assert_eq!(
            denied(ask(&sessions, later, &client, &nonce, "x")),
            Some(Denied::NoSession)
        );
        let nonce = greeted(&sessions, later, &client);
        for number in 0..LIMITS.requests {
            ask(&sessions, later, &client, &nonce, &number.to_string()).unwrap();
        }
        assert_eq!(
            denied(ask(&sessions, later, &client, &nonce, "more")),
            Some(Denied::NoSession)
        );
        // Who only shakes hands drives nobody out who has signed.
        let nonce = greeted(&sessions, later, &client);
        ask(&sessions, later, &client, &nonce, "a").unwrap();
        for _ in 0..20 {
            greeted(&sessions, later + Span::from_secs(1), &self::client());
            assert!(sessions.table().len() <= LIMITS.sessions);
        }
        ask(&sessions, later, &client, &nonce, "b").unwrap();
    }

    #[test]
    fn what_is_no_handshake_makes_no_session() {
        let (sessions, client) = (sessions(), client());
        let wrong: [fn(&mut AuthMessage); 5] = [
            |it| it.version = "0.2".to_owned(),
            |it| it.message_type = "general".to_owned(),
            |it| it.identity_key = "04".repeat(33),
            |it| it.initial_nonce = Some("x".repeat(129)),
            |it| it.initial_nonce = None,
        ];
        for change in wrong {
            let mut message = hello(&client);
            change(&mut message);
            let answer = sessions.greet(Time::default(), &message);
            assert!(matches!(answer, Err(Denied::Malformed)));
        }
        assert!(sessions.table().is_empty());
    }
}
