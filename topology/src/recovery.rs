//! What helps when a third of the seats is lost for good: everybody who goes on with the network agrees, outside
//! of it, on the seats that decide from a document on, and puts that into the network's file.
//!
//! Nobody inside the network can do that: more than two thirds of the seats would have to sign. So whoever
//! takes a recovery trusts those who made it as they trusted those who made the network's file, and no node and
//! no client takes one from another. The file's hash, which names the network, does not change.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use shoal_proto::{DocumentHash, NetworkHash, NodeId};
use thiserror::Error;

use crate::agreement::{Height, MAX_SEATS, Seats, SeatsError};
use crate::canonical::Canonical;
use crate::document::holder;
use crate::identity::{Identity, verify_by};
use crate::{Certified, Document, Handover, Member};

/// Most recoveries of a network.
pub const MAX_RECOVERIES: usize = 8;
/// Most bytes of a recovery's file.
pub const MAX_RECOVERY_BYTES: usize = 128 * 1024;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;

/// Why a recovery does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Not of the form.
    #[error("{0}")]
    Form(String),
    /// Longer than any is.
    #[error("{0} bytes, more than the {MAX_RECOVERY_BYTES} that a recovery can have")]
    Size(usize),
    /// Another network's.
    #[error("it is of the network {of}, and this is {here}")]
    Network {
        /// Whose it is.
        of: String,
        /// Whose it should be.
        here: String,
    },
    /// Before there was a document.
    #[error(
        "a recovery goes on from a document, and none has height 0: make a new network instead"
    )]
    Height,
    /// Too many, too few, or not in order.
    #[error("it names {0} members: it has to name 1 to {MAX_SEATS}, ascending and each once")]
    Members(usize),
    /// A signature is of something else.
    #[error("the signature of {0} is not of this recovery")]
    Signature(NodeId),
    /// Too few of those that it names have signed.
    #[error("{signed} of those that it names have signed, and {needed} have to")]
    Unsigned {
        /// So many have.
        signed: usize,
        /// So many have to: more than two thirds.
        needed: usize,
    },
    /// Somebody is named who can't sit.
    #[error("{0} is no member in the document that it goes on from")]
    NoMember(NodeId),
    /// They make no committee.
    #[error("its seats: {0}")]
    Seats(SeatsError),
    /// Two recoveries that differ where they should not.
    #[error("the two are not the same recovery")]
    Other,
    /// Not above the one before.
    #[error("recoveries have ascending heights, and there is one at {0}")]
    Order(Height),
    /// More than there can be.
    #[error("a network has at most {MAX_RECOVERIES} recoveries")]
    TooMany,
    /// Others have gone on from its document meanwhile.
    #[error(
        "it goes on from the document of height {recovery}, and one of height {newest} is here, which other \
         seats agreed on: if it is right all the same, move away what was kept"
    )]
    Late {
        /// The height of its document.
        recovery: Height,
        /// That of the newest that is here.
        newest: Height,
    },
    /// Who asks to sign is not named.
    #[error("it does not name {0}")]
    NotNamed(NodeId),
}

/// A member that is to sit, and what it has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recoverer {
    /// Who.
    pub id: NodeId,
    /// Its identity's signature, once it has agreed.
    pub signature: Option<[u8; SIGNATURE_BYTES]>,
}

/// Who decides from a document on, instead of those that should have. What counts of it is what its members
/// have signed: the network, the height, the document, and the seats with their keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The height of the document that the network goes on from: the newest that anybody has.
    #[serde(deserialize_with = "height")]
    pub height: Height,
    /// That document.
    #[serde(deserialize_with = "document")]
    pub document: DocumentHash,
    /// The hash of the seats.
    #[serde(deserialize_with = "hash")]
    pub seats: [u8; 32],
    /// Who sits: 1 to [`MAX_SEATS`] members of that document, ascending by identity.
    pub members: Vec<Recoverer>,
}

impl Recovery {
    /// Has these members of a document decide what comes after it, with the keys that it lists. Nobody has
    /// signed it yet.
    ///
    /// # Errors
    /// [`RecoveryError::NoMember`], [`RecoveryError::Members`], [`RecoveryError::Seats`].
    pub fn new(
        network: NetworkHash,
        document: &Document,
        members: &[NodeId],
    ) -> Result<Self, RecoveryError> {
        let named = BTreeMap::from_iter(members.iter().map(|id| (*id, None)));
        let mut recovery = Self {
            height: document.height(),
            document: *document.hash(),
            seats: [0; 32],
            members: named
                .into_iter()
                .map(|(id, signature)| Recoverer { id, signature })
                .collect(),
        };
        recovery.seats = recovery.seats_of(network, document)?.hash();
        Ok(recovery)
    }

