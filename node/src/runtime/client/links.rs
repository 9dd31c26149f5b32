//! A session's connections: each with an identity, sockets and an address of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_packet::Frame;
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_roles::client::{ConnectionId, Opening, SessionInput};
use shoal_topology::{NetworkParameters, Reach};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::net::{FrameSink, Names, NetError, NetEvent, NetHandle, multiaddr, spawn};
use crate::runtime::dialling;

/// How long connections may take to close in good order.
const CLOSE_PATIENCE: Duration = Duration::from_secs(4);

/// The connections that are open or being made.
pub(super) struct Links {
    names: Names,
    reach: Reach,
    inputs: mpsc::Sender<SessionInput>,
    open: BTreeMap<ConnectionId, Link>,
    /// Tasks that carry what happens on connections, until these are closed.
    tasks: JoinSet<()>,
}

struct Link {
    to: NodeId,
    net: NetHandle,
}

impl Links {
    /// No connections yet. What happens on them comes out of `inputs`.
    pub(super) fn new(
        params: &NetworkParameters,
        names: Names,
        inputs: mpsc::Sender<SessionInput>,
    ) -> Self {
        Self {
            names,
            reach: params.reach(),
            inputs,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When networking can't start; the connection is closed then.
    pub(super) fn open(&mut self, opening: Opening) -> Result<(), NetError> {
        let Opening {
            connection,
            secret,
            to,
            addresses,
            packets,
        } = opening;
        let sink = FrameChannel {
            connection,
            from: packets.then_some(to),
            inputs: self.inputs.clone(),
        };
        let config = dialling(self.names, self.reach, secret);
        let (net, events) = spawn(config, Arc::new(sink))?;
        if packets {
            net.set_packet_peers([to].into());
        }
        net.dial(to, addresses.iter().map(multiaddr).collect());
        self.open.insert(connection, Link { to, net });
        self.tasks
            .spawn(carry(connection, events, self.inputs.clone()));
        while self.tasks.try_join_next().is_some() {}
        Ok(())
    }

    /// Asks the other end. False if that can't be.
    pub(super) fn request(
        &self,
        connection: ConnectionId,
        kind: RequestKind,
        bytes: Vec<u8>,
    ) -> bool {
        let link = self.open.get(&connection);
        link.is_some_and(|link| link.net.request(link.to, kind, bytes).is_ok())
    }

    /// Puts a frame on the link. False if it finds no room.
    pub(super) fn send(&self, connection: ConnectionId, frame: Frame) -> bool {
        let link = self.open.get(&connection);
        link.is_some_and(|link| link.net.try_send(&link.to, frame).is_ok())
    }

    /// Closes a connection in good order.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        if let Some(link) = self.open.remove(&connection) {
            link.net.shutdown();
        }
    }

    /// Closes all, and waits until they are, or for so long. What does not close in time is closed
    /// with the sockets.
    pub(super) async fn finish(mut self) {
        for link in std::mem::take(&mut self.open).into_values() {
            link.net.shutdown();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_PATIENCE, all).await;
    }
}

/// Carries what happens on one connection, until it is closed.
async fn carry(
    connection: ConnectionId,
    mut events: mpsc::Receiver<NetEvent>,
    inputs: mpsc::Sender<SessionInput>,
) {
    while let Some(event) = events.recv().await {
        let input = match event {
            NetEvent::Connected { .. } => SessionInput::Connected(connection),
            NetEvent::PacketLinkUp { .. } => SessionInput::LinkUp(connection),
            NetEvent::PacketLinkDown { .. } => SessionInput::LinkDown(connection),
            NetEvent::Disconnected { .. } | NetEvent::DialFailed { .. } => {
                SessionInput::Closed(connection)
            }
            NetEvent::Response { bytes, .. } => SessionInput::Response { connection, bytes },
            NetEvent::RequestFailed { .. } => SessionInput::RequestFailed(connection),
            _ => continue,
        };
        // The loop is gone while the daemon stops.
        let _ = inputs.send(input).await;
    }
    let _ = inputs.send(SessionInput::Closed(connection)).await;
}

/// Takes frames from the entry and from nobody else. When the loop is far behind, frames are lost
/// as on any link.
struct FrameChannel {
    connection: ConnectionId,
    from: Option<NodeId>,
    inputs: mpsc::Sender<SessionInput>,
}

impl FrameSink for FrameChannel {
    fn frame(&self, from: NodeId, frame: Frame) {
        let connection = self.connection;
        let input = SessionInput::Frame { connection, frame };
        if self.from == Some(from) && self.inputs.try_send(input).is_err() {
            tracing::warn!("frames from the entry come faster than they are processed");
        }
    }

    fn malformed(&self, _from: NodeId) {}
}
