//! Questions of a node to others, and of others to it, that wait for their answer.

use std::collections::BTreeMap;

use shoal_roles::RequestKind;
use shoal_topology::Ticket;

use crate::event::{Asker, Event};
use crate::party::Party;
use crate::trace::Kind;
use crate::world::World;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Questions {
    /// Ours.
    asked: BTreeMap<u64, Party>,
    /// Of others.
    asking: BTreeMap<u64, (Asker, RequestKind)>,
}

impl Questions {
    /// Asks a neighbour.
    pub(super) fn ask(&mut self, own: Party, to: Party, request: Vec<u8>, world: &mut World) {
        let number = world.ask(Asker::Node(own), to, RequestKind::Directory, request);
        self.asked.insert(number, to);
    }

    /// An answer came, or will not come any more. Gives who was asked, if that waited.
    pub(super) fn answered(&mut self, number: u64) -> Option<Party> {
        self.asked.remove(&number)
    }

    /// Somebody asks.
    pub(super) fn asked(&mut self, number: u64, by: Asker, kind: RequestKind) -> Ticket {
        self.asking.insert(number, (by, kind));
        Ticket(number)
    }

    /// Answers, or says that there is no answer.
    pub(super) fn answer(
        &mut self,
        own: Party,
        ticket: Ticket,
        response: Option<Vec<u8>>,
        world: &mut World,
    ) {
        let Ticket(number) = ticket;
        let Some((by, kind)) = self.asking.remove(&number) else {
            return;
        };
        let to = by.party();
        let bytes = response.as_ref().map_or(0, Vec::len);
        let event = Event::Answer {
            to,
            number,
            response,
        };
        match kind {
            RequestKind::Directory => {
                world.note(own, Kind::SyncAnswered, to, bytes as u64);
                world.send_message(own, to, bytes, event);
            }
            RequestKind::Attach => world.signal(own, to, event),
        }
    }

    /// A client's connection is gone, and its questions with it.
    pub(super) fn forget(&mut self, connection: u64) {
        self.asking.retain(|_, (by, _)| match by {
            Asker::Client(known) => known.number != connection,
            Asker::Node(_) => true,
        });
    }
}
