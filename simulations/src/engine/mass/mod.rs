//! Where targets may have gone: the mass of each target spreads over the packets that an
//! adversary can't tell apart.
//!
//! The adversary sees all links, that is, when packets arrive at nodes and leave them, and knows
//! of the packets inside corrupt nodes which is which; what else it may know is [`Insight`]. A packet looks the same before and after a
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

pub use backward::{Origins, backward};
pub use result::{Delivery, TRUNCATED, TargetResult, Uncertainty};

use super::{Kind, Loss, NONE, Observer, Packet, Plan, Targets};
use spread::Spread;

/// A target is given up when less than this has not come out.
const RESIDUAL: f64 = 1e-12;

/// What an adversary knows besides what it sees on links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Insight {
    /// The nodes, by global index, in which it knows which packet is which; missing ones are
    /// honest.
    pub corrupt: Vec<bool>,
    /// Whether it knows which packets are loops of mixes: they hide nothing then, and are left out
    /// of every pool.
    pub loops: bool,
    /// Whether it knows of each packet that comes out if it is a message, and of each target that
    /// it is one: the others are put aside. That gives the posterior if kinds are independent of
    /// senders and times, and packets are not lost.
    pub kinds: bool,
}

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
    /// Of each group the messages that were sent.
    injected: Vec<u32>,
    /// Whether what is known not to be a message is put aside.
    kinds: bool,
    /// Of each packet whether it is the loop of a mix and known to be one; none where that is not
    /// known.
    loops: Option<Vec<bool>>,
}

impl Mass {
    /// For the targets and groups of the plan, and an adversary who knows which packet is which
    /// inside the nodes that are marked as corrupt (by global index; missing ones are honest).
    #[must_use]
    pub fn new(plan: &Plan, corrupt: &[bool]) -> Self {
        let corrupt = corrupt.to_vec();
        Self::knowing(
            plan,
            &Insight {
                corrupt,
                ..Insight::default()
            },
        )
    }

    /// The same for an adversary who knows more.
    #[must_use]
    pub fn knowing(plan: &Plan, insight: &Insight) -> Self {
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
            spread: Spread::new(nodes, &insight.corrupt, width, keep.then_some(rows)),
            kinds: insight.kinds,
            loops: insight.loops.then(Vec::new),
            targets: plan.targets,
            places: vec![None; width],
            free: (groups.len()..groups.len() + most + spare).rev().collect(),
            injected: vec![0; groups.len()],
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

    /// The ends of packets that were of a group and carried mass of one, in order of time but for
    /// those in the same window that were lost; empty without groups.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// The share of a group's messages (by its place in the plan's list) that had not come out when
    /// the run ended, 0 to 1; complete after the run.
    #[must_use]
    pub fn residual_of_group(&self, place: usize) -> f64 {
        match self.injected.get(place) {
            None | Some(0) => 0.0,
            Some(sent) => (1.0 - self.spread.out(place) / f64::from(*sent)).max(0.0),
        }
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
        let group = self.members.get(slot as usize).copied().unwrap_or(NONE);
        if group != NONE
            && let Some((row, scale)) = self.spread.masses(slot)
        {
            self.deliveries.push(Delivery {
                time,
                receiver: if lost { NONE } else { packet.receiver },
                group,
                masses: row[..self.groups.len()].iter().map(|v| v * scale).collect(),
            });
        }
        let place = if self.kinds && packet.kind != Kind::Real {
            self.spread.put_aside(slot)
        } else {
            let user = self.user(packet, lost);
            self.spread.put_out(slot, user)
        };
        if let Some(target) = place.and_then(|place| self.places[place].as_mut()) {
            target.latency = (!lost).then_some(time - packet.sent);
        }
    }

    /// Whether a packet is known to be the loop of a mix.
    fn is_loop(&self, slot: u32) -> bool {
        let loops = self.loops.as_ref();
        loops.is_some_and(|loops| loops.get(slot as usize) == Some(&true))
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
        if let Some(loops) = &mut self.loops {
            let slot = slot as usize;
            loops.resize(loops.len().max(slot + 1), false);
            loops[slot] = packet.kind == Kind::MixLoop;
        }
        let group = self.group(packet);
        if !self.groups.is_empty() {
            let slot = slot as usize;
            self.members.resize(self.members.len().max(slot + 1), NONE);
            self.members[slot] = group.map_or(NONE, |group| group as u32);
        }
        if let Some(sent) = group.and_then(|group| self.injected.get_mut(group)) {
            *sent += 1;
        }
        let target = self.place(packet);
        if target.is_some() || group.is_some() {
            self.spread.inject(slot, target, group);
        }
    }

    fn arrive(&mut self, node: u32, _time: f64, slot: u32) {
        self.here = node;
        if !self.is_loop(slot) {
            self.spread.arrive(node, slot);
        }
    }

    fn depart(&mut self, node: u32, _time: f64, slot: u32, _next: u32) {
        if !self.is_loop(slot) {
            self.spread.depart(node, slot);
        }
    }

    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        if reason != Loss::Link && !self.is_loop(slot) {
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
        self.spread.settle_all();
        self.retire(f64::INFINITY);
        self.results.sort_by_key(|target| target.message);
    }
}
