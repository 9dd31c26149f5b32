//! What goes into a directory and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId};
use zeroize::Zeroizing;

use super::jobs::{DirectoryDone, DirectoryJob};
use super::watching::Dialled;
use crate::agreement::Height;
use crate::{Address, FamilyProof, Identity, Invitation, KeyRing, Role, Ties, TokenTerms, View};

/// Names what waits for an answer, a request or a piece of gossip, until it is answered. Chosen by
/// the caller; requests and gossip are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a node says about itself in its descriptors.
pub struct LocalNode {
    /// Its signing key.
    pub identity: Arc<Identity>,
    /// What it does.
    pub role: Role,
    /// Where others reach it: 1 to 8 addresses.
    pub addresses: Vec<Address>,
    /// That it is of a family, if it is.
    pub family: Option<FamilyProof>,
    /// By which it asks for a place in a network whose members invite, as long as it has none.
    pub invitation: Option<Invitation>,
    /// 0 is unknown; each further class is about twice the packets per second.
    pub capacity_class: u32,
    /// Providers: storage on offer, in MiB.
    pub storage_mib: u64,
    /// Providers: on what terms it issues tokens, if it does.
    pub tokens: Option<TokenTerms>,
}

impl LocalNode {
    /// By what it is tied to others.
    #[must_use]
    pub fn ties(&self) -> Ties {
        Ties::of(self.family.map(|proof| proof.family), &self.addresses)
    }
}

/// What was kept on disk: what the [`DirectoryChange`]s add up to. Empty for a new node. Rows
/// that do not verify are passed over.
#[derive(Default)]
pub struct Restored {
    /// Secrets by epoch.
    pub keys: Vec<(Epoch, Zeroizing<[u8; 32]>)>,
    /// Encoded documents with their certificates.
    pub documents: Vec<Arc<[u8]>>,
    /// Encoded signed descriptors.
    pub descriptors: Vec<Arc<[u8]>>,
    /// The highest sequence number of the own descriptors; 0 if there was none.
    pub sequence: u64,
    /// Encoded handovers, oldest first.
    pub handovers: Vec<Arc<[u8]>>,
    /// By height and number, what was said of a document that was not agreed on yet.
    pub records: BTreeMap<(Height, u64), Vec<u8>>,
    /// Encoded documents that were proposed.
    pub proposals: Vec<Arc<[u8]>>,
    /// Encoded evidence, by whom it is against.
    pub evidence: BTreeMap<NodeId, Arc<[u8]>>,
    /// The keys for a seat; none for a new node.
    pub seat_keys: Option<Zeroizing<Vec<u8>>>,
    /// Files that follow on the network's, in TOML, each as it was accepted.
    pub successors: Vec<Arc<[u8]>>,
}

/// What happens to a [`Directory`](crate::Directory).
#[derive(Clone, Debug)]
pub enum DirectoryInput {
    /// A neighbour that can be asked.
    PeerConnected(NodeId),
    /// A neighbour is gone; what it was asked will not be answered.
    PeerDisconnected(NodeId),
    /// A neighbour has passed on a descriptor. Exactly one
    /// [`Verdict`](DirectoryAction::Verdict) follows, at once or when a job is done.
    Gossip {
        /// The neighbour, which need not have issued it.
        from: NodeId,
        /// To name it in the verdict.
        ticket: Ticket,
        /// An encoded signed descriptor, or nonsense.
        bytes: Vec<u8>,
    },
    /// A neighbour, or a client, asks. Exactly one [`Respond`](DirectoryAction::Respond) or
    /// [`Refuse`](DirectoryAction::Refuse) follows.
    SyncRequest {
        /// To name it in the answer.
        from: Ticket,
        /// An encoded `SyncRequest`.
        request: Vec<u8>,
    },
    /// A neighbour has answered.
    SyncResponse {
        /// Who.
        from: NodeId,
        /// An encoded `SyncResponse`.
        response: Vec<u8>,
    },
    /// A request could not be sent or was not answered.
    SyncFailed {
        /// Who was asked.
        from: NodeId,
    },
    /// The own descriptor could not be published: it will be tried again.
    PublishFailed,
    /// What a job has found out. One that nobody waits for is ignored.
    Done(DirectoryDone),
    /// Whether the machine's clock is not known to be right, so that no key is made and no descriptor
    /// issued: they would be of an epoch that is not. Without this input it is taken to be right.
    HoldBack(bool),
    /// The addresses of a node have been dialled, as [`DirectoryAction::Dial`] asked for.
    Dialled {
        /// Which.
        id: NodeId,
        /// What came of each, in their order.
        at: Vec<(Address, Dialled)>,
    },
    /// This node leaves: no further document is to list it.
    Leave,
    /// This node is at these addresses from now on: 1 to 8.
    Moved(Vec<Address>),
    /// This node issues tokens on these terms from now on.
    Tokens(Option<TokenTerms>),
    /// An operator has a file that follows on the network's: it is looked at, and spread if it counts.
    Successor(Arc<[u8]>),
}

