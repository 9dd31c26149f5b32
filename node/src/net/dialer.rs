//! Who is dialled when: members stay connected, with waits that grow.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::Multiaddr;
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::config::NetLimits;

/// A connection that lasted this long was no failure.
const STEADY: Duration = Duration::from_secs(10);
/// First dials are spread over this time.
const SPREAD: Duration = Duration::from_millis(50);

enum State {
    Connected { since: Instant },
    Dialling,
    Waiting { until: Instant },
}

struct Entry {
    addresses: Vec<Multiaddr>,
    failures: u32,
    state: State,
}

/// Decides when to dial which member. The side with the lower identity dials at once, the other
/// leaves it some time, so that there is one connection for two; who cannot be reached is dialled
/// less and less often.
pub(super) struct Dialer {
    local: NodeId,
    grace: Duration,
    peers: BTreeMap<NodeId, Entry>,
    backoff: Backoff,
}

impl Dialer {
    pub(super) fn new(local: NodeId, limits: &NetLimits, seed: u64) -> Self {
        Self {
            local,
            grace: limits.dial_grace,
            peers: BTreeMap::new(),
            backoff: Backoff::new(limits.redial_first, limits.redial_longest, seed),
        }
    }

    /// Replaces the members. Who is new is due soon, and so is who has new addresses.
    pub(super) fn set(
        &mut self,
        now: Instant,
        peers: BTreeMap<NodeId, Vec<Multiaddr>>,
        is_connected: impl Fn(&NodeId) -> bool,
    ) {
        let mut before = std::mem::take(&mut self.peers);
        for (node, addresses) in peers {
            if node == self.local {
                continue;
            }
            let entry = match before.remove(&node) {
                Some(entry) if entry.addresses == addresses => entry,
                Some(Entry {
                    state: State::Waiting { .. },
                    ..
                })
                | None => {
                    let state = if is_connected(&node) {
                        State::Connected { since: now }
                    } else {
                        State::Waiting {
                            until: self.soon(now, &node),
                        }
                    };
                    Entry {
                        addresses,
                        failures: 0,
                        state,
                    }
                }
                Some(entry) => Entry { addresses, ..entry },
            };
            self.peers.insert(node, entry);
        }
    }

    fn soon(&mut self, now: Instant, node: &NodeId) -> Instant {
        let grace = if self.local < *node {
            Duration::ZERO
        } else {
            self.grace
        };
        now + grace + self.backoff.jitter(SPREAD)
    }

    /// Who is to be dialled now, at most so many.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<(NodeId, Vec<Multiaddr>)> {
        let is_due =
            |entry: &Entry| matches!(entry.state, State::Waiting { until } if until <= now);
        let due = self
            .peers
            .iter_mut()
            .filter(|(_, entry)| is_due(entry))
            .take(most);
        due.map(|(node, entry)| {
            entry.state = State::Dialling;
            (*node, entry.addresses.clone())
        })
        .collect()
    }

    /// Members that are being dialled.
    pub(super) fn dialling(&self) -> usize {
        self.peers
            .values()
            .filter(|entry| matches!(entry.state, State::Dialling))
            .count()
    }

    /// The first connection to this peer is up.
    pub(super) fn connected(&mut self, now: Instant, node: &NodeId) {
        if let Some(entry) = self.peers.get_mut(node) {
            entry.state = State::Connected { since: now };
        }
    }

    /// The last connection to this peer is gone.
    pub(super) fn disconnected(&mut self, now: Instant, node: &NodeId) {
        let soon = self.soon(now, node);
        let Some(entry) = self.peers.get_mut(node) else {
            return;
        };
        let lasted = matches!(entry.state, State::Connected { since } if now - since >= STEADY);
        entry.failures = if lasted {
            1
        } else {
            entry.failures.saturating_add(1)
        };
        entry.state = State::Waiting {
            until: soon + self.backoff.wait(entry.failures),
        };
    }

    /// A dial failed, while there is no connection.
    pub(super) fn failed(&mut self, now: Instant, node: &NodeId) {
        let Some(entry) = self.peers.get_mut(node) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        entry.state = State::Waiting {
            until: now + self.backoff.wait(entry.failures),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::now;

    const SECOND: Duration = Duration::from_secs(1);
    const NOBODY: [u8; 0] = [];

    fn parts(local: u8) -> (Dialer, Instant) {
        (
            Dialer::new(NodeId::new([local; 32]), &NetLimits::default(), 1),
            now(),
        )
    }

    fn peers(nodes: &[u8], port: u16) -> BTreeMap<NodeId, Vec<Multiaddr>> {
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}")
            .parse()
            .unwrap_or_else(|_| Multiaddr::empty());
        nodes
            .iter()
            .map(|node| (NodeId::new([*node; 32]), vec![address.clone()]))
            .collect()
    }

    fn dialled(due: Vec<(NodeId, Vec<Multiaddr>)>) -> Vec<u8> {
        due.iter().map(|(node, _)| node.as_bytes()[0]).collect()
    }

    #[test]
    fn the_lower_identity_dials_first_and_nobody_dials_itself() {
        let (mut dialer, now) = parts(5);
        dialer.set(now, peers(&[4, 5, 6], 1), |_| false);
        assert_eq!(dialled(dialer.due(now + SPREAD, 9)), [6]);
        assert_eq!(dialled(dialer.due(now + SPREAD, 9)), NOBODY, "once");
        assert_eq!(dialled(dialer.due(now + 2 * SECOND + SPREAD, 9)), [4]);
        assert_eq!(dialer.dialling(), 2);
    }

    #[test]
    fn failures_are_waited_out_and_new_addresses_are_not() {
        let (mut dialer, now) = parts(1);
        dialer.set(now, peers(&[2], 1), |_| false);
        let node = NodeId::new([2; 32]);
        for _ in 0..8 {
            dialer.failed(now, &node);
        }
        assert_eq!(dialled(dialer.due(now + 14 * SECOND, 9)), NOBODY);
        dialer.set(now, peers(&[2], 1), |_| false);
        assert_eq!(
            dialled(dialer.due(now + 14 * SECOND, 9)),
            NOBODY,
            "the same again is no news"
        );
        dialer.set(now, peers(&[2], 2), |_| false);
        assert_eq!(dialled(dialer.due(now + SPREAD, 9)), [2]);
    }

    #[test]
    fn who_is_connected_is_left_alone_until_it_is_gone() {
        let (mut dialer, now) = parts(1);
        dialer.set(now, peers(&[2, 3], 1), |node| *node == NodeId::new([2; 32]));
        assert_eq!(dialled(dialer.due(now + SECOND, 9)), [3]);
        dialer.disconnected(now + SECOND, &NodeId::new([2; 32]));
        assert_eq!(dialled(dialer.due(now + SECOND, 9)), NOBODY);
        assert_eq!(dialled(dialer.due(now + 2 * SECOND, 9)), [2]);
    }

    #[test]
    fn no_more_are_dialled_than_may_be() {
        let (mut dialer, now) = parts(1);
        dialer.set(now, peers(&[2, 3, 4], 1), |_| false);
        assert_eq!(dialer.due(now + SECOND, 2).len(), 2);
        dialer.set(now, BTreeMap::new(), |_| false);
        assert_eq!(dialer.due(now + SECOND, 9).len(), 0);
    }
}
