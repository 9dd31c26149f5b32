//! A whole network of relays in virtual time: the nodes' own loops go around.

use crate::fixture::{Door, EPOCH, Net};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{
    DropReason, LoopReturns, Origin, OwnKind, Relay, RelayAction, RelayInput, RelayLimits, Stage,
};
use shoal_packet::Frame;
use shoal_packet::command::Command;
use shoal_proto::{NodeId, Span, SurbId, Time};
use shoal_topology::NetworkParameters;
use std::collections::BTreeMap;

struct Node {
    door: Door,
    relay: Relay<ChaCha20Rng>,
}

/// Nodes, and links of 10 ms that lose some of the frames.
struct World {
    nodes: BTreeMap<NodeId, Node>,
    links: BTreeMap<(Time, u64), (NodeId, NodeId, Frame)>,
    sent: u64,
    loss: f64,
    rng: ChaCha20Rng,
    now: Time,
    trace: Vec<(Time, NodeId, NodeId)>,
    alarms: Vec<(Time, LoopReturns)>,
    recoveries: Vec<(Time, LoopReturns)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let params = NetworkParameters {
            loop_rate: 1.0,
            ..NetworkParameters::example()
        };
        let mut net = Net::with(seed, params);
        let now = net.noon();
        let ids: Vec<_> = net.network.nodes.keys().copied().collect();
        let node = |id: NodeId| {
            let limits = RelayLimits {
                loop_slack: Span::from_secs(2),
                ..RelayLimits::default()
            };
            let door = net.door_with(id, limits.clone());
            let relay = net.relay(id, limits, &door.books, now);
            (id, Node { door, relay })
        };
        Self {
            nodes: ids.into_iter().map(node).collect(),
            links: BTreeMap::new(),
            sent: 0,
            loss: 0.0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            now,
            trace: Vec::new(),
            alarms: Vec::new(),
            recoveries: Vec::new(),
        }
    }

    fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let timers = self
                .nodes
                .values()
                .filter_map(|node| node.relay.poll_deadline());
            let frames = self.links.keys().map(|(time, _)| *time);
            let next = timers.chain(frames).min().unwrap_or(end).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(entry) = self.links.first_entry().filter(|e| e.key().0 <= next) {
                let (from, to, frame) = entry.remove();
                let node = self.nodes.get_mut(&to).unwrap();
                if let Ok(packet) = node.door.pass(next, Origin::Member(from), &frame) {
                    node.relay.handle_input(next, RelayInput::Processed(packet));
                }
            }
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.act(id);
            }
        }
    }

    fn act(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        while let Some(action) = node.relay.poll_action(now) {
            match action {
                RelayAction::Send {
                    to, frame, passage, ..
                } => {
                    passage.sent();
                    self.trace.push((now, id, to));
                    self.sent += 1;
                    if !self.rng.random_bool(self.loss) {
                        let arrival = now + Span::from_millis(10);
                        self.links.insert((arrival, self.sent), (id, to, frame));
                    }
                }
                RelayAction::LogTag { sequence, .. } => {
                    node.relay
                        .handle_input(now, RelayInput::TagsDurable { upto: sequence });
                }
                RelayAction::LoopAlarm(returns) => self.alarms.push((now, returns)),
                RelayAction::LoopRecovered(returns) => self.recoveries.push((now, returns)),
                RelayAction::Deliver(_) => panic!("loops are never delivered"),
                RelayAction::LogSlow(_) | RelayAction::LogQuick => {
                    panic!("tags are durable at once")
                }
            }
        }
    }

    fn total(&self, count: impl Fn(&shoal_mix::Snapshot) -> u64) -> u64 {
        self.nodes
            .values()
            .map(|node| count(&node.door.snapshot()))
            .sum()
    }
}

#[test]
fn loops_of_all_nodes_return() {
    let mut world = World::new(30);
    world.run(Span::from_secs(40));
    let made = world.total(|books| books.own(OwnKind::Loop).originated);
    let returned = world.total(|books| books.counters.loops_returned);
    let inside = world.total(|books| books.inside(Stage::Pooled));
    // 8 nodes, one loop a second each, for 40 s: 320 on average, standard deviation 18.
    assert!((250..390).contains(&made), "{made}");
    let under_way = inside + u64::try_from(world.links.len()).unwrap();
    assert_eq!(made, returned + under_way);
    assert_eq!(
        world.total(|books| books.counters.loops_lost + books.dropped_total()),
        0
    );
    assert_eq!(world.total(|books| books.counters.delivered), 0);
    // Four hops for each, and nobody counts the last one as forwarded.
    let forwarded = world.total(|books| books.counters.forwarded);
    assert!(
        (3 * returned..=3 * made).contains(&forwarded),
        "{forwarded}"
    );
    for node in world.nodes.values() {
        assert!(node.door.snapshot().counters.loops_returned > 15);
        assert_eq!(node.relay.loop_returns().lost, 0);
    }
    assert!(world.alarms.is_empty());
}

