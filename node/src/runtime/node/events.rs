//! What comes from the network besides packets: connections, gossip, requests, and clients that
//! want to attach.

use prost::Message as _;
use shoal_proto::{ClientHandle, NodeId, Time, wire};
use shoal_provider::{AttachAnswer, ProviderInput};
use shoal_topology::{DirectoryInput, Ticket};

use super::core::Core;
use crate::net::{Channel, NetEvent, RequestKind};
use crate::runtime::announce::Announce;

/// Requests that may wait for the directory's answer.
const MAX_TICKETS: usize = 1024;

/// A client that the provider has not accepted yet.
pub(super) struct Attaching {
    peer: NodeId,
    channel: Channel,
    /// What its profile makes it send, frames per second.
    rate: f64,
}

impl Core {
    pub(super) fn on_net(&mut self, event: NetEvent) {
        let now = self.clock.now();
        match event {
            NetEvent::Listening(address) => {
                tracing::info!(%address, "listening");
                self.announcer.say(&Announce::Listening {
                    address: address.to_string(),
                });
            }
            NetEvent::Connected { peer, .. } => {
                if self.is_node(&peer) {
                    self.directory
                        .handle_input(now, DirectoryInput::PeerConnected(peer));
                }
            }
            NetEvent::Disconnected { peer } => self.on_disconnected(now, peer),
            NetEvent::PacketLinkUp { peer } => {
                self.desk.links.insert(peer);
            }
            NetEvent::PacketLinkDown { peer } => {
                self.desk.links.remove(&peer);
            }
            NetEvent::Gossip { token, from, bytes } => {
                self.desk.next_ticket = self.desk.next_ticket.wrapping_add(1);
                let ticket = Ticket(self.desk.next_ticket);
                self.desk.gossip.insert(ticket, token);
                let input = DirectoryInput::Gossip {
                    from,
                    ticket,
                    bytes,
                };
                self.directory.handle_input(now, input);
            }
            NetEvent::Request {
                from,
                kind,
                channel,
                bytes,
            } => {
                self.on_request(now, from, kind, channel, &bytes);
            }
            NetEvent::Response { from, bytes, .. } => {
                let input = DirectoryInput::SyncResponse {
                    from,
                    response: bytes,
                };
                self.directory.handle_input(now, input);
            }
            NetEvent::RequestFailed { from, .. } => {
                self.directory
                    .handle_input(now, DirectoryInput::SyncFailed { from });
            }
            NetEvent::PublishFailed => {
                self.directory
                    .handle_input(now, DirectoryInput::PublishFailed);
            }
            NetEvent::GossipPeerSubscribed | NetEvent::DialFailed { .. } => {}
        }
    }

    fn is_node(&self, peer: &NodeId) -> bool {
        let documents = &self.directory.view().documents;
        self.params.is_genesis(peer)
            || documents
                .values()
                .any(|document| document.member(peer).is_some())
    }

    fn on_disconnected(&mut self, now: Time, peer: NodeId) {
        self.desk.links.remove(&peer);
        self.directory
            .handle_input(now, DirectoryInput::PeerDisconnected(peer));
        if let Some(handle) = self.attachments.remove(&peer) {
            self.desk.clients.remove(&handle);
            self.detach(now, handle);
            self.allow_packets();
        }
    }

    fn detach(&mut self, now: Time, handle: ClientHandle) {
        if let Some(side) = &mut self.provider {
            side.core
                .handle_input(now, ProviderInput::Detached { handle });
        }
    }

    fn on_request(
        &mut self,
        now: Time,
        from: NodeId,
        kind: RequestKind,
        channel: Channel,
        bytes: &[u8],
    ) {
        match kind {
            RequestKind::Directory => {
                if self.desk.tickets.len() >= MAX_TICKETS {
                    self.desk.tickets.pop_first(); // its asker has waited longest
                }
                self.desk.next_ticket = self.desk.next_ticket.wrapping_add(1);
                let from = Ticket(self.desk.next_ticket);
                self.desk.tickets.insert(from, channel);
                let request = bytes.to_vec();
                self.directory
                    .handle_input(now, DirectoryInput::SyncRequest { from, request });
            }
            RequestKind::Attach => self.on_attach(now, from, channel, bytes),
        }
    }

    fn on_attach(&mut self, now: Time, peer: NodeId, channel: Channel, bytes: &[u8]) {
        use wire::AttachStatus::{Malformed, NotAProvider};
        let Some(side) = &mut self.provider else {
            return self.answer_attach(channel, NotAProvider);
        };
        let request = wire::AttachRequest::decode(bytes).ok();
        let parsed = request.and_then(|request| {
            let handle = ClientHandle::try_from(request.handle.as_slice()).ok()?;
            Some((handle, request.profile))
        });
        let Some((handle, profile)) = parsed else {
            return self.answer_attach(channel, Malformed);
        };
        let taken = self.desk.clients.contains_key(&handle)
            || self.desk.attaching.contains_key(&handle)
            || self.params.is_genesis(&peer);
        if taken {
            return self.answer_attach(channel, Malformed);
        }
        let uplink = self.params.profile(&profile);
        let rate = uplink.map_or(0.0, |p| p.real + p.loops + p.drops + p.mailbox);
        let attaching = Attaching {
            peer,
            channel,
            rate,
        };
        self.desk.attaching.insert(handle, attaching);
        side.core
            .handle_input(now, ProviderInput::Attached { handle, profile });
    }

    pub(super) fn attached(&mut self, handle: ClientHandle, answer: AttachAnswer) {
        use wire::AttachStatus::{Accepted, Full, UnknownProfile};
        let Some(attaching) = self.desk.attaching.remove(&handle) else {
            return;
        };
        let Attaching {
            peer,
            channel,
            rate,
        } = attaching;
        let status = match answer {
            AttachAnswer::Accepted => Accepted,
            AttachAnswer::UnknownProfile => UnknownProfile,
            _ => Full,
        };
        if status == Accepted {
            self.desk.clients.insert(handle, peer);
            let now = self.clock.now();
            if let Some(old) = self.attachments.insert(now, peer, handle, rate) {
                self.desk.clients.remove(&old);
                self.detach(now, old);
            }
            self.allow_packets();
        }
        self.answer_attach(channel, status);
    }

    fn answer_attach(&self, channel: Channel, status: wire::AttachStatus) {
        let now_us = self.clock.now().as_micros();
        let response = wire::AttachResponse {
            status: status.into(),
            now_us,
        };
        self.net.respond(channel, response.encode_to_vec());
    }
}
