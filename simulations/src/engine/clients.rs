//! What clients and mixes send, and who comes and goes: superposed Poisson streams, one for each
//! class and purpose, whose events are dealt out to clients at random. That is the same process as
//! a clock of its own for every client, because the clocks have no memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use shoal_topology::delay::{gap, unit};
use shoal_topology::path;

use super::buffers::Buffers;
use super::router::Traffic;
use super::{Churn, Class, EngineError, Kind, NONE, Observer, Packet, Plan, Receivers, Workload};
use crate::seed::generator;

/// Packets whose data is read ahead, so that the waits for memory overlap.
pub(super) const BATCH: usize = 64;

/// A stream of events of one purpose, by the time of the next one.
struct Stream {
    next: f64,
    purpose: Purpose,
    rate: f64,
    times: ChaCha8Rng,
}

/// An event of a stream, with what is drawn for it ahead of its time.
#[derive(Clone, Copy)]
struct Event {
    time: f64,
    purpose: Purpose,
    client: u32,
    /// From 0 to the sum of the rates of the client's processes.
    process: f64,
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
    events: Vec<Event>,
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
            events: Vec::new(),
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
        let mut events = std::mem::take(&mut self.events);
        loop {
            self.look_ahead(end, &mut events);
            let peek = |hint: u32, event: &Event| hint ^ self.buffers.peek(event.client);
            black_box(events.iter().fold(0, peek));
            let peek = |hint: u32, event: &Event| hint ^ self.buffers.peek_first(event.client);
            black_box(events.iter().fold(0, peek));
            for event in &events {
                self.handle(*event, traffic, observer)?;
            }
            if events.is_empty() && !self.handle_other(end, observer) {
                self.events = events;
                return Ok(());
            }
        }
    }

    /// The stream whose event is next, before the end.
    fn earliest(&mut self, end: f64) -> Option<&mut Stream> {
        let streams = self.streams.iter_mut();
        let earliest = streams.min_by(|a, b| a.next.total_cmp(&b.next));
        earliest.filter(|stream| stream.next < end)
    }

    /// Draws some events ahead, as far as they can't depend on what happens before them.
    fn look_ahead(&mut self, end: f64, events: &mut Vec<Event>) {
        events.clear();
        while events.len() < BATCH {
            let Some(stream) = self.earliest(end) else {
                return;
            };
            let (time, purpose) = (stream.next, stream.purpose);
            if matches!(purpose, Purpose::Trace | Purpose::Churn(_)) {
                return;
            }
            stream.next += gap(&mut stream.times, stream.rate).unwrap_or(f64::INFINITY);
            let (client, process) = match purpose {
                Purpose::Ticks(class) => {
                    let crowd = &mut self.crowds[class];
                    let Crowd {
                        first,
                        class,
                        senders,
                        ..
                    } = crowd;
                    let process =
                        senders.random::<f64>() * (class.real + class.loops + class.drops);
                    (*first + member(class, senders), process)
                }
                Purpose::Messages(class) => {
                    let Crowd {
                        first,
                        class,
                        messages,
                        ..
                    } = &mut self.crowds[class];
                    (*first + member(class, messages), 0.0)
                }
                _ => (NONE, 0.0),
            };
            events.push(Event {
                time,
                purpose,
                client,
                process,
            });
        }
    }

    fn handle<O: Observer>(
        &mut self,
        event: Event,
        traffic: &mut Traffic,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        match event.purpose {
            Purpose::Ticks(class) => self.tick(class, event, traffic, observer),
            Purpose::MixLoops => self.mix_loop(event.time, traffic, observer),
            Purpose::Messages(class) => {
                self.make_message(class, event);
                Ok(())
            }
            Purpose::Trace | Purpose::Churn(_) => Ok(()),
        }
    }

    /// The next event of the trace or of churn, if it comes first; whether there was one.
    fn handle_other<O: Observer>(&mut self, end: f64, observer: &mut O) -> bool {
        let Some(purpose) = self.earliest(end).map(|stream| stream.purpose) else {
            return false;
        };
        let next = match purpose {
            Purpose::Trace => {
                self.follow_trace();
                self.trace
                    .as_slice()
                    .first()
                    .map_or(f64::INFINITY, |message| message.time)
            }
            Purpose::Churn(class) => self.crowds[class].change(&mut self.away, observer),
            _ => return true,
        };
        if let Some(stream) = self.earliest(end) {
            stream.next = next;
        }
        true
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
        event: Event,
        traffic: &mut Traffic,
        observer: &mut O,
    ) -> Result<(), EngineError> {
        let Event {
            time,
            client: sender,
            process,
            ..
        } = event;
        let class = &self.crowds[index].class;
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
    fn make_message(&mut self, index: usize, event: Event) {
        let Event {
            time,
            client: sender,
            ..
        } = event;
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

/// One of a class, each as likely, counted within it.
fn member(class: &Class, rng: &mut ChaCha8Rng) -> u32 {
    path::index(rng, class.count as usize).unwrap_or(0) as u32
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
