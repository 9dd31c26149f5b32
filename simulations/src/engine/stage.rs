//! The nodes of one stage through one window of time.

use std::hint::black_box;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::calendar::{Calendar, Event, Sorter};
use super::router::Traffic;
use super::{Delay, Loss, Observer, Occupancy, Phases, Plan, Server};
use crate::seed::generator;

/// Marks of arrivals that are lost, in the top bits of the node.
const DROPPED: u32 = 1 << 31;
const QUEUE_FULL: u32 = 1 << 30;
const NODE: u32 = QUEUE_FULL - 1;

/// The packets in a node, counted over time.
#[derive(Clone, Copy, Default)]
struct Pool {
    count: u32,
    since: f64,
    /// Integrals of the count and of its square over the measurement.
    area: f64,
    squares: f64,
    arrivals: u64,
}

impl Pool {
    #[inline]
    fn advance(&mut self, time: f64) {
        let count = f64::from(self.count);
        let area = count * (time - self.since);
        self.area += area;
        self.squares += count * area;
        self.since = time;
    }
}

/// The nodes of one stage: all that they hold and draw.
pub(super) struct Stage {
    index: usize,
    nodes: usize,
    delay: Delay,
    server: Option<Server>,
    /// Of each node when its server is free.
    free_at: Vec<f64>,
    /// Of each node the share of packets that it drops; empty if none drops any.
    drops: Vec<f64>,
    departures: Calendar,
    pools: Vec<Pool>,
    from: f64,
    to: f64,
    delays: ChaCha8Rng,
    routes: ChaCha8Rng,
    coins: ChaCha8Rng,
}

/// What all stages use in turn.
#[derive(Default)]
pub(super) struct Scratch {
    list: Vec<Event>,
    arrivals: Sorter,
    departures: Sorter,
}

/// A window of time.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) index: u64,
    pub(super) start: f64,
    pub(super) length: f64,
}

impl Stage {
    pub(super) fn new(plan: &Plan, index: usize, length: f64, seed: u64, repetition: u32) -> Self {
        let stages = plan.stages();
        let nodes = stages[index] as usize;
        let first: u32 = stages[..index].iter().sum();
        let provider = plan.network.providers > 0 && (index == 0 || index + 1 == stages.len());
        let mut drops = Vec::new();
        for dropper in &plan.droppers {
            if let Some(node) = dropper
                .node
                .checked_sub(first)
                .filter(|n| (*n as usize) < nodes)
            {
                drops.resize(nodes, 0.0);
                drops[node as usize] = dropper.share;
            }
        }
        let Phases {
            warm_up,
            measurement,
            ..
        } = plan.phases;
        let server = plan.network.server.filter(|_| !provider);
        let generator = |purpose| generator(seed, repetition, purpose, index as u64);
        Self {
            index,
            nodes,
            delay: if provider {
                plan.network.provider_delay
            } else {
                plan.network.mix_delay
            },
            server,
            free_at: vec![0.0; if server.is_some() { nodes } else { 0 }],
            drops,
            departures: Calendar::new(length),
            pools: vec![
                Pool {
                    since: warm_up,
                    ..Pool::default()
                };
                nodes
            ],
            from: warm_up,
            to: warm_up + measurement,
            delays: generator("node delays"),
            routes: generator("node routes"),
            coins: generator("droppers"),
        }
    }

