//! What a run tells while it goes on.

use super::Plan;

/// The kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A message.
    Real,
    /// The real process with an empty buffer.
    Dummy,
    /// A client's loop, back to itself.
    Loop,
    /// A client's drop.
    Drop,
    /// A mix's loop.
    MixLoop,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Real,
        Self::Dummy,
        Self::Loop,
        Self::Drop,
        Self::MixLoop,
    ];

    /// Its name in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Dummy => "dummy",
            Self::Loop => "loop",
            Self::Drop => "drop",
            Self::MixLoop => "mix_loop",
        }
    }
}

/// In place of a number that there is none of: no message, no provider, no client.
pub const NONE: u32 = u32::MAX;

/// What is known of a packet, by the simulation and not by an adversary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packet {
    /// When it was sent.
    pub sent: f64,
    /// When its message was made, before it waited in the buffer; else when it was sent.
    pub created: f64,
    /// The client, or for the loop of a mix the mix's global index.
    pub sender: u32,
    /// The client that it goes to; [`NONE`] for what ends at a provider or a mix.
    pub receiver: u32,
    /// The provider at whose exit node it ends or leaves; [`NONE`] without providers.
    pub exit: u32,
    /// Index among the messages of the measurement (or of all clients' packets, as
    /// [`Targets::any_kind`](super::Targets::any_kind) says); [`NONE`] for others.
    pub message: u32,
    /// The sender's class; of the loop of a mix the number of classes.
    pub class: u16,
    /// Its kind.
    pub kind: Kind,
    /// Mixes that are still to be visited on a free route.
    pub(super) mixes: u8,
}

impl Packet {
    /// Whether the packet goes to a client in the end; dummies and drops end at their last
    /// provider if there are any.
    #[must_use]
    pub const fn leaves(&self) -> bool {
        self.receiver != NONE
    }
}

/// Why a packet was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// On a link.
    Link,
    /// By a dropper.
    Dropped,
    /// The queue of a server was full.
    QueueFull,
}

impl Loss {
    /// All reasons, in order.
    pub const ALL: [Self; 3] = [Self::Link, Self::Dropped, Self::QueueFull];

    /// Its name in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Dropped => "dropped",
            Self::QueueFull => "queue_full",
        }
    }
}

/// Sees a run. Every method does nothing unless it is written.
///
/// A packet is named by its slot, a small number that is its own from `sent` to `end` or `lost`
/// and is used again afterwards: keep what you know of packets in arrays by slot.
///
/// Order. A run goes through windows of time. In each window come, in this order: what clients and
/// mixes send and who comes and goes, in order of time; then, stage by stage and node by node,
/// arrivals, departures and losses at the node in order of time (an arrival before a departure at
/// the same instant); then the ends in order of time; then [`window`](Self::window). So events
/// are in order of time for each node, for each packet, among sends and among ends; not
/// across nodes. A `lost` follows directly on the event that it belongs to: on `sent` or
/// `depart` for a link, on `arrive` for a node.
///
/// A packet of a mix's own loop is `sent` at the mix and `end`s at it, without `arrive` and
/// `depart` there.
pub trait Observer {
    /// The run begins.
    fn start(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// A packet was sent and goes to this node.
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        let _ = (slot, packet, time, first);
    }
    /// A packet arrived at a node.
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        let _ = (node, time, slot);
    }
    /// A packet left a node for another one, or [`NONE`] when this was its last.
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        let _ = (node, time, slot, next);
    }
    /// A packet was lost.
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        let _ = (slot, packet, time, reason);
    }
    /// A packet reached its end: the receiver, or the provider or mix that takes it out.
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let _ = (slot, packet, time);
    }
    /// A client came online. At time 0 it is told of each client that comes and goes and is
    /// there.
    fn online(&mut self, client: u32, time: f64) {
        let _ = (client, time);
    }
    /// A client went offline. At time 0 it is told of each client that comes and goes and is
    /// away.
    fn offline(&mut self, client: u32, time: f64) {
        let _ = (client, time);
    }
    /// Something is about to happen to this packet, and to others. Whoever keeps much of each packet
    /// reads it here, so that the waits for memory overlap. What is returned means nothing and is
    /// thrown away, but keeps the reading from being left out.
    fn soon(&self, slot: u32) -> u32 {
        let _ = slot;
        0
    }
    /// A window of time is done: nothing before this time will happen any more.
    fn window(&mut self, end: f64) {
        let _ = end;
    }
    /// The run is over.
    fn finish(&mut self, time: f64) {
        let _ = time;
    }
}

