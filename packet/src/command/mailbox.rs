//! What an owner asks of a mailbox.

use super::drops::{DropChange, DropSet, SetSize};
use super::{CommandError, MAILBOX, read_surb, signed};
use crate::bytes::{Reader, Writer, nonzero};
use crate::surb::Surb;
use crate::token::Token;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;
use shoal_proto::size::{PLAINTEXT_BYTES, SURBS_PER_MAILBOX_PACKET, TOKEN_BYTES};
use shoal_proto::{DropId, MailboxId, NetworkHash, NodeId};
use std::fmt;
use zeroize::Zeroizing;

/// Most acknowledgements in one packet.
pub const MAX_ACKS: usize = 16;
/// Most changes of drop ids in one packet.
pub const MAX_DROP_CHANGES: usize = 3;

/// Separates mailbox packets from everything else that a mailbox's key signs.
const DOMAIN: &[u8] = b"shoal mailbox packet 2";
const SIGNATURE_BYTES: usize = 64;
const SIGNED_BYTES: usize = PLAINTEXT_BYTES - SIGNATURE_BYTES;

const FIRST: u8 = 0;
const SECOND: u8 = 1;
const MINOR: u8 = 2;
const INTAKE: u8 = 3;

const UNUSED: u8 = 0;
const REGISTER_SMALL: u8 = 1;
const REGISTER_LARGE: u8 = 2;
const REVOKE: u8 = 3;
const CLOSE: u8 = 4;

const NO_TOKEN: u8 = 0;
const TOKEN: u8 = 1;

/// The part that one of an owner's mailboxes has in deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Of one of two the larger, or the only one there is.
    First,
    /// The smaller.
    Second,
    /// Little: it is new and nobody knows it, or is old and being left.
    Minor,
    /// For who writes for the first time: one that new invitations lead to, whether there are any or not.
    Intake,
}

impl Share {
    /// The rate of a mailbox's clock, by the profile's: all of it, a quarter, five thirty-seconds, or one.
    #[must_use]
    pub fn of(self, clock: f64) -> f64 {
        clock * f64::from(self.weight()) / f64::from(Self::First.weight())
    }

    /// How it compares with the others: 32, 8, 5 and 1.
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::First => 32,
            Self::Second => 8,
            Self::Intake => 5,
            Self::Minor => 1,
        }
    }
}

/// What the owner of a mailbox tells its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRequest {
    /// The byte that names the epoch of the reply blocks.
    pub surb_epoch: u8,
    /// For the stream of messages to the owner.
    pub surbs: [Surb; SURBS_PER_MAILBOX_PACKET],
    /// The owner's key, and the mailbox's name.
    pub mailbox: MailboxId,
    /// Grows when the owner starts anew (after a restart, say): a newer one voids the reply
    /// blocks of older ones. A count that starts and steps at random: no reading of a clock.
    pub generation: u64,
    /// Numbers the packets of this generation, so that none is taken twice.
    pub counter: u64,
    /// Index of the profile whose clock spends the reply blocks.
    pub profile: u8,
    /// How fast the clock is.
    pub share: Share,
    /// Entries that the owner has safely; at most [`MAX_ACKS`].
    pub acks: Vec<u64>,
    /// At most [`MAX_DROP_CHANGES`], in this order.
    pub drops: Vec<DropChange>,
    /// For a mailbox that its provider does not know yet; else it stays unspent.
    pub token: Option<Token>,
}

/// A [`MailboxRequest`] with its owner's signature over every byte of it. Layout: kind 1, epoch
/// 1, reply blocks 4 * 396, mailbox 32, generation 8, counter 8, profile 1, share 1, number of acks 1,
/// acks 16 * 8, drop changes 3 * (kind 1, a set's secret or an id 32), whether there is a token 1, token 100,
/// random bytes, signature 64.
#[derive(Clone, PartialEq, Eq)]
pub struct MailboxPacket {
    request: MailboxRequest,
    encoded: Zeroizing<Vec<u8>>,
}

impl MailboxPacket {
    /// Signs a request for one provider of one network. Its `mailbox` becomes the owner's.
    ///
    /// # Errors
    /// [`CommandError::TooMany`] if acks or drop changes don't fit.
    pub fn sign<R: CryptoRng + ?Sized>(
        rng: &mut R,
        owner: &SigningKey,
        network: &NetworkHash,
        provider: &NodeId,
        mut request: MailboxRequest,
    ) -> Result<Self, CommandError> {
        request.mailbox = MailboxId::new(owner.verifying_key().to_bytes());
        at_most("acks", MAX_ACKS, request.acks.len())?;
        at_most("drop changes", MAX_DROP_CHANGES, request.drops.len())?;
        let mut writer = Writer::new(PLAINTEXT_BYTES);
        request.write(rng, &mut writer);
        writer.pad_random(rng, SIGNED_BYTES);
        let message = signed(
            DOMAIN,
            &[network.as_bytes(), provider.as_bytes(), writer.written()],
        );
        writer.put(&owner.sign(&message).to_bytes());
        Ok(Self {
            request,
            encoded: writer.finish(),
        })
    }