/// What a [`Directory`](crate::Directory) wants done, in this order: a change has to be on disk
/// before a later action is carried out, or a crash could reuse a sequence number or lose a key
/// that others know.
pub enum DirectoryAction {
    /// Spread these bytes by gossip.
    Publish(Vec<u8>),
    /// Ask a neighbour. Exactly one `SyncResponse` or `SyncFailed` is expected.
    Request {
        /// Whom.
        to: NodeId,
        /// An encoded `SyncRequest`.
        request: Vec<u8>,
    },
    /// Say what became of a piece of gossip.
    Verdict {
        /// Which.
        of: Ticket,
        /// What to do with it.
        verdict: Verdict,
    },
    /// Run this elsewhere, and hand in what it gives as [`DirectoryInput::Done`]. At most
    /// [`MAX_JOBS`](crate::MAX_JOBS) wait at a time, and their order does not matter. One that gives
    /// nothing for 30 s counts as lost: it is warned of, and the directory goes on without it.
    Job(DirectoryJob),
    /// Answer a request.
    Respond {
        /// Which.
        to: Ticket,
        /// An encoded `SyncResponse`.
        response: Vec<u8>,
    },
    /// Leave a request without an answer.
    Refuse {
        /// Which.
        to: Ticket,
    },
    /// The documents have changed.
    View(Arc<View>),
    /// These amendments hold or will, oldest first: clients are to have them, encoded.
    Amendments(Vec<Arc<[u8]>>),
    /// Dial each of these addresses of a node by a connection of its own, and hand in what came of it as
    /// [`DirectoryInput::Dialled`]. Of one that gives nothing for 30 s nothing is known.
    Dial {
        /// Whose.
        id: NodeId,
        /// Where.
        addresses: Vec<Address>,
    },
    /// A node is at other addresses than before, as it says itself.
    Moved(NodeId),
    /// The own secrets have changed: a new one, or expired ones gone.
    Keys(KeyRing),
    /// Keep this on disk, durably.
    Persist(DirectoryChange),
    /// Tell the operator.
    Warn(DirectoryWarning),
}

/// Names the kind of action only: secrets and bytes are not for logs.
impl fmt::Debug for DirectoryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(_) => f.write_str("Publish"),
            Self::Request { .. } => f.write_str("Request"),
            Self::Verdict { of, verdict } => write!(f, "Verdict({of:?}, {verdict:?})"),
            Self::Job(job) => write!(f, "Job({job:?})"),
            Self::Respond { to, .. } => write!(f, "Respond({to:?})"),
            Self::Refuse { to } => write!(f, "Refuse({to:?})"),
            Self::View(_) => f.write_str("View"),
            Self::Amendments(all) => write!(f, "Amendments({})", all.len()),
            Self::Dial { id, addresses } => {
                write!(f, "Dial({}, {} addresses)", id.short(), addresses.len())
            }
            Self::Moved(id) => write!(f, "Moved({})", id.short()),
            Self::Keys(_) => f.write_str("Keys"),
            Self::Persist(_) => f.write_str("Persist"),
            Self::Warn(warning) => write!(f, "Warn({warning})"),
        }
    }
}