    /// Everything that happens at the stage in a window.
    pub(super) fn run<O: Observer>(
        &mut self,
        window: Window,
        traffic: &mut Traffic,
        scratch: &mut Scratch,
        observer: &mut O,
    ) {
        self.departures.enter(window.index);
        if self.departures.is_idle() && traffic.inboxes[self.index].is_idle() {
            return;
        }
        traffic.inboxes[self.index].take(&mut scratch.list);
        scratch
            .arrivals
            .sort(&scratch.list, self.nodes, window.start, window.length);
        self.draw(window, scratch.arrivals.sorted_mut());
        self.departures.take(&mut scratch.list);
        scratch
            .departures
            .sort(&scratch.list, self.nodes, window.start, window.length);
        for node in 0..self.nodes {
            let arrivals = &scratch.arrivals.sorted()[scratch.arrivals.bounds(node)];
            let departures = &scratch.departures.sorted()[scratch.departures.bounds(node)];
            let both = arrivals.iter().chain(departures);
            black_box(both.fold(0, |hint, event| hint ^ observer.soon(event.slot)));
            self.sweep(node, arrivals, departures, traffic, observer);
        }
    }

    /// Draws the delays of arrivals, in order by node and time; marks those that are lost.
    fn draw(&mut self, window: Window, arrivals: &mut [Event]) {
        if self.drops.is_empty() && self.server.is_none() {
            for arrival in arrivals {
                let time = arrival.time + self.delay.draw(&mut self.delays);
                self.departures
                    .push(Event { time, ..*arrival }, window.index);
            }
            return;
        }
        for arrival in arrivals {
            let node = arrival.node as usize;
            if !self.drops.is_empty() && self.coins.random::<f64>() < self.drops[node] {
                arrival.node |= DROPPED;
                continue;
            }
            let mut start = arrival.time;
            if let Some(server) = self.server {
                let waits = (self.free_at[node] - start).max(0.0);
                if (waits * server.rate).ceil() >= f64::from(server.queue) {
                    arrival.node |= QUEUE_FULL;
                    continue;
                }
                start += waits + 1.0 / server.rate;
                self.free_at[node] = start;
            }
            let time = start + self.delay.draw(&mut self.delays);
            self.departures
                .push(Event { time, ..*arrival }, window.index);
        }
    }

    /// Tells of arrivals and departures at a node in order, and sends on what departs.
    fn sweep<O: Observer>(
        &mut self,
        node: usize,
        mut arrivals: &[Event],
        departures: &[Event],
        traffic: &mut Traffic,
        observer: &mut O,
    ) {
        let index = traffic.first(self.index) + node as u32;
        let (from, to) = (self.from, self.to);
        let mut pool = self.pools[node];
        let arrive = |arrival: &Event, pool: &mut Pool, traffic: &mut Traffic, o: &mut O| {
            o.arrive(index, arrival.time, arrival.slot);
            if arrival.node > NODE {
                let full = arrival.node & QUEUE_FULL != 0;
                let reason = if full { Loss::QueueFull } else { Loss::Dropped };
                traffic.lose(self.index, *arrival, reason, o);
                return;
            }
            pool.advance(arrival.time.clamp(from, to));
            pool.count += 1;
            pool.arrivals += u64::from(arrival.time >= from && arrival.time < to);
        };
        for departure in departures {
            while let Some((arrival, rest)) = arrivals.split_first()
                && arrival.time <= departure.time
            {
                arrive(arrival, &mut pool, traffic, observer);
                arrivals = rest;
            }
            pool.advance(departure.time.clamp(from, to));
            pool.count -= 1;
            traffic.depart(self.index, *departure, &mut self.routes, observer);
        }
        for arrival in arrivals {
            arrive(arrival, &mut pool, traffic, observer);
        }
        self.pools[node] = pool;
    }

    /// The pools over the measurement.
    pub(super) fn occupancy(mut self) -> Occupancy {
        let time = self.to - self.from;
        if time <= 0.0 || self.nodes == 0 {
            return Occupancy::default();
        }
        let nodes = self.nodes as f64;
        let mut sum = Occupancy::default();
        for pool in &mut self.pools {
            pool.advance(self.to);
            let mean = pool.area / time;
            sum.mean += mean / nodes;
            sum.variance += (pool.squares / time - mean * mean) / nodes;
            sum.arrival_rate += pool.arrivals as f64 / time / nodes;
        }
        sum
    }
}
