//! Where packets go: the next node, the link to it, and what is lost on the way.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use shoal_topology::path::Weights;

use super::calendar::{Calendar, Event};
use super::slab::Slab;
use super::tally::Tally;
use super::{EngineError, Kind, Links, Loss, NONE, Network, Observer, Packet, Plan, Routes};

/// Packets under way and all that is to happen to them.
pub(super) struct Traffic {
    pub(super) slab: Slab,
    pub(super) tally: Tally,
    /// Arrivals at each stage.
    pub(super) inboxes: Vec<Calendar>,
    /// Ends.
    pub(super) sink: Calendar,
    pub(super) window: u64,
    map: Map,
}

/// The stages and how they are connected.
struct Map {
    links: Links,
    routes: Routes,
    mix_loops: bool,
    /// The first node of each stage, and the end of all.
    first: Vec<u32>,
    /// Of each layer of mixes the choice of a mix.
    weights: Vec<Weights>,
    /// The stage of the first layer: 0 or 1.
    first_layer: usize,
    /// The stage of exit providers; none without providers.
    exits: Option<usize>,
}

/// The stage, node and link that a packet takes.
struct Step {
    stage: usize,
    node: u32,
    delay: f64,
    home: bool,
}

impl Map {
    fn new(plan: &Plan) -> Self {
        let network: &Network = &plan.network;
        let stages = plan.stages();
        let first = stages.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let providers = network.providers > 0;
        Self {
            links: plan.links.clone(),
            routes: network.routes,
            mix_loops: network.mix_loops > 0.0,
            first: std::iter::once(0).chain(first).collect(),
            weights: network
                .layers
                .iter()
                .map(|layer| Weights::new(layer))
                .collect(),
            first_layer: usize::from(providers),
            exits: providers.then_some(stages.len() - 1),
        }
    }

    fn stages(&self) -> usize {
        self.first.len() - 1
    }

    /// The stage of a node, and the node counted within it.
    fn locate(&self, node: u32) -> (usize, u32) {
        let stage = self
            .first
            .partition_point(|first| *first <= node)
            .saturating_sub(1);
        (stage, node - self.first[stage])
    }

    fn mix(&self, stage: usize, rng: &mut ChaCha8Rng) -> u32 {
        let weights = &self.weights[stage - self.first_layer];
        weights.index(rng).map_or(0, |index| index as u32)
    }

    /// The next node in a stage for a packet that comes from a node of another stage.
    fn enter(&self, stage: usize, from: u32, packet: &Packet, rng: &mut ChaCha8Rng) -> u32 {
        if self.exits == Some(stage) {
            packet.exit
        } else if self.routes == Routes::Cascade && stage > self.first_layer {
            from
        } else {
            self.mix(stage, rng)
        }
    }

    /// From a node of a stage to another mix of the same.
    fn other(&self, stage: usize, from: u32, rng: &mut ChaCha8Rng) -> u32 {
        if self.first[stage + 1] - self.first[stage] < 2 {
            return from;
        }
        loop {
            let node = self.mix(stage, rng);
            if node != from {
                return node;
            }
        }
    }

    /// The step of a client's packet onwards from a stage; none from the last.
    #[inline]
    fn onwards(
        &self,
        stage: usize,
        from: u32,
        slot: u32,
        slab: &mut Slab,
        rng: &mut ChaCha8Rng,
    ) -> Option<Step> {
        if let Routes::Free { .. } = self.routes
            && stage == self.first_layer
            && slab.get(slot).mixes > 0
        {
            slab.get_mut(slot).mixes -= 1;
            let node = self.other(stage, from, rng);
            let delay = self.links.wrap.draw(rng, from, node);
            return Some(Step {
                stage,
                node,
                delay,
                home: false,
            });
        }
        let link = self.links.between.get(stage)?;
        let node = self.enter(stage + 1, from, slab.get(slot), rng);
        let delay = link.draw(rng, from, node);
        Some(Step {
            stage: stage + 1,
            node,
            delay,
            home: false,
        })
    }

