//! Backward entropy: which packet that entered is the target that came out.
//!
//! With exponential delays every way of pairing what entered a pool with what left it, in which
//! nothing leaves before it entered, is as likely as any other. That does not change if time runs
//! backwards: then departures enter the pool, and each arrival is one of those in it. So the mass
//! of a target that came out is spread over the packets of each pool just as forwards, along a log
//! of the run that is read from its end.
//!
//! Source: A. Serjantov and G. Danezis, 2002 (receiver's view: the anonymity set of senders); the
//! argument of uniform pairings is that of A. Piotrowska et al., "The Loopix Anonymity System",
//! 2017, appendix A.

use std::collections::{BTreeMap, VecDeque};

use super::entropy::Posterior;
use super::sight::at;
use crate::engine::{Kind, Loss, NONE, Observer, Packet, Plan};

/// At most so many events are kept, 12 bytes each: a target whose past is longer keeps a residual.
const MOST_EVENTS: usize = 16_000_000;
/// A target is given up when so little of its mass is still inside.
const RESIDUAL: f64 = 1e-9;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A packet entered the network; the client, or [`NONE`] for the loop of a mix.
    Sent { slot: u32, sender: u32 },
    Arrive { slot: u32, node: u32 },
    Depart { slot: u32, node: u32 },
    /// A packet came out or was lost on a link.
    Gone { slot: u32 },
}

/// A target and the adversary's posterior over the packets that it may have been when it entered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// The message's index.
    pub message: u32,
    /// Over packets.
    pub packets: Posterior,
    /// Over the clients that sent them, where that was asked for.
    pub users: Option<Posterior>,
    /// The probability of the packet that it was.
    pub truth: f64,
    /// Mass that had not been traced to its entry.
    pub residual: f64,
}

/// Keeps a log of a run and follows targets back through it.
pub struct Backward {
    revealed: Vec<bool>,
    first: u32,
    every: u32,
    count: usize,
    any_kind: bool,
    users: bool,
    log: VecDeque<Event>,
    /// Packets in each node's pool, at the end of the log.
    pools: Vec<u64>,
    /// Messages that came out since the last window, with their slots and places in the log.
    ended: Vec<(u32, u32, u64)>,
    /// The place in the log of its first event.
    start: u64,
    origins: Vec<Origin>,
}

impl Backward {
    /// For the targets of a plan, whatever the number of them alive, and an adversary to whom these
    /// nodes are open (by global index). Without targets there is nothing to do.
    #[must_use]
    pub fn new(plan: &Plan, revealed: &[bool], users: bool) -> Self {
        let targets = plan.targets;
        Self {
            revealed: revealed.to_vec(),
            first: targets.map_or(0, |targets| targets.first),
            every: targets.map_or(1, |targets| targets.every.max(1)),
            count: targets.map_or(0, |targets| targets.count as usize),
            any_kind: targets.is_some_and(|targets| targets.any_kind),
            users,
            log: VecDeque::new(),
            pools: vec![0; plan.nodes() as usize],
            ended: Vec::new(),
            start: 0,
            origins: Vec::new(),
        }
    }

    /// The targets that came out, in order of coming out.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    fn push(&mut self, event: Event) {
        if self.origins.len() >= self.count {
            return;
        }
        if self.log.len() >= MOST_EVENTS {
            self.log.pop_front();
            self.start += 1;
        }
        self.log.push_back(event);
    }

    fn pool(&mut self, node: u32) -> Option<&mut u64> {
        self.pools.get_mut(node as usize)
    }

    fn is_target(&self, packet: &Packet) -> bool {
        let message = packet.message;
        message != NONE
            && (self.any_kind || packet.kind == Kind::Real)
            && message >= self.first
            && (message - self.first).is_multiple_of(self.every)
    }

    /// Follows the message that came out at this place in the log.
    fn trace(&self, message: u32, slot: u32, place: u64) -> Origin {
        let mut trace = Trace {
            revealed: &self.revealed,
            pools: self.pools.clone(),
            inside: vec![0.0; self.pools.len()],
            moving: Vec::new(),
            followed: Some(slot),
            outside: 1.0,
            found: Vec::new(),
            senders: BTreeMap::new(),
            truth: 0.0,
        };
        let last = self.start + self.log.len() as u64;
        for (event, index) in self.log.iter().rev().zip((0..last).rev()) {
            if index > place {
                trace.rewind(*event);
            } else if index == place {
                trace.begin(slot);
            } else {
                trace.back(*event);
                if trace.outside < RESIDUAL {
                    break;
                }
            }
        }
        Origin {
            message,
            packets: Posterior::of(trace.found.iter().copied()),
            users: self
                .users
                .then(|| Posterior::of(trace.senders.values().copied())),
            truth: trace.truth,
            residual: trace.outside.max(0.0),
        }
    }
}

