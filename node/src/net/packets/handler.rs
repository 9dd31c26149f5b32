//! One connection's side of the packet substreams.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use libp2p::StreamProtocol;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol};

/// Most events of one connection that wait for the behaviour before incoming substreams are
/// dropped. The others answer what the behaviour asked, once each.
const MOST_EVENTS: usize = 4;

/// What the behaviour asks of a connection.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Open a substream to send frames on.
    Open,
    /// Whether to keep the connection although nothing is open on it.
    Keep(bool),
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub(crate) enum Tell {
    /// The peer opened a substream to send us frames on.
    Inbound(Stream),
    /// A substream to send frames on is open.
    Outbound(Stream),
    /// It could not be opened.
    OpenFailed(OpenFailure),
}

/// Why a substream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// The peer does not speak the protocol at all.
    Unsupported,
    /// The peer said nothing in time.
    Silent,
    /// Anything else.
    Other,
}

type Event = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Tell>;

/// Negotiates packet substreams on one connection and hands them up. It chooses nothing.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    keep: bool,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Handler {
    pub(super) fn new(protocol: StreamProtocol, keep: bool) -> Self {
        Self {
            protocol,
            keep,
            events: VecDeque::new(),
            waker: None,
        }
    }

    fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Ask;
    type ToBehaviour = Tell;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, ask: Ask) {
        match ask {
            Ask::Open => {
                let protocol = self.listen_protocol();
                self.push(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            Ask::Keep(keep) => {
                self.keep = keep;
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        let tell = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if self.events.len() < MOST_EVENTS => Tell::Inbound(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => Tell::Outbound(protocol),
            ConnectionEvent::DialUpgradeError(error) => Tell::OpenFailed(match error.error {
                StreamUpgradeError::NegotiationFailed => OpenFailure::Unsupported,
                StreamUpgradeError::Timeout => OpenFailure::Silent,
                _ => OpenFailure::Other,
            }),
            _ => return,
        };
        self.push(ConnectionHandlerEvent::NotifyBehaviour(tell));
    }
}
