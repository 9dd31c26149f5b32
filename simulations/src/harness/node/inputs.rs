//! What happens to a node.

use std::sync::Arc;

use shoal_mix::{Origin, Processed, ProcessedKind, RelayInput};
use shoal_packet::Frame;
use shoal_proto::ClientHandle;
use shoal_provider::{ProviderInput, Store, StoreOp};
use shoal_topology::{DirectoryInput, Ticket, Verdict};

use super::actions::{answer, fingerprint, refuse};
use super::{Node, Process};
use crate::harness::Party;
use crate::harness::flow::Flow;
use crate::harness::observe::{Observation, Observer};
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Fate, Job, Lane, World};

impl Node {
    pub(crate) fn neighbour(&mut self, other: Party, there: bool, world: &World) {
        let (Some(process), Some(id)) = (&mut self.process, world.ids.get(other.index())) else {
            return;
        };
        let input = match there {
            true => DirectoryInput::PeerConnected(*id),
            false => DirectoryInput::PeerDisconnected(*id),
        };
        process.directory.handle_input(world.now, input);
    }

    /// Takes a frame that came out of a link; none if it was lost there.
    pub(crate) fn frame(
        &mut self,
        from: Party,
        lane: Lane,
        frame: Option<Frame>,
        world: &mut World,
        observer: &mut Observer,
    ) {
        let Some(frame) = frame else {
            return world.land_frame(from, self.party, lane, Fate::Lost);
        };
        let origin = self
            .process
            .as_ref()
            .and_then(|process| process.origin(from, lane, world));
        let (Some(process), Some(origin)) = (&mut self.process, origin) else {
            return world.land_frame(from, self.party, lane, Fate::Unclaimed);
        };
        world.land_frame(from, self.party, lane, Fate::Received);
        let now = world.now;
        let number = world.flow.arrived(now, self.party, &frame);
        let admitted = process.gate.admit(now, origin, frame);
        let unwrapped = admitted.and_then(|admitted| {
            let outcomes = process.gate.unwrap_batch(now, admitted.into());
            outcomes.into_iter().collect::<Result<Vec<_>, _>>()
        });
        match unwrapped {
            Ok(packets) => {
                for packet in packets {
                    match &packet.kind {
                        ProcessedKind::Forward { frame, .. } => world.flow.goes_on(number, frame),
                        _ => {
                            let node = self.party;
                            world.flow.ends(now, number, Flow::Ended { node });
                        }
                    }
                    if observer.enabled() {
                        process.observe(self.party, from, &packet, observer);
                    }
                    let input = RelayInput::Processed(packet);
                    process.relay.handle_input(now, input);
                }
            }
            Err(reason) => {
                world.flow.ends(now, number, Flow::Lost);
                world.note(self.party, Kind::FrameDropped, from, reason as u64);
            }
        }
    }

    /// Takes a descriptor that came by gossip.
    pub(crate) fn gossip(&mut self, from: Party, bytes: &Arc<[u8]>, world: &mut World) {
        let (Some(process), Some(id)) = (&mut self.process, world.ids.get(from.index())) else {
            return;
        };
        if !process.gossip.insert(fingerprint(bytes)) {
            return;
        }
        let verdict = process.directory.handle_gossip(world.now, id, bytes);
        world.note(self.party, Kind::GossipReceived, from, verdict as u64);
        if verdict == Verdict::Accept {
            self.spread(bytes, Some(from), world);
        }
    }

    /// Takes a question for the directory. Clients get the documents only.
    pub(crate) fn asked(&mut self, from: Party, number: u64, request: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        if world.ids.get(from.index()).is_some() {
            process.asking.insert(number, from);
            let input = DirectoryInput::SyncRequest {
                from: Ticket(number),
                request,
            };
            process.directory.handle_input(world.now, input);
        } else {
            let response = process.directory.client_response(world.now);
            answer(self.party, from, number, response, world);
        }
    }

    pub(crate) fn answered(&mut self, number: u64, response: Option<Vec<u8>>, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(other) = process.asked.remove(&number) else {
            return;
        };
        let Some(from) = world.ids.get(other.index()).copied() else {
            return;
        };
        let input = match response {
            Some(response) => DirectoryInput::SyncResponse { from, response },
            None => {
                world.note(self.party, Kind::SyncFailed, other, 0);
                DirectoryInput::SyncFailed { from }
            }
        };
        process.directory.handle_input(world.now, input);
    }

    /// The disk has done a job.
    pub(crate) fn written(&mut self, incarnation: u64, job: Job, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.incarnation != incarnation {
            return;
        }
        let now = world.now;
        match job {
            Job::Tags => {
                let mut upto = 0;
                for (sequence, epoch, tag) in process.tags.end() {
                    self.disk.write_tag(epoch, tag);
                    upto = sequence;
                }
                world.note_own(self.party, Kind::TagsDurable, upto);
                process
                    .relay
                    .handle_input(now, RelayInput::TagsDurable { upto });
            }
            Job::Store => {
                let (tickets, ops): (Vec<u64>, Vec<StoreOp>) =
                    process.store.end().into_iter().unzip();
                let results = self.disk.store.apply(now, ops);
                world.note_own(self.party, Kind::StoreDone, results.len() as u64);
                let Some(provider) = &mut process.provider else {
                    return;
                };
                for (ticket, result) in tickets.into_iter().zip(results) {
                    provider.handle_input(now, ProviderInput::StoreDone { ticket, result });
                }
            }
            Job::Rows => {}
        }
    }

    /// A client asks to be attached.
    pub(crate) fn attach(&mut self, connection: Connection, profile: String, world: &mut World) {
        if let Some(process) = &mut self.process
            && let Some(provider) = &mut process.provider
        {
            let handle = connection.handle;
            process.clients.insert(handle, connection);
            provider.handle_input(world.now, ProviderInput::Attached { handle, profile });
        } else {
            refuse(self.party, connection, world);
        }
    }

    /// A client's connection is gone.
    pub(crate) fn detached(&mut self, connection: &Connection, world: &World) {
        let Some(process) = &mut self.process else {
            return;
        };
        let handle = connection.handle;
        if process
            .clients
            .get(&handle)
            .is_some_and(|known| known.number == connection.number)
        {
            process.clients.remove(&handle);
            if let Some(provider) = &mut process.provider {
                provider.handle_input(world.now, ProviderInput::Detached { handle });
            }
        }
    }
}

impl Process {
    /// Who a frame comes from, if it is on a connection that still stands.
    fn origin(&self, from: Party, lane: Lane, world: &World) -> Option<Origin> {
        match lane {
            Lane::Members(incarnation) => {
                let id = world.ids.get(from.index())?;
                (incarnation == self.incarnation).then_some(Origin::Member(*id))
            }
            Lane::Uplink(number) => {
                let connection = self.clients.values().find(|known| known.number == number)?;
                Some(Origin::Client(connection.handle))
            }
            Lane::Downlink(_) => None,
        }
    }

    /// Notes what the entry can see of a packet for one of its clients.
    fn observe(&self, entry: Party, from: Party, packet: &Processed, observer: &mut Observer) {
        let ProcessedKind::Final(hop) = &packet.kind else {
            return;
        };
        let known = self
            .clients
            .contains_key(&ClientHandle::new(hop.destination));
        if known || hop.plaintext.is_none() {
            observer.saw(Observation {
                entry,
                from,
                arrival: packet.arrival,
                epoch_byte: packet.epoch.byte(),
                destination: hop.destination,
                id: hop.id,
                payload: hop.payload.clone(),
                readable: hop.plaintext.is_some(),
                truth: None,
            });
        }
    }
}
