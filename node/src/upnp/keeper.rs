//! Asks for the ports again and again, and has them closed in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use shoal_topology::Address;
use tokio::sync::{oneshot, watch};

use super::error::UpnpError;
use super::gateway::{Gateway, Location};
use super::ports::Port;
use super::told::{Asked, Told};

/// For how long a router is asked, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long it forwards a port unless it is asked again, which it is at half of that. In whole seconds.
    pub(super) lease: Duration,
    /// When it is asked again if something is wrong.
    pub(super) again: Duration,
    /// How long one answer may take.
    pub(super) patience: Duration,
    /// How long it may take to close all ports in the end.
    pub(super) leave: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(3600),
            again: Duration::from_secs(300),
            patience: Duration::from_secs(5),
            leave: Duration::from_secs(3),
        }
    }
}

/// Keeps ports open.
pub(super) struct Keeper<F> {
    ports: Vec<Port>,
    /// Looks for routers.
    find: F,
    terms: Terms,
    /// The router that was found.
    gateway: Option<Gateway>,
    /// What it may be forwarding to this machine: whatever it was asked to and has not refused.
    asked: BTreeSet<Port>,
    /// Those that it forwards for always or not at all.
    for_always: BTreeSet<Port>,
}

impl<F: AsyncFn() -> Vec<Location>> Keeper<F> {
    pub(super) const fn new(ports: Vec<Port>, find: F, terms: Terms) -> Self {
        Self {
            ports,
            find,
            terms,
            gateway: None,
            asked: BTreeSet::new(),
            for_always: BTreeSet::new(),
        }
    }

    /// Keeps them open until it is asked to stop, or nobody is left to ask.
    pub(super) async fn keep(
        mut self,
        advertised: impl Fn() -> Vec<Address>,
        tell: &watch::Sender<Told>,
        mut stop: oneshot::Receiver<()>,
    ) {
        loop {
            let asked = tokio::select! {
                _ = &mut stop => break,
                asked = self.ask() => asked,
            };
            let told = Told::of(asked, &self.ports, &advertised());
            let pause = match told.trouble {
                None => self.terms.lease / 2,
                Some(_) => self.terms.again.min(self.terms.lease / 2),
            };
            say(tell, told);
            tokio::select! {
                _ = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.close().await;
    }

    async fn ask(&mut self) -> Result<Asked, UpnpError> {
        if self.ports.is_empty() {
            return Err(UpnpError::NoOutside);
        }
        let gateway = match self.found_again().await {
            Some(gateway) => gateway,
            None => self.find().await?,
        };
        let gateway = self.gateway.insert(gateway);
        let (mut mapped, mut refused) = (Vec::new(), Vec::new());
        for port in &self.ports {
            let is_first = self.asked.insert(*port);
            match map(gateway, port, self.terms.lease, &mut self.for_always).await {
                Ok(()) => mapped.push(*port),
                Err(error) => {
                    // Another machine may have it, which is not ours to close.
                    if is_first && matches!(error, UpnpError::Refused(_)) {
                        self.asked.remove(port);
                    }
                    refused.push((*port, error));
                }
            }
        }
        Ok(Asked {
            outside: gateway.outside,
            mapped,
            refused,
        })
    }

    /// The router of the last time, if it is still there and connected.
    async fn found_again(&self) -> Option<Gateway> {
        let location = self.gateway.as_ref()?.location().clone();
        Gateway::open(location, self.terms.patience).await.ok()
    }

    async fn find(&self) -> Result<Gateway, UpnpError> {
        let mut last = UpnpError::NoRouter;
        for location in (self.find)().await {
            match Gateway::open(location, self.terms.patience).await {
                Ok(gateway) => return Ok(gateway),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Has the router close what it was asked to open.
    async fn close(self) {
        let Some(gateway) = &self.gateway else {
            return;
        };
        let closing = join_all(self.asked.iter().map(|port| gateway.unmap(port)));
        let closed = tokio::time::timeout(self.terms.leave, closing).await;
        if closed.is_ok_and(|closed| closed.iter().all(Result::is_ok)) {
            tracing::info!("the router forwards no port to this node any more");
        } else {
            tracing::warn!(
                "the router may go on forwarding ports to this machine, for an hour, or for always if it knows no \
                 other way: if this node is not to run again, look there"
            );
        }
    }
}

/// Has a port forwarded for a while, or for always by a router that refuses whatever else.
async fn map(
    gateway: &Gateway,
    port: &Port,
    lease: Duration,
    for_always: &mut BTreeSet<Port>,
) -> Result<(), UpnpError> {
    if !for_always.contains(port) {
        match gateway.map(port, lease.as_secs()).await {
            // The code that says so (725) is in the body of an error's answer, which rupnp does not read.
            Err(UpnpError::Refused(_)) => {}
            other => return other,
        }
    }
    let mapped = gateway.map(port, 0).await;
    match mapped {
        Ok(()) => for_always.insert(*port),
        Err(_) => for_always.remove(port),
    };
    mapped
}

/// Tells it where it can be asked for, and in the log if it is news.
fn say(tell: &watch::Sender<Told>, told: Told) {
    if *tell.borrow() == told {
        return;
    }
    if !told.forwarded.is_empty() {
        let forwarded = told.forwarded.iter().map(ToString::to_string);
        let addresses = Vec::from_iter(forwarded).join(", ");
        tracing::info!(%addresses, "the router forwards ports to this node, by these addresses of the outside");
    }
    if let Some(trouble) = &told.trouble {
        tracing::warn!(%trouble, "the router does not do all that was asked (upnp)");
    }
    tell.send_replace(told);
}
