//! Whom to ask.

use std::str::FromStr;

use shoal_proto::NodeId;
use shoal_topology::{Address, AddressError, NetworkParameters, Role};
use thiserror::Error;

use crate::net::node_named;

/// A node to ask: who it has to be, and where it is. As text `/ip4/192.0.2.1/tcp/4140/p2p/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who it proves to be.
    pub id: NodeId,
    /// Where it is looked for.
    pub addresses: Vec<Address>,
}

/// Why a text names no node to ask.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Without an id anybody could answer.
    #[error(
        "the node's id is missing: write ADDRESS/p2p/ID, with the id that `shoal init` printed"
    )]
    NoId,
    /// Neither as we nor as libp2p write it.
    #[error("`{0}` is not a node id")]
    Id(String),
    /// It can't be dialled.
    #[error("`{0}` can't be dialled: {1}")]
    Address(String, AddressError),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (address, id) = text.rsplit_once("/p2p/").ok_or(SourceError::NoId)?;
        let known = id.parse().ok().or_else(|| node_named(id));
        let id = known.ok_or_else(|| SourceError::Id(id.to_owned()))?;
        let parsed = address.parse();
        let parsed = parsed.map_err(|error| SourceError::Address(address.to_owned(), error))?;
        Ok(Self {
            id,
            addresses: vec![parsed],
        })
    }
}

impl Source {
    /// The first members that can be dialled, providers before mixes, so many at most.
    #[must_use]
    pub fn of_network(params: &NetworkParameters, most: usize) -> Vec<Self> {
        let of = |role| {
            let members = params.genesis_members.iter();
            members.filter(move |member| member.role == role && !member.addresses.is_empty())
        };
        let members = of(Role::Provider).chain(of(Role::Mix)).take(most);
        let source = members.map(|member| Self {
            id: member.id,
            addresses: member.addresses.clone(),
        });
        source.collect()
    }
}
