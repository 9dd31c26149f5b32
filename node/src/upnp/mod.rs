//! Has the router of a home network forward the node's ports to this machine, for as long as the node runs (UPnP,
//! Internet Gateway Device; by the crate `rupnp`).
//!
//! All of it is on a thread of its own, which ends nothing and holds nothing up: each wait has an end. What answers as a
//! router may be any machine of the home network. So it is asked only where such machines are, its answers are cut off at
//! [`pipe::ANSWER_MOST`], nothing but numbers and an address is taken from them, and the thread's stack has room for what
//! `rupnp` makes of the worst that fits into one.

mod error;
mod gateway;
mod keeper;
mod pipe;
mod ports;
mod search;
#[cfg(test)]
mod tests;
mod told;

use std::io;
use std::time::Duration;

use libp2p::Multiaddr;
use shoal_topology::Address;
use tokio::sync::{oneshot, watch};

use self::gateway::Location;
use self::keeper::{Keeper, Terms};
use self::ports::{Port, ports_of};
pub(crate) use self::told::Told;

/// `rupnp` goes down into a description by recursion, some 4 kB for each level (debug builds), of which an answer has
/// room for 1100.
const STACK: usize = 16 << 20;
/// How much longer than its own deadline the thread is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The thread that asks the router.
pub(crate) struct Forwarding {
    told: watch::Receiver<Told>,
    stop: oneshot::Sender<()>,
    /// Nothing is ever sent: it closes when the thread has ended.
    ended: oneshot::Receiver<()>,
    leave: Duration,
}

impl Forwarding {
    /// Asks for the ports of these listeners from now on. `advertised` says where others dial the node, each time that
    /// it is looked whether the router leads there.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(
        listen: &[Multiaddr],
        advertised: impl Fn() -> Vec<Address> + Send + 'static,
    ) -> io::Result<Self> {
        let terms = Terms::default();
        Self::with(ports_of(listen), search::search, terms, advertised)
    }

    fn with(
        ports: Vec<Port>,
        find: impl AsyncFn() -> Vec<Location> + Send + 'static,
        terms: Terms,
        advertised: impl Fn() -> Vec<Address> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = watch::channel(Told::default());
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let leave = terms.leave;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("upnp".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let keeper = Keeper::new(ports, find, terms);
                runtime.block_on(keeper.keep(advertised, &tell, stopped));
                drop(end);
            })?;
        Ok(Self {
            told,
            stop,
            ended,
            leave,
        })
    }

    /// What has come of it, as it changes.
    pub(crate) fn told(&self) -> watch::Receiver<Told> {
        self.told.clone()
    }

    /// Has the router forward nothing any more, and waits until that is done or takes too long.
    pub(crate) async fn stop(self) {
        // A thread that has ended by itself is not asked.
        let _ = self.stop.send(());
        let ended = tokio::time::timeout(self.leave + GRACE, self.ended);
        if ended.await.is_err() {
            tracing::warn!("what asks the router did not end in time");
        }
    }
}