/// A change to what is kept on disk.
pub enum DirectoryChange {
    /// Keep a secret of an epoch.
    Key {
        /// The epoch.
        epoch: Epoch,
        /// The secret.
        secret: Zeroizing<[u8; 32]>,
    },
    /// Delete the secret of an epoch so that it can't be recovered.
    RemoveKey {
        /// The epoch.
        epoch: Epoch,
    },
    /// Keep a document, in place of any other of its epoch.
    Document {
        /// Its epoch.
        epoch: Epoch,
        /// Encoded with its certificate.
        bytes: Arc<[u8]>,
    },
    /// Delete a document.
    RemoveDocument {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Keep a descriptor.
    Descriptor {
        /// Who issued it.
        id: NodeId,
        /// Its sequence number; with the identity it is the row's key.
        sequence: u64,
        /// Encoded with its signature.
        bytes: Arc<[u8]>,
    },
    /// Delete a descriptor.
    RemoveDescriptor {
        /// Who issued it.
        id: NodeId,
        /// Its sequence number.
        sequence: u64,
    },
    /// Never use this sequence number or a lower one again.
    Sequence(u64),
    /// Keep a handover, for good.
    Handover {
        /// The height of the document that it ends with.
        height: Height,
        /// Encoded.
        bytes: Arc<[u8]>,
    },
    /// Keep what is about to be said of a document.
    Record {
        /// The height that is being decided.
        height: Height,
        /// Records of a height are read in this order.
        number: u64,
        /// For the log of that height.
        bytes: Arc<[u8]>,
    },
    /// Delete such a record.
    RemoveRecord {
        /// The height.
        height: Height,
        /// The number.
        number: u64,
    },
    /// Keep a document that was proposed.
    Proposal {
        /// What names it.
        hash: DocumentHash,
        /// Encoded.
        bytes: Arc<[u8]>,
    },
    /// Delete such a document.
    RemoveProposal {
        /// What names it.
        hash: DocumentHash,
    },
    /// Keep evidence, in place of any other against the same node.
    Evidence {
        /// Whom it is against.
        id: NodeId,
        /// Encoded.
        bytes: Arc<[u8]>,
    },
    /// Delete the evidence against a node.
    RemoveEvidence {
        /// Whom it was against.
        id: NodeId,
    },
    /// Keep the keys for a seat in place of those before, which are not to be recovered.
    SeatKeys {
        /// A secret.
        kept: Zeroizing<Vec<u8>>,
    },
    /// Keep a file that follows on the network's, for good.
    Successor {
        /// The hash of its values.
        hash: NetworkHash,
        /// In TOML.
        text: Arc<[u8]>,
    },
}

/// What an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryWarning {
    /// No document could be formed for an epoch.
    NotFormed {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        reason: crate::DocumentError,
    },
    /// A file that an operator has does not follow on the network's.
    NotFollowing(crate::SuccessionError),
    /// Other values are to count from an epoch on.
    Follows {
        /// The epoch.
        epoch: Epoch,
        /// Their hash.
        hash: NetworkHash,
    },
    /// An old document stays in force: its keys are kept, which costs forward secrecy.
    Stale {
        /// The epoch of the document in force.
        document: Epoch,
        /// The epoch now.
        now: Epoch,
        /// For how many further epochs it may stay.
        left: u64,
    },
    /// A neighbour goes by another document of the same height.
    Contradiction {
        /// The epoch that it is for, as the neighbour says.
        epoch: Epoch,
    },
    /// What this node said of the next document can't be read, so that it says nothing more.
    DamagedLog(crate::agreement::Damaged),
    /// A seat has voted for two things.
    VotedTwice(NodeId),
    /// A neighbour shows seats that nobody handed over to, as after a recovery that the network's file
    /// does not have.
    Recovered(Height),
    /// A recovery goes on from another document than the one that was agreed on here.
    RecoveredFromAnother(Height),
    /// A document expels a node.
    Expelled {
        /// Which.
        id: NodeId,
        /// The last epoch whose document can't list it.
        last: Epoch,
    },
    /// No new route leads over a member from now on.
    Suspended {
        /// Which.
        id: NodeId,
        /// It leaves, as it says itself; else its watchers do not reach it.
        leaves: bool,
    },
    /// New routes lead over a member again.
    Reinstated(NodeId),
    /// A node has signed two descriptors with one sequence number.
    Equivocation(NodeId),
    /// A descriptor of our own identity that we have not issued: an old backup of the state, or a
    /// copy of the key in use elsewhere.
    OwnIdentityElsewhere,
    /// A job has given nothing for 30 s. What it was for is done without it, or tried again.
    JobLost,
    /// The own descriptor breaks a rule, so that others would refuse it.
    OwnDescriptor(crate::DescriptorError),
}

impl fmt::Display for DirectoryWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFormed { epoch, reason } => {
                write!(f, "no document for epoch {epoch}: {reason}")
            }
            Self::NotFollowing(error) => {
                write!(f, "the file successor.toml does not follow on the network's: {error}")
            }
            Self::Follows { epoch, hash } => write!(
                f,
                "other values count from epoch {epoch} on: those of the network's file with the hash {hash}"
            ),
            Self::Stale {
                document,
                now,
                left,
            } => write!(
                f,
                "epoch {now} has no document; that of epoch {document} stays in force for at most \
                 {left} more epochs, and its keys are kept for so long, which costs forward secrecy"
            ),
            Self::Contradiction { epoch } => write!(
                f,
                "a neighbour goes by another document of epoch {epoch}: it is lying, or a third of the \
                 seats is"
            ),
            Self::DamagedLog(damaged) => write!(f, "{damaged}"),
            Self::Recovered(height) => {
                write!(f, "{}", crate::DocumentError::Recovered(*height))
            }
            Self::RecoveredFromAnother(height) => write!(
                f,
                "the recovery in the network's file goes on from another document of height {height} than was \
                 agreed on here, so that nothing is agreed on any more: get the file anew from whom you had it"
            ),
            Self::VotedTwice(id) => {
                write!(f, "node {} has voted for two things in one step", id.short())
            }
            Self::Expelled { id, last } => write!(
                f,
                "node {} is expelled up to epoch {last}, because it has voted for two things in one step",
                id.short()
            ),
            Self::Suspended { id, leaves: true } => {
                write!(f, "node {} leaves: no new route leads over it", id.short())
            }
            Self::Suspended { id, leaves: false } => write!(
                f,
                "node {} is suspended: more than two thirds of its watchers do not reach it",
                id.short()
            ),
            Self::Reinstated(id) => {
                write!(f, "node {} is suspended no more", id.short())
            }
            Self::Equivocation(id) => {
                write!(
                    f,
                    "node {} has signed two descriptors with one number",
                    id.short()
                )
            }
            Self::OwnIdentityElsewhere => f.write_str(
                "others have a newer descriptor of this identity: its key is in use elsewhere, or \
                 the state directory is an old copy",
            ),
            Self::JobLost => f.write_str(
                "a signature or document was not checked within 30 s: the machine is far too slow, or a \
                 thread of this program has failed",
            ),
            Self::OwnDescriptor(error) => write!(f, "the own descriptor is not valid: {error}"),
        }
    }
}

