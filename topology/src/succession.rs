//! How a network's values change: by a file that follows on the one before. More than two thirds of the seats sign
//! it, it counts from the first moment of an epoch on, and nodes and clients fetch it from each other before.
//!
//! The values change, and with them the hash that protocols are named by; the chain of documents goes on. So all that
//! is signed in it is signed for the network whose file was the first, members, seats and ages stay, and who had the
//! old file follows as if nothing had been. A file says from which seats on whoever knows nothing else follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};
use shoal_proto::{Epoch, NetworkHash, NodeId, Time};
use thiserror::Error;

use crate::agreement::{Height, Holder, MAX_SEATS, Seats, SeatsError, VrfPublic};
use crate::canonical::Canonical;
use crate::identity::{Identity, verify_by};
use crate::recovery::height;
use crate::{NetworkFile, NetworkParameters, ParameterError, Recoverer};

/// Most bytes of a file that follows on another.
pub const MAX_SUCCESSOR_BYTES: usize = 512 * 1024;
/// Most signatures of one: more than there are seats, as it may be signed in one term and looked at in the next.
const MAX_SIGNATURES: usize = 2 * MAX_SEATS;

/// Why a file does not follow on another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// Not of the form.
    #[error("{0}")]
    File(Box<ParameterError>),
    /// Longer than any is.
    #[error(
        "{0} bytes, more than the {MAX_SUCCESSOR_BYTES} that a file that follows on another can have"
    )]
    Size(usize),
    /// It follows on nothing.
    #[error(
        "it has no [succession], so it follows on no other file: make one with `shoal network successor new`"
    )]
    None,
    /// It follows on another file.
    #[error("it follows on the network's file {of}, and this is {here}")]
    Follows {
        /// On which.
        of: NetworkHash,
        /// On which it should.
        here: NetworkHash,
    },
    /// It goes on with another chain.
    #[error("it goes on with the chain of {of}, and this is {here}")]
    Origin {
        /// With which.
        of: NetworkHash,
        /// With which it should.
        here: NetworkHash,
    },
    /// A value that can't change.
    #[error("{0} can't change in a network that goes on: {1}")]
    Fixed(&'static str, &'static str),
    /// Its clock does not meet the one before.
    #[error(
        "its epoch {epoch} begins at {after} s, and by the file before at {before} s: genesis_time and epoch have to \
         fit together"
    )]
    Clock {
        /// The first by its values.
        epoch: Epoch,
        /// When that begins.
        after: u64,
        /// When it does by the file before.
        before: u64,
    },
    /// A profile is gone.
    #[error(
        "it lacks the profile `{0}`: clients that have chosen it would stop. Give it the rates of another"
    )]
    Profile(String),
    /// It names seats that can't be.
    #[error("its seats: {0}")]
    Seats(SeatsError),
    /// Its seats are others than were agreed on.
    #[error(
        "it names other seats after height {0} than were agreed on, so that who knows nothing else would follow others"
    )]
    Root(Height),
    /// No seats yet.
    #[error("its height is 0, and before the first document no seats are known that could go on")]
    Height,
    /// Somebody signed twice, or too many did.
    #[error(
        "{0} signatures: there can be one of each member, ascending by id, and {MAX_SIGNATURES} at most"
    )]
    Signatures(usize),
    /// A signature is of something else.
    #[error("the signature of {0} is not of this file")]
    Signature(NodeId),
    /// Two that differ where they should not.
    #[error("the two files are not the same")]
    Other,
    /// Too few of those who sit have signed.
    #[error("{signed} of those who sit have signed it, and {needed} have to")]
    Unsigned {
        /// So many have.
        signed: usize,
        /// So many have to: more than two thirds.
        needed: usize,
    },
}

impl SuccessionError {
    /// Whether an honest neighbour may have sent it to one that knows less.
    pub(crate) const fn is_of_who_knows_less(&self) -> bool {
        matches!(
            self,
            Self::Unsigned { .. } | Self::Follows { .. } | Self::Root(_)
        )
    }
}

