//! Why something was refused, an enum for each concern.

use std::net::IpAddr;

use shoal_proto::{DocumentHash, Epoch, NodeId};
use thiserror::Error;

use crate::agreement::Height;
use crate::{Address, Misfit, Role, TieKind};

/// Why network parameters were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Not TOML, an unknown or missing key, or a value of the wrong type.
    #[error("{0}")]
    Toml(String),
    /// A value is outside its range.
    #[error("{key} = {value} is out of range: {range}")]
    Range {
        /// The key, as written in the file.
        key: String,
        /// What was given.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
    /// A genesis member's address is not one that the others would dial.
    #[error("genesis_members.{member}.addresses: {ip} {why}")]
    Address {
        /// Whose.
        member: NodeId,
        /// Which.
        ip: IpAddr,
        /// Why.
        why: Misfit,
    },
    /// A genesis member has no address of a family that the network asks for.
    #[error(
        "genesis_members.{member}.addresses: families = \"both\" asks for an IPv4 and an IPv6 address, and there is no \
         {missing} address among the first that fit into a document (96 bytes): add one, before others"
    )]
    Families {
        /// Whose.
        member: NodeId,
        /// `IPv4` or `IPv6`.
        missing: &'static str,
    },
    /// Two genesis members have one address, where only one of them can be.
    #[error(
        "genesis_members.{member}.addresses: {address} is the address of {other} too, and one node can be \
         there: give each its own"
    )]
    SharedAddress {
        /// Whose.
        member: NodeId,
        /// Who has it too, further up.
        other: NodeId,
        /// Which.
        address: Address,
    },
    /// A recovery does not count.
    #[error("recoveries: {0}")]
    Recovery(crate::RecoveryError),
    /// It does not follow on another file as it should.
    #[error("succession: {0}")]
    Succession(crate::SuccessionError),
    /// Two genesis members can't both have a place, or there are too few places.
    #[error("genesis_members: {0}")]
    Places(DocumentError),
    /// A genesis member has no place beside the others.
    #[error(
        "genesis_members.{member} has no place: it has {} in common with a {role}; all of one stand with \
         the providers or in one layer of mixes, so give it another, or another role",
        common(*.tie)
    )]
    NoPlace {
        /// Whose.
        member: NodeId,
        /// What it shares.
        tie: TieKind,
        /// With whom.
        role: Role,
    },
    /// A genesis member is listed twice.
    #[error("genesis_members lists {0} twice")]
    DuplicateMember(NodeId),
    /// A genesis member's identity is no key that a signature can be verified with.
    #[error(
        "genesis_members.{0}.id is not the identity of any node: copy it from what `shoal init` printed"
    )]
    Identity(NodeId),
    /// A layer would stay empty: a family's mixes stand in one layer, all of them.
    #[error(
        "a network of {layers} layers starts with mixes of {layers} families or more, because a \
         family stands whole in one layer; here are {mixes} mixes of {families}"
    )]
    Mixes {
        /// Layers of mixes.
        layers: u8,
        /// Mixes among the genesis members.
        mixes: usize,
        /// Families that they are of; who names none is one.
        families: usize,
    },
    /// No client could enter by another provider than keeps its mailbox.
    #[error(
        "a network starts with 2 providers or more, of 2 families, because a client enters by \
         another than keeps its mailbox; here are {providers} of {families}"
    )]
    Providers {
        /// Providers among the genesis members.
        providers: usize,
        /// Families that they are of; who names none is one.
        families: usize,
    },
    /// Clients of a profile would wait for ever.
    #[error("profiles.{profile}.{key} = {value}: {why}")]
    Standstill {
        /// The profile.
        profile: String,
        /// Which of its rates.
        key: &'static str,
        /// The rate, per second.
        value: String,
        /// What would not happen.
        why: &'static str,
    },
    /// The same, with the line of the file that it is about.
    #[error("line {line}: {error}")]
    Located {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        error: Box<ParameterError>,
    },
    /// More than one value is refused; one on each line.
    #[error("{}", lines(.0))]
    Several(Vec<ParameterError>),
}

