//! Where targets may have gone: the mass of each target spreads over the packets that an
//! adversary can't tell apart.
//!
//! The adversary sees all links, that is, when packets arrive at nodes and leave them, and knows
//! of the packets inside corrupt nodes which is which. A packet looks the same before and after a
//! link, and different before and after an honest node. What leaves an honest node takes the share
//! `1 / count` of the mass in it. That posterior is exact if delays are exponential, routes are in
//! layers, no server queues, and mixes have no loops or the adversary knows them; otherwise it is
//! an approximation or nothing at all, which is for the caller to say.
//!
//! Costs: one row of masses for each node and group of packets on links that left a node between
//! two arrivals, of 8 bytes for each target that is alive.

mod backward;
mod kernel;
mod result;
mod spread;
mod store;
#[cfg(test)]
mod tests;

pub use backward::backward;
pub use result::{Delivery, TargetResult};

use super::{Kind, Loss, NONE, Observer, Packet, Plan, Targets};
use spread::Spread;

/// A target is given up when less than this has not come out.
const RESIDUAL: f64 = 1e-12;

/// The posterior of one adversary over the outputs, for every target of a run.
pub struct Mass {
    spread: Spread,
    targets: Option<Targets>,
    groups: Vec<u32>,
    /// Of each place behind the groups' the target in it.
    places: Vec<Option<TargetResult>>,
    free: Vec<usize>,
    /// Places whose target was given up, with mass still around.
    dirty: Vec<usize>,
    alive: u32,
    made: u32,
    measurement: (f64, f64),
    /// The numbers of clients and providers.
    users: (u32, u32),
    /// The node of the latest arrival: what is lost in it comes next.
    here: u32,
    /// Of each packet the group that it is of; empty without groups.
    members: Vec<u32>,
    results: Vec<TargetResult>,
    deliveries: Vec<Delivery>,
}

