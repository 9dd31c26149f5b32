//! Message boxes as BRC-33 has them, for programs of that world: the released `@bsv/message-box-client` sends, lists and
//! acknowledges here, on this machine, and what it sends goes across the mixnet to the daemon of the contact that the
//! recipient is.
//!
//! * [`auth`]: who asks, by BRC-103 and BRC-104.
//! * [`db`], [`store`]: boxes, identities and what they map to, on disk.
//! * [`hub`]: what goes where.
//! * [`requests`], [`permissions`], [`server`], [`socket`]: the routes, and the WebSocket.
//! * [`parcel`]: a message on its way.
//! * [`manage`]: what the user asks of it, over the local API.
//!
//! It is served on loopback only, apart from the local API: every page of a browser may ask here, and is believed by its
//! signature. `docs/messagebox.md` says what it protects and what not.

mod auth;
mod date;
mod db;
mod hub;
mod manage;
mod parcel;
mod permissions;
mod requests;
mod server;
mod socket;
mod store;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socketioxide::SocketIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::db::Bounds;
pub(crate) use self::hub::Hub;
pub(crate) use self::manage::Manager;
#[cfg(any(test, fuzzing))]
pub(crate) use self::parcel::read_any;
use crate::control::serve_open;
use crate::runtime::{Arrived, Wish};
use crate::state::{BoxRows, ClientSecrets};
use crate::{Failure, seeded};

/// The message box of a daemon that runs.
pub(crate) struct MessageBox {
    hub: Arc<Hub>,
    /// What takes in, and what hands on.
    tasks: [JoinHandle<()>; 2],
    served: Option<Served>,
}

/// What listens.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    live: SocketIo,
}

impl MessageBox {
    /// Opens the boxes in this directory with the client's secrets, takes in what comes for them, hands on what was taken,
    /// and serves them at this address, if at any. None if they are not to be served, and never were: then there is
    /// nothing to take in either.
    ///
    /// # Errors
    /// What is wrong with the database, or with the address.
    pub(crate) async fn start(
        (dir, secrets): (&Path, &ClientSecrets),
        listen: Option<SocketAddr>,
        wishes: mpsc::Sender<Wish>,
        arrived: mpsc::Receiver<Arrived>,
    ) -> Result<Option<Self>, Failure> {
        if listen.is_none() && !BoxRows::are_in(dir) {
            return Ok(None);
        }
        let listener = match listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let rows = secrets.open_boxes(dir, &mut seeded()?)?;
        let hub = Arc::new(Hub::open(rows, Bounds::default(), wishes)?);
        let served = match listener {
            Some(listener) => Some(Served::start(listener, &hub)?),
            None => None,
        };
        let taking = Arc::clone(&hub);
        let intake = tokio::spawn(async move { taking.take_in(arrived).await });
        let letting = Arc::clone(&hub);
        let outlet = tokio::spawn(async move { letting.let_out().await });
        Ok(Some(Self {
            hub,
            tasks: [intake, outlet],
            served,
        }))
    }

    /// Where it listens, if anywhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.served.as_ref().map(|served| served.address)
    }

    /// What answers the user.
    pub(crate) fn manager(&self) -> Manager {
        Manager::new(Arc::clone(&self.hub), self.address())
    }

    /// Ends what is being answered, and closes the database.
    pub(crate) async fn stop(self) {
        if let Some(served) = self.served {
            served.live.close().await;
            // It may have ended.
            let _ = served.stop.send(());
            let _ = served.serving.await;
        }
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        tokio::task::block_in_place(|| self.hub.close());
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(anyhow::anyhow!(
            "can't serve the message box on {address}: {error}; set messagebox.listen to another port, or to \"none\""
        ))
    })
}

impl Served {
    fn start(listener: TcpListener, hub: &Arc<Hub>) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(Failure::failed)?;
        let (router, live) = server::router(hub);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve_open(listener, router, async {
            // Also if the daemon ends otherwise.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            stop,
            serving,
            live,
        })
    }
}
