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

/// Most bytes of what is kept: 96 for each seat and 81 for each recovery, and little else.
pub const MAX_KEPT_BYTES: usize = 160 + 96 * MAX_SEATS + 81 * MAX_RECOVERIES;

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
            network: params.chain().as_bytes().to_vec(),
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

    /// The epoch of the newest document in an encoding. None if there is none, or it is none.
    #[must_use]
    pub fn epoch(bytes: &[u8]) -> Option<Epoch> {
        Read::of(bytes)?.newest.map(|newest| newest.epoch)
    }

    /// Reads an encoding. Recoveries that the network's file has got since then end a term before its time:
    /// where that is the term after the last document that was seen, the handovers are followed anew.
    ///
    /// # Errors
    /// [`KeptError`]. To begin anew because of one would be what whoever shows an old state hopes for.
    pub fn restore(params: &NetworkParameters, bytes: &[u8]) -> Result<Self, KeptError> {
        let read = Read::of(bytes).ok_or(KeptError::Damaged)?;
        let here = params.chain();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::agreement::Holder;
    use crate::chain::follow;
    use crate::rules::Rules;
    use crate::sample::Network;
    use crate::{Document, Identity};

    /// A network in terms of two, its first five documents, and what a client has that was shown so many.
    fn seen(count: usize) -> (NetworkParameters, Vec<Arc<Document>>, Kept) {
        let mut rng = ChaCha20Rng::seed_from_u64(40);
        let params = NetworkParameters {
            term: 2,
            ..NetworkParameters::example()
        };
        let mut network = Network::new(&mut rng, params, 1, 2);
        let mut documents: Vec<Arc<Document>> = Vec::new();
        for epoch in 0..5 {
            let base = documents.last().cloned();
            let next = network.document(&mut rng, Epoch::new(epoch), base.as_deref());
            documents.push(next.unwrap());
        }
        let params = (*network.params).clone();
        let (handovers, shown) = network.answer(&documents[..count]);
        let first = Trust::first(&params).unwrap();
        let (followed, error) = follow(&Rules::of(&params), first, &handovers, &shown, &[]);
        assert_eq!(error, None);
        let newest = followed.links.iter().map(|link| link.mark);
        let kept = Kept {
            trust: followed.trust,
            newest: newest.max_by_key(|mark| mark.height),
        };
        (params, documents, kept)
    }

    /// A recovery from a document, to seats that nobody has to know here.
    fn recovery(document: &Document, seats: u8) -> Recovery {
        Recovery {
            height: document.height(),
            document: *document.hash(),
            seats: [seats; 32],
            members: Vec::new(),
        }
    }

    fn with(params: &NetworkParameters, recoveries: &[Recovery]) -> NetworkParameters {
        NetworkParameters {
            recoveries: recoveries.to_vec(),
            ..params.clone()
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let since = [0, 1, 2, 2, 4, 4];
        for (count, since) in since.into_iter().enumerate() {
            let (params, documents, kept) = seen(count);
            let last = count.checked_sub(1).map(|last| Mark::of(&documents[last]));
            assert_eq!(kept.newest, last);
            assert_eq!(kept.trust.since(), Height::new(since));
            let bytes = kept.encode(&params);
            let read = Kept::restore(&params, &bytes).unwrap();
            assert_eq!(
                (read.trust.since(), read.newest),
                (Height::new(since), last)
            );
            assert_eq!(read.trust.seats(), kept.trust.seats());
            assert_eq!(read.trust.until(), kept.trust.until());
            assert_eq!(read.encode(&params), bytes);
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let (params, _, kept) = seen(4);
        let bytes = kept.encode(&params);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                let read = Kept::restore(&params, &damaged);
                assert_eq!(read, Err(KeptError::Damaged), "{place}");
            }
            let read = Kept::restore(&params, &bytes[..place]);
            assert_eq!(read, Err(KeptError::Damaged), "{place}");
        }
        // Also with a field at its end that nobody knows, which no check is of.
        for more in [&[0][..], &[0x78, 1]] {
            let longer = [&bytes[..], more].concat();
            assert_eq!(Kept::restore(&params, &longer), Err(KeptError::Damaged));
        }
        let long = vec![0; MAX_KEPT_BYTES + 1];
        assert_eq!(Kept::restore(&params, &long), Err(KeptError::Damaged));
    }

    /// What could not have been written, with a check that is right.
    #[test]
    fn what_makes_no_sense_is_refused() {
        let (params, _, kept) = seen(4);
        let sound = wire::KeptTrust::decode(kept.encode(&params).as_slice()).unwrap();
        let changed = |change: fn(&mut wire::KeptTrust)| {
            let mut wire = sound.clone();
            change(&mut wire);
            wire.check.clear();
            wire.check = check(&wire);
            Kept::restore(&params, &wire.encode_to_vec()).err()
        };
        assert_eq!(changed(|_| {}), None);
        let one = wire::KeptRecovery {
            height: 2,
            document: vec![1; 32],
            seats: vec![2; 32],
        };
        assert!(from_wire(&one).is_some());
        let changes: [fn(&mut wire::KeptTrust); 8] = [
            |wire| wire.newest = None,
            |wire| wire.since = 0,
            |wire| wire.since = 5,
            |wire| wire.seats.clear(),
            |wire| wire.seats.truncate(95),
            |wire| wire.network.truncate(31),
            |wire| wire.recoveries = vec![Default::default()],
            |wire| {
                let height = |height| wire::KeptRecovery {
                    height,
                    document: vec![1; 32],
                    seats: vec![2; 32],
                };
                wire.recoveries = vec![height(2), height(1)];
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(changed(change), Some(KeptError::Damaged), "{number}");
        }
    }

    #[test]
    fn what_is_of_another_network_is_refused() {
        let (params, _, kept) = seen(4);
        let mut other = params.clone();
        other.name.push('x');
        let (of, here) = (params.hash(), other.hash());
        let read = Kept::restore(&other, &kept.encode(&params));
        assert_eq!(read, Err(KeptError::Network { of, here }));
    }

    #[test]
    fn the_largest_is_no_larger_than_is_said() {
        let (params, documents, kept) = seen(4);
        let holder = |number| {
            let mut rng = ChaCha20Rng::seed_from_u64(number);
            let identity = Identity::generate(&mut rng);
            Holder {
                id: identity.id(),
                key: identity.id(),
                vrf: Some(identity.vrf_key().public()),
            }
        };
        let seats = Seats::new(params.hash(), (0..400).map(holder)).unwrap();
        let far = |below: usize| Height::new(u64::MAX - u64::try_from(below).unwrap());
        let recoveries = (0..MAX_RECOVERIES).rev().map(|below| Recovery {
            height: far(below),
            ..recovery(&documents[0], 7)
        });
        let params = with(&params, &recoveries.collect::<Vec<_>>());
        let kept = Kept {
            trust: Trust::again(&params, far(0), seats),
            newest: kept.newest.map(|newest| Mark {
                height: far(0),
                epoch: Epoch::new(u64::MAX),
                ..newest
            }),
        };
        let bytes = kept.encode(&params);
        assert!((MAX_KEPT_BYTES - 50..=MAX_KEPT_BYTES).contains(&bytes.len()));
        assert_eq!(Kept::restore(&params, &bytes).unwrap(), kept);
    }

    #[test]
    fn a_recovery_that_comes_later_ends_the_term_that_is_known() {
        // Heights 1, 2 and 4 hand over; height 3 is the newest.
        let (params, documents, kept) = seen(3);
        let bytes = kept.encode(&params);
        let restore = |from: &Document, seats| {
            Kept::restore(&with(&params, &[recovery(from, seats)]), &bytes)
        };
        // One in the term that is going on, from the newest or from one that is not known here.
        let read = restore(&documents[2], 7).unwrap();
        assert_eq!(
            (read.trust.since(), read.trust.until()),
            (Height::new(2), Height::new(3))
        );
        assert_eq!(read.newest, kept.newest);
        let read = restore(&documents[3], 7).unwrap();
        assert_eq!(read.trust.since(), Height::new(2));
        // One that others have gone on from.
        let (recovery, newest) = (Height::new(2), Height::new(3));
        let late = KeptError::Recovery(RecoveryError::Late { recovery, newest });
        assert_eq!(restore(&documents[1], 7), Err(late.clone()));
        assert!(
            late.to_string().contains("move away what was kept"),
            "{late}"
        );
        let recovery = Height::new(1);
        let late = KeptError::Recovery(RecoveryError::Late { recovery, newest });
        assert_eq!(restore(&documents[0], 7), Err(late));
    }

    #[test]
    fn a_recovery_from_the_last_document_of_a_term_has_it_followed_anew() {
        // The seats that height 4 hands over to are known, and nothing that they have decided.
        let (params, documents, kept) = seen(4);
        assert_eq!(kept.trust.since(), Height::new(4));
        let recovered = with(&params, &[recovery(&documents[3], 7)]);
        let read = Kept::restore(&recovered, &kept.encode(&params)).unwrap();
        assert_eq!(read.trust, Trust::first(&recovered).unwrap());
        assert_eq!(read.newest, kept.newest, "what was seen was seen");
        // From another document of that height it would be another history.
        let other = Recovery {
            document: *documents[2].hash(),
            ..recovery(&documents[3], 7)
        };
        let read = Kept::restore(&with(&params, &[other]), &kept.encode(&params));
        let height = Height::new(4);
        assert_eq!(read, Err(KeptError::OtherDocument { height }));
    }

    #[test]
    fn a_recovery_that_was_followed_has_to_stay() {
        let (params, documents, mut kept) = seen(4);
        let (one, two) = (recovery(&documents[1], 7), recovery(&documents[3], 7));
        let params = with(&params, &[one.clone(), two.clone()]);
        let bytes = kept.encode(&params);
        let restore = |recoveries: &[Recovery]| Kept::restore(&with(&params, recoveries), &bytes);
        let all = [one.clone(), two.clone()];
        assert_eq!(restore(&all).unwrap().trust.since(), Height::new(4));
        // The last one led to seats of which nothing is known yet: others may be named still.
        for last in [None, Some(recovery(&documents[3], 8))] {
            let all = Vec::from_iter([one.clone()].into_iter().chain(last));
            assert_eq!(restore(&all).unwrap().trust.since(), Height::default());
        }
        let height = Height::new(2);
        let gone = restore(std::slice::from_ref(&two));
        assert_eq!(gone, Err(KeptError::Withdrawn { height }));
        let replaced = [recovery(&documents[1], 8), two.clone()];
        let (recovery, newest) = (height, Height::new(4));
        let late = KeptError::Recovery(RecoveryError::Late { recovery, newest });
        assert_eq!(restore(&replaced), Err(late));
        // And of the last one as well, once its seats have decided something.
        kept.newest = kept.newest.map(|newest| Mark {
            height: Height::new(5),
            ..newest
        });
        let read = Kept::restore(&with(&params, &[one]), &kept.encode(&params));
        let height = Height::new(4);
        assert_eq!(read, Err(KeptError::Withdrawn { height }));
    }
}
