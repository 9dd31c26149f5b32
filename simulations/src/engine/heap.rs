//! The yardstick: the same network as a plain event loop over one binary heap, with a clock for
//! every process of every client. Nothing but benches and a test of the engine against it uses it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;
use shoal_topology::delay::gap;
use shoal_topology::path::{self, Weights};

use super::buffers::Buffers;
use super::slab::Slab;
use super::tally::Tally;
use super::{
    Class, EngineError, Kind, Link, NONE, Observer, Outcome, Packet, Plan, Receivers, Routes,
    Workload,
};
use crate::seed::generator;

/// What an event is, beside the node that it is at.
const ARRIVAL: u32 = 0;
const DEPARTURE: u32 = 1 << 30;
const END: u32 = 2 << 30;
const TICK: u32 = 3 << 30;
const NODE: u32 = DEPARTURE - 1;

/// An event; the earliest is the greatest.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Event {
    /// The bits of the time: in order as the times are.
    time: u64,
    /// Slot of the packet, or number of the client.
    who: u32,
    what: u32,
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time.cmp(&self.time)).then_with(|| other.who.cmp(&self.who))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The processes of a client, by number.
const PROCESSES: [Option<Kind>; 4] = [Some(Kind::Real), Some(Kind::Loop), Some(Kind::Drop), None];

struct Loop<'a, O> {
    plan: &'a Plan,
    events: BinaryHeap<Event>,
    slab: Slab,
    tally: Tally,
    buffers: Buffers,
    weights: Vec<Weights>,
    first: Vec<u32>,
    rng: ChaCha8Rng,
    observer: &'a mut O,
    clients: u32,
    refused: u64,
}

/// Runs a plan as the engine does, with other random numbers.
///
/// # Errors
/// When the plan is refused, or asks for what the loop can't do: providers, routes other than
/// stratified ones, loops of mixes, servers, droppers, loss, matrices, traces, churn, contacts.
pub fn run<O: Observer>(
    plan: &Plan,
    seed: u64,
    repetition: u32,
    observer: &mut O,
) -> Result<Outcome, EngineError> {
    plan.validate()?;
    supported(plan)?;
    let length = plan.window();
    let total = plan.phases.total();
    let stages = plan.stages();
    let mut events = Loop {
        plan,
        events: BinaryHeap::new(),
        slab: Slab::default(),
        tally: Tally::new(plan, length),
        buffers: Buffers::new(plan.clients()),
        weights: plan
            .network
            .layers
            .iter()
            .map(|layer| Weights::new(layer))
            .collect(),
        first: (0..=stages.len())
            .map(|stage| stages[..stage].iter().sum())
            .collect(),
        rng: generator(seed, repetition, "heap", 0),
        observer,
        clients: plan.clients(),
        refused: 0,
    };
    events.observer.start(plan);
    events.start_clocks();
    let mut window = length;
    while let Some(event) = events.events.pop() {
        let time = f64::from_bits(event.time);
        if time >= total {
            break;
        }
        while time >= window {
            events.observer.window(window);
            window += length;
        }
        events.handle(event, time)?;
    }
    events.observer.window(total);
    events.observer.finish(total);
    let most = events.slab.most();
    let mut outcome = events.tally.finish();
    outcome.refused = events.refused;
    outcome.waiting = events.buffers.waiting();
    outcome.most_under_way = most;
    Ok(outcome)
}

fn supported(plan: &Plan) -> Result<(), EngineError> {
    let matrix = |link: &Link| matches!(link, Link::Matrix { .. });
    let class = |class: &Class| {
        class.churn.is_some()
            || class.receivers != Receivers::Uniform
            || class.workload == Workload::Trace
    };
    let network = &plan.network;
    if network.routes != Routes::Stratified
        || network.providers > 0
        || network.mix_loops > 0.0
        || network.server.is_some()
        || !plan.droppers.is_empty()
        || plan.links.loss > 0.0
        || plan.links.between.iter().any(matrix)
        || plan.classes.iter().any(class)
    {
        return Err(EngineError::Plan {
            key: "plan".to_owned(),
            value: "as given".to_owned(),
            reason: "the heap loop can't do this".to_owned(),
        });
    }
    Ok(())
}