impl ParameterError {
    /// All of several, or none, as one.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 | 1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Each of them, if they are several.
    #[must_use]
    pub fn each(self) -> Vec<Self> {
        match self {
            Self::Several(errors) => errors,
            one => vec![one],
        }
    }

    /// The line of the file that it is about, if that is known, and what is wrong without it.
    #[must_use]
    pub fn unlocated(self) -> (Option<usize>, Self) {
        match self {
            Self::Located { line, error } => (Some(line), *error),
            other => (None, other),
        }
    }

    /// The key that it is about, with the tables it is in; a member's table is named by its id.
    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Range { key, .. } => Some(key.clone()),
            Self::Address { member, .. }
            | Self::SharedAddress { member, .. }
            | Self::Families { member, .. } => Some(format!("genesis_members.{member}.addresses")),
            Self::DuplicateMember(member) | Self::Identity(member) => {
                Some(format!("genesis_members.{member}.id"))
            }
            Self::Standstill { profile, key, .. } => Some(format!("profiles.{profile}.{key}")),
            Self::NoPlace { member, .. } => Some(format!("genesis_members.{member}.id")),
            Self::Mixes { .. } => Some("layers".to_owned()),
            Self::Recovery(_) => Some("recoveries".to_owned()),
            Self::Succession(_) => Some("succession".to_owned()),
            Self::Toml(_)
            | Self::Places(_)
            | Self::Providers { .. }
            | Self::Located { .. }
            | Self::Several(_) => None,
        }
    }
}

fn place(position: u8) -> String {
    match position {
        0 => "with the providers".to_owned(),
        layer => format!("in layer {layer}"),
    }
}

const fn common(tie: TieKind) -> &'static str {
    match tie {
        TieKind::Family => "a family",
        TieKind::Prefix => "an address prefix (/24, or /48 for IPv6)",
    }
}

fn lines(errors: &[ParameterError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Why a text is not an address of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Longer than 128 bytes.
    #[error("longer than {} bytes", crate::address::MAX_ADDRESS_BYTES)]
    TooLong,
    /// Not of the form `/kind/host/transport/port`.
    #[error("not of the form /ip4|ip6/HOST/tcp/PORT or /ip4|ip6/HOST/udp/PORT/quic-v1")]
    Form,
    /// The host does not fit its protocol.
    #[error("the host is not a valid address of its kind")]
    Host,
    /// The host is a name.
    #[error("a name, which nobody looks up: give /ip4/… or /ip6/…")]
    Name,
    /// The port is not a number from 1 to 65535 in its shortest form.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// Why a descriptor was refused. Each is the fault of who signed or relayed it, except
/// [`IssuedInFuture`](Self::IssuedInFuture) and [`Expired`](Self::Expired), where a clock may be
/// wrong, ours included.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Larger than 1 KiB with its signature.
    #[error("{0} bytes, more than a descriptor may have")]
    Size(usize),
    /// Not the encoding of a signed descriptor.
    #[error("not the encoding of a signed descriptor")]
    Malformed,
    /// The identity is not a usable Ed25519 key.
    #[error("the identity is not a usable Ed25519 key")]
    Identity,
    /// The signature does not verify for this network.
    #[error("the signature does not verify for this network")]
    Signature,
    /// Issued later than the clock allows.
    #[error("issued in the future")]
    IssuedInFuture,
    /// No longer valid.
    #[error("expired")]
    Expired,
    /// Valid for longer than allowed, or expires before it was issued.
    #[error("its lifetime is negative or too long")]
    Lifetime,
    /// The epochs of its keys do not fit its dates.
    #[error("the epochs of its keys do not fit its dates")]
    KeyEpochs,
    /// No keys, too many, or one that is not a safe X25519 public key.
    #[error("no usable set of Sphinx keys")]
    Keys,
    /// No role that is known.
    #[error("unknown role")]
    Role,
    /// No addresses, or too many.
    #[error("{0} addresses, outside 1 to {max}", max = crate::MAX_ADDRESSES)]
    AddressCount(usize),
    /// An address that does not parse.
    #[error("address: {0}")]
    Address(AddressError),
    /// An address that members of this network don't dial.
    #[error("{0} {1}")]
    Misfit(IpAddr, Misfit),
    /// The network asks for addresses of both families, and one is missing among those that fit into a document.
    #[error("no {0} address among the first, and the network asks for both families")]
    Families(&'static str),
    /// It does not speak the packet version of this network, or lists too many.
    #[error("does not speak the network's packet version")]
    Versions,
    /// The family is not a key with a signature.
    #[error("the family is not a key of 32 bytes with a signature of 64")]
    Family,
    /// The family's key has not signed for this node in this network.
    #[error(
        "the family's key has not signed for this node in this network: `shoal family sign` does, with \
         the family's key, the network's file and the node's id"
    )]
    Unproven,
    /// The proof of admission is not what the network asks for.
    #[error("the proof of admission is not what the network asks for")]
    Admission,
    /// The invitation that it shows is not signed for it.
    #[error(
        "the invitation is for another node or another network, or not signed by whom it names: `shoal node invite` \
         makes one, in the directory of a member"
    )]
    Invitation,
    /// Its keys for a seat are none.
    #[error("its keys for a seat are not sound")]
    SeatKeys,
    /// It issues tokens by a key or for something that is none, or is no provider.
    #[error("its terms for tokens are not sound, or it is no provider")]
    Tokens,
}

