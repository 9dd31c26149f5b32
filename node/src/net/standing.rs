//! The standing of neighbours in gossip: who passes on what is invalid is heard less, and then not at all.
//!
//! Gossipsub keeps a score of each peer (gossipsub v1.1, "Peer Scoring"). Of what it can count, two things count
//! here, because a node of nine and one of ten thousand can tell them alike: messages whose verdict was
//! [`Reject`](shoal_topology::Verdict::Reject), and promises that were not kept. Everybody judges a message before
//! it goes on, so an honest neighbour has none of the first.
//!
//! - The score is minus the square of the invalid messages, which fade: a tenth is left after an hour.
//! - One puts the neighbour out of the mesh, until it has faded away: it is neither sent messages at once nor
//!   asked to, but still told their names, and what it sends is judged.
//! - Two, and it is neither told names nor asked by name. Three, and our own messages are not sent to it.
//! - More than four ([`GRAYLIST`]), and nothing that it says is looked at, nor counted. Five have faded to four
//!   after six minutes: so one that goes on has one message judged in six minutes, whatever it sends.
//! - Who leaves keeps its score for as long ([`RETAIN`]), so that nothing is won by coming back.
//!
//! What does not count: how much a neighbour sends and how early, since members have something to say once an
//! epoch, and who is lucky in that could buy invalid messages with it; its address, since machines at one place
//! have bounds of their own (see [`places`](super::places)) and a network on one machine has one address; that it
//! reads slowly, which is no fault.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::gossipsub::{
    PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams,
    score_parameter_decay_with_base,
};

use super::error::NetError;
use super::gossip::Gossip;

/// How often what counts against a peer fades.
const FADING: Duration = Duration::from_secs(10);
/// What is left of it after this long: a tenth.
const FADED: Duration = Duration::from_secs(3600);
/// What is as good as nothing. One invalid message is that after [`FADED`].
const NOTHING: f64 = 0.1;
/// How long the score of who is gone is kept. Five invalid messages have faded below the graylist's bound by then.
const RETAIN: Duration = Duration::from_secs(360);
/// Below this score a peer is told no names of messages, and asked for none: after two invalid messages.
const GOSSIP: f64 = -3.0;
/// Below this our own messages are not sent to it: after three.
const PUBLISH: f64 = -8.0;
/// Below this nothing is heard from it: after more than four.
const GRAYLIST: f64 = -16.0;
/// Broken promises and early returns to the mesh that are forgiven: a busy node has some.
const FORGIVEN: f64 = 10.0;
/// What everybody has in its favour. Gossipsub keeps the scores of those that are gone unless they are above
/// zero, so without it whoever connects once would be remembered.
const CREDIT: f64 = 0.001;

/// Has gossip keep the standing of peers.
///
/// # Errors
/// What gossipsub says against the parameters.
pub(super) fn keep(gossip: &mut Gossip, topic: TopicHash) -> Result<(), NetError> {
    let kept = gossip.with_peer_score(params(topic), thresholds());
    kept.map_err(|why| NetError::Setup {
        what: "the standing of peers",
        why,
    })
}

/// What counts, on this topic.
fn params(topic: TopicHash) -> PeerScoreParams {
    let decay = score_parameter_decay_with_base(FADED, FADING, NOTHING);
    let invalid = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: decay,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: HashMap::from([(topic, invalid)]),
        topic_score_cap: 0.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        ip_colocation_factor_whitelist: HashSet::new(),
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: FORGIVEN,
        behaviour_penalty_decay: decay,
        slow_peer_weight: 0.0,
        decay_interval: FADING,
        decay_to_zero: NOTHING,
        retain_score: RETAIN,
        ..PeerScoreParams::default()
    }
}

/// From which score on what is left out.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: GOSSIP,
        publish_threshold: PUBLISH,
        graylist_threshold: GRAYLIST,
        // Peers are not exchanged: who is a member stands in the documents.
        accept_px_threshold: f64::MAX,
        opportunistic_graft_threshold: 0.0,
    }
}

/// A peer has come.
pub(super) fn met(gossip: &mut Gossip, peer: &PeerId) {
    // False for one that is gone already.
    let _ = gossip.set_application_score(peer, CREDIT);
}

/// Who has lost its standing, as far as that was looked at.
#[derive(Debug, Default)]
pub(super) struct Standing {
    graylisted: BTreeSet<PeerId>,
}

/// How many have lost theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fallen {
    /// Not in the mesh; those that are not heard are among them.
    pub(super) pruned: usize,
    /// Not heard at all.
    pub(super) graylisted: usize,
    /// Not heard any more since the last look.
    pub(super) newly: usize,
}

impl Standing {
    /// Looks at the scores of all connected peers.
    pub(super) fn look(&mut self, gossip: &Gossip) -> Fallen {
        let peers = gossip.all_peers().map(|(peer, _)| *peer);
        self.sort(peers.filter_map(|peer| Some((peer, gossip.peer_score(&peer)?))))
    }

