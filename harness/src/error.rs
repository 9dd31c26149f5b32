//! What can be wrong with a network.

use shoal_client::ClientError;
use shoal_proto::Time;
use shoal_topology::ParameterError;
use thiserror::Error;

use crate::party::Party;

/// Why a simulated network could not be built or driven on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The network parameters make no sense.
    #[error("the network's parameters are not valid")]
    Parameters(#[from] ParameterError),
    /// A client could not be made or, after a crash, made again from its rows.
    #[error("{party} could not be started")]
    Client {
        /// Which.
        party: Party,
        /// Why.
        source: ClientError,
    },
    /// A client's providers are not two different ones of the network.
    #[error("client {client} needs two different providers out of {providers}")]
    Providers {
        /// The client's place in the order of building.
        client: usize,
        /// How many there are.
        providers: usize,
    },
    /// A loss is no probability, or a network is too large for its numbers.
    #[error("{what} is out of range")]
    Range {
        /// What.
        what: &'static str,
    },
    /// The call is for another kind of party, or there is no such party.
    #[error("{party} is not {expected}")]
    WrongParty {
        /// Which.
        party: Party,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A core asks to be woken again and again for a moment that is over: a fault of the core.
    #[error("a core of {party} spins at {}.{:06} s", at.as_micros() / 1_000_000, at.as_micros() % 1_000_000)]
    Spin {
        /// Whose.
        party: Party,
        /// When.
        at: Time,
    },
    /// The packets do not add up: a fault of a core or of the harness.
    #[error("the packets do not add up")]
    Imbalance(#[from] Imbalance),
}

/// A sum that does not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what}: {left} on one side, {right} on the other")]
pub struct Imbalance {
    /// What was compared.
    pub what: &'static str,
    /// The one side.
    pub left: u64,
    /// The other side.
    pub right: u64,
}
