//! What goes into a [`Node`](crate::node::Node) and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_mix::{LoopReturns, Passage, Processed};
use shoal_packet::{Frame, ReplayTag};
use shoal_proto::{ClientHandle, Epoch, NetworkHash, NodeId, Span};
use shoal_provider::{StoreOp, StoreResult};
use shoal_topology::{Address, Dialled, DirectoryChange, DirectoryWarning, Role, Ticket, Verdict};

use super::job::{NodeDone, NodeJob};
use super::questions::Place;
use super::trouble::Trouble;
use crate::request::RequestKind;

/// What happens to a node.
#[non_exhaustive]
pub enum NodeInput {
    /// A packet came out of [`Intake::unwrap`](crate::node::Intake::unwrap).
    Processed(Processed),
    /// The replay log has every tag up to this sequence on disk.
    TagsDurable {
        /// The sequence of a [`NodeAction::LogTag`].
        upto: u64,
    },
    /// The replay log could not write.
    TagsFailed {
        /// What the system said, for the operator.
        why: String,
    },
    /// The store finished an operation.
    Stored {
        /// From [`NodeAction::Store`].
        ticket: u64,
        /// How it ended.
        result: StoreResult,
    },
    /// Changes of the directory's state are on disk.
    Persisted {
        /// From [`NodeAction::Persist`].
        ticket: u64,
    },
    /// Some changes of the directory's state are not on disk, and the others of that group are; the
    /// node asks again later.
    PersistFailed {
        /// From [`NodeAction::Persist`].
        ticket: u64,
        /// Those that are not.
        changes: Vec<DirectoryChange>,
        /// What the system said, for the operator.
        why: String,
    },
    /// A job is done.
    Done(NodeDone),
    /// Where a peer is whose first connection stands in a moment. Strangers whose place is not told share
    /// one.
    Located {
        /// Who.
        peer: NodeId,
        /// Where.
        place: Place,
    },
    /// The first connection with this peer stands. Its identity is proven.
    Connected(NodeId),
    /// The last connection with this peer is gone.
    Disconnected(NodeId),
    /// Frames can be sent to this peer.
    LinkUp(NodeId),
    /// Frames can't be sent to this peer any more.
    LinkDown(NodeId),
    /// At the addresses of a member, somebody answers for another network, unauthenticated.
    OtherNetwork {
        /// Who should be there.
        peer: NodeId,
        /// The hash of the parameters that it goes by.
        network: NetworkHash,
        /// How many seconds its clock is ahead of this node's, as it says; below 0 if it is behind.
        ahead_secs: i64,
    },
    /// A neighbour passed on gossip. Answered by [`NodeAction::Verdict`].
    Gossip {
        /// Who, which need not have made it.
        from: NodeId,
        /// Names it in the verdict.
        ticket: Ticket,
        /// The message.
        bytes: Vec<u8>,
    },
    /// What was last published reached nobody.
    PublishFailed,
    /// A peer asks. Answered by [`NodeAction::Respond`] or [`NodeAction::Refuse`].
    Request {
        /// Who asks.
        from: NodeId,
        /// What.
        kind: RequestKind,
        /// Names it in the answer.
        ticket: Ticket,
        /// The question.
        bytes: Vec<u8>,
    },
    /// A peer that was asked by [`NodeAction::Request`] answered.
    Response {
        /// Who.
        from: NodeId,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// A peer that was asked did not answer, or could not be asked.
    RequestFailed {
        /// Who was asked.
        from: NodeId,
    },
    /// The frame of a [`NodeAction::SendDown`] found no room on the client's link.
    LinkFull {
        /// Whose.
        handle: ClientHandle,
    },
    /// A node's addresses have been dialled: see [`NodeAction::Dial`].
    Dialled {
        /// Whose.
        id: NodeId,
        /// What came of each, in their order.
        at: Vec<(Address, Dialled)>,
    },
    /// The node is at these addresses from now on: 1 to 8.
    Moved(Vec<Address>),
    /// The operator has a file that follows on the network's, in TOML.
    Successor(Arc<[u8]>),
    /// The node says that it leaves, and serves on until no document that counts lists it, or for so long at most. Then
    /// it stops as by [`Stop`](Self::Stop). Without patience, and the second time, it stops at once.
    Leave {
        /// The longest.
        patience: Span,
    },
    /// Admission closes, what is in the pool leaves at its moment, and then the node says
    /// [`NodeAction::Drained`].
    Stop,
}

/// What a node wants done, in this order.
#[non_exhaustive]
pub enum NodeAction {
    /// Put this frame on the link to a member, and say by the passage what became of it:
    /// [`Passage::sent`] or [`Passage::drop_as`].
    Send {
        /// The member.
        to: NodeId,
        /// The frame.
        frame: Frame,
        /// Its line in the books.
        passage: Passage,
    },
    /// Put this frame on the link to an attached client. If it has no room:
    /// [`NodeInput::LinkFull`].
    SendDown {
        /// The client's connection.
        to: NodeId,
        /// What the client is called on it.
        handle: ClientHandle,
        /// The frame.
        frame: Frame,
    },
    /// Write this tag to the replay log, in this order, and say when it is durable.
    LogTag {
        /// Starts at 1 and grows by 1.
        sequence: u64,
        /// The log forgets it when this epoch's key goes.
        epoch: Epoch,
        /// The tag.
        tag: ReplayTag,
    },
    /// Give this to the store, in the order of the tickets. Answered by [`NodeInput::Stored`].
    Store {
        /// Names the operation.
        ticket: u64,
        /// What to do.
        op: StoreOp,
    },
    /// Keep these on disk, each group with as few commits as the disk allows, and groups in this order.
    /// Answered by [`NodeInput::Persisted`] or [`NodeInput::PersistFailed`]; never dropped. Nothing that
    /// depends on it is said before. At most two groups wait at a time, until the node stops.
    Persist {
        /// Names the group.
        ticket: u64,
        /// The changes, of another row each.
        changes: Vec<DirectoryChange>,
    },
    /// Run this somewhere else than in the loop that moves packets, and bring back what it gives
    /// as [`NodeInput::Done`].
    Job(NodeJob),
    /// Spread these bytes by gossip. If nobody hears them: [`NodeInput::PublishFailed`].
    Publish(Vec<u8>),
    /// What becomes of gossip.
    Verdict {
        /// From [`NodeInput::Gossip`].
        of: Ticket,
        /// Whether it is passed on.
        verdict: Verdict,
    },
    /// Ask a neighbour for what its directory has ([`RequestKind::Directory`]). Exactly one
    /// [`NodeInput::Response`] or [`NodeInput::RequestFailed`] follows.
    Request {
        /// Whom.
        to: NodeId,
        /// The question.
        bytes: Vec<u8>,
    },
    /// Answer a request.
    Respond {
        /// Which.
        to: Ticket,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Leave a request without an answer.
    Refuse {
        /// Which.
        to: Ticket,
    },
    /// Stay connected to these, and to nobody else for longer than they want. Replaces what was
    /// said before; the node itself is not among them.
    Peers(BTreeMap<NodeId, Vec<Address>>),
    /// Exchange packets with these: members of adjacent positions, and attached clients. Replaces what was said before;
    /// links to others are closed.
    PacketPeers(BTreeSet<NodeId>),
    /// Dial each of these addresses of a node by a connection of its own that is used for nothing else, and say what
    /// came of it: [`NodeInput::Dialled`]. At most 16 nodes are asked for at a time.
    Dial {
        /// Whose.
        id: NodeId,
        /// Where.
        addresses: Vec<Address>,
    },
    /// Close all connections with this peer, a client that is not wanted any more.
    Disconnect(NodeId),
    /// Tell the operator.
    Event(NodeEvent),
    /// After [`NodeInput::Stop`]: everything that could leave has left.
    Drained,
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node does its work from now on: it is a member of the document in force, has its keys,
    /// and its links, or has waited for its neighbours long enough.
    Ready {
        /// What it does.
        role: Role,
        /// 1 to L for a mix, 0 for a provider.
        layer: u8,
        /// The epoch of the document in force.
        epoch: Epoch,
    },
    /// It does not any more, or not yet. Told once for each change of their kinds; what stands is told
    /// again after 15 s, and then after twice as long each time, up to 15 min.
    NotReady(Vec<Trouble>),
    /// So many members of the neighbouring layers, not linked, have no address of a family (IPv4, IPv6)
    /// that this node has: what is routed over them and this node is lost. Told once in an epoch.
    Apart {
        /// How many.
        members: usize,
    },
    /// The directory has something to say.
    Directory(DirectoryWarning),
    /// Too few of the node's own loops come back: packets are lost, or somebody drops them.
    LoopsLost(LoopReturns),
    /// Enough of them come back again.
    LoopsBack(LoopReturns),
    /// Replay tags are on disk so late that packets miss their moments.
    LogSlow {
        /// How long the oldest has waited.
        wait: Span,
    },
    /// They have been there in time for a minute.
    LogQuick,
    /// Other values count from now on: this node is to be stopped, and started anew with them. Told once.
    Succeeded,
}