    /// The step of a mix's loop onwards from a stage.
    fn around(&self, stage: usize, from: u32, packet: &Packet, rng: &mut ChaCha8Rng) -> Step {
        let (home_stage, home) = self.locate(packet.sender);
        let (next, link) = match self.links.between.get(stage) {
            Some(link) => (stage + 1, link),
            None => (self.first_layer, &self.links.wrap),
        };
        let node =
            if next == home_stage || (self.routes == Routes::Cascade && self.exits != Some(next)) {
                home
            } else {
                self.enter(next, from, packet, rng)
            };
        let delay = link.draw(rng, from, node);
        Step {
            stage: next,
            node,
            delay,
            home: next == home_stage,
        }
    }

    /// Links that a packet has crossed when it is at a stage.
    fn crossed(&self, stage: usize, packet: &Packet) -> u32 {
        let links = if packet.kind == Kind::MixLoop {
            let home = self.locate(packet.sender).0;
            if stage > home {
                stage - home
            } else {
                self.stages() - home + stage - self.first_layer
            }
        } else if let Routes::Free { hops } = self.routes
            && stage >= self.first_layer
        {
            let visited = (hops as usize).saturating_sub(packet.mixes as usize);
            stage + visited
        } else {
            stage + 1
        };
        links as u32
    }
}

impl Traffic {
    pub(super) fn new(plan: &Plan, length: f64) -> Self {
        Self {
            slab: Slab::default(),
            tally: Tally::new(plan, length),
            inboxes: plan
                .stages()
                .iter()
                .map(|_| Calendar::new(length))
                .collect(),
            sink: Calendar::new(length),
            window: 0,
            map: Map::new(plan),
        }
    }

    /// The global index of the first node of a stage.
    pub(super) fn first(&self, stage: usize) -> u32 {
        self.map.first[stage]
    }

    /// Goes on to a window.
    pub(super) fn enter(&mut self, window: u64) {
        self.window = window;
        self.inboxes
            .iter_mut()
            .for_each(|inbox| inbox.enter(window));
        self.sink.enter(window);
    }

    /// Sends a client's packet on its way, to its entry provider if it has one.
    pub(super) fn send<O: Observer>(
        &mut self,
        mut packet: Packet,
        entry: u32,
        rng: &mut ChaCha8Rng,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        self.tally.send(&mut packet);
        if let Routes::Free { hops } = self.map.routes {
            packet.mixes = (hops - 1) as u8;
        }
        let slot = self.slab.insert(packet)?;
        let node = if entry == NONE {
            self.map.mix(0, rng)
        } else {
            entry
        };
        observer.sent(slot, &packet, packet.sent, node);
        let delay = self.map.links.ingress.draw(rng, 0, node);
        if self.survives(slot, packet.sent, 1, rng, observer) {
            let event = Event {
                time: packet.sent + delay,
                slot,
                node,
            };
            self.inboxes[0].push(event, self.window);
        }
        Ok(())
    }

    /// Sends a mix's loop on its way.
    pub(super) fn send_loop<O: Observer>(
        &mut self,
        mut packet: Packet,
        rng: &mut ChaCha8Rng,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        self.tally.send(&mut packet);
        let slot = self.slab.insert(packet)?;
        let (stage, node) = self.map.locate(packet.sender);
        let step = self.map.around(stage, node, &packet, rng);
        observer.sent(
            slot,
            &packet,
            packet.sent,
            self.map.first[step.stage] + step.node,
        );
        if self.survives(slot, packet.sent, 1, rng, observer) {
            self.arrive_later(slot, packet.sent, &step, self.window);
        }
        Ok(())
    }