/// How a network's file follows on another. The signatures are not part of its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// The hash of the file before.
    #[serde(deserialize_with = "network")]
    pub follows: NetworkHash,
    /// The hash of the first file, for which everything in the chain is signed.
    #[serde(deserialize_with = "network")]
    pub origin: NetworkHash,
    /// The first epoch with these values: its document is formed by them.
    #[serde(deserialize_with = "epoch")]
    pub epoch: Epoch,
    /// The height of the last handover when the file was made. Who knows only this file follows from there.
    #[serde(deserialize_with = "height")]
    pub height: Height,
    /// Who decides after that height: 1 to [`MAX_SEATS`], ascending by identity.
    #[serde(deserialize_with = "holders")]
    pub seats: Vec<Holder>,
    /// Who has signed it, ascending by identity.
    #[serde(default)]
    pub signatures: Vec<Recoverer>,
}

impl Succession {
    /// The seats from which who knows only this file follows.
    pub(crate) fn root(&self) -> Result<Seats, SeatsError> {
        if !self.seats.is_sorted_by(|one, next| one.id < next.id) {
            return Err(SeatsError::Order);
        }
        Seats::new(self.origin, self.seats.iter().copied())
    }

    /// Of all that is not a signature.
    pub(crate) fn add_to(&self, hash: Canonical) -> Canonical {
        let rows = self.seats.iter().map(Holder::encode);
        hash.bytes(b"succession")
            .bytes(self.follows.as_bytes())
            .bytes(self.origin.as_bytes())
            .number(self.epoch.number())
            .number(self.height.number())
            .bytes(&rows.collect::<Vec<_>>().concat())
    }

    /// Whether its form is right, and each signature is of the file with this hash.
    pub(crate) fn check_form(&self, hash: &NetworkHash) -> Result<(), SuccessionError> {
        if self.height < Height::FIRST {
            return Err(SuccessionError::Height);
        }
        self.root().map_err(SuccessionError::Seats)?;
        let all = &self.signatures;
        if all.len() > MAX_SIGNATURES || !all.is_sorted_by(|one, next| one.id < next.id) {
            return Err(SuccessionError::Signatures(all.len()));
        }
        let message = message(&self.origin, hash);
        for Recoverer { id, signature } in all {
            let of_it = |signature| verify_by(id.as_bytes(), &message, &signature);
            if !signature.is_some_and(of_it) {
                return Err(SuccessionError::Signature(*id));
            }
        }
        Ok(())
    }

    /// How many of these have signed.
    #[must_use]
    pub fn signed_by(&self, seats: &Seats) -> usize {
        let signed = |it: &&Recoverer| it.signature.is_some() && seats.of(&it.id).is_some();
        self.signatures.iter().filter(signed).count()
    }

    /// The table of a network's file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let list = |lines: Vec<String>| {
            let lines = lines.iter().map(|line| format!("    \"{line}\",\n"));
            lines.collect::<String>()
        };
        format!(
            "# This file follows on another: its values count from the first moment of this epoch on, if more than two\n\
             # thirds of those who sit sign it. Who has only this file follows from the seats after this height.\n\
             [succession]\nfollows = \"{}\"\norigin = \"{}\"\nepoch = {}\nheight = {}\nseats = [\n{}]\n\
             signatures = [\n{}]\n\n",
            self.follows,
            self.origin,
            self.epoch,
            self.height,
            list(self.seats.iter().map(row).collect()),
            list(self.signatures.iter().map(ToString::to_string).collect()),
        )
    }
}

/// What a member signs of a file.
fn message(origin: &NetworkHash, hash: &NetworkHash) -> [u8; 32] {
    Canonical::new("shoal succession 1")
        .bytes(origin.as_bytes())
        .bytes(hash.as_bytes())
        .finish()
}

/// A file that follows on another, as it is spread. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    params: Arc<NetworkParameters>,
    succession: Succession,
    hash: NetworkHash,
    text: Arc<[u8]>,
}

impl Successor {
    /// Reads a file that follows on this one. Time and memory are in proportion to its length, and about 50 µs for
    /// each signature.
    ///
    /// # Errors
    /// [`SuccessionError`]. That too few have signed is none.
    pub fn read(text: &[u8], before: &NetworkParameters) -> Result<Self, SuccessionError> {
        let successor = Self::parse(text)?;
        successor.check(before)?;
        Ok(successor)
    }

    /// Reads a file that follows on some other one.
    ///
    /// # Errors
    /// [`SuccessionError::Size`], [`SuccessionError::File`], [`SuccessionError::None`].
    pub fn parse(text: &[u8]) -> Result<Self, SuccessionError> {
        if text.len() > MAX_SUCCESSOR_BYTES {
            return Err(SuccessionError::Size(text.len()));
        }
        let file = |error| SuccessionError::File(Box::new(error));
        let text = std::str::from_utf8(text);
        let text = text.map_err(|error| file(ParameterError::Toml(error.to_string())))?;
        Self::of(NetworkFile::read(text).startable().map_err(file)?)
    }

