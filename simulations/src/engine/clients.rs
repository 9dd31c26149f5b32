//! What clients and mixes send, and who comes and goes: superposed Poisson streams, one for each
//! class and purpose, whose events are dealt out to clients at random. That is the same process as
//! a clock of its own for every client, because the clocks have no memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use shoal_client::gap;
use shoal_topology::{delay::unit, path};

use super::buffers::Buffers;
use super::router::Traffic;
use super::{Churn, Class, EngineError, Kind, NONE, Observer, Packet, Plan, Receivers, Workload};
use crate::seed::generator;

/// A stream of events of one purpose, by the time of the next one.
struct Stream {
    next: f64,
    purpose: Purpose,
    rate: f64,
    times: ChaCha8Rng,
}

#[derive(Clone, Copy)]
enum Purpose {
    /// Ticks of the processes of a class.
    Ticks(usize),
    /// Messages of a class enter buffers.
    Messages(usize),
    /// The next message of the trace enters a buffer.
    Trace,
    /// Loops of mixes.
    MixLoops,
    /// Someone of a class comes or goes.
    Churn(usize),
}

/// A class with what it draws from.
struct Crowd {
    class: Class,
    first: u32,
    senders: ChaCha8Rng,
    receivers: ChaCha8Rng,
    routes: ChaCha8Rng,
    messages: ChaCha8Rng,
    churn: ChaCha8Rng,
    contacts: Vec<u32>,
    /// Who changes next, by the bits of the time.
    changes: BinaryHeap<Reverse<(u64, u32)>>,
}

/// All that is sent.
pub(super) struct Clients {
    streams: Vec<Stream>,
    crowds: Vec<Crowd>,
    clients: u32,
    /// Of each client its provider; empty without providers.
    providers: Vec<u32>,
    provider_count: u32,
    /// Of each client whether it is away; empty without churn.
    away: Vec<bool>,
    buffers: Buffers,
    trace: std::vec::IntoIter<super::TraceMessage>,
    refused: u64,
    mixes: (u32, u32),
    mix_loops: ChaCha8Rng,
    end: f64,
}

impl Clients {
    pub(super) fn new(plan: &Plan, seed: u64, repetition: u32) -> Self {
        let clients = plan.clients();
        let provider_count = plan.network.providers;
        let mut rng = generator(seed, repetition, "clients' providers", 0);
        let provider = |_| path::index(&mut rng, provider_count as usize).unwrap_or(0) as u32;
        let providers = if provider_count > 0 {
            (0..clients).map(provider).collect()
        } else {
            Vec::new()
        };
        let buffered = plan
            .classes
            .iter()
            .any(|class| class.workload != Workload::Saturated);
        let mut this = Self {
            streams: Vec::new(),
            crowds: Vec::new(),
            clients,
            providers,
            provider_count,
            away: if plan.classes.iter().any(|class| class.churn.is_some()) {
                vec![false; clients as usize]
            } else {
                Vec::new()
            },
            buffers: Buffers::new(if buffered { clients } else { 0 }),
            trace: plan.trace.clone().into_iter(),
            refused: 0,
            mixes: (provider_count, plan.nodes() - 2 * provider_count),
            mix_loops: generator(seed, repetition, "loops of mixes", 0),
            end: plan.phases.total(),
        };
        let mut first = 0;
        for (index, class) in plan.classes.iter().enumerate() {
            let crowd = Crowd::new(class, first, clients, &|purpose| {
                generator(seed, repetition, purpose, index as u64)
            });
            first += class.count;
            this.crowds.push(crowd);
        }
        this.start_streams(plan, seed, repetition);
        this
    }

    fn start_streams(&mut self, plan: &Plan, seed: u64, repetition: u32) {
        let mut start = |purpose, rate, name, index| {
            let mut times = generator(seed, repetition, name, index);
            if let Some(next) = gap(&mut times, rate) {
                self.streams.push(Stream {
                    next,
                    purpose,
                    rate,
                    times,
                });
            }
        };
        for (index, class) in plan.classes.iter().enumerate() {
            let (count, number) = (f64::from(class.count), index as u64);
            if let Workload::Poisson { rate } = class.workload {
                start(
                    Purpose::Messages(index),
                    count * rate,
                    "message times",
                    number,
                );
            }
            let rate = count * (class.real + class.loops + class.drops);
            start(Purpose::Ticks(index), rate, "tick times", number);
        }
        let rate = f64::from(self.mixes.1) * plan.network.mix_loops;
        start(Purpose::MixLoops, rate, "times of the loops of mixes", 0);
        let idle = || generator(seed, repetition, "unused", 0);
        if let Some(message) = plan.trace.first() {
            let (next, purpose) = (message.time, Purpose::Trace);
            self.streams.push(Stream {
                next,
                purpose,
                rate: 0.0,
                times: idle(),
            });
        }
        for (index, class) in plan.classes.iter().enumerate() {
            if class.churn.is_some() {
                let purpose = Purpose::Churn(index);
                self.streams.push(Stream {
                    next: 0.0,
                    purpose,
                    rate: 0.0,
                    times: idle(),
                });
            }
        }
    }