    /// A packet leaves a node, counted within its stage.
    #[inline]
    pub(super) fn depart<O: Observer>(
        &mut self,
        stage: usize,
        event: Event,
        rng: &mut ChaCha8Rng,
        observer: &mut O,
    ) {
        let Event { time, slot, node } = event;
        let here = self.map.first[stage] + node;
        let looping = self.map.mix_loops && self.slab.get(slot).kind == Kind::MixLoop;
        let step = if looping {
            Some(self.map.around(stage, node, self.slab.get(slot), rng))
        } else {
            self.map.onwards(stage, node, slot, &mut self.slab, rng)
        };
        let Some(step) = step else {
            observer.depart(here, time, slot, NONE);
            return self.leave(stage, event, rng, observer);
        };
        observer.depart(here, time, slot, self.map.first[step.stage] + step.node);
        if self.map.links.loss > 0.0 {
            let links = self.map.crossed(stage, self.slab.get(slot));
            // On a free route the step has been counted as a visit already.
            let links = links + u32::from(step.stage != stage);
            if !self.survives(slot, time, links, rng, observer) {
                return;
            }
        }
        let earliest = self.window + u64::from(step.stage <= stage);
        self.arrive_later(slot, time, &step, earliest);
    }

    #[inline]
    fn arrive_later(&mut self, slot: u32, time: f64, step: &Step, earliest: u64) {
        let time = time + step.delay;
        if step.home {
            self.sink.push(
                Event {
                    time,
                    slot,
                    node: 0,
                },
                self.window,
            );
        } else {
            let event = Event {
                time,
                slot,
                node: step.node,
            };
            self.inboxes[step.stage].push(event, earliest);
        }
    }

    /// A packet leaves the last stage, for a client or for nowhere.
    #[inline]
    fn leave<O: Observer>(
        &mut self,
        stage: usize,
        event: Event,
        rng: &mut ChaCha8Rng,
        observer: &mut O,
    ) {
        let Event {
            mut time,
            slot,
            node,
        } = event;
        let leaves = self.map.exits.is_none() || self.slab.get(slot).leaves();
        if leaves {
            let delay = self.map.links.egress.draw(rng, node, 0);
            if self.map.links.loss > 0.0 {
                let links = self.map.crossed(stage, self.slab.get(slot)) + 1;
                if !self.survives(slot, time, links, rng, observer) {
                    return;
                }
            }
            time += delay;
        }
        self.sink.push(
            Event {
                time,
                slot,
                node: 0,
            },
            self.window,
        );
    }

    /// Whether a packet gets over a link; it is the `links`-th of its path.
    #[inline]
    fn survives<O: Observer>(
        &mut self,
        slot: u32,
        time: f64,
        links: u32,
        rng: &mut ChaCha8Rng,
        observer: &mut O,
    ) -> bool {
        let loss = self.map.links.loss;
        if loss <= 0.0 || rng.random::<f64>() >= loss {
            return true;
        }
        self.give_up(slot, time, links, Loss::Link, observer);
        false
    }

    /// A packet is lost at a node that it has arrived at.
    pub(super) fn lose<O: Observer>(
        &mut self,
        stage: usize,
        event: Event,
        reason: Loss,
        observer: &mut O,
    ) {
        let links = self.map.crossed(stage, self.slab.get(event.slot));
        self.give_up(event.slot, event.time, links, reason, observer);
    }

    fn give_up<O: Observer>(
        &mut self,
        slot: u32,
        time: f64,
        links: u32,
        reason: Loss,
        observer: &mut O,
    ) {
        let packet = *self.slab.get(slot);
        self.tally.lose(&packet, time, links, reason);
        observer.lost(slot, &packet, time, reason);
        self.slab.remove(slot);
    }

    /// A packet is at its end.
    #[inline]
    pub(super) fn end<O: Observer>(&mut self, slot: u32, time: f64, observer: &mut O) {
        let packet = self.slab.get(slot);
        let links = if packet.kind == Kind::MixLoop {
            (self.map.stages() - self.map.first_layer) as u32
        } else {
            let leaves = self.map.exits.is_none() || packet.leaves();
            let extra = match self.map.routes {
                Routes::Free { hops } => hops - 1,
                _ => 0,
            };
            self.map.stages() as u32 + extra + u32::from(leaves)
        };
        self.tally.end(packet, time, links);
        observer.end(slot, packet, time);
        self.slab.remove(slot);
    }
}