/// One target on its way back.
struct Trace<'a> {
    revealed: &'a [bool],
    /// Packets in each pool.
    pools: Vec<u64>,
    /// The target's mass in each pool, all packets together.
    inside: Vec<f64>,
    /// The target's mass on packets, by slot: on links, and inside nodes that are open.
    moving: Vec<f64>,
    /// The target's own slot, until it is found.
    followed: Option<u32>,
    /// Mass that has not been traced to its entry.
    outside: f64,
    found: Vec<f64>,
    senders: BTreeMap<u32, f64>,
    truth: f64,
}

impl Trace<'_> {
    /// Takes back an event that came after the target: pools only.
    fn rewind(&mut self, event: Event) {
        match event {
            Event::Arrive { node, .. } => {
                if let Some(pool) = self.pools.get_mut(node as usize) {
                    *pool = pool.saturating_sub(1);
                }
            }
            Event::Depart { node, .. } => {
                if let Some(pool) = self.pools.get_mut(node as usize) {
                    *pool += 1;
                }
            }
            Event::Sent { .. } | Event::Gone { .. } => {}
        }
    }

    fn begin(&mut self, slot: u32) {
        *at(&mut self.moving, slot) = 1.0;
    }

    fn back(&mut self, event: Event) {
        match event {
            Event::Gone { slot } => *at(&mut self.moving, slot) = 0.0,
            Event::Depart { slot, node } => {
                if let Some(pool) = self.pools.get_mut(node as usize) {
                    *pool += 1;
                }
                if !self.is_open(node)
                    && let Some(inside) = self.inside.get_mut(node as usize)
                {
                    *inside += std::mem::take(at(&mut self.moving, slot));
                }
            }
            Event::Arrive { slot, node } => self.leave(slot, node),
            Event::Sent { slot, sender } => {
                let mass = std::mem::take(at(&mut self.moving, slot));
                self.enter(slot, sender, mass);
            }
        }
    }

    /// A packet's arrival: backwards, it leaves the pool, and may be any of those in it.
    fn leave(&mut self, slot: u32, node: u32) {
        let open = self.is_open(node);
        let Some(pool) = self.pools.get_mut(node as usize) else {
            return;
        };
        let count = *pool;
        *pool = pool.saturating_sub(1);
        if open || count == 0 {
            return;
        }
        if let Some(inside) = self.inside.get_mut(node as usize) {
            // The last one takes all, without rounding.
            let mass = if count == 1 {
                *inside
            } else {
                *inside / super::sheet::count(count)
            };
            *inside -= mass;
            *at(&mut self.moving, slot) = mass;
        }
    }

    fn enter(&mut self, slot: u32, sender: u32, mass: f64) {
        let is_truth = self.followed == Some(slot);
        if is_truth {
            self.followed = None;
            self.truth = mass;
        }
        if mass > 0.0 {
            self.outside -= mass;
            self.found.push(mass);
            *self.senders.entry(sender).or_insert(0.0) += mass;
        }
    }

    fn is_open(&self, node: u32) -> bool {
        self.revealed.get(node as usize).copied().unwrap_or(false)
    }
}