    /// Who is there at the start.
    pub(super) fn start<O: Observer>(&mut self, observer: &mut O) {
        for stream in &mut self.streams {
            if let Purpose::Churn(index) = stream.purpose {
                stream.next = self.crowds[index].start(&mut self.away, observer);
            }
        }
    }

    /// Everything up to the end of a window.
    pub(super) fn run<O: Observer>(
        &mut self,
        end: f64,
        traffic: &mut Traffic,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        let end = end.min(self.end);
        loop {
            let earliest = self.streams.iter().enumerate();
            let earliest = earliest.min_by(|a, b| a.1.next.total_cmp(&b.1.next));
            let Some((index, stream)) = earliest.filter(|(_, stream)| stream.next < end) else {
                return Ok(());
            };
            let (time, purpose) = (stream.next, stream.purpose);
            match purpose {
                Purpose::Ticks(class) => self.tick(class, time, traffic, observer)?,
                Purpose::Messages(class) => self.make_message(class, time),
                Purpose::MixLoops => self.mix_loop(time, traffic, observer)?,
                Purpose::Trace => {
                    self.follow_trace();
                    let next = self.trace.as_slice().first();
                    self.streams[index].next = next.map_or(f64::INFINITY, |message| message.time);
                    continue;
                }
                Purpose::Churn(class) => {
                    let crowd = &mut self.crowds[class];
                    self.streams[index].next = crowd.change(&mut self.away, observer);
                    continue;
                }
            }
            let stream = &mut self.streams[index];
            stream.next += gap(&mut stream.times, stream.rate).unwrap_or(f64::INFINITY);
        }
    }

    /// Messages that found the buffer full, and messages that wait.
    pub(super) fn left_over(&self) -> (u64, u64) {
        (self.refused, self.buffers.waiting())
    }

    fn is_away(&self, client: u32) -> bool {
        self.away.get(client as usize).copied().unwrap_or(false)
    }

    /// A tick of one of the processes of one of the clients of a class.
    fn tick<O: Observer>(
        &mut self,
        index: usize,
        time: f64,
        traffic: &mut Traffic,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        let crowd = &mut self.crowds[index];
        let sender = crowd.member();
        let class = &crowd.class;
        let process = crowd.senders.random::<f64>() * (class.real + class.loops + class.drops);
        let kind = if process < class.real {
            Kind::Real
        } else if process < class.real + class.loops {
            Kind::Loop
        } else {
            Kind::Drop
        };
        if self.is_away(sender) {
            return Ok(());
        }
        let Some(mut packet) = self.packet(index, sender, kind, time) else {
            return Ok(());
        };
        packet.class = index as u16;
        let entry = self.providers.get(sender as usize).copied().unwrap_or(NONE);
        traffic.send(packet, entry, &mut self.crowds[index].routes, observer)
    }

    /// What a client sends at a tick; nothing if it has nothing and sends no dummies.
    fn packet(&mut self, index: usize, sender: u32, mut kind: Kind, time: f64) -> Option<Packet> {
        let crowd = &mut self.crowds[index];
        let (mut created, mut receiver) = (time, NONE);
        match kind {
            Kind::Real if crowd.class.workload == Workload::Saturated => {
                receiver = crowd.receiver(sender, self.clients);
            }
            Kind::Real => match self.buffers.pop(sender) {
                Some(message) => {
                    created = message.created;
                    receiver = message.receiver;
                }
                None if !crowd.class.dummies => return None,
                None => kind = Kind::Dummy,
            },
            Kind::Loop => receiver = sender,
            _ => {}
        }
        let providers = self.provider_count as usize;
        let exit = if receiver != NONE {
            self.providers
                .get(receiver as usize)
                .copied()
                .unwrap_or(NONE)
        } else if let Some(provider) = path::index(&mut crowd.receivers, providers) {
            provider as u32
        } else {
            receiver = other(&mut crowd.receivers, sender, self.clients);
            NONE
        };
        Some(Packet {
            sent: time,
            created,
            sender,
            receiver,
            exit,
            message: NONE,
            class: 0,
            kind,
            mixes: 0,
        })
    }

