//! The daemons: threads, queues and sockets around the roles.
//!
//! [`run_node`] is a mix or a provider, [`run_client`] a client. What comes from outside, signals
//! and standard streams, is an [`Outside`].

mod announce;
mod client;
pub(crate) mod clock;
mod node;
mod stop;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use shoal_roles::RequestKind;
use shoal_topology::{Address, NetworkParameters, Reach};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use announce::{Announce, Announcer};
pub use client::run_client;
pub(crate) use client::{Arrived, Unsent, Wish};
pub use clock::Clock;
pub(crate) use node::check_role;
pub use node::{SUCCESSOR_FILE, run_node};
pub use stop::{Reload, stop_requested};

use crate::Failure;
use crate::config::load_network;
use crate::http::{Exporter, Health, HttpServer, Seen, Snapshot};
use crate::metrics::Page;
use crate::net::{Mode, Names, NetConfig, NetLimits};
use crate::seed::seeded;

/// Where a daemon hears that it should stop, and how it says what happens.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Prints events to standard output.
    pub announcer: Announcer,
    /// Stop when standard input ends: a parent holds the other end of the pipe.
    pub stop_with_stdin: bool,
    /// What SIGHUP does to a daemon without a terminal; nothing if there is none.
    pub reload: Option<Reload>,
    /// Where others dial a node, whenever that changes; as long as there is none, where its configuration says.
    pub addresses: Option<watch::Receiver<Vec<Address>>>,
}

impl Outside {
    fn stop(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        stop::stop_requested(self.stop_with_stdin, self.reload.clone())
    }

    fn stops(&self) -> io::Result<stop::Stops> {
        stop::Stops::new(self.stop_with_stdin, self.reload.clone())
    }
}

fn load_parameters(path: &Path) -> Result<Arc<NetworkParameters>, Failure> {
    load_network(path).map(Arc::new).map_err(Failure::usage)
}

/// Networking of who only dials: a client, or whoever asks a node by hand.
pub(crate) fn dialling(names: Names, reach: Reach, secret: Zeroizing<[u8; 32]>) -> NetConfig {
    NetConfig {
        secret,
        names,
        reach,
        clock: Clock::start(),
        mode: Mode::Client,
        listen: Vec::new(),
        limits: net_limits(),
    }
}

/// Networking's limits, with room for what may be asked and answered.
fn net_limits() -> NetLimits {
    NetLimits {
        directory_request_bytes: RequestKind::Directory.most_asked(),
        directory_response_bytes: RequestKind::Directory.most_answered(),
        attach_bytes: RequestKind::Attach.most_asked(),
        ..NetLimits::default()
    }
}

/// Serves `/metrics` and `/healthz` until the task is aborted. For each answer the daemon's loop is asked
/// for its figures, all of one instant; `export` hands them to the page, `health` says how the daemon is.
async fn serve_metrics<F: Send + 'static>(
    address: SocketAddr,
    figures: mpsc::Sender<oneshot::Sender<F>>,
    export: fn(&F, &mut Page),
    health: fn(&F) -> Health,
) -> Result<JoinHandle<()>, Failure> {
    let snapshot: Snapshot = Arc::new(move || {
        let figures = figures.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            if figures.send(reply).await.is_ok()
                && let Ok(figures) = answer.await
            {
                let mut page = Page::default();
                export(&figures, &mut page);
                return Some(Seen {
                    page: page.render(),
                    health: health(&figures),
                });
            }
            None
        })
    });
    let exporter = Exporter::new(snapshot);
    let server = HttpServer::bind(address, exporter).await.map_err(|error| {
        Failure::failed(anyhow::anyhow!(
            "can't serve metrics on {address}: {error}; set metrics.listen to another port"
        ))
    })?;
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(std::future::pending()).await {
            tracing::error!(%error, "the metrics server ended");
        }
    }))
}
