//! What the handle asks for.

use libp2p::gossipsub::{MessageAcceptance, PublishError};
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, request_response};
use shoal_proto::NodeId;
use shoal_topology::{Address, Verdict};

use super::Driver;
use crate::net::clock::now;
use crate::net::codec::Codec;
use crate::net::error::{DialFailure, RequestFailure};

use crate::net::event::{Channel, GossipToken, NetEvent, RequestId};
use crate::net::id::peer_of;
use crate::net::shared::Command;
use crate::net::stats::count;
use crate::net::transport::dialable;
use shoal_roles::RequestKind;

impl Driver {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Dial(node, addresses) => self.dial(node, &addresses),
            Command::Disconnect(node) => self.disconnect(&node),
            Command::Publish(bytes) => self.publish(bytes),
            Command::Request {
                to,
                kind,
                id,
                bytes,
            } => self.request(to, kind, id, bytes),
            Command::Respond(channel, bytes) => self.respond(channel, bytes),
            Command::Verdict(token, verdict) => self.verdict(&token, verdict),
            Command::Probe(node, addresses) => self.probe(node, addresses),
        }
    }

    pub(super) fn dial(&mut self, node: NodeId, addresses: &[Multiaddr]) {
        if self.stopping.is_some() {
            return;
        }
        let Some(peer) = peer_of(&node) else {
            return self.dial_failed(node, DialFailure::NoAddress);
        };
        let most = self.shared.limits.addresses_per_peer;
        let addresses = dialable(addresses, &peer, self.reach, most);
        let condition = match self.dialer.has_moved(&node) {
            true => PeerCondition::Disconnected,
            false => PeerCondition::DisconnectedAndNotDialing,
        };
        let options = DialOpts::peer_id(peer)
            .condition(condition)
            .addresses(addresses)
            // From the listening port, two that dial each other at once would both be the
            // dialler of one connection, and fail to agree on anything.
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            Ok(()) => {}
            Err(DialError::DialPeerConditionFalse(_)) => {
                if self.swarm.is_connected(&peer) {
                    self.dialer.connected(now(), &node);
                }
            }
            Err(error) => self.dial_failed(node, dial_failure(&error)),
        }
    }

    fn probe(&mut self, node: NodeId, addresses: Vec<Address>) {
        let said = self.events.clone();
        let prober = self.prober.as_mut().filter(|_| self.stopping.is_none());
        if prober.is_none_or(|prober| !prober.probe(node, addresses, said)) {
            count(&self.stats().dropped);
        }
    }

    pub(super) fn dial_failed(&mut self, node: NodeId, why: DialFailure) {
        count(&self.stats().failed);
        self.dialer.failed(now(), &node);
        self.say(NetEvent::DialFailed { peer: node, why });
    }

    pub(super) fn disconnect(&mut self, node: &NodeId) {
        if let Some(peer) = peer_of(node) {
            // Fails only for who is not connected.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn publish(&mut self, bytes: Vec<u8>) {
        let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() else {
            return self.say(NetEvent::PublishFailed);
        };
        match gossip.publish(self.topic.clone(), bytes) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(error) => {
                tracing::debug!(%error, "gossip not published");
                self.say(NetEvent::PublishFailed);
            }
        }
    }

    fn requests(&mut self, kind: RequestKind) -> &mut request_response::Behaviour<Codec> {
        let protocols = self.swarm.behaviour_mut();
        match kind {
            RequestKind::Directory => &mut protocols.directory,
            RequestKind::Attach => &mut protocols.attach,
        }
    }

    fn request(&mut self, to: NodeId, kind: RequestKind, id: RequestId, bytes: Vec<u8>) {
        let connected = peer_of(&to).filter(|peer| self.swarm.is_connected(peer));
        let Some(peer) = connected else {
            let why = RequestFailure::NotConnected;
            return self.say(NetEvent::RequestFailed { from: to, id, why });
        };
        let asked = self.requests(kind).send_request(&peer, bytes);
        self.asked.insert((kind, asked), id);
    }

    fn respond(&mut self, channel: Channel, bytes: Vec<u8>) {
        let Channel { kind, channel, .. } = channel;
        let most = match kind {
            RequestKind::Directory => self.shared.limits.directory_response_bytes,
            RequestKind::Attach => self.shared.limits.attach_bytes,
        };
        let fits = bytes.len() <= most;
        if !fits || self.requests(kind).send_response(channel, bytes).is_err() {
            count(&self.stats().lost);
        }
    }

    fn verdict(&mut self, token: &GossipToken, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        if let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() {
            gossip.report_message_validation_result(&token.id, &token.source, verdict);
        }
    }
}

pub(super) fn dial_failure(error: &DialError) -> DialFailure {
    match error {
        DialError::NoAddresses | DialError::LocalPeerId { .. } => DialFailure::NoAddress,
        DialError::WrongPeerId { .. } => DialFailure::WrongPeer,
        DialError::Denied { .. } => DialFailure::Limit,
        _ => DialFailure::Unreachable,
    }
}