impl DescriptorError {
    /// The label that it is counted by.
    #[must_use]
    pub const fn reason(&self) -> Refusal {
        match self {
            Self::Size(_) => Refusal::Size,
            Self::Malformed => Refusal::Malformed,
            Self::Identity => Refusal::Identity,
            Self::Signature => Refusal::Signature,
            Self::IssuedInFuture => Refusal::IssuedInFuture,
            Self::Expired => Refusal::Expired,
            Self::Lifetime => Refusal::Lifetime,
            Self::KeyEpochs => Refusal::KeyEpochs,
            Self::Keys => Refusal::Keys,
            Self::Role => Refusal::Role,
            Self::AddressCount(_) => Refusal::AddressCount,
            Self::Address(_) => Refusal::Address,
            Self::Misfit(..) => Refusal::Misfit,
            Self::Families(_) => Refusal::Families,
            Self::Versions => Refusal::Versions,
            Self::Family => Refusal::Family,
            Self::Unproven => Refusal::Unproven,
            Self::Admission => Refusal::Admission,
            Self::Invitation => Refusal::Invitation,
            Self::SeatKeys => Refusal::SeatKeys,
            Self::Tokens => Refusal::Tokens,
        }
    }

    /// Whether a wrong clock, ours or the issuer's, can be the cause.
    #[must_use]
    pub const fn may_be_a_clock(&self) -> bool {
        matches!(self, Self::IssuedInFuture | Self::Expired)
    }
}

shoal_proto::labels! {
    /// Descriptors of others that were refused, and why.
    pub enum Refusal("reason") counted by Refusals as counter "shoal_topology_refused_descriptors_total" in "descriptors" {
        /// It is larger than 1 KiB with its signature.
        Size = "size";
        /// It is not the encoding of a signed descriptor.
        Malformed = "malformed";
        /// Its identity is not a usable Ed25519 key.
        Identity = "identity";
        /// Its signature does not verify for this network.
        Signature = "signature";
        /// It was issued later than our clock allows.
        IssuedInFuture = "issued_in_future", "Check this machine's clock if it comes from many nodes.";
        /// It is no longer valid.
        Expired = "expired", "Check this machine's clock if it comes from many nodes.";
        /// It is valid for longer than allowed, or expires before it was issued.
        Lifetime = "lifetime";
        /// The epochs of its keys do not fit its dates.
        KeyEpochs = "key_epochs";
        /// It has no usable set of Sphinx keys.
        Keys = "keys";
        /// Its role is unknown.
        Role = "role", "Update if others run a newer version.";
        /// It has no addresses, or too many.
        AddressCount = "address_count";
        /// One of its addresses does not parse.
        Address = "address", "Update if others run a newer version.";
        /// One of its addresses is not of the network's kind: a private one in a public network, or none
        /// that can be dialled.
        Misfit = "misfit", "If it is your own node's, set advertise to an address that the others can dial.";
        /// It has no IPv4 or no IPv6 address, and the network asks for both.
        Families = "families", "If it is your own node's, set advertise to an address of each family.";
        /// It does not speak the network's packet version.
        Versions = "versions", "Update if others run a newer version.";
        /// Its family is not a key with a signature.
        Family = "family", "Update if others run another version.";
        /// The key of the family that it names has not signed for it.
        Unproven = "unproven";
        /// Its proof of admission is not what the network asks for.
        Admission = "admission", "Update if others run a newer version.";
        /// Its invitation is not signed for it, is over, or is not of a member that may bring somebody in now.
        Invitation = "invitation";
        /// Its keys for a seat are none.
        SeatKeys = "seat_keys", "Update if others run a newer version.";
        /// Its terms for tokens are not sound, or it is no provider.
        Tokens = "tokens", "Update if others run a newer version.";
    }
}

