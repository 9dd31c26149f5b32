//! The ways of packets through the network.

use std::collections::BTreeMap;

use shoal_client::Counters;
use shoal_packet::Frame;
use shoal_proto::Time;

use crate::party::Party;

/// What a packet is, as only its maker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PacketKind {
    /// A client's deposit of a part of a message.
    Real,
    /// A client's dummy in the stead of a deposit.
    Dummy,
    /// A client's loop.
    Loop,
    /// A client's drop cover.
    Drop,
    /// A client's packet to its mailbox.
    Mailbox,
    /// What a node sends on its own account: replies, mailboxes' streams, and its loops.
    Node,
}

/// A moment in the life of a packet. Packets are numbered in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// When.
    pub at: Time,
    /// Which packet.
    pub packet: u64,
    /// What.
    pub flow: Flow,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// Its maker puts it on its first link.
    Sent {
        /// Who.
        by: Party,
        /// What it is.
        kind: PacketKind,
    },
    /// It comes into a node.
    Arrived {
        /// Which.
        node: Party,
    },
    /// It leaves a node for the next one.
    Departed {
        /// Which.
        node: Party,
    },
    /// It ends at a node, as its maker wanted it to.
    Ended {
        /// Which.
        node: Party,
    },
    /// A link lost it, or a node dropped it on arrival. What is inside when a node crashes has no
    /// end in the log.
    Lost,
}

/// The ways of packets between clients' uplinks and the nodes where they end, if wanted. A packet
/// looks different on each link; it is followed by what each frame starts with, which the node
/// that makes it knows when it opens the one before.
#[derive(Default)]
pub(crate) struct FlowLog {
    enabled: bool,
    events: Vec<FlowEvent>,
    /// Of frames that will be put on a link, or are on one.
    packets: BTreeMap<[u8; 32], u64>,
    count: u64,
    next_kind: Option<PacketKind>,
}

impl FlowLog {
    pub(crate) fn enable(&mut self) {
        self.enabled = true;
    }

    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn events(&self) -> &[FlowEvent] {
        &self.events
    }

    /// The next frame that nobody knows is this.
    pub(crate) fn announce(&mut self, kind: PacketKind) {
        self.next_kind = Some(kind);
    }

    pub(crate) fn put_on_link(&mut self, at: Time, by: Party, frame: &Frame, arrives: bool) {
        if !self.enabled {
            return;
        }
        let (key, kind) = (key(frame), self.next_kind.take());
        let packet = if let Some(packet) = self.packets.get(&key) {
            let packet = *packet;
            self.record(at, packet, Flow::Departed { node: by });
            packet
        } else {
            self.count += 1;
            let kind = kind.unwrap_or(PacketKind::Node);
            self.packets.insert(key, self.count);
            self.record(at, self.count, Flow::Sent { by, kind });
            self.count
        };
        if !arrives {
            self.packets.remove(&key);
            self.record(at, packet, Flow::Lost);
        }
    }

    /// A frame came into a node; its number from now on.
    pub(crate) fn arrived(&mut self, at: Time, node: Party, frame: &Frame) -> Option<u64> {
        if !self.enabled {
            return None;
        }
        let packet = self.packets.remove(&key(frame))?;
        self.record(at, packet, Flow::Arrived { node });
        Some(packet)
    }

    /// It will leave as this frame.
    pub(crate) fn goes_on(&mut self, packet: Option<u64>, frame: &Frame) {
        if let Some(packet) = packet {
            self.packets.insert(key(frame), packet);
        }
    }

    pub(crate) fn ends(&mut self, at: Time, packet: Option<u64>, flow: Flow) {
        if let Some(packet) = packet {
            self.record(at, packet, flow);
        }
    }

    fn record(&mut self, at: Time, packet: u64, flow: Flow) {
        self.events.push(FlowEvent { at, packet, flow });
    }
}

/// The group element, which no two frames share.
fn key(frame: &Frame) -> [u8; 32] {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(frame.as_bytes().iter().skip(1)) {
        *to = *from;
    }
    key
}

/// What a client just sent, from what it counted before and since; `before` follows.
pub(crate) fn kind_of(before: &mut Counters, after: &Counters) -> PacketKind {
    let kinds = [
        (&mut before.sent_real, after.sent_real, PacketKind::Real),
        (&mut before.sent_dummy, after.sent_dummy, PacketKind::Dummy),
        (&mut before.sent_loop, after.sent_loop, PacketKind::Loop),
        (&mut before.sent_drop, after.sent_drop, PacketKind::Drop),
        (
            &mut before.sent_mailbox,
            after.sent_mailbox,
            PacketKind::Mailbox,
        ),
    ];
    for (known, counted, kind) in kinds {
        if *known < counted {
            *known += 1;
            return kind;
        }
    }
    PacketKind::Node
}