    /// The seats, by the document that it goes on from.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    fn seats_of(&self, network: NetworkHash, document: &Document) -> Result<Seats, RecoveryError> {
        let named = |it: &Recoverer| {
            let member: Option<&Member> = document.member(&it.id);
            member.map(holder).ok_or(RecoveryError::NoMember(it.id))
        };
        let holders = self.members.iter().map(named);
        let holders = holders.collect::<Result<Vec<_>, _>>()?;
        Seats::new(network, holders).map_err(RecoveryError::Seats)
    }

    /// The handover from a certified document by this recovery. None if it is not the document that this
    /// goes on from, or would give others.
    pub(crate) fn hand_over(
        &self,
        network: NetworkHash,
        certified: &Certified,
    ) -> Option<Handover> {
        let document = &certified.document;
        let is_it = *document.hash() == self.document && document.height() == self.height;
        let seats = is_it
            .then(|| self.seats_of(network, document).ok())
            .flatten()?;
        self.is_of(&seats).then(|| Handover {
            header: document.header().clone(),
            certificate: certified.certificate.clone(),
            seats,
        })
    }

    /// Whether it names these seats.
    pub(crate) fn is_of(&self, seats: &Seats) -> bool {
        seats.hash() == self.seats
    }

    /// Signs for a member.
    ///
    /// # Errors
    /// [`RecoveryError::NotNamed`].
    pub fn sign(
        &mut self,
        network: &NetworkHash,
        identity: &Identity,
    ) -> Result<(), RecoveryError> {
        let message = self.message(network);
        let id = identity.id();
        let member = self.members.iter_mut().find(|member| member.id == id);
        let member = member.ok_or(RecoveryError::NotNamed(id))?;
        member.signature = Some(identity.sign(&message));
        Ok(())
    }

    /// Takes the signatures of another copy.
    ///
    /// # Errors
    /// [`RecoveryError::Other`].
    pub fn merge(&mut self, other: &Self) -> Result<(), RecoveryError> {
        let ids = |it: &Self| Vec::from_iter(it.members.iter().map(|member| member.id));
        let same = (self.height, self.document, self.seats)
            == (other.height, other.document, other.seats)
            && ids(self) == ids(other);
        if !same {
            return Err(RecoveryError::Other);
        }
        for (member, other) in self.members.iter_mut().zip(&other.members) {
            member.signature = member.signature.or(other.signature);
        }
        Ok(())
    }

    /// How many have signed.
    #[must_use]
    pub fn signed(&self) -> usize {
        let signed = |member: &&Recoverer| member.signature.is_some();
        self.members.iter().filter(signed).count()
    }

    /// How many have to sign: more than two thirds, without whom the network would stand still again.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.members.len() * 2 / 3 + 1
    }

    /// Whether its form is right and each signature of it is.
    ///
    /// # Errors
    /// [`RecoveryError`]. That too few have signed is none.
    pub fn check_form(&self, network: &NetworkHash) -> Result<(), RecoveryError> {
        if self.height < Height::FIRST {
            return Err(RecoveryError::Height);
        }
        let members = &self.members;
        let count = (1..=MAX_SEATS).contains(&members.len());
        if !count || !members.is_sorted_by(|one, next| one.id < next.id) {
            return Err(RecoveryError::Members(members.len()));
        }
        let message = self.message(network);
        for Recoverer { id, signature } in members {
            let of_it = |signature| verify_by(id.as_bytes(), &message, &signature);
            if !signature.is_none_or(of_it) {
                return Err(RecoveryError::Signature(*id));
            }
        }
        Ok(())
    }

    /// Whether it counts in a network: its form is right, and enough of those that it names have signed.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn check(&self, network: &NetworkHash) -> Result<(), RecoveryError> {
        self.check_form(network)?;
        let (signed, needed) = (self.signed(), self.needed());
        if signed < needed {
            return Err(RecoveryError::Unsigned { signed, needed });
        }
        Ok(())
    }

    /// Whether all of a network's recoveries count, in their order.
    pub(crate) fn check_all(network: &NetworkHash, all: &[Self]) -> Result<(), RecoveryError> {
        if all.len() > MAX_RECOVERIES {
            return Err(RecoveryError::TooMany);
        }
        for (one, next) in all.iter().zip(all.iter().skip(1)) {
            if one.height >= next.height {
                return Err(RecoveryError::Order(next.height));
            }
        }
        all.iter().try_for_each(|recovery| recovery.check(network))
    }

    fn message(&self, network: &NetworkHash) -> [u8; 32] {
        Canonical::new("shoal recovery 1")
            .bytes(network.as_bytes())
            .number(self.height.number())
            .bytes(self.document.as_bytes())
            .bytes(&self.seats)
            .finish()
    }

    /// The table of a network's file, without its head.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let members = self.members.iter().map(|it| format!("    \"{it}\",\n"));
        format!(
            "height = {}\ndocument = \"{}\"\nseats = \"{}\"\nmembers = [\n{}]\n",
            self.height,
            self.document,
            bs58::encode(self.seats).into_string(),
            members.collect::<String>()
        )
    }
}