/// Why there is no document, or why one was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Larger than a document may be.
    #[error("{0} bytes, more than a document may have")]
    Size(usize),
    /// Not the canonical encoding of a document.
    #[error("not the canonical encoding of a document")]
    Malformed,
    /// More members than allowed.
    #[error("{0} members, more than a document may have")]
    TooManyMembers(usize),
    /// The members are not in strictly ascending order, so one may be there twice.
    #[error("members out of order, or one twice")]
    Order,
    /// A neighbour gave it for another document.
    #[error("not the document that was asked for")]
    NotAsNamed,
    /// A member's descriptor was refused.
    #[error("a member's descriptor: {0}")]
    Descriptor(DescriptorError),
    /// A member has no key for the document's epoch.
    #[error("a member has no key for epoch {0}")]
    NoKey(Epoch),
    /// A member's layer does not fit its role or the network.
    #[error("layer {0} does not fit the member's role")]
    Layer(u32),
    /// A layer without mixes.
    #[error("no mix in layer {0}")]
    EmptyLayer(u8),
    /// No provider.
    #[error("no provider")]
    NoProvider,
    /// There are nodes enough, but too many are tied together for each position to have one.
    #[error(
        "nobody can stand {}: a family and an address prefix (/24, or /48 for IPv6) stand whole in one \
         position, the {mixes} mixes are {groups} groups by that, and {left_out} nodes are left out because \
         theirs stands in another; run nodes of more families in more networks",
        place(*.position)
    )]
    TiedTogether {
        /// The position that is empty: 0 for the providers, else a layer.
        position: u8,
        /// Mixes that there are.
        mixes: usize,
        /// Groups of those that have a place.
        groups: usize,
        /// Nodes that have none.
        left_out: usize,
    },
    /// Members in two positions have something in common.
    #[error("{} in two positions", common(*.0))]
    Torn(TieKind),
    /// Two members have one address.
    #[error("two members with one address")]
    SharedAddress,
    /// The document is not what follows from its members and its predecessor.
    #[error("not what follows from its members and the document before")]
    NotDerived,
    /// Its proposer's proof is not what it has to be.
    #[error("the proof of its proposer is wrong or missing")]
    Proof,
    /// Nobody could sit in the next term.
    #[error("the seats of the next term: {0}")]
    Seats(crate::agreement::SeatsError),
    /// Its certificate, or that of a handover, does not count.
    #[error("its certificate: {0}")]
    Certificate(crate::agreement::MessageError),
    /// It came as what changes the document before, which is not known.
    #[error("the document before height {0}, which it changes, is not known")]
    Base(Height),
    /// The seats have signed another document than the one that is known, or one that follows another.
    #[error("epoch {epoch} has two documents that are signed: {} and {}", crate::adopt::short(&seen[0]), crate::adopt::short(&seen[1]))]
    Contradiction {
        /// The epoch of the one that is known.
        epoch: Epoch,
        /// The one that is known, and the other one.
        seen: [DocumentHash; 2],
    },
    /// A handover from one term to the next is missing, out of order, or not what was signed.
    #[error("the handover at height {0} is missing or not what was signed")]
    Handover(Height),
    /// A member is listed since a height that there was not yet.
    #[error("a member is listed since height {0}")]
    Since(Height),
    /// Seats that neither the document before them nor a recovery in the network's file names.
    #[error(
        "after height {0} others decide than the seats agreed on, as after a recovery: if the network was \
         recovered, get its file anew from whom you had it; if it was not, whoever shows that lies"
    )]
    Recovered(Height),
    /// Who is expelled is not listed as it has to be, or is a member.
    #[error("who is expelled is not listed as it has to be, or is a member")]
    Expelled,
    /// The evidence for an expulsion is none.
    #[error("the evidence for an expulsion: {0}")]
    Evidence(crate::agreement::MessageError),
    /// The document is for an epoch that it can't be made for yet, or that is long past.
    #[error("a document for epoch {0} has no place now")]
    Epoch(Epoch),
}