impl<O: Observer> Loop<'_, O> {
    fn push(&mut self, time: f64, who: u32, what: u32) {
        self.events.push(Event {
            time: time.to_bits(),
            who,
            what,
        });
    }

    fn start_clocks(&mut self) {
        let mut first = 0;
        for class in &self.plan.classes {
            for client in first..first + class.count {
                for process in 0..PROCESSES.len() as u32 {
                    self.tick_again(0.0, client, process, class);
                }
            }
            first += class.count;
        }
    }

    fn tick_again(&mut self, time: f64, client: u32, process: u32, class: &Class) {
        let rate = match (PROCESSES[process as usize], class.workload) {
            (Some(Kind::Real), _) => class.real,
            (Some(Kind::Loop), _) => class.loops,
            (Some(_), _) => class.drops,
            (None, Workload::Poisson { rate }) => rate,
            (None, _) => 0.0,
        };
        if let Some(gap) = gap(&mut self.rng, rate) {
            self.push(time + gap, client, TICK | process);
        }
    }

    fn handle(&mut self, event: Event, time: f64) -> Result<(), EngineError> {
        let Event {
            who: slot, what, ..
        } = event;
        let node = what & NODE;
        match what & !NODE {
            ARRIVAL => {
                self.observer.arrive(node, time, slot);
                let delay = self.plan.network.mix_delay.draw(&mut self.rng);
                self.push(time + delay, slot, DEPARTURE | node);
            }
            DEPARTURE => self.depart(time, slot, node),
            END => {
                let packet = self.slab.get(slot);
                let links = self.plan.network.layers.len() as u32 + 1;
                self.tally.end(packet, time, links);
                self.observer.end(slot, packet, time);
                self.slab.remove(slot);
            }
            _ => self.tick(time, slot, node)?,
        }
        Ok(())
    }

    fn depart(&mut self, time: f64, slot: u32, node: u32) {
        let stage = self.first.partition_point(|first| *first <= node) - 1;
        if let Some(link) = self.plan.links.between.get(stage) {
            let next = self.weights[stage + 1].index(&mut self.rng).unwrap_or(0) as u32;
            let delay = link.draw(&mut self.rng, 0, next);
            let next = self.first[stage + 1] + next;
            self.observer.depart(node, time, slot, next);
            self.push(time + delay, slot, ARRIVAL | next);
        } else {
            self.observer.depart(node, time, slot, NONE);
            let delay = self.plan.links.egress.draw(&mut self.rng, 0, 0);
            self.push(time + delay, slot, END);
        }
    }

    fn tick(&mut self, time: f64, client: u32, process: u32) -> Result<(), EngineError> {
        let mut first = 0;
        let mut of = |class: &&Class| {
            first += class.count;
            client < first
        };
        let plan = self.plan;
        let Some((index, class)) = plan.classes.iter().enumerate().find(|(_, class)| of(class))
        else {
            return Ok(());
        };
        self.tick_again(time, client, process, class);
        let Some(kind) = PROCESSES[process as usize] else {
            let receiver = self.other(client);
            let fits = self.buffers.push(client, time, receiver, class.buffer);
            self.refused += u64::from(!fits);
            return Ok(());
        };
        let Some(mut packet) = self.packet(class, client, kind, time) else {
            return Ok(());
        };
        packet.class = index as u16;
        self.tally.send(&mut packet);
        let slot = self.slab.insert(packet)?;
        let node = self.weights[0].index(&mut self.rng).unwrap_or(0) as u32;
        self.observer.sent(slot, &packet, time, node);
        let delay = self.plan.links.ingress.draw(&mut self.rng, 0, node);
        self.push(time + delay, slot, ARRIVAL | node);
        Ok(())
    }

    fn packet(&mut self, class: &Class, sender: u32, mut kind: Kind, time: f64) -> Option<Packet> {
        let (mut created, mut receiver) = (time, sender);
        if kind == Kind::Real && class.workload != Workload::Saturated {
            match self.buffers.pop(sender) {
                Some(message) => (created, receiver) = (message.created, message.receiver),
                None if !class.dummies => return None,
                None => kind = Kind::Dummy,
            }
        }
        if kind != Kind::Loop && receiver == sender {
            receiver = self.other(sender);
        }
        Some(Packet {
            sent: time,
            created,
            sender,
            receiver,
            exit: NONE,
            message: NONE,
            class: 0,
            kind,
            mixes: 0,
        })
    }

    fn other(&mut self, client: u32) -> u32 {
        if self.clients < 2 {
            return client;
        }
        let index = path::index(&mut self.rng, self.clients as usize - 1).unwrap_or(0) as u32;
        index + u32::from(index >= client)
    }
}