/// A recovery on its way from one operator to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryFile {
    /// Of this network.
    pub network: NetworkHash,
    /// The recovery.
    pub recovery: Recovery,
}

impl RecoveryFile {
    /// Reads one of this network, signed by as many as it is.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn read(text: &str, network: &NetworkHash) -> Result<Self, RecoveryError> {
        if text.len() > MAX_RECOVERY_BYTES {
            return Err(RecoveryError::Size(text.len()));
        }
        let form = |error: toml::de::Error| RecoveryError::Form(error.to_string());
        let mut table: toml::Table = toml::from_str(text).map_err(form)?;
        let here = network.to_string();
        match table.remove("network") {
            Some(toml::Value::String(of)) if of == here => {}
            Some(of) => {
                let of = of.to_string();
                return Err(RecoveryError::Network { of, here });
            }
            None => return Err(RecoveryError::Form("missing field `network`".to_owned())),
        }
        let recovery: Recovery = table.try_into().map_err(form)?;
        recovery.check_form(network)?;
        let network = *network;
        Ok(Self { network, recovery })
    }

    /// Writes it. Reading it gives the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        format!(
            "# A recovery of a Shoal network: who decides from a document on, because more than a third of those\n\
             # that should are lost. Each operator that is named looks whether it is right and signs. It counts\n\
             # for who puts it into the network's file, and for nobody else.\n\
             network = \"{}\"\n{}",
            self.network,
            self.recovery.to_toml()
        )
    }
}

/// `ID`, and `ID:SIGNATURE` once it has signed.
impl fmt::Display for Recoverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        match &self.signature {
            Some(signature) => write!(f, ":{}", bs58::encode(signature).into_string()),
            None => Ok(()),
        }
    }
}

impl FromStr for Recoverer {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, signature) = match text.split_once(':') {
            Some((id, signature)) => (id, Some(signature)),
            None => (text, None),
        };
        let signature = signature.map(|text| {
            let mut bytes = [0; SIGNATURE_BYTES];
            let length = bs58::decode(text).onto(&mut bytes).map_err(|_| ())?;
            (length == SIGNATURE_BYTES).then_some(bytes).ok_or(())
        });
        Ok(Self {
            id: id.parse().map_err(|_| ())?,
            signature: signature.transpose()?,
        })
    }
}

impl<'de> Deserialize<'de> for Recoverer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = text.parse();
        read.map_err(|()| de::Error::custom("neither `ID` nor `ID:SIGNATURE`, both in base58"))
    }
}

pub(crate) fn height<'de, D: Deserializer<'de>>(from: D) -> Result<Height, D::Error> {
    u64::deserialize(from).map(Height::new)
}

/// 32 bytes in base58.
fn hash<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(from)?;
    let mut bytes = [0; 32];
    let length = bs58::decode(text).onto(&mut bytes);
    let whole = length.is_ok_and(|length| length == bytes.len());
    let hash = whole.then_some(bytes);
    hash.ok_or_else(|| de::Error::custom("not a hash of 32 bytes in base58"))
}

fn document<'de, D: Deserializer<'de>>(from: D) -> Result<DocumentHash, D::Error> {
    hash(from).map(DocumentHash::new)
}
