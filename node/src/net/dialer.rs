//! Who is dialled when: members stay connected, with waits that grow, and no machine or network is dialled
//! too often, however many members name it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::address::ip_of;
use super::backoff::Backoff;
use super::config::NetLimits;
use super::targets::Targets;

/// A connection that lasted this long was no failure.
const STEADY: Duration = Duration::from_secs(10);
/// First dials are spread over this time.
const SPREAD: Duration = Duration::from_millis(50);
/// A dial that is put off is looked at again after this at the latest: others may have made room.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A member that could not be reached so often in a row where it was counts as moved.
const MOVED: u32 = 5;

enum State {
    Connected { since: Instant },
    Dialling,
    Waiting { until: Instant },
}

/// What may be dialled.
struct Open {
    open: Vec<Multiaddr>,
    /// When to look again, if nothing may.
    later: Instant,
}

struct Entry {
    addresses: Vec<Multiaddr>,
    failures: u32,
    state: State,
    /// The machines that dials under way were counted for.
    counted: Vec<IpAddr>,
    /// When it is dialled beside a connection that is dead.
    beside: Option<Instant>,
    /// Whether that has been done since it was last connected.
    was_beside: bool,
    /// Its addresses are other ones than when it was last dialled.
    moved: bool,
    /// Where it was found last. It is dialled there whoever else says to be there, so that nobody can
    /// keep us from a member by naming its address often.
    found: Option<IpAddr>,
}

impl Entry {
    fn new(addresses: Vec<Multiaddr>, state: State) -> Self {
        Self {
            addresses,
            failures: 0,
            state,
            counted: Vec::new(),
            beside: None,
            was_beside: false,
            moved: false,
            found: None,
        }
    }

    /// With other addresses than before. A dial under way leads where it is not any more, and takes long to
    /// fail: nobody waits for that.
    fn moves(self, addresses: Vec<Multiaddr>, now: Instant, soon: Instant) -> Self {
        let connected = matches!(self.state, State::Connected { .. });
        let state = match self.state {
            State::Waiting { .. } | State::Dialling => State::Waiting { until: soon },
            connected @ State::Connected { .. } => connected,
        };
        Self {
            addresses,
            state,
            failures: if connected { self.failures } else { 0 },
            beside: self.beside.or(self.was_beside.then_some(now)),
            moved: true,
            ..self
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting { until } if until <= now)
    }

    /// At which of its addresses it may be dialled now.
    fn open(&mut self, now: Instant, targets: &mut Targets) -> Open {
        let mut found = Open {
            open: Vec::new(),
            later: now + LOOK_AGAIN,
        };
        for address in &self.addresses {
            let ip = ip_of(address);
            if self.found != Some(ip) {
                if let Err(free) = targets.dial(now, ip) {
                    found.later = found.later.min(free);
                    continue;
                }
                self.counted.push(ip);
            }
            found.open.push(address.clone());
        }
        found
    }

    /// A dial, or a connection that did not last.
    fn failed(&mut self) {
        self.counted.clear();
        self.failures = self.failures.saturating_add(1);
        self.found = self.found.filter(|_| self.failures < MOVED);
    }
}

/// Decides when to dial which member. The side with the lower identity dials at once, the other
/// leaves it some time, so that there is one connection for two; who cannot be reached is dialled
/// less and less often.
pub(super) struct Dialer {
    local: NodeId,
    grace: Duration,
    peers: BTreeMap<NodeId, Entry>,
    targets: Targets,
    /// Dials that were put off since it was asked.
    put_off: usize,
    backoff: Backoff,
}

impl Dialer {
    pub(super) fn new(local: NodeId, limits: &NetLimits, seed: u64) -> Self {
        Self {
            local,
            grace: limits.dial_grace,
            peers: BTreeMap::new(),
            targets: Targets::default(),
            put_off: 0,
            backoff: Backoff::new(limits.redial_first, limits.redial_longest, seed),
        }
    }