impl Mass {
    /// For the targets and groups of the plan, and an adversary who knows which packet is which
    /// inside the nodes that are marked as corrupt (by global index; missing ones are honest).
    #[must_use]
    pub fn new(plan: &Plan, corrupt: &[bool]) -> Self {
        let groups = plan.groups.clone();
        let most = plan.targets.map_or(0, |t| t.max_alive.min(t.count)) as usize;
        // Some more, so that places are not cleaned one by one.
        let spare = most / 16 + usize::from(most > 0);
        let width = (groups.len() + most + spare).next_multiple_of(4);
        let users = (plan.clients(), plan.network.providers);
        let rows = users.0 as usize + users.1 as usize + 2;
        let keep = plan.targets.is_some_and(|targets| targets.users);
        let nodes = plan.nodes() as usize;
        let start = plan.phases.warm_up;
        Self {
            spread: Spread::new(nodes, corrupt, width, keep.then_some(rows)),
            targets: plan.targets,
            places: vec![None; width],
            free: (groups.len()..groups.len() + most + spare).rev().collect(),
            groups,
            dirty: Vec::new(),
            alive: 0,
            made: 0,
            measurement: (start, start + plan.phases.measurement),
            users,
            here: 0,
            members: Vec::new(),
            results: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    /// The targets, in order of message index; complete after the run.
    #[must_use]
    pub fn results(&self) -> &[TargetResult] {
        &self.results
    }

    /// The ends of packets that carried mass of a group, in order of time but for those in the
    /// same window that were lost; empty without groups.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Targets that are alive now.
    #[must_use]
    pub const fn alive(&self) -> u32 {
        self.alive
    }

    /// Rows of masses in use now.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.spread.live()
    }

    /// A place for a new target, if this message becomes one.
    fn place(&mut self, packet: &Packet) -> Option<usize> {
        let targets = self.targets.filter(|_| packet.message != NONE)?;
        let past = packet.message.checked_sub(targets.first)?;
        if !past.is_multiple_of(targets.every)
            || self.alive >= targets.max_alive
            || self.made >= targets.count
        {
            return None;
        }
        if self.free.is_empty() {
            self.spread.clean(&self.dirty);
            self.free.append(&mut self.dirty);
        }
        let place = self.free.pop()?;
        self.alive += 1;
        self.made += 1;
        self.places[place] = Some(TargetResult::new(packet));
        Some(place)
    }

    fn group(&self, packet: &Packet) -> Option<usize> {
        if packet.kind != Kind::Real || self.groups.is_empty() {
            return None;
        }
        let (from, to) = self.measurement;
        let within = packet.sent >= from && packet.sent < to;
        self.groups
            .iter()
            .position(|sender| within && *sender == packet.sender)
    }

    /// The user at whom a packet came out.
    fn user(&self, packet: &Packet, lost: bool) -> usize {
        let (clients, providers) = self.users;
        let user = if lost {
            clients + providers + 1
        } else if packet.receiver != NONE {
            packet.receiver
        } else if packet.kind == Kind::MixLoop || packet.exit == NONE {
            clients + providers
        } else {
            clients + packet.exit
        };
        user as usize
    }

    fn put_out(&mut self, slot: u32, packet: &Packet, time: f64, lost: bool) {
        if !self.groups.is_empty()
            && let Some((row, scale)) = self.spread.masses(slot)
        {
            let masses: Vec<f64> = row[..self.groups.len()].iter().map(|v| v * scale).collect();
            if masses.iter().any(|mass| *mass > 0.0) {
                let group = self.members[slot as usize];
                let receiver = if lost { NONE } else { packet.receiver };
                self.deliveries.push(Delivery {
                    time,
                    receiver,
                    group,
                    masses,
                });
            }
        }
        let user = self.user(packet, lost);
        let place = self.spread.put_out(slot, user);
        if let Some(target) = place.and_then(|place| self.places[place].as_mut()) {
            target.latency = (!lost).then_some(time - packet.sent);
        }
    }

    /// Takes the result of a place.
    fn give_up(&mut self, place: usize) {
        if let Some(mut target) = self.places[place].take() {
            target.complete(&self.spread, place);
            self.results.push(target);
            self.dirty.push(place);
            self.alive -= 1;
        }
    }

    /// Gives up the targets of which so little is left.
    fn retire(&mut self, residual: f64) {
        if self.alive == 0 {
            return;
        }
        self.spread.settle();
        for place in self.groups.len()..self.places.len() {
            if self.places[place].is_some() && 1.0 - self.spread.out(place) <= residual {
                self.give_up(place);
            }
        }
    }
}

impl Observer for Mass {
    fn sent(&mut self, slot: u32, packet: &Packet, _time: f64, _first: u32) {
        self.spread.enter(slot);
        let group = self.group(packet);
        if !self.groups.is_empty() {
            let slot = slot as usize;
            self.members.resize(self.members.len().max(slot + 1), NONE);
            self.members[slot] = group.map_or(NONE, |group| group as u32);
        }
        let target = self.place(packet);
        if target.is_some() || group.is_some() {
            self.spread.inject(slot, target, group);
        }
    }

    fn arrive(&mut self, node: u32, _time: f64, slot: u32) {
        self.here = node;
        self.spread.arrive(node, slot);
    }

    fn depart(&mut self, node: u32, _time: f64, slot: u32, _next: u32) {
        self.spread.depart(node, slot);
    }

    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        if reason != Loss::Link {
            self.spread.depart(self.here, slot);
        }
        self.put_out(slot, packet, time, true);
    }

    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        self.put_out(slot, packet, time, false);
    }

    fn soon(&self, slot: u32) -> u32 {
        self.spread.version(slot)
    }

    fn window(&mut self, _end: f64) {
        self.retire(RESIDUAL);
    }

    fn finish(&mut self, _time: f64) {
        self.retire(f64::INFINITY);
        self.results.sort_by_key(|target| target.message);
    }
}