    fn sort(&mut self, scores: impl Iterator<Item = (PeerId, f64)>) -> Fallen {
        let fallen = Vec::from_iter(scores.filter(|(_, score)| *score < 0.0));
        let unheard = fallen.iter().filter(|(_, score)| *score < GRAYLIST);
        let graylisted = BTreeSet::from_iter(unheard.map(|(peer, _)| *peer));
        let newly = graylisted.difference(&self.graylisted).count();
        self.graylisted = graylisted;
        Fallen {
            pruned: fallen.len(),
            graylisted: self.graylisted.len(),
            newly,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use libp2p::Multiaddr;
    use libp2p::core::ConnectedPoint;
    use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
    use libp2p::swarm::{ConnectionId, FromSwarm, NetworkBehaviour as _};

    use super::*;
    use crate::net::config::NetLimits;

    #[test]
    fn who_is_not_heard_is_told_once() {
        let peers = Vec::from_iter((0..4).map(|_| PeerId::random()));
        let mut standing = Standing::default();
        let fallen = |pruned, graylisted, newly| Fallen {
            pruned,
            graylisted,
            newly,
        };
        let scores = |scores: [f64; 4]| peers.clone().into_iter().zip(scores);
        let mut sort = |scored: [f64; 4]| standing.sort(scores(scored));
        assert_eq!(sort([CREDIT, 0.0, CREDIT, CREDIT]), fallen(0, 0, 0));
        assert_eq!(sort([CREDIT, -1.0, -16.0, -24.9]), fallen(3, 1, 1));
        assert_eq!(sort([CREDIT, -1.0, -16.0, -24.0]), fallen(3, 1, 0));
        assert_eq!(sort([CREDIT, -17.0, 0.0, -16.5]), fallen(2, 2, 1));
        assert_eq!(sort([CREDIT; 4]), fallen(0, 0, 0));
        assert_eq!(sort([CREDIT, CREDIT, CREDIT, -17.0]), fallen(1, 1, 1));
    }

    fn gossip() -> Gossip {
        let network = shoal_proto::NetworkHash::new([1; 32]);
        let mut gossip = crate::net::gossip::gossip(&network, &NetLimits::default()).unwrap();
        keep(&mut gossip, crate::net::gossip::topic(&network).hash()).unwrap();
        gossip
    }

    /// A peer comes, and something happens before it goes.
    fn visit(gossip: &mut Gossip, peer: PeerId, meanwhile: impl FnOnce(&mut Gossip)) {
        let connection_id = ConnectionId::new_unchecked(1);
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let (local_addr, send_back_addr) = (address.clone(), address.clone());
        let endpoint = &ConnectedPoint::Listener {
            local_addr,
            send_back_addr,
        };
        gossip
            .handle_established_inbound_connection(connection_id, peer, &address, &address)
            .unwrap();
        gossip.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id,
            endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        meanwhile(gossip);
        gossip.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: peer,
            connection_id,
            endpoint,
            cause: None,
            remaining_established: 0,
        }));
    }

    /// Only who has fallen is remembered when it is gone, so strangers without end take no memory.
    #[tokio::test]
    async fn who_did_nothing_wrong_is_forgotten() {
        let mut gossip = gossip();
        // It says whether there is a score to add to.
        let remembered = |gossip: &mut Gossip, peer| gossip.set_application_score(peer, CREDIT);
        let [plain, met_peer, fallen] = [(); 3].map(|()| PeerId::random());
        visit(&mut gossip, plain, |_| {});
        assert!(remembered(&mut gossip, &plain), "gossipsub's own way");
        visit(&mut gossip, met_peer, |gossip| {
            met(gossip, &met_peer);
            assert_eq!(gossip.peer_score(&met_peer), Some(CREDIT));
        });
        assert!(!remembered(&mut gossip, &met_peer));
        visit(&mut gossip, fallen, |gossip| {
            assert!(gossip.set_application_score(&fallen, -1.0));
        });
        assert!(remembered(&mut gossip, &fallen));
    }

    /// The numbers that are promised above follow from the parameters.
    #[test]
    fn what_is_held_against_a_peer_fades_as_promised() {
        let topic = TopicHash::from_raw("topic");
        let params = params(topic.clone());
        params.validate().unwrap();
        thresholds().validate().unwrap();
        let topic = &params.topics[&topic];
        let score = |invalid: f64| CREDIT - invalid * invalid;
        assert!(score(1.0) < 0.0 && score(1.0) > GOSSIP);
        assert!(score(2.0) < GOSSIP && score(2.0) > PUBLISH);
        assert!(score(3.0) < PUBLISH && score(4.0) > GRAYLIST);
        assert!(score(5.0) < GRAYLIST);
        // Steps of fading until so many are no more than that.
        let until = |from: f64, to: f64| {
            let left = |steps: &i32| from * topic.invalid_message_deliveries_decay.powi(*steps);
            let steps = (0..).find(|steps| left(steps) <= to).unwrap();
            FADING * u32::try_from(steps).unwrap()
        };
        assert_eq!(until(5.0, 4.0), Duration::from_secs(350));
        assert!(until(5.0, 4.0) <= RETAIN);
        let once = until(1.0, NOTHING);
        assert!(once >= FADED && once <= FADED + FADING, "{once:?}");
    }
}
