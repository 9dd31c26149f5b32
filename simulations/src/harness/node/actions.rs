//! What a node's cores want done.

use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use shoal_mix::{DropReason, OwnKind, RelayAction, RelayInput};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, NodeId, Span};
use shoal_provider::{AttachAnswer, ProviderAction, ProviderInput};
use shoal_topology::{DirectoryAction, DirectoryInput, Ticket, View};

use super::Node;
use crate::harness::Party;
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Event, Lane, World};

/// How long a directory waits for an answer.
const ASK_TIMEOUT: Span = Span::from_secs(5);

impl Node {
    pub(super) fn settle_directory(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(action) = process.directory.poll_action(world.now)
        {
            busy = true;
            match action {
                DirectoryAction::Publish(bytes) => {
                    process.gossip.insert(fingerprint(&bytes));
                    self.spread(&bytes.into(), None, world);
                }
                DirectoryAction::Request { to, request } => self.ask(&to, request, world),
                DirectoryAction::Respond {
                    to: Ticket(number),
                    response,
                } => {
                    if let Some(asker) = process.asking.remove(&number) {
                        answer(self.party, asker, number, response, world);
                    }
                }
                DirectoryAction::View(view) => self.take_view(view, world),
                DirectoryAction::Keys(keys) => process.gate.set_keys(&keys),
                DirectoryAction::Persist(change) => self.disk.change(change),
                DirectoryAction::Warn(_) => world.note_own(self.party, Kind::Reported, 0),
            }
        }
        busy
    }

    pub(super) fn take_view(&mut self, view: Arc<View>, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        let newest = view
            .documents
            .keys()
            .next_back()
            .map_or(0, |epoch| epoch.number());
        world.note_own(self.party, Kind::View, newest);
        process.gate.set_view(Arc::clone(&view));
        process
            .relay
            .handle_input(world.now, RelayInput::View(Arc::clone(&view)));
        if let Some(provider) = &mut process.provider {
            provider.handle_input(world.now, ProviderInput::View(Arc::clone(&view)));
        }
        process.view = view;
    }

    pub(super) fn spread(&self, bytes: &Arc<[u8]>, except: Option<Party>, world: &mut World) {
        for other in self
            .neighbours
            .iter()
            .copied()
            .filter(|other| Some(*other) != except)
        {
            world.note(self.party, Kind::GossipSent, other, 0);
            let event = Event::Gossip {
                from: self.party,
                to: other,
                bytes: Arc::clone(bytes),
            };
            world.send_message(self.party, other, bytes.len(), event);
        }
    }

    pub(super) fn ask(&mut self, to: &NodeId, request: Vec<u8>, world: &mut World) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(other) = world.parties.get(to).copied() else {
            return process
                .directory
                .handle_input(world.now, DirectoryInput::SyncFailed { from: *to });
        };
        let number = world.number();
        process.asked.insert(number, other);
        world.note(self.party, Kind::SyncAsked, other, 0);
        world.after(
            ASK_TIMEOUT,
            Event::AskTimeout {
                party: self.party,
                number,
            },
        );
        let bytes = request.len();
        let event = Event::Ask {
            from: self.party,
            to: other,
            number,
            request,
        };
        world.send_message(self.party, other, bytes, event);
    }

    pub(super) fn settle_relay(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(action) = process.relay.poll_action(world.now)
        {
            busy = true;
            match action {
                RelayAction::Send {
                    to, frame, passage, ..
                } => {
                    if send(self.party, &to, frame, world) {
                        passage.sent();
                    } else {
                        passage.drop_as(DropReason::Unreachable);
                    }
                }
                RelayAction::LogTag {
                    sequence,
                    epoch,
                    tag,
                } => {
                    process.tags.push((sequence, epoch, tag));
                }
                RelayAction::Deliver(delivery) => {
                    world.note_own(self.party, Kind::Delivered, 0);
                    let Some(provider) = &mut process.provider else {
                        continue;
                    };
                    let delivery = shoal_packet::Delivery {
                        destination: delivery.destination,
                        id: delivery.id,
                        payload: delivery.payload,
                        plaintext: delivery.plaintext,
                        epoch: delivery.epoch,
                        arrival: delivery.arrival,
                    };
                    let checked = provider.checker().check(delivery);
                    provider.handle_input(world.now, ProviderInput::Delivered(checked));
                }
                RelayAction::LoopAlarm(_) | RelayAction::LoopRecovered(_) => {
                    world.note_own(self.party, Kind::Alarm, 0);
                }
            }
        }
        busy
    }

    pub(super) fn settle_provider(&mut self, world: &mut World) -> bool {
        let mut busy = false;
        while let Some(process) = &mut self.process
            && let Some(provider) = &mut process.provider
            && let Some(action) = provider.poll_action(world.now)
        {
            busy = true;
            match action {
                ProviderAction::Attach { handle, answer } => {
                    self.answer_attach(&handle, answer, world);
                }
                ProviderAction::ToClient { handle, frame } => {
                    let link = process.clients.get(&handle).copied();
                    match link {
                        Some(connection) => world.send_frame(
                            self.party,
                            connection.client,
                            Lane::Downlink(connection.number),
                            frame,
                        ),
                        None => {
                            provider.handle_input(world.now, ProviderInput::LinkFull { handle })
                        }
                    }
                }
                ProviderAction::Send { to, frame } => {
                    let passage = process.books.originate(OwnKind::Provider);
                    if send(self.party, &to, frame, world) {
                        passage.sent();
                    } else {
                        passage.drop_as(DropReason::Unreachable);
                    }
                }
                ProviderAction::Store { ticket, op } => process.store.push((ticket, op)),
                _ => world.note_own(self.party, Kind::Reported, 1),
            }
        }
        busy
    }

    pub(super) fn answer_attach(
        &mut self,
        handle: &ClientHandle,
        answer: AttachAnswer,
        world: &mut World,
    ) {
        let Some(process) = &mut self.process else {
            return;
        };
        let accepted = answer == AttachAnswer::Accepted;
        let connection = match accepted {
            true => process.clients.get(handle).copied(),
            false => process.clients.remove(handle),
        };
        let Some(connection) = connection else { return };
        if accepted {
            let event = Event::AttachAnswer {
                connection,
                accepted,
            };
            world.signal(self.party, connection.client, event);
        } else {
            refuse(self.party, connection, world);
        }
    }
}

/// Puts a frame on the link to a member; false if it is not there.
pub(super) fn send(from: Party, to: &NodeId, frame: Frame, world: &mut World) -> bool {
    let Some(party) = world.parties.get(to).copied() else {
        return false;
    };
    match world.incarnation(party) {
        Some(incarnation) => {
            world.send_frame(from, party, Lane::Members(incarnation), frame);
            true
        }
        None => {
            world.note(from, Kind::FrameUnreachable, party, 0);
            false
        }
    }
}

pub(super) fn answer(from: Party, to: Party, number: u64, response: Vec<u8>, world: &mut World) {
    world.note(from, Kind::SyncAnswered, to, response.len() as u64);
    let bytes = response.len();
    world.send_message(
        from,
        to,
        bytes,
        Event::Answer {
            to,
            number,
            response,
        },
    );
}

pub(super) fn refuse(party: Party, connection: Connection, world: &mut World) {
    let event = Event::AttachAnswer {
        connection,
        accepted: false,
    };
    world.signal(party, connection.client, event);
}

pub(super) fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    Blake2s256::digest(bytes).into()
}