impl Observer for Backward {
    fn sent(&mut self, slot: u32, packet: &Packet, _: f64, _: u32) {
        let is_client = packet.kind != Kind::MixLoop;
        let sender = if is_client { packet.sender } else { NONE };
        self.push(Event::Sent { slot, sender });
    }

    fn arrive(&mut self, node: u32, _: f64, slot: u32) {
        if let Some(pool) = self.pool(node) {
            *pool += 1;
        }
        self.push(Event::Arrive { slot, node });
    }

    fn depart(&mut self, node: u32, _: f64, slot: u32, _: u32) {
        if let Some(pool) = self.pool(node) {
            *pool = pool.saturating_sub(1);
        }
        self.push(Event::Depart { slot, node });
    }

    fn lost(&mut self, slot: u32, _: &Packet, _: f64, reason: Loss) {
        // A node that loses a packet never had it in its pool. The loss follows its arrival.
        if reason != Loss::Link
            && let Some(Event::Arrive { node, .. }) = self.log.back().copied()
        {
            self.log.pop_back();
            if let Some(pool) = self.pool(node) {
                *pool = pool.saturating_sub(1);
            }
        }
        self.push(Event::Gone { slot });
    }

    fn end(&mut self, slot: u32, packet: &Packet, _: f64) {
        self.push(Event::Gone { slot });
        if self.is_target(packet) && !self.log.is_empty() {
            let place = self.start + self.log.len() as u64 - 1;
            self.ended.push((packet.message, slot, place));
        }
    }

    fn window(&mut self, _: f64) {
        for (message, slot, place) in std::mem::take(&mut self.ended) {
            if self.origins.len() < self.count {
                let origin = self.trace(message, slot, place);
                self.origins.push(origin);
            }
        }
        if self.origins.len() >= self.count {
            self.log.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 3;

    /// One mix: a, b arrive; one leaves; c arrives; the target leaves; the last one leaves.
    fn one_mix(open: bool) -> Backward {
        let mut backward = Backward {
            revealed: vec![open],
            first: 0,
            every: 1,
            count: 10,
            any_kind: false,
            users: true,
            log: VecDeque::new(),
            pools: vec![0],
            ended: Vec::new(),
            start: 0,
            origins: Vec::new(),
        };
        for slot in 0..SLOTS {
            // b and c are of one sender.
            let sender = u32::from(slot > 0);
            backward.push(Event::Sent { slot, sender });
        }
        for (slot, arrives) in [(0, true), (1, true), (0, false), (2, true), (1, false), (2, false)] {
            if arrives {
                backward.arrive(0, 0.0, slot);
            } else {
                backward.depart(0, 0.0, slot, NONE);
            }
        }
        for slot in 0..SLOTS {
            backward.push(Event::Gone { slot });
        }
        backward
    }

    #[test]
    fn pairings_of_one_mix_are_counted_out() {
        // The first departure is a or b. The second is the other or c. Four pairings, each as
        // likely: (a,b,c), (a,c,b), (b,a,c), (b,c,a). The last departure: c, b, c, a.
        let backward = one_mix(false);
        let last = backward.start + backward.log.len() as u64 - 1;
        let origin = backward.trace(7, 2, last);
        assert!((origin.truth - 0.5).abs() < 1e-15);
        assert!((origin.packets.entropy - 1.5).abs() < 1e-12);
        assert!(origin.residual.abs() < 1e-15);
        // a is one sender, b and c the other: 1/4 and 3/4.
        assert!((origin.users.unwrap().largest - 0.75).abs() < 1e-15);
        // The second: b, c, a, c.
        let origin = backward.trace(7, 1, last - 1);
        assert!((origin.truth - 0.25).abs() < 1e-15, "{origin:?}");
        assert!((origin.packets.largest - 0.5).abs() < 1e-15);
    }

    #[test]
    fn an_open_mix_hides_nothing() {
        let backward = one_mix(true);
        let last = backward.start + backward.log.len() as u64 - 1;
        let origin = backward.trace(7, 2, last);
        assert!((origin.truth - 1.0).abs() < 1e-15);
        assert!(origin.packets.entropy.abs() < 1e-15);
    }
}
