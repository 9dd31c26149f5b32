//! What an operator is told of the router.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use shoal_topology::{Address, Reach, Scope};

use super::error::UpnpError;
use super::ports::Port;

/// What has come of asking, the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Where the router says that others reach the node, for each port that it forwards.
    pub(crate) forwarded: Vec<Address>,
    /// What is wrong, and what to do about it.
    pub(crate) trouble: Option<String>,
}

/// What a router did that was asked.
pub(super) struct Asked {
    /// Its address of the outside.
    pub(super) outside: Ipv4Addr,
    /// What it forwards.
    pub(super) mapped: Vec<Port>,
    /// What it does not.
    pub(super) refused: Vec<(Port, UpnpError)>,
}

impl Told {
    /// Of these ports, when others dial the node at the addresses that it advertises.
    pub(super) fn of(
        asked: Result<Asked, UpnpError>,
        ports: &[Port],
        advertised: &[Address],
    ) -> Self {
        if ports.is_empty() {
            let trouble = "there is no port that a router could forward: `listen` names none of IPv4 that other \
                           machines reach; set `upnp = false`, or listen on /ip4/0.0.0.0/…";
            return Self::only(trouble.to_owned());
        }
        match asked {
            Ok(asked) => asked.told(advertised),
            Err(error) => Self::only(format!("no port is forwarded: {error}; {}", by_hand(ports))),
        }
    }

    const fn only(trouble: String) -> Self {
        Self {
            forwarded: Vec::new(),
            trouble: Some(trouble),
        }
    }
}

impl Asked {
    fn told(self, advertised: &[Address]) -> Told {
        let forwarded = self.mapped.iter();
        let forwarded: Vec<_> = forwarded
            .flat_map(|port| port.outside(self.outside))
            .collect();
        let mut troubles = Vec::new();
        if !self.refused.is_empty() {
            let refused = self.refused.iter();
            let refused = refused.map(|(port, error)| format!("{port} is not forwarded: {error}"));
            let ports: Vec<_> = self.refused.iter().map(|(port, _)| *port).collect();
            troubles.push(format!("{}; {}", listed(refused), by_hand(&ports)));
        }
        if let Some(elsewhere) = self.elsewhere(&forwarded, advertised) {
            troubles.push(elsewhere);
        }
        Told {
            forwarded,
            trouble: (!troubles.is_empty()).then(|| troubles.join("; ")),
        }
    }

    /// Addresses that others are told, and that are not where the router forwards.
    fn elsewhere(&self, forwarded: &[Address], advertised: &[Address]) -> Option<String> {
        let is_lost = |address: &&Address| address.ip().is_ipv4() && !forwarded.contains(address);
        let mut lost = advertised.iter().filter(is_lost).peekable();
        if forwarded.is_empty() || lost.peek().is_none() {
            return None;
        }
        let lost = listed(lost);
        if Reach::of([IpAddr::V4(self.outside)]).scope() != Some(Scope::Public) {
            return Some(format!(
                "others are told {lost}, and the router's own address of the outside, {}, is not public: before it \
                 stands another NAT, a second router or the line's provider, which has to forward the ports too",
                self.outside
            ));
        }
        let right = listed(forwarded.iter().map(|address| format!("\"{address}\"")));
        Some(format!(
            "others are told {lost}, where the router does not lead to this node: unless something else does, nobody \
             reaches it there; set `advertise = [{right}]`, with the addresses of IPv6 if there are any"
        ))
    }
}

fn by_hand(ports: &[Port]) -> String {
    format!(
        "have the router forward {} to this machine by hand, and set `upnp = false`",
        listed(ports)
    )
}

fn listed(items: impl IntoIterator<Item = impl Display>) -> String {
    let items = items.into_iter().map(|item| item.to_string());
    Vec::from_iter(items).join(", ")
}
