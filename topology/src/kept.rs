//! What a client keeps of the chain from one run to the next: whose signatures count, and which document is
//! the newest that it has seen. Without that, who shows it an old state of the network after a restart, or
//! another history, would be believed.

use prost::Message as _;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, wire};
use thiserror::Error;

use crate::agreement::{Height, MAX_SEATS, Seats, SeatsError};
use crate::canonical::Canonical;
use crate::chain::{Mark, Trust};
use crate::{MAX_RECOVERIES, NetworkParameters, Recovery, RecoveryError};

/// Most bytes of what is kept: 96 for each seat and 80 for each recovery, and little else.
pub const MAX_KEPT_BYTES: usize = 256 + 96 * MAX_SEATS + 80 * MAX_RECOVERIES;

/// Why what was kept can't be gone on from.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeptError {
    /// Not what was written, or another release wrote it.
    #[error("it is damaged, or of another release")]
    Damaged,
    /// Another network's.
    #[error(
        "it is of the network {of}, and the network's file is of {here}: take the file of that network, or \
         another directory for this one"
    )]
    Network {
        /// Whose it is.
        of: NetworkHash,
        /// Whose it should be.
        here: NetworkHash,
    },
    /// A recovery came too late.
    #[error("a recovery in the network's file: {0}")]
    Recovery(RecoveryError),
    /// A recovery goes on from another document than is known here.
    #[error(
        "the recovery in the network's file goes on from another document of height {height} than was seen \
         here: compare the file with others'"
    )]
    OtherDocument {
        /// The height.
        height: Height,
    },
    /// A recovery is gone.
    #[error(
        "the recovery from the document of height {height} led here, and the network's file does not have it \
         any more: compare the file with others'"
    )]
    Withdrawn {
        /// The height.
        height: Height,
    },
}

/// What a client knows of the chain, and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose signatures count.
    pub trust: Trust,
    /// The newest document that was seen to be signed; it is not below the last handover.
    pub newest: Option<Mark>,
}

impl Kept {
    /// That of who knows a network's parameters and nothing else.
    ///
    /// # Errors
    /// The network starts with nobody, or with more than can sit.
    pub fn first(params: &NetworkParameters) -> Result<Self, SeatsError> {
        let trust = Trust::first(params)?;
        let newest = None;
        Ok(Self { trust, newest })
    }

    /// The encoding, of at most [`MAX_KEPT_BYTES`]. The parameters are those by which it was followed.
    #[must_use]
    pub fn encode(&self, params: &NetworkParameters) -> Vec<u8> {
        let since = self.trust.since();
        let followed = params.recoveries.iter().filter(|it| it.height <= since);
        let mut wire = wire::KeptTrust {
            network: params.hash().as_bytes().to_vec(),
            since: since.number(),
            seats: match since > Height::default() {
                true => self.trust.seats().encode(),
                false => Vec::new(),
            },
            recoveries: followed.map(to_wire).collect(),
            newest: self.newest.map(|newest| wire::Tip {
                height: newest.height.number(),
                epoch: newest.epoch.number(),
                hash: newest.hash.as_bytes().to_vec(),
            }),
            check: Vec::new(),
        };
        wire.check = check(&wire);
        wire.encode_to_vec()
    }

    /// Reads an encoding. Recoveries that the network's file has got since then end a term before its time:
    /// where that is the term after the last document that was seen, the handovers are followed anew.
    ///
    /// # Errors
    /// [`KeptError`]. To begin anew because of one would be what whoever shows an old state hopes for.
    pub fn restore(params: &NetworkParameters, bytes: &[u8]) -> Result<Self, KeptError> {
        let read = Read::of(bytes).ok_or(KeptError::Damaged)?;
        let here = params.hash();
        if read.network != here {
            let of = read.network;
            return Err(KeptError::Network { of, here });
        }
        let newest = read.newest;
        let anew = read.has_to_begin_anew(&params.recoveries)?;
        if anew || read.since == Height::default() {
            let trust = Trust::first(params).map_err(|_| KeptError::Damaged)?;
            return Ok(Self { trust, newest });
        }
        let seats = Seats::decode(here, &read.seats).map_err(|_| KeptError::Damaged)?;
        let trust = Trust::again(params, read.since, seats);
        Ok(Self { trust, newest })
    }
}

