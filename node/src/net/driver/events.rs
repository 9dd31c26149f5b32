//! What the swarm and the packet links say.

use libp2p::core::ConnectedPoint;
use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, gossipsub};

use super::Driver;
use super::commands::dial_failure;
use crate::net::address::ip_of;
use crate::net::clock::now;
use crate::net::error::RequestFailure;
use crate::net::event::{Channel, GossipToken, NetEvent};
use crate::net::id::{node_of, peer_of};
use crate::net::links::Ended;
use crate::net::packets;
use crate::net::place::Place;
use crate::net::standing;
use crate::net::stats::{count, count_many};
use crate::net::transport::ProtocolsEvent;
use crate::net::way::Way;
use shoal_roles::RequestKind;

type Requests = request_response::Event<Vec<u8>, Vec<u8>>;

impl Driver {
    pub(super) fn link_ended(&mut self, ended: Ended) {
        let node = ended.node;
        if let Some(connection) = ended.stalled {
            self.swarm.close_connection(connection);
            if let Some(peer) = peer_of(&node) {
                self.packets().closing(peer, connection);
            }
        }
        let link = ended.link;
        let reopening =
            peer_of(&node).is_some_and(|peer| self.packets().link_ended(peer, link, now()));
        if reopening {
            self.links.keep_ring(ended);
        } else {
            self.links.drop_ring(ended);
        }
        self.say(NetEvent::PacketLinkDown { peer: node });
    }

    pub(super) fn swarm_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Packets(event)) => self.packets_event(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Directory(event)) => {
                self.requests_event(RequestKind::Directory, event);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Attach(event)) => {
                self.requests_event(RequestKind::Attach, event);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Alive(event)) => self.alive_event(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Gossip(event)) => self.gossip_event(event),
            SwarmEvent::NewListenAddr { address, .. } => self.say(NetEvent::Listening(address)),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                self.met(&peer_id, connection_id, &endpoint);
                if let (Some(node), true) = (node_of(&peer_id), endpoint.is_dialer()) {
                    let ip = ip_of(endpoint.get_remote_address());
                    self.dialer.found(&node, ip);
                }
                if num_established.get() == 1 {
                    if let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() {
                        standing::met(gossip, &peer_id);
                    }
                    self.connected(&peer_id, &endpoint);
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                self.strangers.gone(connection_id);
                self.count_strangers();
                if num_established == 0 {
                    self.disconnected(&peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%error, "dial failed");
                match (node_of(&peer), self.swarm.is_connected(&peer)) {
                    (Some(node), true) => self.dialer.beside_failed(&node),
                    (Some(node), false) => {
                        self.dial_failed(node, dial_failure(&error));
                        self.ask_network(node);
                    }
                    (None, _) => {}
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "incoming connection failed");
                count(&self.stats().incoming_failed);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            } => {
                tracing::error!(%error, "a listener closed");
            }
            _ => {}
        }
    }

    /// Gives a peer that has come by itself a place among the strangers, if it is one.
    fn met(&mut self, peer: &PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let (Some(node), true) = (node_of(peer), endpoint.is_listener()) else {
            return;
        };
        let from = ip_of(endpoint.get_remote_address());
        let stranger = !self.packets().keep(&node);
        let crowded = self
            .strangers
            .met(now(), connection, (node, from), stranger);
        count_many(&self.stats().strangers_crowded, crowded.iter().len());
        self.close(crowded);
    }

    fn connected(&mut self, peer: &PeerId, endpoint: &ConnectedPoint) {
        if let Some(peer) = node_of(peer) {
            let ip = ip_of(endpoint.get_remote_address());
            self.dialer.connected(now(), &peer);
            let transport = Way::of(endpoint).transport();
            self.say(NetEvent::Connected {
                peer,
                transport,
                ip,
            });
        }
    }

    fn disconnected(&mut self, peer: &PeerId) {
        let Some(peer) = node_of(peer) else { return };
        if self.links.stop_writing(&peer) {
            self.say(NetEvent::PacketLinkDown { peer });
        }
        self.dialer.disconnected(now(), &peer);
        self.say(NetEvent::Disconnected { peer });
    }

    fn packets_event(&mut self, event: packets::Event) {
        match event {
            packets::Event::Inbound {
                node,
                connection,
                stream,
            } => {
                if self.packets().is_allowed(&node) {
                    self.links.read(node, connection, stream);
                }
            }
            packets::Event::Leave { node, connection } => self.links.leave(&node, connection),
            // Clients are not asked, so nobody knows what of theirs has arrived.
            packets::Event::Replaced { node, connection } => {
                if self.packets().is_kept(&node) {
                    self.links.dead(&node, connection);
                }
            }
            packets::Event::Outbound {
                node,
                link,
                connection,
                stream,
            } => {
                if self.packets().is_allowed(&node) {
                    self.links.write(node, link, connection, stream);
                    self.say(NetEvent::PacketLinkUp { peer: node });
                }
            }
            packets::Event::OpenFailed { node, silent } => {
                self.links.forget_spare(&node);
                if let Some(connection) = silent {
                    self.open_silent(node, connection);
                }
            }
        }
    }

    fn requests_event(&mut self, kind: RequestKind, event: Requests) {
        match event {
            request_response::Event::Message { peer, message, .. } => {
                let Some(from) = node_of(&peer) else { return };
                match message {
                    request_response::Message::Request {
                        request, channel, ..
                    } => {
                        self.strangers.heard(now(), &from);
                        let most = self.shared.limits.waiting_requests;
                        let waiting = self.waiting.entry(kind).or_default();
                        let Some(place) = Place::take(waiting, most) else {
                            return count(&self.stats().unanswered);
                        };
                        let channel = Channel {
                            kind,
                            channel,
                            _place: place,
                        };
                        self.say(NetEvent::Request {
                            from,
                            kind,
                            channel,
                            bytes: request,
                        });
                    }
                    request_response::Message::Response {
                        request_id,
                        response,
                    } => {
                        if let Some(id) = self.asked.remove(&(kind, request_id)) {
                            self.say(NetEvent::Response {
                                from,
                                id,
                                bytes: response,
                            });
                        }
                    }
                }
            }
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                let asked = self.asked.remove(&(kind, request_id));
                if let (Some(id), Some(from)) = (asked, node_of(&peer)) {
                    let why = request_failure(&error);
                    // Over QUIC, those of other networks are connected, and understand nothing.
                    if why == RequestFailure::Unsupported {
                        self.ask_network(from);
                    }
                    self.say(NetEvent::RequestFailed { from, id, why });
                }
            }
            request_response::Event::InboundFailure { error, .. } => {
                tracing::debug!(%error, "a peer's request failed");
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let Some(from) = node_of(&propagation_source) else {
                    return;
                };
                self.strangers.heard(now(), &from);
                let token = GossipToken {
                    id: message_id,
                    source: propagation_source,
                };
                self.say(NetEvent::Gossip {
                    token,
                    from,
                    bytes: message.data,
                });
            }
            gossipsub::Event::Subscribed { .. } => self.say(NetEvent::GossipPeerSubscribed),
            _ => {}
        }
    }
}

fn request_failure(error: &OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::DialFailure => RequestFailure::NotConnected,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::Closed,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(_) => RequestFailure::Malformed,
    }
}