    /// That of a file whose values are in their ranges.
    ///
    /// # Errors
    /// [`SuccessionError::None`], [`SuccessionError::Size`].
    pub fn of(mut params: NetworkParameters) -> Result<Self, SuccessionError> {
        // Each takes those of its own file, and none from others.
        params.recoveries.clear();
        let succession = params.succession.clone().ok_or(SuccessionError::None)?;
        let text = params.to_toml().into_bytes();
        if text.len() > MAX_SUCCESSOR_BYTES {
            return Err(SuccessionError::Size(text.len()));
        }
        Ok(Self {
            hash: params.hash(),
            params: Arc::new(params),
            succession,
            text: text.into(),
        })
    }

    /// Whether it follows on this file.
    fn check(&self, before: &NetworkParameters) -> Result<(), SuccessionError> {
        let (after, by) = (&*self.params, &self.succession);
        let (here, chain) = (before.hash(), before.chain());
        if by.follows != here {
            let of = by.follows;
            return Err(SuccessionError::Follows { of, here });
        }
        if by.origin != chain {
            let (of, here) = (by.origin, chain);
            return Err(SuccessionError::Origin { of, here });
        }
        for (same, key, why) in [
            (
                after.name == before.name,
                "name",
                "nodes and clients know it by that",
            ),
            (
                after.term == before.term,
                "term",
                "the terms' heights would not meet",
            ),
        ] {
            if !same {
                return Err(SuccessionError::Fixed(key, why));
            }
        }
        if after.reach() != before.reach() {
            let why = "members dial each other by it";
            return Err(SuccessionError::Fixed("the kind of its addresses", why));
        }
        let (after_us, before_us) = (after.start_of(by.epoch), before.start_of(by.epoch));
        if after_us != before_us {
            return Err(SuccessionError::Clock {
                epoch: by.epoch,
                after: after_us.as_secs(),
                before: before_us.as_secs(),
            });
        }
        let mut profiles = before.profiles.keys();
        match profiles.find(|name| after.profile(name).is_none()) {
            Some(gone) => Err(SuccessionError::Profile(gone.clone())),
            None => Ok(()),
        }
    }

    /// Its values.
    #[must_use]
    pub const fn params(&self) -> &Arc<NetworkParameters> {
        &self.params
    }

    /// How it follows on the file before.
    #[must_use]
    pub const fn succession(&self) -> &Succession {
        &self.succession
    }

    /// The hash of its values.
    #[must_use]
    pub const fn hash(&self) -> NetworkHash {
        self.hash
    }

    /// The file.
    #[must_use]
    pub const fn text(&self) -> &Arc<[u8]> {
        &self.text
    }

    /// From when on its values count.
    #[must_use]
    pub fn begins(&self) -> Time {
        self.params.start_of(self.succession.epoch)
    }

    /// Whether more than two thirds of these seats have signed it.
    ///
    /// # Errors
    /// [`SuccessionError::Unsigned`].
    pub fn check_signed(&self, seats: &Seats) -> Result<(), SuccessionError> {
        let (signed, needed) = (self.succession.signed_by(seats), seats.quorum());
        if signed < needed {
            return Err(SuccessionError::Unsigned { signed, needed });
        }
        Ok(())
    }