/// A recovery that was followed: its height, and the hashes of its document and its seats.
type Followed = (Height, DocumentHash, [u8; 32]);

/// An encoding whose form is right.
struct Read {
    network: NetworkHash,
    since: Height,
    seats: Vec<u8>,
    recoveries: Vec<Followed>,
    newest: Option<Mark>,
}

impl Read {
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_KEPT_BYTES {
            return None;
        }
        let mut wire = wire::KeptTrust::decode(bytes).ok()?;
        let as_written = wire.encode_to_vec() == bytes;
        let claimed = std::mem::take(&mut wire.check);
        if !as_written || claimed != check(&wire) {
            return None;
        }
        let recoveries = wire.recoveries.iter().map(from_wire);
        let newest = match &wire.newest {
            Some(tip) => Some(Mark {
                height: Height::new(tip.height),
                epoch: Epoch::new(tip.epoch),
                hash: DocumentHash::new(tip.hash.as_slice().try_into().ok()?),
            }),
            None => None,
        };
        let read = Self {
            network: NetworkHash::new(wire.network.as_slice().try_into().ok()?),
            since: Height::new(wire.since),
            seats: wire.seats,
            recoveries: recoveries.collect::<Option<_>>()?,
            newest,
        };
        read.is_sound().then_some(read)
    }

    fn is_sound(&self) -> bool {
        let begun = self.since > Height::default();
        let above = |newest: Mark| newest.height >= self.since.max(Height::FIRST);
        let recoveries = &self.recoveries;
        recoveries.len() <= MAX_RECOVERIES
            && recoveries.is_sorted_by(|one, next| one.0 < next.0)
            && recoveries.last().is_none_or(|last| last.0 <= self.since)
            && begun != self.seats.is_empty()
            && self.newest.map_or(!begun, above)
    }

    /// Whether the recoveries of the network's file name other seats than are known, for what comes after the
    /// newest document.
    fn has_to_begin_anew(&self, recoveries: &[Recovery]) -> Result<bool, KeptError> {
        let newest = self.newest.map_or(Height::default(), |it| it.height);
        let mut anew = false;
        for recovery in recoveries {
            let height = recovery.height;
            if self.recoveries.contains(&parts(recovery)) {
                continue;
            }
            if newest > height {
                let recovery = height;
                let late = RecoveryError::Late { recovery, newest };
                return Err(KeptError::Recovery(late));
            }
            let seen = self.newest.filter(|it| it.height == height);
            if seen.is_some_and(|seen| seen.hash != recovery.document) {
                return Err(KeptError::OtherDocument { height });
            }
            anew |= self.since == height;
        }
        let there = |followed: &Followed| recoveries.iter().any(|it| parts(it) == *followed);
        for (height, ..) in self.recoveries.iter().filter(|it| !there(it)).copied() {
            if newest > height {
                return Err(KeptError::Withdrawn { height });
            }
            anew |= self.since == height;
        }
        Ok(anew)
    }
}

const fn parts(recovery: &Recovery) -> Followed {
    (recovery.height, recovery.document, recovery.seats)
}

fn to_wire(recovery: &Recovery) -> wire::KeptRecovery {
    wire::KeptRecovery {
        height: recovery.height.number(),
        document: recovery.document.as_bytes().to_vec(),
        seats: recovery.seats.to_vec(),
    }
}

fn from_wire(wire: &wire::KeptRecovery) -> Option<Followed> {
    Some((
        Height::new(wire.height),
        DocumentHash::new(wire.document.as_slice().try_into().ok()?),
        wire.seats.as_slice().try_into().ok()?,
    ))
}

/// Of what is kept without its check.
fn check(wire: &wire::KeptTrust) -> Vec<u8> {
    let hash = Canonical::new("shoal kept trust 1").bytes(&wire.encode_to_vec());
    hash.finish().to_vec()
}
