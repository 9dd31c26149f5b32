//! The same the other way round: which input was an output?
//!
//! Given the times of arrivals and departures at an honest node with exponential delays, all ways
//! to match them are equally likely, as long as nothing leaves before it arrives. Drawing them
//! arrival by arrival in reverse time, each one uniformly among the departures after it that are
//! not matched yet, gives all of them the same probability too. So the rule for mass holds in
//! reverse, with arrivals and departures exchanged; what is still in a node at the end counts as
//! departed after everything.

use super::{Insight, RESIDUAL, TargetResult, spread::Spread};
use crate::engine::recording::Recording;
use crate::engine::{Kind, NONE, Targets};

/// What happens in reverse time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A packet's end: where mass starts.
    End,
    /// A departure: the packet comes into the node.
    Departure,
    /// An arrival: it goes out of it.
    Arrival,
}

struct Event {
    time: f64,
    /// Position of the visit, counted so that a packet's later visits are larger.
    visit: u32,
    packet: u32,
    step: Step,
}

/// Checks for targets to give up come after so many events.
const CHECK: usize = 256;

/// What is found going back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins {
    /// The targets, in order of their messages.
    pub targets: Vec<TargetResult>,
    /// Messages that reached their end and were due as targets by their index, while as many as may
    /// be were alive. Which ones depends on the pools.
    pub passed_over: u64,
}

/// For the targets among the messages that reached their end: the distribution over inputs, which
/// are the sends of all packets, and over their senders as users if `targets.users` says so.
///
/// Chosen by message index as [`Targets`] says, but going back in time: while `max_alive` are alive,
/// earlier ones are passed over. `clients` is the number of clients. The truth is the probability
/// given to the message's own send. What is known of kinds is not used: of an input it says nothing
/// where kinds are independent of senders and times.
#[must_use]
pub fn backward(
    recording: &Recording,
    targets: Targets,
    insight: &Insight,
    clients: u32,
) -> Origins {
    let most = targets.max_alive.min(targets.count) as usize;
    let width = (most + most / 16 + 1).next_multiple_of(2);
    let nodes = recording.nodes() as usize;
    // Mixes send loops: they are users by their node.
    let users = targets.users.then_some(clients as usize + nodes + 1);
    let mut search = Search {
        recording,
        targets,
        clients,
        spread: Spread::new(nodes, &insight.corrupt, width, users),
        loops: insight.loops,
        places: vec![None; width],
        free: (0..width).rev().collect(),
        dirty: Vec::new(),
        alive: 0,
        made: 0,
        found: Origins::default(),
    };
    search.run();
    let mut found = search.found;
    found.targets.sort_by_key(|target| target.message);
    found
}

struct Search<'a> {
    recording: &'a Recording,
    targets: Targets,
    clients: u32,
    /// Whether the loops of mixes are known, and left out.
    loops: bool,
    spread: Spread,
    places: Vec<Option<TargetResult>>,
    free: Vec<usize>,
    dirty: Vec<usize>,
    alive: u32,
    made: u32,
    found: Origins,
}

impl Search<'_> {
    fn run(&mut self) {
        let (events, first) = events(self.recording);
        for packet in (0..self.recording.packets.len() as u32).rev() {
            self.spread.enter(packet);
        }
        for (done, event) in events.iter().enumerate() {
            let kind = self.recording.packets[event.packet as usize].packet.kind;
            if self.loops && kind == Kind::MixLoop {
                continue;
            }
            let node = || self.recording.visits[event.visit as usize].node;
            match event.step {
                Step::End => self.begin(event.packet),
                Step::Departure => self.spread.arrive(node(), event.packet),
                Step::Arrival => {
                    self.spread.depart(node(), event.packet);
                    if first[event.packet as usize] == event.visit {
                        self.put_out(event.packet);
                    }
                }
            }
            if done % CHECK == 0 {
                self.retire(RESIDUAL);
            }
        }
        self.retire(f64::INFINITY);
    }

    /// The output of this packet may be a target.
    fn begin(&mut self, packet: u32) {
        let targets = self.targets;
        let recorded = &self.recording.packets[packet as usize];
        let past = recorded.packet.message.checked_sub(targets.first);
        let chosen = recorded.packet.message != NONE
            && past.is_some_and(|past| past.is_multiple_of(targets.every));
        if !chosen || self.made >= targets.count {
            return;
        }
        if self.alive >= targets.max_alive {
            self.found.passed_over += 1;
            return;
        }
        if self.free.is_empty() {
            self.spread.clean(&self.dirty);
            self.free.append(&mut self.dirty);
        }
        if let Some(place) = self.free.pop() {
            let mut target = TargetResult::new(&recorded.packet);
            target.latency = recorded.end.map(|end| end - recorded.packet.sent);
            self.places[place] = Some(target);
            self.spread.inject(packet, Some(place), None);
            self.alive += 1;
            self.made += 1;
        }
    }

    /// The packet is back where it was sent.
    fn put_out(&mut self, packet: u32) {
        let sent = &self.recording.packets[packet as usize].packet;
        let node = sent.kind == Kind::MixLoop;
        let user = sent.sender + if node { self.clients } else { 0 };
        self.spread.put_out(packet, user as usize);
    }

    fn retire(&mut self, residual: f64) {
        if self.alive == 0 {
            return;
        }
        self.spread.settle();
        for place in 0..self.places.len() {
            if self.places[place].is_none() || 1.0 - self.spread.out(place) > residual {
                continue;
            }
            if let Some(mut target) = self.places[place].take() {
                target.complete(&self.spread, place);
                self.found.targets.push(target);
                self.dirty.push(place);
                self.alive -= 1;
            }
        }
    }
}

/// Everything in reverse time, and the first visit of each packet. What happens at the same
/// instant goes back from the latest visit to the first.
fn events(recording: &Recording) -> (Vec<Event>, Vec<u32>) {
    let mut first = vec![NONE; recording.packets.len()];
    let mut last = first.clone();
    let mut events = Vec::with_capacity(2 * recording.visits.len() + recording.packets.len());
    for (visit, seen) in (0..).zip(&recording.visits) {
        let packet = seen.packet;
        let known = &mut first[packet as usize];
        *known = (*known).min(visit);
        last[packet as usize] = visit;
        let (arrival, departure) = (seen.arrival, seen.departure);
        events.push(Event {
            time: departure,
            visit,
            packet,
            step: Step::Departure,
        });
        events.push(Event {
            time: arrival,
            visit,
            packet,
            step: Step::Arrival,
        });
    }
    for (packet, recorded) in (0..).zip(&recording.packets) {
        let visit = last[packet as usize];
        if let Some(time) = recorded.end.filter(|_| visit != NONE) {
            events.push(Event {
                time,
                visit,
                packet,
                step: Step::End,
            });
        }
    }
    events.sort_by(|a, b| {
        let key = |event: &Event| (event.packet, std::cmp::Reverse(event.visit), event.step);
        b.time.total_cmp(&a.time).then_with(|| key(a).cmp(&key(b)))
    });
    (events, first)
}