    /// A message of one of the clients of a class, if it is there.
    fn make_message(&mut self, index: usize, time: f64) {
        let crowd = &mut self.crowds[index];
        let uniform = path::index(&mut crowd.messages, crowd.class.count as usize).unwrap_or(0);
        let sender = crowd.first + uniform as u32;
        if self.is_away(sender) {
            return;
        }
        let crowd = &mut self.crowds[index];
        let receiver = crowd.receiver(sender, self.clients);
        let fits = self
            .buffers
            .push(sender, time, receiver, crowd.class.buffer);
        self.refused += u64::from(!fits);
    }

    fn follow_trace(&mut self) {
        if let Some(message) = self.trace.next() {
            let crowd = self
                .crowds
                .partition_point(|crowd| crowd.first <= message.sender);
            let limit = self.crowds[crowd.saturating_sub(1)].class.buffer;
            let fits = self
                .buffers
                .push(message.sender, message.time, message.receiver, limit);
            self.refused += u64::from(!fits);
        }
    }

    fn mix_loop<O: Observer>(
        &mut self,
        time: f64,
        traffic: &mut Traffic,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        let (first, count) = self.mixes;
        let mix = path::index(&mut self.mix_loops, count as usize).unwrap_or(0) as u32;
        let exit = path::index(&mut self.mix_loops, self.provider_count as usize);
        let packet = Packet {
            sent: time,
            created: time,
            sender: first + mix,
            receiver: NONE,
            exit: exit.map_or(NONE, |provider| provider as u32),
            message: NONE,
            class: self.crowds.len() as u16,
            kind: Kind::MixLoop,
            mixes: 0,
        };
        traffic.send_loop(packet, &mut self.mix_loops, observer)
    }
}

/// A client other than this one, each as likely; this one if it is the only one.
fn other(rng: &mut ChaCha8Rng, client: u32, clients: u32) -> u32 {
    match path::index(rng, clients.saturating_sub(1) as usize) {
        Some(index) => index as u32 + u32::from(index as u32 >= client),
        None => client,
    }
}

impl Crowd {
    fn new(
        class: &Class,
        first: u32,
        clients: u32,
        generator: &dyn Fn(&'static str) -> ChaCha8Rng,
    ) -> Self {
        let mut contacts = Vec::new();
        if let Receivers::Contacts(each) = class.receivers {
            let mut rng = generator("contacts");
            for client in first..first + class.count {
                contacts.extend((0..each).map(|_| other(&mut rng, client, clients)));
            }
        }
        Self {
            class: class.clone(),
            first,
            senders: generator("senders"),
            receivers: generator("receivers"),
            routes: generator("clients' routes"),
            messages: generator("messages"),
            churn: generator("churn"),
            contacts,
            changes: BinaryHeap::new(),
        }
    }

    fn member(&mut self) -> u32 {
        let index = path::index(&mut self.senders, self.class.count as usize).unwrap_or(0);
        self.first + index as u32
    }

    fn receiver(&mut self, sender: u32, clients: u32) -> u32 {
        match self.class.receivers {
            Receivers::Uniform => other(&mut self.receivers, sender, clients),
            Receivers::Contacts(each) => {
                let index = path::index(&mut self.receivers, each as usize).unwrap_or(0);
                let own = (sender - self.first) as usize * each as usize;
                self.contacts.get(own + index).copied().unwrap_or(sender)
            }
        }
    }

    fn next_change(&self) -> f64 {
        self.changes
            .peek()
            .map_or(f64::INFINITY, |change| f64::from_bits(change.0.0))
    }

    /// Draws who is there, tells of everyone, and gives the time of the first change.
    fn start<O: Observer>(&mut self, away: &mut [bool], observer: &mut O) -> f64 {
        let Some(Churn { online, offline }) = self.class.churn else {
            return f64::INFINITY;
        };
        for client in self.first..self.first + self.class.count {
            let is_away = self.churn.random::<f64>() * (online + offline) >= online;
            away[client as usize] = is_away;
            if is_away {
                observer.offline(client, 0.0);
            } else {
                observer.online(client, 0.0);
            }
            let stay = unit(&mut self.churn) * if is_away { offline } else { online };
            self.changes.push(Reverse((stay.to_bits(), client)));
        }
        self.next_change()
    }

    /// The change that is due; gives the time of the one after it.
    fn change<O: Observer>(&mut self, away: &mut [bool], observer: &mut O) -> f64 {
        if let (Some(churn), Some(Reverse((bits, client)))) = (self.class.churn, self.changes.pop())
        {
            let time = f64::from_bits(bits);
            let is_away = !away[client as usize];
            away[client as usize] = is_away;
            if is_away {
                observer.offline(client, time);
            } else {
                observer.online(client, time);
            }
            let mean = if is_away { churn.offline } else { churn.online };
            let next = time + unit(&mut self.churn) * mean;
            self.changes.push(Reverse((next.to_bits(), client)));
        }
        self.next_change()
    }
}
