//! Asking members whether they are still there, and what follows if they are not; and of which network they
//! are, if they can't be spoken to.

use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::Driver;
use crate::net::clock::now;
use crate::net::id::{node_of, peer_of};
use crate::net::stats::count;
use crate::net::transport::{dialable, tcp_socket};

impl Driver {
    /// Asks the linked members whose turn it is.
    pub(super) fn ask_whether_alive(&mut self, now: Instant) {
        let protocols = self.swarm.behaviour_mut();
        let Some(alive) = protocols.alive.as_mut() else {
            return;
        };
        let linked = self.links.written_to();
        let linked: Vec<NodeId> = linked
            .filter(|node| protocols.packets.is_kept(node))
            .collect();
        for node in self.alive.due(now, &linked) {
            if let Some(peer) = peer_of(&node) {
                let id = alive.send_request(&peer, Vec::new());
                self.alive.asked(now, id, (node, self.links.written(&node)));
            }
        }
        for node in self.alive.late(now) {
            if let Some(connection) = self.links.connection(&node) {
                self.dead(node, connection);
            }
        }
    }

    pub(super) fn alive_event(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                connection_id,
                message,
            } => match message {
                request_response::Message::Request { channel, .. } => {
                    let asks = node_of(&peer);
                    if asks.is_some_and(|node| self.alive.answers(now(), &node))
                        && let Some(alive) = self.swarm.behaviour_mut().alive.as_mut()
                    {
                        // Who asked may be gone.
                        let _ = alive.send_response(channel, Vec::new());
                    }
                }
                request_response::Message::Response { request_id, .. } => {
                    if let Some((node, written)) = self.alive.answered(request_id, connection_id) {
                        self.links.arrived(&node, connection_id, written);
                    }
                }
            },
            request_response::Event::OutboundFailure {
                request_id,
                connection_id,
                error,
                ..
            } => {
                let timeout = matches!(error, OutboundFailure::Timeout);
                let dead = self.alive.failed(request_id, connection_id, timeout);
                if let Some(node) = dead {
                    self.dead(node, connection_id);
                }
            }
            _ => {}
        }
    }

    /// A member could not be spoken to: it may be of another network.
    pub(super) fn ask_network(&mut self, node: NodeId) {
        let Some(asking) = self.asking.as_mut().filter(|_| self.stopping.is_none()) else {
            return;
        };
        let Some(peer) = peer_of(&node) else { return };
        let most = self.shared.limits.addresses_per_peer;
        let addresses = dialable(self.dialer.addresses(&node), &peer, self.reach, most);
        if let Some(address) = addresses.iter().find_map(tcp_socket) {
            asking.ask(now(), node, address);
        }
    }

    /// Nothing comes from the member on this connection any more: it is closed, and the member is
    /// dialled at once wherever else it may be.
    fn dead(&mut self, node: NodeId, connection: ConnectionId) {
        let Some(peer) = peer_of(&node) else { return };
        if !self.swarm.close_connection(connection) {
            return;
        }
        count(&self.stats().dead_closed);
        self.packets().closing(peer, connection);
        self.links.dead(&node, connection);
        if self.stopping.is_some() {
            return;
        }
        let addresses = self.dialer.beside(now(), &node);
        let most = self.shared.limits.addresses_per_peer;
        let addresses = dialable(&addresses, &peer, self.reach, most);
        if addresses.is_empty() {
            return;
        }
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::NotDialing)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        // If it fails, the member is dialled again as ever once the connection is closed.
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(%error, "not dialled beside a dead connection");
        }
    }
}