    /// Whether the owner of the mailbox signed it for this network and provider. Strict: keys of
    /// low order and ambiguous signatures fail. Whether it was here before is not asked.
    #[must_use]
    pub fn verify(&self, network: &NetworkHash, provider: &NodeId) -> bool {
        let Some((body, signature)) = self.encoded.split_last_chunk::<SIGNATURE_BYTES>() else {
            return false;
        };
        let message = signed(DOMAIN, &[network.as_bytes(), provider.as_bytes(), body]);
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(self.request.mailbox.as_bytes())
            .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
    }

    /// What it says. Verify it first.
    #[must_use]
    pub const fn request(&self) -> &MailboxRequest {
        &self.request
    }

    /// What it says. Verify it first.
    #[must_use]
    pub fn into_request(self) -> MailboxRequest {
        self.request
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// Reads a plaintext of the right length and kind.
    pub(super) fn decode(plaintext: &[u8]) -> Result<Self, CommandError> {
        let mut reader = Reader::new(plaintext);
        let _kind = reader.u8();
        let request = MailboxRequest::read(&mut reader)?;
        Ok(Self {
            request,
            encoded: Zeroizing::new(plaintext.to_vec()),
        })
    }
}

/// Redacted.
impl fmt::Debug for MailboxPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxPacket(..)")
    }
}

impl MailboxRequest {
    fn write<R: CryptoRng + ?Sized>(&self, rng: &mut R, writer: &mut Writer) {
        writer.put(&[MAILBOX, self.surb_epoch]);
        for surb in &self.surbs {
            writer.put(surb.as_bytes());
        }
        let acks = u8::try_from(self.acks.len()).unwrap_or(u8::MAX);
        let share = match self.share {
            Share::First => FIRST,
            Share::Second => SECOND,
            Share::Minor => MINOR,
            Share::Intake => INTAKE,
        };
        writer
            .put(self.mailbox.as_bytes())
            .put(&self.generation.to_be_bytes())
            .put(&self.counter.to_be_bytes())
            .put(&[self.profile, share, acks]);
        for slot in 0..MAX_ACKS {
            writer.put(
                &self
                    .acks
                    .get(slot)
                    .copied()
                    .unwrap_or_else(|| rng.next_u64())
                    .to_be_bytes(),
            );
        }
        for slot in 0..MAX_DROP_CHANGES {
            match self.drops.get(slot) {
                Some(DropChange::Register(set)) => {
                    let kind = match set.size() {
                        SetSize::Small => REGISTER_SMALL,
                        SetSize::Large => REGISTER_LARGE,
                    };
                    writer.put(&[kind]).put(set.secret());
                }
                Some(DropChange::Revoke(id)) => {
                    writer.put(&[REVOKE]).put(id.as_bytes());
                }
                Some(DropChange::Close) => {
                    writer.put(&[CLOSE]).put(&nonzero::<32, R>(rng));
                }
                None => {
                    writer.put(&[UNUSED]).put(&nonzero::<32, R>(rng));
                }
            }
        }
        match &self.token {
            Some(token) => {
                writer.put(&[TOKEN]);
                token.write(writer);
            }
            None => {
                writer.put(&[NO_TOKEN]).put(&nonzero::<TOKEN_BYTES, R>(rng));
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CommandError> {
        let mut request = Self::read_head(reader).ok_or(CommandError::Length)?;
        request.share = match reader.u8().ok_or(CommandError::Length)? {
            FIRST => Share::First,
            SECOND => Share::Second,
            MINOR => Share::Minor,
            INTAKE => Share::Intake,
            _ => return Err(CommandError::Field("share")),
        };
        let acks = usize::from(reader.u8().ok_or(CommandError::Length)?);
        if acks > MAX_ACKS {
            return Err(CommandError::Field("number of acks"));
        }
        for slot in 0..MAX_ACKS {
            let entry = reader.u64().ok_or(CommandError::Length)?;
            if slot < acks {
                request.acks.push(entry);
            }
        }
        for _ in 0..MAX_DROP_CHANGES {
            let kind = reader.u8().ok_or(CommandError::Length)?;
            let bytes: [u8; 32] = reader.array().ok_or(CommandError::Length)?;
            let set = |size| DropChange::Register(DropSet::new(bytes, size));
            request.drops.extend(match kind {
                UNUSED => None,
                REGISTER_SMALL => Some(set(SetSize::Small)),
                REGISTER_LARGE => Some(set(SetSize::Large)),
                REVOKE => Some(DropChange::Revoke(DropId::new(bytes))),
                CLOSE => Some(DropChange::Close),
                _ => return Err(CommandError::Field("kind of drop change")),
            });
        }
        request.token = match reader.u8().ok_or(CommandError::Length)? {
            NO_TOKEN => None,
            TOKEN => Some(Token::read(reader).ok_or(CommandError::Length)?),
            _ => return Err(CommandError::Field("presence of a token")),
        };
        Ok(request)
    }

    /// Everything before the share.
    fn read_head(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            surb_epoch: reader.u8()?,
            surbs: [
                read_surb(reader)?,
                read_surb(reader)?,
                read_surb(reader)?,
                read_surb(reader)?,
            ],
            mailbox: MailboxId::new(reader.array()?),
            generation: reader.u64()?,
            counter: reader.u64()?,
            profile: reader.u8()?,
            share: Share::First,
            acks: Vec::new(),
            drops: Vec::new(),
            token: None,
        })
    }
}

const fn at_most(what: &'static str, most: usize, found: usize) -> Result<(), CommandError> {
    if found > most {
        return Err(CommandError::TooMany { what, most, found });
    }
    Ok(())
}