/// Sees nothing.
impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn start(&mut self, plan: &Plan) {
        (**self).start(plan);
    }
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        (**self).sent(slot, packet, time, first);
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        (**self).arrive(node, time, slot);
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        (**self).depart(node, time, slot, next);
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        (**self).lost(slot, packet, time, reason);
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        (**self).end(slot, packet, time);
    }
    fn online(&mut self, client: u32, time: f64) {
        (**self).online(client, time);
    }
    fn offline(&mut self, client: u32, time: f64) {
        (**self).offline(client, time);
    }
    fn soon(&self, slot: u32) -> u32 {
        (**self).soon(slot)
    }
    fn window(&mut self, end: f64) {
        (**self).window(end);
    }
    fn finish(&mut self, time: f64) {
        (**self).finish(time);
    }
}

/// Both see the run, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn start(&mut self, plan: &Plan) {
        self.0.start(plan);
        self.1.start(plan);
    }
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        self.0.sent(slot, packet, time, first);
        self.1.sent(slot, packet, time, first);
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        self.0.arrive(node, time, slot);
        self.1.arrive(node, time, slot);
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        self.0.depart(node, time, slot, next);
        self.1.depart(node, time, slot, next);
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        self.0.lost(slot, packet, time, reason);
        self.1.lost(slot, packet, time, reason);
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        self.0.end(slot, packet, time);
        self.1.end(slot, packet, time);
    }
    fn online(&mut self, client: u32, time: f64) {
        self.0.online(client, time);
        self.1.online(client, time);
    }
    fn offline(&mut self, client: u32, time: f64) {
        self.0.offline(client, time);
        self.1.offline(client, time);
    }
    fn soon(&self, slot: u32) -> u32 {
        self.0.soon(slot) ^ self.1.soon(slot)
    }
    fn window(&mut self, end: f64) {
        self.0.window(end);
        self.1.window(end);
    }
    fn finish(&mut self, time: f64) {
        self.0.finish(time);
        self.1.finish(time);
    }
}

/// All see the run, in order.
impl<O: Observer> Observer for Vec<O> {
    fn start(&mut self, plan: &Plan) {
        for observer in self {
            observer.start(plan);
        }
    }
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        for observer in self {
            observer.sent(slot, packet, time, first);
        }
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        for observer in self {
            observer.arrive(node, time, slot);
        }
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        for observer in self {
            observer.depart(node, time, slot, next);
        }
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        for observer in self {
            observer.lost(slot, packet, time, reason);
        }
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        for observer in self {
            observer.end(slot, packet, time);
        }
    }
    fn online(&mut self, client: u32, time: f64) {
        for observer in self {
            observer.online(client, time);
        }
    }
    fn offline(&mut self, client: u32, time: f64) {
        for observer in self {
            observer.offline(client, time);
        }
    }
    fn soon(&self, slot: u32) -> u32 {
        self.iter()
            .fold(0, |sum, observer| sum ^ observer.soon(slot))
    }
    fn window(&mut self, end: f64) {
        for observer in self {
            observer.window(end);
        }
    }
    fn finish(&mut self, time: f64) {
        for observer in self {
            observer.finish(time);
        }
    }
}

/// Sees the run if it is there.
impl<O: Observer> Observer for Option<O> {
    fn start(&mut self, plan: &Plan) {
        if let Some(observer) = self {
            observer.start(plan);
        }
    }
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        if let Some(observer) = self {
            observer.sent(slot, packet, time, first);
        }
    }
    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        if let Some(observer) = self {
            observer.arrive(node, time, slot);
        }
    }
    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        if let Some(observer) = self {
            observer.depart(node, time, slot, next);
        }
    }
    fn lost(&mut self, slot: u32, packet: &Packet, time: f64, reason: Loss) {
        if let Some(observer) = self {
            observer.lost(slot, packet, time, reason);
        }
    }
    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        if let Some(observer) = self {
            observer.end(slot, packet, time);
        }
    }
    fn online(&mut self, client: u32, time: f64) {
        if let Some(observer) = self {
            observer.online(client, time);
        }
    }
    fn offline(&mut self, client: u32, time: f64) {
        if let Some(observer) = self {
            observer.offline(client, time);
        }
    }
    fn soon(&self, slot: u32) -> u32 {
        self.as_ref().map_or(0, |observer| observer.soon(slot))
    }
    fn window(&mut self, end: f64) {
        if let Some(observer) = self {
            observer.window(end);
        }
    }
    fn finish(&mut self, time: f64) {
        if let Some(observer) = self {
            observer.finish(time);
        }
    }
}