/// What to do with gossip: the answers that gossipsub's validation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New and valid: pass it on.
    Accept,
    /// Known, of no use, or too much at once: don't pass it on, and hold it against nobody.
    Ignore,
    /// Invalid: don't pass it on, and hold it against who sent it.
    Reject,
}

shoal_proto::counters! {
    /// What a directory did since the start. Descriptors that were refused are counted apart, by
    /// [`Refusal`](crate::Refusal).
    pub struct DirectoryCounters("topology") {
        /// Descriptors of others that were new and valid.
        accepted: counter "descriptors";
        /// Descriptors of others that were known already or older than what is known.
        known: counter "descriptors";
        /// Descriptors beyond what one neighbour may send.
        rate_limited: counter "descriptors", "A neighbour floods if it grows for long: find it by its connection and block its address.";
        /// Gossip that came while too much waited to be verified.
        overflowed: counter "descriptors", "Verifying does not keep up: give the machine more processor time.";
        /// Descriptors that came too soon after others of the same identity: three in a row are taken, and one in a
        /// twentieth of an epoch in the long run.
        too_soon: counter "descriptors", "Somebody issues them very often: a node that starts again and again, or a flood.";
        /// Descriptors for which there was no room.
        no_room: counter "descriptors", "Somebody makes up identities, or the network has outgrown this version.";
        /// Second descriptors with one sequence number.
        equivocated: counter "descriptors", "An operator runs one identity twice; the log names it.";
        /// Documents that this node proposed.
        formed: counter "documents";
        /// Documents that the seats agreed on while this node listened.
        decided: counter "documents";
        /// Documents that neighbours sent with their certificates, after others had agreed on them.
        adopted: counter "documents", "If it grows in every epoch, this node does not hear what the seats say: check its connections.";
        /// Questions for newer documents that were not asked of a neighbour, which names new ones too often.
        not_fetched: counter "requests", "A neighbour makes up documents: block its address if it grows for long.";
        /// Documents of neighbours that were refused.
        refused: counter "documents", "Check this machine's clock and version if it grows for long.";
        /// Messages of the agreement that were new and valid.
        heard: counter "messages";
        /// Messages of the agreement that were none, or of nobody who has a seat.
        not_agreement: counter "messages", "A neighbour makes them up: block its address if it grows for long.";
        /// Seats that voted for two things, as was found or heard of, each once until it is expelled.
        contradicted: counter "seats", "An operator runs one seat twice, or attacks; the log names it.";
        /// Expulsions that began with a document.
        expelled: counter "members", "As above: the log names the member, and until when it is out.";
        /// Reports of watchers that were new and valid.
        reports: counter "messages";
        /// Reports of watchers that were none.
        not_reports: counter "messages", "A neighbour makes them up: block its address if it grows for long.";
        /// Amendments that more than two thirds of the seats have signed.
        amended: counter "documents";
        /// Suspensions of members that began.
        suspended: counter "members", "Members are down or leave; the log names them.";
        /// Suspensions of members that ended.
        reinstated: counter "members";
        /// Evidence against seats that was none.
        not_evidence: counter "messages", "A neighbour makes it up: block its address if it grows for long.";
        /// Requests to neighbours.
        sent: counter "requests";
        /// Requests of others that could not be read.
        malformed: counter "requests";
        /// Requests of others that were refused because too many waited.
        dropped: counter "requests";
        /// Answers of neighbours that could not be read.
        unreadable: counter "responses";
        /// Signatures and documents that were not checked within 30 s.
        lost: counter "jobs", "The machine is far too slow, or a thread has failed: restart the node.";
        /// Answers of neighbours that came while too much waited to be verified.
        abandoned: counter "responses", "Verifying does not keep up: give the machine more processor time.";
    }
}
