//! The posterior of labels by enumeration: every way in which the packets that an adversary saw
//! come and go may belong together, weighted by the density of its delays.

use std::collections::BTreeMap;

use super::Labels;
use crate::engine::{self, Kind, Observer, Packet, Phases, Plan, TraceMessage, Workload};
use crate::math;
use crate::reproduce::plans;

/// Who sent a packet, as labels know it: S0, S1 or somebody else.
type Tag = usize;

/// What happened at nodes, in the packet's own name.
#[derive(Clone, Copy)]
struct Event {
    time: f64,
    node: u32,
    packet: usize,
    leaves: bool,
}

/// Writes a run down; packets are numbered as they are sent.
#[derive(Default)]
struct Trace {
    senders: [u32; 2],
    tags: Vec<Tag>,
    by_slot: BTreeMap<u32, usize>,
    events: Vec<Event>,
}

impl Observer for Trace {
    fn sent(&mut self, slot: u32, packet: &Packet, _time: f64, _first: u32) {
        self.by_slot.insert(slot, self.tags.len());
        let position = self.senders.iter().position(|s| *s == packet.sender);
        let message = packet.kind == Kind::Real;
        self.tags.push(position.filter(|_| message).unwrap_or(2));
    }

    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        let packet = self.by_slot[&slot];
        self.events.push(Event {
            time,
            node,
            packet,
            leaves: false,
        });
    }

    fn depart(&mut self, node: u32, time: f64, slot: u32, _next: u32) {
        let packet = self.by_slot[&slot];
        self.events.push(Event {
            time,
            node,
            packet,
            leaves: true,
        });
    }
}

/// A state of the enumeration: whose packet each pool and each link may hold.
#[derive(Clone, Default)]
struct World {
    pools: BTreeMap<u32, Vec<(Tag, f64)>>,
    /// On links, where an adversary recognises a packet.
    links: BTreeMap<usize, Tag>,
}

struct Enumeration<'a> {
    trace: &'a Trace,
    corrupt: &'a [bool],
    mu: f64,
    end: f64,
    read: u32,
    /// Sums over all worlds: weight, and weight times the share of S0 and S1 in the pool.
    weight: f64,
    shares: [f64; 2],
    worlds: u32,
}

impl Enumeration<'_> {
    fn go(&mut self, from: usize, mut world: World, weight: f64) {
        let events = &self.trace.events;
        let mut at = from;
        while let Some(event) = events.get(at) {
            at += 1;
            let pool = world.pools.entry(event.node).or_default();
            if !event.leaves {
                let tag = world.links.remove(&event.packet);
                pool.push((tag.unwrap_or(self.trace.tags[event.packet]), event.time));
                continue;
            }
            // An honest node may have sent any of its packets; a corrupt one tells: there pools
            // hold (packet, time) in the order of arrival, and the true one is found by its time.
            let honest = !self
                .corrupt
                .get(event.node as usize)
                .copied()
                .unwrap_or(false);
            let came = self.came(event);
            let candidates: Vec<usize> = (0..pool.len())
                .filter(|i| honest || (pool[*i].1 - came).abs() < 1e-12)
                .collect();
            for candidate in candidates {
                let mut next = world.clone();
                let pool = next.pools.get_mut(&event.node).unwrap();
                let (tag, since) = pool.remove(candidate);
                next.links.insert(event.packet, tag);
                let density = self.mu * math::exp(-self.mu * (event.time - since));
                self.go(at, next, weight * density);
            }
            return;
        }
        self.ended(&world, weight);
    }

    fn came(&self, left: &Event) -> f64 {
        let same = |e: &&Event| !e.leaves && e.packet == left.packet && e.node == left.node;
        self.trace.events.iter().find(same).unwrap().time
    }

    fn ended(&mut self, world: &World, mut weight: f64) {
        for (_, since) in world.pools.values().flatten() {
            weight *= math::exp(-self.mu * (self.end - since));
        }
        self.weight += weight;
        self.worlds += 1;
        let Some(pool) = world.pools.get(&self.read).filter(|pool| !pool.is_empty()) else {
            return;
        };
        for label in [0, 1] {
            let labelled = pool.iter().filter(|(tag, _)| *tag == label).count();
            self.shares[label] += weight * labelled as f64 / pool.len() as f64;
        }
    }
}

const MU: f64 = 0.7;

/// Ten messages, of which S0 and S1 send two each, through `layers` layers of two mixes.
fn small(layers: usize) -> Plan {
    let phases = Phases {
        warm_up: 0.5,
        measurement: 4.0,
        drain: 3.0,
    };
    let mut class = plans::senders(8, 50.0);
    class.workload = Workload::Trace;
    class.buffer = 4;
    let message = |(i, sender): (u32, u32)| TraceMessage {
        time: 0.6 + 0.3 * f64::from(i),
        sender,
        receiver: (sender + 1) % 8,
    };
    let order = [2, 0, 3, 1, 4, 5, 0, 1, 6, 7];
    Plan {
        trace: (0..).zip(order).map(message).collect(),
        ..plans::plan(plans::layered(layers, 2, 1.0 / MU, 0.0), class, phases)
    }
}

/// Labels and enumeration at a mix of the last layer. Returns how many worlds there were.
fn compare(layers: usize, seed: u64, corrupt: &[bool]) -> u32 {
    let plan = small(layers);
    let mut labels = Labels::new(&plan, [0, 1], vec![Vec::new(), corrupt.to_vec()]);
    let mut trace = Trace {
        senders: [0, 1],
        ..Trace::default()
    };
    engine::run(&plan, seed, 0, &mut (&mut labels, &mut trace)).unwrap();
    let end = plan.phases.warm_up + plan.phases.measurement;
    trace.events.retain(|event| event.time <= end);
    trace.events.sort_by(|a, b| a.time.total_cmp(&b.time));
    let read = 2 * layers - 2;
    let mut worlds = 0;
    for (adversary, corrupt) in [(0, &[][..]), (1, corrupt)] {
        let mut all = Enumeration {
            trace: &trace,
            corrupt,
            mu: MU,
            end,
            read: u32::try_from(read).unwrap(),
            weight: 0.0,
            shares: [0.0; 2],
            worlds: 0,
        };
        all.go(0, World::default(), 1.0);
        let enumerated = all.shares.map(|share| share / all.weight);
        let tracked = labels.pool(adversary, read).unwrap_or([0.0; 2]);
        for (a, b) in enumerated.into_iter().zip(tracked) {
            assert!(
                (a - b).abs() < 1e-9,
                "{seed} {adversary}: {enumerated:?} {tracked:?}"
            );
        }
        worlds = worlds.max(all.worlds);
    }
    worlds
}

#[test]
fn one_layer_agrees_with_enumeration() {
    let worlds: Vec<u32> = (0..20).map(|seed| compare(1, seed, &[])).collect();
    assert!(worlds.iter().any(|worlds| *worlds > 100), "{worlds:?}");
}

#[test]
fn two_layers_and_corrupt_mixes_agree_with_enumeration() {
    let worlds: Vec<u32> = (0..20)
        .map(|seed| compare(2, seed, &[seed % 2 == 0, seed % 3 == 0]))
        .collect();
    assert!(worlds.iter().any(|worlds| *worlds > 1000), "{worlds:?}");
}
