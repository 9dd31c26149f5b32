//! A node's part in the flood of descriptors among neighbours, which stands for gossipsub.

use std::collections::{BTreeMap, BTreeSet};

use shoal_topology::Ticket;

use crate::bits::Bits;
use crate::event::{Event, Rumour};
use crate::party::Party;
use crate::trace::Kind;
use crate::world::World;

/// Neighbours that are connected, and descriptors that have come by.
#[derive(Default)]
pub(super) struct Gossip {
    connected: BTreeSet<Party>,
    seen: Bits,
    /// Those of which nothing is known yet.
    waiting: BTreeMap<Ticket, (Party, Rumour)>,
    tickets: u64,
}

impl Gossip {
    /// A neighbour is there, or gone. False if that is known.
    pub(super) fn neighbour(&mut self, other: Party, there: bool) -> bool {
        match there {
            true => self.connected.insert(other),
            false => self.connected.remove(&other),
        }
    }

    /// A neighbour passed on a descriptor. None if it came before.
    pub(super) fn heard(&mut self, from: Party, rumour: Rumour) -> Option<Ticket> {
        if !self.seen.insert(rumour.number) {
            return None;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, (from, rumour));
        Some(ticket)
    }

    /// What was heard under this ticket, and from whom.
    pub(super) fn judged(&mut self, ticket: Ticket) -> Option<(Party, Rumour)> {
        self.waiting.remove(&ticket)
    }

    /// The node's own descriptor is spread. False if nobody is there to hear it.
    pub(super) fn publish(&mut self, own: Party, rumour: &Rumour, world: &mut World) -> bool {
        self.seen.insert(rumour.number);
        self.spread(own, rumour, None, world);
        !self.connected.is_empty()
    }

    /// Passes a descriptor on to all neighbours but the one that it came from.
    pub(super) fn spread(
        &self,
        own: Party,
        rumour: &Rumour,
        except: Option<Party>,
        world: &mut World,
    ) {
        let others = self.connected.iter().copied();
        for to in others.filter(|other| Some(*other) != except) {
            world.note(own, Kind::GossipSent, to, 0);
            let event = Event::Gossip {
                from: own,
                to,
                rumour: rumour.clone(),
            };
            world.send_message(own, to, rumour.bytes.len(), event);
        }
    }
}
