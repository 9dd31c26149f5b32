//! Incoming connections until their handshake is over. Anybody can open one and then be silent, so their
//! places are shared out: see [`Places`].

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent,
};
use libp2p::{Multiaddr, PeerId};

use super::address::ip_of;
use super::places::Places;
use super::stats::{Stats, count, count_less};

/// What comes out of a handshake.
pub(super) type Secured = (PeerId, StreamMuxerBox);

/// A transport whose incoming connections have a place each until their handshake is over. The one that
/// gives way is closed.
pub(super) struct Handshakes {
    inner: Boxed<Secured>,
    waiting: Arc<Waiting>,
}

struct Waiting {
    places: Mutex<Places<u64, AbortHandle>>,
    stats: Arc<Stats>,
}

/// Gives the place back when the handshake is over or given up.
struct Place {
    number: u64,
    waiting: Arc<Waiting>,
}

impl Handshakes {
    /// With so many places.
    pub(super) fn new(inner: Boxed<Secured>, most: usize, stats: Arc<Stats>) -> Self {
        let waiting = Waiting {
            places: Mutex::new(Places::new(most)),
            stats,
        };
        Self {
            inner,
            waiting: Arc::new(waiting),
        }
    }
}

impl Waiting {
    fn enter(self: &Arc<Self>, from: IpAddr, cut: AbortHandle) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let number = places.next();
        count(&self.stats.handshaking);
        if let Some((_, cut)) = places.enter(number, from, cut) {
            cut.abort();
            count(&self.stats.handshakes_crowded);
            count_less(&self.stats.handshaking);
        }
        let waiting = Arc::clone(self);
        Place { number, waiting }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = self.waiting.places.lock();
        let mut places = places.unwrap_or_else(PoisonError::into_inner);
        if places.leave(&self.number).is_some() {
            count_less(&self.waiting.stats.handshaking);
        }
    }
}

impl Transport for Handshakes {
    type Output = Secured;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Secured>>;
    type Dial = BoxFuture<'static, io::Result<Secured>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = Pin::new(&mut self.inner).poll(cx);
        event.map(|event| match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => {
                let (cut, registration) = AbortHandle::new_pair();
                let place = self.waiting.enter(ip_of(&send_back_addr), cut);
                let upgrade = Abortable::new(upgrade, registration);
                let upgrade = async move {
                    let secured = upgrade.await;
                    drop(place);
                    secured.unwrap_or_else(|Aborted| {
                        Err(io::Error::other("gave way to another connection"))
                    })
                };
                TransportEvent::Incoming {
                    listener_id,
                    upgrade: upgrade.boxed(),
                    local_addr,
                    send_back_addr,
                }
            }
            other => other,
        })
    }
}
