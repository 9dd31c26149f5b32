//! How a client's host gets documents and a connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;
use shoal_client::ClientInput;
use shoal_proto::{ClientHandle, Span};
use shoal_topology::{View, adopt_documents};

use super::{ClientHost, Fetch, Process};
use crate::harness::Party;
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Event, World};

/// How often a host looks whether it should fetch documents or attach.
pub(super) const HOUSEKEEPING: Span = Span::from_secs(1);
/// How long it waits for answers.
const PATIENCE: Span = Span::from_secs(5);
/// How many nodes it asks for documents.
pub(super) const ASKED: usize = 3;

impl ClientHost {
    /// Attaches, now and whenever the connection is gone; or detaches.
    pub(crate) fn set_online(&mut self, online: bool, world: &mut World) {
        self.online = online;
        if online {
            return self.housekeep(world);
        }
        let Some(process) = &mut self.process else {
            return;
        };
        if let Some((attaching, _)) = process.attaching.take() {
            hang_up(self.party, attaching, world);
        }
        if let Some(connection) = process.connection.take() {
            hang_up(self.party, connection, world);
            world.note(self.party, Kind::Detached, connection.entry, 0);
            process
                .client
                .handle_input(world.now, ClientInput::Detached);
        }
    }

    /// Time to look whether documents or a connection are missing.
    pub(crate) fn housekeeping(&mut self, incarnation: u64, world: &mut World) {
        if self
            .process
            .as_ref()
            .is_some_and(|process| process.incarnation == incarnation)
        {
            self.housekeep(world);
            world.after(
                HOUSEKEEPING,
                Event::Housekeeping {
                    party: self.party,
                    incarnation,
                },
            );
        }
    }

    pub(super) fn housekeep(&mut self, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        if !self.online {
            return;
        }
        if process
            .fetch
            .as_ref()
            .is_some_and(|fetch| world.now >= fetch.until)
        {
            process.adopt(world, self.party);
        }
        if process.fetch.is_none() && world.now >= process.next_fetch {
            self.fetch(world);
        }
        let Some(process) = &mut self.process else {
            return;
        };
        if process
            .attaching
            .is_some_and(|(_, until)| world.now >= until)
            && let Some((given_up, _)) = process.attaching.take()
        {
            hang_up(self.party, given_up, world);
        }
        if process.connection.is_none() && process.attaching.is_none() && process.ready(world) {
            self.attach(world);
        }
    }

    /// Documents are fetched whole and on a schedule, whatever is missing.
    pub(super) fn fetch(&mut self, world: &mut World) {
        let mut waiting = BTreeSet::new();
        for source in &self.sources {
            let number = world.number();
            waiting.insert(number);
            world.note(self.party, Kind::SyncAsked, *source, 0);
            let (from, to) = (self.party, *source);
            let event = Event::Ask {
                from,
                to,
                number,
                request: Vec::new(),
            };
            world.send_message(from, to, 0, event);
        }
        if let Some(process) = &mut self.process {
            let until = world.now + PATIENCE;
            process.fetch = Some(Fetch {
                waiting,
                answers: Vec::new(),
                until,
            });
        }
    }

    pub(crate) fn answered(&mut self, number: u64, response: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(fetch) = &mut process.fetch else {
            return;
        };
        if fetch.waiting.remove(&number) {
            fetch.answers.push((world.now, response));
            if fetch.waiting.is_empty() {
                process.adopt(world, self.party);
                self.housekeep(world);
            }
        }
    }

    pub(super) fn attach(&mut self, world: &mut World) {
        self.connections += 1;
        let mut handle = [0; ClientHandle::BYTES];
        world
            .generator("handle", u64::from(self.party.0), self.connections)
            .fill_bytes(&mut handle);
        let connection = Connection {
            number: world.number(),
            client: self.party,
            entry: self.entry,
            handle: ClientHandle::new(handle),
        };
        let Some(process) = &mut self.process else {
            return;
        };
        process.attaching = Some((connection, world.now + PATIENCE));
        let event = Event::Attach {
            connection,
            profile: self.config.profile.clone(),
        };
        world.signal(self.party, self.entry, event);
    }

    pub(crate) fn attach_answered(
        &mut self,
        connection: &Connection,
        accepted: bool,
        world: &mut World,
    ) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process
            .attaching
            .is_none_or(|(attaching, _)| attaching != *connection)
        {
            return;
        }
        process.attaching = None;
        if !accepted {
            return;
        }
        process.connection = Some(*connection);
        world.note(self.party, Kind::Attached, connection.entry, 0);
        let (entry, handle) = (world.ids.get(connection.entry.index()), connection.handle);
        if let Some(entry) = entry.copied() {
            process
                .client
                .handle_input(world.now, ClientInput::Attached { entry, handle });
        }
    }

    /// The entry is gone.
    pub(crate) fn gone(&mut self, connection: &Connection, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process
            .attaching
            .is_some_and(|(attaching, _)| attaching == *connection)
        {
            process.attaching = None;
        }
        if process.connection == Some(*connection) {
            process.connection = None;
            world.note(self.party, Kind::Detached, connection.entry, 0);
            process
                .client
                .handle_input(world.now, ClientInput::Detached);
        }
    }
}

impl Process {
    /// Whether a document is in force.
    fn ready(&self, world: &World) -> bool {
        let current = |view: &Arc<View>| view.current(&world.params, world.now).is_some();
        self.view.as_ref().is_some_and(current)
    }

    /// Takes what the answers agree on.
    fn adopt(&mut self, world: &mut World, party: Party) {
        let Some(fetch) = self.fetch.take() else {
            return;
        };
        self.next_fetch = world.now + HOUSEKEEPING;
        let Ok(adopted) = adopt_documents(&world.params, &fetch.answers, world.now) else {
            return;
        };
        self.next_fetch = world.now + world.params.epoch.scale(1, 10).max(HOUSEKEEPING);
        let newest = adopted
            .documents
            .keys()
            .next_back()
            .map_or(0, |epoch| epoch.number());
        world.note_own(party, Kind::View, newest);
        let view = adopted.view();
        self.view = Some(Arc::clone(&view));
        self.client.handle_input(world.now, ClientInput::View(view));
    }
}

pub(super) fn hang_up(party: Party, connection: Connection, world: &mut World) {
    let entry = connection.entry;
    world.signal(
        party,
        entry,
        Event::Gone {
            party: entry,
            connection,
        },
    );
}