#[test]
fn lost_loops_raise_the_alarm_and_it_ends() {
    let mut world = World::new(31);
    world.run(Span::from_secs(20));
    assert!(world.alarms.is_empty());
    // 0.75^4 of the loops come back: a third.
    world.loss = 0.25;
    world.run(Span::from_secs(60));
    assert_eq!(world.alarms.len(), 8, "{:?}", world.alarms);
    assert!(
        world
            .alarms
            .iter()
            .all(|(_, returns)| returns.ratio() < 0.7)
    );
    assert!(world.recoveries.is_empty());
    assert!(world.total(|books| books.counters.loops_lost) > 100);
    world.loss = 0.0;
    world.run(Span::from_secs(90));
    assert_eq!((world.alarms.len(), world.recoveries.len()), (8, 8));
    assert!(
        world
            .recoveries
            .iter()
            .all(|(_, returns)| returns.ratio() >= 0.85)
    );
}

#[test]
fn a_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut world = World::new(seed);
        world.loss = 0.1;
        world.run(Span::from_secs(10));
        world.trace
    };
    let first = trace(32);
    assert!(first.len() > 100);
    assert_eq!(first, trace(32));
    assert_ne!(first, trace(33));
}

#[test]
fn loops_that_nobody_awaits_are_dropped() {
    let mut net = Net::new(34);
    let (now, here) = (net.noon(), net.mix(3, 0));
    let door = net.door(here);
    let mut relay = net.relay(here, RelayLimits::default(), &door.books, now);
    let mut id = [0; 16];
    net.rng.fill_bytes(&mut id);
    let text = Command::NodeLoop(SurbId::new(id)).encode(&mut net.rng);
    let frame = net.frame_in(EPOCH, &[here], Span::ZERO, &text);
    let packet = door
        .pass(now, Origin::Member(net.mix(2, 1)), &frame)
        .unwrap();
    relay.handle_input(now, RelayInput::Processed(packet));
    assert!(relay.poll_action(now).is_none());
    let books = door.snapshot();
    assert_eq!(
        (
            books.dropped(DropReason::LoopUnknown),
            books.counters.loops_returned
        ),
        (1, 0)
    );
}

#[test]
fn a_node_without_a_place_sends_no_loops() {
    let params = NetworkParameters {
        loop_rate: 5.0,
        ..NetworkParameters::example()
    };
    let mut net = Net::with(35, params);
    let (now, unlisted) = (net.noon(), NodeId::new([7; 32]));
    let books = shoal_mix::Accounting::new();
    let mut relay = net.relay(unlisted, RelayLimits::default(), &books, now);
    let mut ticks = 0;
    while relay.poll_deadline().unwrap() < now + Span::from_secs(10) {
        assert!(relay.poll_action(relay.poll_deadline().unwrap()).is_none());
        ticks += 1;
    }
    assert!(ticks > 20);
    let books = books.snapshot();
    assert_eq!(
        (
            books.counters.loops_skipped,
            books.own(OwnKind::Loop).originated
        ),
        (ticks, 0)
    );
}

#[test]
fn time_away_is_not_made_up_for_in_a_burst() {
    let params = NetworkParameters {
        loop_rate: 5.0,
        ..NetworkParameters::example()
    };
    let mut net = Net::with(36, params);
    let (now, here) = (net.noon(), net.mix(1, 0));
    let books = shoal_mix::Accounting::new();
    let mut relay = net.relay(here, RelayLimits::default(), &books, now);
    let back = now + Span::from_secs(300);
    assert!(
        relay.poll_action(back).is_none(),
        "a loop for a missed tick"
    );
    let snapshot = books.snapshot();
    assert_eq!(
        (
            snapshot.counters.loops_skipped,
            snapshot.own(OwnKind::Loop).originated
        ),
        (1, 0)
    );
    // From there on it goes as ever.
    let next = relay.poll_deadline().unwrap();
    assert!(next > back);
    let Some(RelayAction::Send { passage, .. }) = relay.poll_action(next) else {
        panic!("a loop")
    };
    passage.sent();
}