    /// Whether more than two thirds of one of these have.
    ///
    /// # Errors
    /// What the first lack: [`SuccessionError::Unsigned`], with no seats none.
    pub(crate) fn check_signed_by_one<'a>(
        &self,
        seats: impl IntoIterator<Item = &'a Seats>,
    ) -> Result<(), SuccessionError> {
        let mut first = SuccessionError::None;
        for (place, seats) in seats.into_iter().enumerate() {
            match self.check_signed(seats) {
                Ok(()) => return Ok(()),
                Err(error) if place == 0 => first = error,
                Err(_) => {}
            }
        }
        Err(first)
    }

    /// Whether its seats are those that were agreed on, as far as that is known.
    pub(crate) fn check_root(
        &self,
        since: Height,
        known: Option<[u8; 32]>,
    ) -> Result<(), SuccessionError> {
        let (height, root) = (self.succession.height, self.succession.root());
        let root = root.map_err(SuccessionError::Seats)?.hash();
        match height > since || known.is_some_and(|known| known != root) {
            true => Err(SuccessionError::Root(height)),
            false => Ok(()),
        }
    }

    /// Signs for a member.
    ///
    /// # Errors
    /// [`SuccessionError::Size`], [`SuccessionError::Signatures`].
    pub fn sign(&self, identity: &Identity) -> Result<Self, SuccessionError> {
        let signature = identity.sign(&message(&self.succession.origin, &self.hash));
        self.with(&[Recoverer {
            id: identity.id(),
            signature: Some(signature),
        }])
    }

    /// With the signatures of another copy.
    ///
    /// # Errors
    /// [`SuccessionError::Other`], [`SuccessionError::Size`], [`SuccessionError::Signatures`].
    pub fn merge(&self, other: &Self) -> Result<Self, SuccessionError> {
        if self.hash != other.hash {
            return Err(SuccessionError::Other);
        }
        self.with(&other.succession.signatures)
    }

    fn with(&self, more: &[Recoverer]) -> Result<Self, SuccessionError> {
        let mut params = (*self.params).clone();
        if let Some(succession) = &mut params.succession {
            let all = more.iter().chain(&succession.signatures);
            let all = BTreeMap::from_iter(all.map(|it| (it.id, *it)));
            succession.signatures = all.into_values().collect();
            if succession.signatures.len() > MAX_SIGNATURES {
                return Err(SuccessionError::Signatures(succession.signatures.len()));
            }
        }
        Self::of(params)
    }
}

impl NetworkParameters {
    /// What everything in the chain of documents is signed for: the hash of the network's first file, whose values
    /// may have changed since. See [`Succession`].
    #[must_use]
    pub fn chain(&self) -> NetworkHash {
        let succession = self.succession.as_ref();
        succession.map_or_else(|| self.hash(), |succession| succession.origin)
    }

    /// The file that counts now, of this one and those that follow on it: each as it was accepted before. One counts,
    /// too, if a document of this epoch was seen that is for its time. Recoveries are those of this file.
    #[must_use]
    pub fn at(self, successors: &[Successor], now: Time, seen: Option<Epoch>) -> Self {
        let recoveries = self.recoveries.clone();
        let mut params = self;
        let begun = |next: &Successor| {
            next.begins() <= now || seen.is_some_and(|seen| seen >= next.succession.epoch)
        };
        // Each step takes another of them: a file can't follow on itself.
        for _ in successors {
            let here = params.hash();
            let mut next = successors.iter();
            let next = next.find(|next| next.succession.follows == here && begun(next));
            match next {
                Some(next) => params = (*next.params).clone(),
                None => break,
            }
        }
        Self {
            recoveries,
            ..params
        }
    }
}

/// `ID:KEY:VRF`, in base58; without the last for no key for proofs.
fn row(holder: &Holder) -> String {
    let vrf = holder
        .vrf
        .as_ref()
        .map(|vrf| bs58::encode(vrf.as_bytes()).into_string());
    let row = format!("{}:{}", holder.id, holder.key);
    vrf.map_or_else(|| row.clone(), |vrf| format!("{row}:{vrf}"))
}

fn holder(text: &str) -> Option<Holder> {
    let mut parts = text.split(':');
    let id = parts.next()?.parse().ok()?;
    let key = parts.next()?.parse().ok()?;
    let vrf = match parts.next() {
        Some(text) => Some(VrfPublic::from_bytes(&bytes(text)?)?),
        None => None,
    };
    parts.next().is_none().then_some(Holder { id, key, vrf })
}

/// 32 bytes in base58.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = bs58::decode(text).onto(&mut bytes).ok()?;
    (length == bytes.len()).then_some(bytes)
}

fn holders<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Holder>, D::Error> {
    let rows = Vec::<String>::deserialize(from)?;
    let read = rows.iter().map(|row| holder(row));
    let read = read.collect::<Option<Vec<_>>>();
    read.ok_or_else(|| {
        de::Error::custom("a seat is `ID:KEY` or `ID:KEY:VRF`, each of 32 bytes in base58")
    })
}

fn network<'de, D: Deserializer<'de>>(from: D) -> Result<NetworkHash, D::Error> {
    let hash = bytes(&String::deserialize(from)?).map(NetworkHash::new);
    hash.ok_or_else(|| de::Error::custom("not a hash of 32 bytes in base58"))
}

fn epoch<'de, D: Deserializer<'de>>(from: D) -> Result<Epoch, D::Error> {
    u64::deserialize(from).map(Epoch::new)
}