    /// Replaces the members. Who is new is due soon, and so is who has new addresses, unless it is connected
    /// by a connection that is not known to be dead.
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
                Some(entry) => entry.moves(addresses, now, self.soon(now, &node)),
                None => {
                    let state = if is_connected(&node) {
                        State::Connected { since: now }
                    } else {
                        State::Waiting {
                            until: self.soon(now, &node),
                        }
                    };
                    Entry::new(addresses, state)
                }
            };
            self.peers.insert(node, entry);
        }
    }

    /// How long this side leaves the dialling to the other.
    fn grace(&self, node: &NodeId) -> Duration {
        if self.local < *node {
            Duration::ZERO
        } else {
            self.grace
        }
    }

    fn soon(&mut self, now: Instant, node: &NodeId) -> Instant {
        now + self.grace(node) + self.backoff.jitter(SPREAD)
    }

    /// Who is to be dialled now, at most so many, and at which of its addresses.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<(NodeId, Vec<Multiaddr>)> {
        self.targets.prune(now);
        let mut due = Vec::new();
        for (node, entry) in &mut self.peers {
            if due.len() >= most {
                break;
            }
            if !entry.is_due(now) {
                continue;
            }
            let Open { open, later } = entry.open(now, &mut self.targets);
            // Without any address the dial fails by itself.
            if open.is_empty() && !entry.addresses.is_empty() {
                entry.state = State::Waiting { until: later };
                self.put_off += 1;
            } else {
                entry.state = State::Dialling;
                due.push((*node, open));
            }
        }
        due
    }

    /// Where a member says to be.
    pub(super) fn addresses(&self, node: &NodeId) -> &[Multiaddr] {
        self.peers.get(node).map_or(&[], |entry| &entry.addresses)
    }

    /// Whether a member may be asked at this machine for its network, which counts as a dial.
    pub(super) fn may_ask(&mut self, now: Instant, node: &NodeId, ip: IpAddr) -> bool {
        let entry = self.peers.get(node);
        entry.is_some_and(|entry| entry.found == Some(ip)) || self.targets.dial(now, ip).is_ok()
    }

    /// A connection of this member is dead: it is dialled beside it, by the side with the lower identity at
    /// once and by the other after some time, as ever.
    pub(super) fn dead(&mut self, now: Instant, node: &NodeId) {
        let wait = self.grace(node);
        if let Some(entry) = self.peers.get_mut(node) {
            entry.beside = Some(now + wait);
        }
    }

    /// Who is dialled now beside a connection that is dead, and where; not those who have another.
    pub(super) fn beside(
        &mut self,
        now: Instant,
        has_another: impl Fn(&NodeId) -> bool,
    ) -> Vec<(NodeId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (node, entry) in &mut self.peers {
            if entry.beside.take_if(|at| *at <= now).is_some() && !has_another(node) {
                entry.was_beside = true;
                due.push((*node, entry.open(now, &mut self.targets).open));
            }
        }
        due
    }

    /// Whether a member is to be dialled although it is being dialled: that leads where it was before. Once.
    pub(super) fn has_moved(&mut self, node: &NodeId) -> bool {
        let entry = self.peers.get_mut(node);
        entry.is_some_and(|entry| std::mem::take(&mut entry.moved))
    }

    /// A dial beside a dead connection failed.
    pub(super) fn beside_failed(&mut self, node: &NodeId) {
        if let Some(entry) = self.peers.get_mut(node) {
            entry.counted.clear();
        }
    }

    /// How many dials were put off because of where they lead, since this was last asked.
    pub(super) fn put_off(&mut self) -> usize {
        std::mem::take(&mut self.put_off)
    }

    /// Members that are being dialled.
    pub(super) fn dialling(&self) -> usize {
        self.peers
            .values()
            .filter(|entry| matches!(entry.state, State::Dialling))
            .count()
    }

    /// A dial has found this peer at this machine, whatever other connections it has.
    pub(super) fn found(&mut self, node: &NodeId, ip: IpAddr) {
        if let Some(entry) = self.peers.get_mut(node) {
            let counted = std::mem::take(&mut entry.counted);
            let there = counted.iter().filter(|counted| **counted == ip);
            there.for_each(|ip| self.targets.found(*ip));
            entry.found = Some(ip);
        }
    }

    /// The first connection to this peer is up.
    pub(super) fn connected(&mut self, now: Instant, node: &NodeId) {
        if let Some(entry) = self.peers.get_mut(node) {
            entry.state = State::Connected { since: now };
            entry.was_beside = false;
        }
    }

    /// The last connection to this peer is gone.
    pub(super) fn disconnected(&mut self, now: Instant, node: &NodeId) {
        let soon = self.soon(now, node);
        let Some(entry) = self.peers.get_mut(node) else {
            return;
        };
        let lasted = matches!(entry.state, State::Connected { since } if now - since >= STEADY);
        if lasted {
            entry.failures = 1;
        } else {
            entry.failed();
        }
        entry.beside = None;
        entry.was_beside = false;
        entry.state = State::Waiting {
            until: soon + self.backoff.wait(entry.failures),
        };
    }

    /// A dial failed, while there is no connection.
    pub(super) fn failed(&mut self, now: Instant, node: &NodeId) {
        let Some(entry) = self.peers.get_mut(node) else {
            return;
        };
        entry.failed();
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

    /// Members, all of them at one machine of the internet.
    fn crowd(nodes: impl Iterator<Item = u8>) -> BTreeMap<NodeId, Vec<Multiaddr>> {
        let crowd = nodes.map(|node| {
            let text = format!("/ip4/203.0.113.9/tcp/{}", 1000 + u16::from(node));
            let address = text.parse().unwrap_or_else(|_| Multiaddr::empty());
            (NodeId::new([node; 32]), vec![address])
        });
        crowd.collect()
    }

    #[test]
    fn a_machine_that_many_members_name_is_dialled_only_so_often() {
        let (mut dialer, start) = parts(0);
        dialer.set(start, crowd(1..=200), |_| false);
        let (mut dials, mut now) = (0, start);
        while now < start + 600 * SECOND {
            for (node, addresses) in dialer.due(now, 1000) {
                dials += addresses.len();
                dialer.failed(now, &node);
            }
            now += SECOND / 10;
        }
        // Sixteen at once, and one a minute.
        assert_eq!(dials, 16 + 9);
        assert!(dialer.put_off() > 200);
    }

    #[test]
    fn a_machine_that_many_members_name_is_asked_for_its_network_only_so_often() {
        let (mut dialer, start) = parts(0);
        dialer.set(start, crowd(1..=200), |_| false);
        let machine = [203, 0, 113, 9].into();
        let ask = |dialer: &mut Dialer, minute: u32| {
            let now = start + minute * 60 * SECOND;
            let may = |node: &u8| dialer.may_ask(now, &NodeId::new([*node; 32]), machine);
            (1..=200).filter(may).count()
        };
        let asked: Vec<usize> = (0..3).map(|minute| ask(&mut dialer, minute)).collect();
        assert_eq!(asked, [16, 1, 1]);
        dialer.found(&NodeId::new([9; 32]), machine);
        assert_eq!(ask(&mut dialer, 3), 2, "and who was found there");
    }

    #[test]
    fn the_lower_identity_dials_beside_at_once_and_the_other_if_that_did_not_help() {
        for (local, wait) in [(0, Duration::ZERO), (9, 2 * SECOND)] {
            let (mut dialer, start) = parts(local);
            dialer.set(start, peers(&[5], 1), |_| true);
            let node = NodeId::new([5; 32]);
            for has_another in [false, true] {
                dialer.dead(start, &node);
                let early = (start + wait).checked_sub(SECOND / 1000).unwrap_or(start);
                assert_eq!(dialled(dialer.beside(early, |_| false)), NOBODY);
                let due = dialled(dialer.beside(start + wait, |_| has_another));
                assert_eq!(due, if has_another { vec![] } else { vec![5] });
                assert_eq!(dialled(dialer.beside(start + wait, |_| false)), NOBODY);
            }
        }
    }

    #[test]
    fn who_has_moved_is_dialled_at_once_whatever_dial_is_under_way() {
        let (mut dialer, start) = parts(0);
        let node = NodeId::new([5; 32]);
        dialer.set(start, peers(&[5], 1), |_| false);
        assert_eq!(dialled(dialer.due(start + SPREAD, 9)), [5]);
        assert!(!dialer.has_moved(&node));
        let now = start + SECOND;
        dialer.set(now, peers(&[5], 1), |_| false);
        assert_eq!(dialled(dialer.due(now + SPREAD, 9)), NOBODY, "no news");
        dialer.set(now, peers(&[5], 2), |_| false);
        let due = dialer.due(now + SPREAD, 9);
        assert_eq!(due[0].1, peers(&[5], 2)[&node]);
        assert!(dialer.has_moved(&node));
        assert!(!dialer.has_moved(&node), "once");
        // Connected: only when the connection is dead, and again if that led where it was before.
        dialer.connected(now, &node);
        dialer.set(now, peers(&[5], 3), |_| true);
        assert_eq!(dialled(dialer.due(now + SECOND, 9)), NOBODY);
        assert_eq!(dialled(dialer.beside(now + SECOND, |_| false)), NOBODY);
        dialer.dead(now + SECOND, &node);
        assert_eq!(dialled(dialer.beside(now + SECOND, |_| false)), [5]);
        assert!(dialer.has_moved(&node));
        dialer.set(now + SECOND, peers(&[5], 4), |_| true);
        let beside = dialer.beside(now + SECOND, |_| false);
        assert_eq!(beside[0].1, peers(&[5], 4)[&node]);
        assert!(dialer.has_moved(&node));
        // The old connection is gone, and a dial of the old address is not.
        dialer.disconnected(now + SECOND, &node);
        dialer.set(now + SECOND, peers(&[5], 5), |_| false);
        assert_eq!(dialled(dialer.due(now + SECOND + SPREAD, 9)), [5]);
        assert!(dialer.has_moved(&node));
    }

    #[test]
    fn a_dial_beside_that_finds_the_member_costs_nothing() {
        let (mut dialer, start) = parts(0);
        dialer.set(start, crowd(1..=1), |_| true);
        let node = NodeId::new([1; 32]);
        for cut in 0..40 {
            // Each time somewhere else, so that it is not known to be there.
            let port = 2000 + cut;
            let text = format!("/ip4/203.0.113.{}/tcp/{port}", 1 + cut % 2);
            let address: Multiaddr = text.parse().unwrap_or_else(|_| Multiaddr::empty());
            let ip = ip_of(&address);
            dialer.set(start, BTreeMap::from([(node, vec![address])]), |_| true);
            dialer.dead(start, &node);
            let due = dialer.beside(start, |_| false);
            assert_eq!(
                due.iter().map(|(_, at)| at.len()).sum::<usize>(),
                1,
                "{cut}"
            );
            dialer.found(&node, ip);
        }
        // What fails is counted.
        let mut dials = 0;
        for cut in 0..40 {
            let text = format!("/ip4/203.0.113.77/tcp/{}", 2000 + cut);
            let address: Multiaddr = text.parse().unwrap_or_else(|_| Multiaddr::empty());
            dialer.set(start, BTreeMap::from([(node, vec![address])]), |_| true);
            dialer.dead(start, &node);
            let due = dialer.beside(start, |_| false);
            dials += due.iter().map(|(_, at)| at.len()).sum::<usize>();
            dialer.beside_failed(&node);
        }
        assert_eq!(dials, 16);
    }

    #[test]
    fn a_member_that_was_found_is_dialled_there_whoever_names_its_address() {
        let (mut dialer, start) = parts(0);
        let member = NodeId::new([200; 32]);
        dialer.set(start, crowd(200..=200), |_| false);
        assert_eq!(dialled(dialer.due(start + SPREAD, 9)), [200]);
        dialer.found(&member, [203, 0, 113, 9].into());
        dialer.connected(start, &member);
        dialer.set(start, crowd(1..=200), |node| *node == member);
        assert_eq!(
            dialer.due(start + SECOND, 1000).len(),
            16,
            "the first cost nothing"
        );
        dialer.disconnected(start + 20 * SECOND, &member);
        let again = dialled(dialer.due(start + 22 * SECOND, 1000));
        assert_eq!(again, [200]);
        // It is gone from there: from now on it waits as the others do.
        for _ in 0..MOVED {
            dialer.failed(start + 22 * SECOND, &member);
        }
        assert_eq!(dialled(dialer.due(start + 55 * SECOND, 1000)), NOBODY);
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