impl DocumentError {
    /// Nobody is there for a position: 0 for the providers, else a layer.
    pub(crate) const fn empty(position: u8) -> Self {
        match position {
            0 => Self::NoProvider,
            layer => Self::EmptyLayer(layer),
        }
    }

    /// The position for which nobody is there, if that is what is wrong.
    pub(crate) const fn empty_position(&self) -> Option<u8> {
        match self {
            Self::NoProvider => Some(0),
            Self::EmptyLayer(position) | Self::TiedTogether { position, .. } => Some(*position),
            _ => None,
        }
    }
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// The entry is not a provider in the document.
    #[error("the entry is not a provider of this epoch")]
    Entry,
    /// The mailbox's node is not a provider in the document.
    #[error("the mailbox is not at a provider of this epoch")]
    Mailbox,
    /// The node that wants a loop is not in the document.
    #[error("the node itself is not a member of this epoch")]
    NotAMember,
    /// A layer has no mix; verified documents never have such a layer.
    #[error("no mix in layer {0}")]
    EmptyLayer(u8),
}

/// Why a client can't go by what the nodes answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// No answer was given.
    #[error("no node has answered")]
    NoAnswers,
    /// None of the answers could be read.
    #[error("none of {0} answers could be read")]
    Unreadable(usize),
    /// No answer has a document that is in force now.
    #[error("none of {answers} answers has a document in force now (epoch {epoch}){}", last.as_ref().map(|e| format!("; last refused: {e}")).unwrap_or_default())]
    NoDocument {
        /// Answers that could be read.
        answers: usize,
        /// The epoch now, by the nodes' clocks.
        epoch: Epoch,
        /// Why the last document that was refused was refused.
        last: Option<DocumentError>,
    },
    /// Two documents of one epoch are both signed by the seats: a third of the seats is dishonest. Nothing
    /// should be sent.
    #[error(
        "two documents of epoch {epoch} are signed, {} and {}: a third of the network's seats is lying; not \
         sending",
        crate::adopt::short(&seen[0]),
        crate::adopt::short(&seen[1])
    )]
    Contradiction {
        /// The epoch.
        epoch: Epoch,
        /// The hashes of both.
        seen: [DocumentHash; 2],
    },
    /// All that is shown is older than what was seen before.
    #[error(
        "this client has seen the document of height {seen}, and of the nodes that answered none shows one after \
         {shown}: they lag behind, or show an old state of the network; not going by it, and asking again"
    )]
    Older {
        /// The height of the newest document that was seen to be signed, in an earlier run too.
        seen: Height,
        /// That of the newest that is shown.
        shown: Height,
    },
    /// The answers hand over to different seats, or the network file names nobody who could have one.
    #[error(
        "nodes contradict each other about who signs for the network, or the network file names nobody: not \
         sending; compare the network file with others'"
    )]
    Seats,
}

impl AdoptError {
    /// Whether two things are signed of which the seats may sign one: who is shown that is shown two networks.
    #[must_use]
    pub const fn is_contradiction(&self) -> bool {
        matches!(self, Self::Contradiction { .. } | Self::Seats)
    }
}
