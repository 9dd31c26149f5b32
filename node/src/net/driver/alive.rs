//! Asking members whether they are still there, and what follows if they are not; and of which network they
//! are, if they can't be spoken to.

use libp2p::PeerId;
use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use shoal_proto::NodeId;
use tokio::time::Instant;

use super::Driver;
use crate::net::alive::PATIENCE;
use crate::net::clock::now;
use crate::net::id::{node_of, peer_of};
use crate::net::links::Links;
use crate::net::metered::Hearing;
use crate::net::packets;
use crate::net::stats::count;
use crate::net::transport::{dialable, tcp_socket};

/// Whether anything has come from a member on this connection within [`PATIENCE`]. On its only one all bytes
/// come that it sends; of several, those of packets tell.
fn hears(
    now: Instant,
    (links, hearing, packets): (&Links, &Hearing, &packets::Behaviour),
    node: &NodeId,
    connection: ConnectionId,
) -> bool {
    let alone = peer_of(node).filter(|peer| packets.connections(peer) == 1);
    alone.is_some_and(|peer| hearing.hears(&peer, now, PATIENCE))
        || links.hears(node, connection, (now, PATIENCE))
}

impl Driver {
    /// No substream could be opened on this connection, because nothing came in time. Nothing is written on
    /// it, so nobody else would find out that it is dead.
    pub(super) fn open_silent(&mut self, node: NodeId, connection: ConnectionId) {
        let now = now();
        let packets = &self.swarm.behaviour().packets;
        let hears = hears(
            now,
            (&self.links, &self.hearing, packets),
            &node,
            connection,
        );
        if !hears && packets.is_kept(&node) {
            self.dead(node, connection);
        }
    }

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
            if let (Some(peer), Some(written)) = (peer_of(&node), self.links.written(&node)) {
                let alone = protocols.packets.connections(&peer) == 1;
                let id = alive.send_request(&peer, Vec::new());
                self.alive.asked(now, id, (node, written, alone));
            }
        }
        let (links, hearing) = (&self.links, &self.hearing);
        let packets = &self.swarm.behaviour().packets;
        let hears = |node: &NodeId, on| hears(now, (links, hearing, packets), node, on);
        for (node, connection) in self.alive.late(now, hears) {
            self.dead(node, connection);
        }
    }

    pub(super) fn alive_event(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                connection_id,
                message,
            } => {
                if let Some(node) = node_of(&peer) {
                    self.alive.heard(now(), &node, connection_id);
                }
                self.alive_message(&peer, connection_id, message);
            }
            request_response::Event::OutboundFailure {
                request_id,
                connection_id,
                error,
                ..
            } => {
                let (now, links, hearing) = (now(), &self.links, &self.hearing);
                let packets = &self.swarm.behaviour().packets;
                let timeout = matches!(error, OutboundFailure::Timeout);
                let hears = |node: &NodeId, on| hears(now, (links, hearing, packets), node, on);
                let dead = self
                    .alive
                    .failed(now, request_id, connection_id, timeout, hears);
                if let Some(node) = dead {
                    self.dead(node, connection_id);
                }
            }
            _ => {}
        }
    }

    fn alive_message(
        &mut self,
        peer: &PeerId,
        connection: ConnectionId,
        message: request_response::Message<Vec<u8>, Vec<u8>>,
    ) {
        match message {
            request_response::Message::Request { channel, .. } => {
                if let Some(node) = node_of(peer)
                    && self.alive.answers(now(), &node)
                    && let Some(alive) = self.swarm.behaviour_mut().alive.as_mut()
                {
                    // Who asked may be gone.
                    let _ = alive.send_response(channel, Vec::new());
                }
            }
            request_response::Message::Response { request_id, .. } => {
                if let Some((node, written)) = self.alive.answered(request_id) {
                    self.links.arrived(&node, connection, written);
                }
            }
        }
    }

    /// A member could not be spoken to: it may be of another network.
    pub(super) fn ask_network(&mut self, node: NodeId) {
        let Some(asking) = self.asking.as_mut().filter(|_| self.stopping.is_none()) else {
            return;
        };
        let Some(peer) = peer_of(&node) else { return };
        let now = now();
        if !asking.may(now, &node) {
            return;
        }
        let most = self.shared.limits.addresses_per_peer;
        let addresses = dialable(self.dialer.addresses(&node), &peer, self.reach, most);
        let mut sockets = addresses.iter().filter_map(tcp_socket);
        if let Some(address) = sockets.find(|at| self.dialer.may_ask(now, &node, at.ip())) {
            asking.ask(now, node, address);
        }
    }

    /// Nothing comes from the member on this connection any more: it is closed, and the member is
    /// dialled wherever else it may be, at once by one of the two.
    fn dead(&mut self, node: NodeId, connection: ConnectionId) {
        let Some(peer) = peer_of(&node) else { return };
        if !self.swarm.close_connection(connection) {
            return;
        }
        count(&self.stats().dead_closed);
        self.packets().closing(peer, connection);
        self.links.dead(&node, connection);
        self.dialer.dead(now(), &node);
    }

    /// Dials members beside their connections that are dead.
    pub(super) fn dial_beside(&mut self, now: Instant) {
        let most = self.shared.limits.addresses_per_peer;
        let packets = &self.swarm.behaviour().packets;
        let beside = self.dialer.beside(now, |node| {
            peer_of(node).is_some_and(|peer| packets.has_usable(&peer))
        });
        for (node, addresses) in beside {
            let Some(peer) = peer_of(&node) else { continue };
            let addresses = dialable(&addresses, &peer, self.reach, most);
            if addresses.is_empty() {
                continue;
            }
            let condition = match self.dialer.has_moved(&node) {
                true => PeerCondition::Always,
                false => PeerCondition::NotDialing,
            };
            let options = DialOpts::peer_id(peer)
                .condition(condition)
                .addresses(addresses)
                .allocate_new_port()
                .build();
            // If it fails, the member is dialled again as ever once the connection is closed.
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%error, "not dialled beside a dead connection");
            }
        }
    }
}
