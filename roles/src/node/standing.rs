//! Where a node stands among the others: what its operator asks for beside the counters.

use shoal_proto::{Epoch, NetworkHash, NodeId, Span, Time};
use shoal_topology::{Address, Document, NetworkParameters, Role, Waiting, Watched};

use super::Node;
use super::clock::tolerance;

/// Where a node stands at one instant. It names nobody but who has invited the node: of the
/// others there are numbers only, as in the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// What it does.
    pub role: Role,
    /// The epoch of the document in force, if there is one.
    pub document: Option<Epoch>,
    /// Whether that lists the node.
    pub is_listed: bool,
    /// Where packets pass it by that document: 1 and so on for a mix, 0 for a provider; none if nowhere.
    pub position: Option<u8>,
    /// Those whom it gets packets from.
    pub before: Linked,
    /// Those whom it sends packets to.
    pub after: Linked,
    /// The next document.
    pub next: NextDocument,
    /// What the neighbours' clocks say.
    pub clock: ClockStanding,
    /// What those say that dial it to see whether it is there.
    pub watched: Watched,
    /// Where it says that it can be dialled, in the order of [`Watched::addresses`].
    pub addresses: Vec<Address>,
    /// No new route leads over it.
    pub suspended: bool,
    /// It leaves, and when it stops at the latest.
    pub leaves_by: Option<Time>,
    /// How it stands among those that wait for a place; none for a member.
    pub waiting: Option<Waiting>,
    /// The file that follows on the network's, by its hash, and the first epoch for which it counts.
    pub follows: Option<(NetworkHash, Epoch)>,
}

/// The members of a position beside a node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// How many there are.
    pub members: usize,
    /// To how many of them a packet link is up.
    pub linked: usize,
}

/// The document of the next epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextDocument {
    /// Its epoch.
    pub epoch: Epoch,
    /// When it takes effect.
    pub at: Time,
    /// Whether the node has it.
    pub is_here: bool,
    /// Whether it has a place for the node; none as long as it is not here.
    pub has_place: Option<bool>,
    /// When the first document takes effect, after the one in force, that can have a place for the node with a key
    /// that it has.
    pub usable: Time,
}

/// A node's clock beside those of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockStanding {
    /// So many families of neighbours have said the time lately. Of fewer than three nothing follows.
    pub families: usize,
    /// How many microseconds the node's clock is ahead of the middle of theirs, at least; below 0 if it is behind.
    /// None if nobody has said anything.
    pub ahead_us: Option<i64>,
    /// How far it may be off before the node says that it is not ready.
    pub tolerance: Span,
}

impl Node {
    /// Where the node stands now.
    #[must_use]
    pub fn standing(&self, now: Time) -> Standing {
        let document = self.view().current(&self.params, now).map(|it| &**it);
        let member = document.and_then(|document| document.member(&self.local));
        let beside = |of: fn(&Document, &NodeId) -> Vec<NodeId>| {
            let members = document.map_or_else(Vec::new, |document| of(document, &self.local));
            Linked {
                members: members.len(),
                linked: self.readiness.linked(&members),
            }
        };
        let (families, ahead_us) = self.clocks.compared();
        Standing {
            role: self.role,
            document: document.map(Document::epoch),
            is_listed: member.is_some(),
            position: member.and_then(|member| member.position()),
            before: beside(|document, local| document.before(local).to_vec()),
            after: beside(|document, local| document.after(local).to_vec()),
            next: self.next_document(&self.params, now),
            clock: ClockStanding {
                families,
                ahead_us,
                tolerance: tolerance(&self.params),
            },
            watched: self.directory.watched(now, &self.local),
            addresses: self.directory.advertised(&self.local),
            suspended: self.is_suspended(now),
            leaves_by: self.leave_by,
            waiting: self.directory.waits(),
            follows: self
                .successor()
                .map(|next| (next.hash(), next.succession().epoch)),
        }
    }

    fn next_document(&self, params: &NetworkParameters, now: Time) -> NextDocument {
        let epoch = params.epoch_at(now).next();
        let document = self.view().documents.get(&epoch);
        let has_place = document.map(|document| {
            let member = document.member(&self.local);
            member.is_some_and(|member| member.position().is_some())
        });
        NextDocument {
            epoch,
            at: params.start_of(epoch),
            is_here: document.is_some(),
            has_place,
            usable: self.directory.next_usable(now),
        }
    }
}
