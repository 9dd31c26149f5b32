//! How a node is: what it tells its operator, who asks on the socket in its directory.
//!
//! It names nobody but who has invited the node: of other members there are numbers, of packets sums, as in the metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a node is, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The release that runs.
    pub version: String,
    /// Its id, base58.
    pub node: String,
    /// The network's name.
    pub network: String,
    /// Hash of its parameters, base58.
    pub network_hash: String,
    /// `mix` or `provider`.
    pub role: String,
    /// Whether it does its work, as `/healthz` says.
    pub ready: bool,
    /// What keeps it from its work, causes first; none if it is ready.
    pub troubles: Vec<NodeTrouble>,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// The epoch, and the document in force.
    pub epoch: EpochStatus,
    /// The next document.
    pub next: NextStatus,
    /// How it stands among those that wait for a place; none for a member.
    #[serde(default)]
    pub waiting: Option<WaitingStatus>,
    /// The file that follows on the network's, if there is one that was accepted.
    pub successor: Option<SuccessorStatus>,
    /// Its clock.
    pub clock: ClockStatus,
    /// With whom it is linked, and how.
    pub links: LinkStatus,
    /// Whether those reach it that dial it to see that.
    pub reach: ReachStatus,
    /// What the router forwards, if it is asked to; none if it is not.
    #[serde(default)]
    pub router: Option<RouterStatus>,
    /// Frames that came in, since it started.
    pub received: u64,
    /// Of those, what was passed on.
    pub forwarded: u64,
    /// Of those, what was dropped, by the reasons that there were; the metrics' documentation explains each.
    pub dropped: BTreeMap<String, u64>,
    /// The disk of its directory.
    pub disk: DiskStatus,
    /// Its memory.
    pub memory: MemoryStatus,
    /// What unwraps packets.
    pub backend: String,
}

/// One thing that keeps a node from its work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeTrouble {
    /// Which: a label of `shoal_node_trouble_reasons`.
    pub kind: String,
    /// In words: until when, or what to do about it.
    pub text: String,
}

/// The epoch, and where the node stands in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochStatus {
    /// The epoch now.
    pub now: u64,
    /// The epoch of the document in force, if there is one.
    pub document: Option<u64>,
    /// Members of that.
    pub members: u64,
    /// Whether the node is one of them.
    pub listed: bool,
    /// Where packets pass it: 1 and so on for a mix, 0 for a provider; none if nowhere.
    pub position: Option<u8>,
}

/// A file that follows on the network's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuccessorStatus {
    /// Hash of its values, base58.
    pub hash: String,
    /// The first epoch for which it counts.
    pub epoch: u64,
    /// Seconds until then.
    pub in_secs: u64,
}

/// The document of the next epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NextStatus {
    /// Its epoch.
    pub epoch: u64,
    /// Seconds until it takes effect.
    pub in_secs: u64,
    /// Whether the node has it.
    pub here: bool,
    /// Whether it has a place for the node; none as long as it is not here.
    pub has_place: Option<bool>,
    /// Seconds until the first document takes effect, after the one in force, that can have a place for the node.
    pub usable_in_secs: u64,
}

/// How a node stands among those that wait for a place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// How many wait, this one among them, as far as is known here.
    pub waiting: u64,
    /// How many more may come in before the next term.
    pub room: u64,
    /// How many may come in a term.
    pub a_term: u64,
    /// It does the work that the network asks for first.
    pub works: bool,
    /// By whom it is invited; none where nobody has to be, and if it is not.
    pub invitation: Option<InvitationStatus>,
}

/// By whom a node is invited, and until when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InvitationStatus {
    /// The id of who has signed the invitation, base58.
    pub by: String,
    /// The last epoch in which it counts.
    pub last_epoch: u64,
    /// Seconds until then; 0 if that is over.
    pub lasts_secs: u64,
    /// Whether it counts for the next document.
    pub counts: bool,
    /// The first epoch whose document can list the node, if who has signed can't bring in anybody before.
    pub from_epoch: Option<u64>,
}

/// A node's clock beside those of its neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// So many families of neighbours have said the time lately. Of fewer than three nothing follows.
    pub families: u64,
    /// How many seconds it is ahead of the middle of theirs, at least; below 0 if it is behind.
    pub ahead_secs: Option<f64>,
    /// How many seconds it may be off before the node is not ready.
    pub tolerance_secs: f64,
}

/// Whether a node is reached by its watchers, as they say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReachStatus {
    /// So many dial it, several times in a minute or as often as there are slots.
    pub watchers: u64,
    /// So many of them reach it at none of its addresses.
    pub missed_by: u64,
    /// By address that it advertises, how many miss it there.
    pub missed_at: BTreeMap<String, u64>,
    /// No new route leads over it.
    pub suspended: bool,
    /// Seconds until it stops at the latest, if it leaves.
    pub leaves_in_secs: Option<u64>,
}

/// What has come of asking the router for ports, the last time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Where the router says that others reach the node, as multiaddresses; one for each port that it forwards.
    pub forwarded: Vec<String>,
    /// What is wrong, and what to do about it.
    pub trouble: Option<String>,
}

/// With whom a node is linked, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Members that it gets packets from.
    pub before: BesideStatus,
    /// Members that it sends packets to.
    pub after: BesideStatus,
    /// Of both, those that are not linked and have no address of a family (IPv4, IPv6) that it advertises.
    pub apart: u64,
    /// Connections that are open, in or out, by transport and family of addresses.
    pub open: BTreeMap<String, u64>,
}

/// The members of a position beside a node's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BesideStatus {
    /// How many there are.
    pub members: u64,
    /// How many of them have a packet link with the node.
    pub linked: u64,
}

/// The disk of a node's directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Bytes that are free for the node's user; none if the system does not say.
    pub free_bytes: Option<u64>,
    /// Failed writes of the replay log since the start.
    pub replay_log_failures: u64,
    /// Failed writes of the directory's state since the start.
    pub directory_failures: u64,
}

/// What memory a node takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Bytes that it has in memory now; none where the system does not say.
    pub resident_bytes: Option<u64>,
    /// Bytes that its replay filters take at most.
    pub replay_most_bytes: u64,
}
