//! How much a network in virtual time is, before it is built.

use super::Scenario;

/// The program, and what every network has.
const BASE_BYTES: f64 = 20e6;
/// A node, and what it knows of each other node.
const NODE_BYTES: f64 = 600e3;
const PAIR_BYTES: f64 = 3e3;
/// A client.
const CLIENT_BYTES: f64 = 400e3;
/// A packet's hop: built or unwrapped with all its cryptography.
const HOP_SECONDS: f64 = 1.2e-4;
/// What a node says to another in an epoch and has to check.
const PAIR_SECONDS: f64 = 2e-4;

/// What a network takes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Size {
    /// Memory, in bytes.
    pub bytes: u64,
    /// Time on one core, in seconds.
    pub seconds: f64,
}

/// Estimates what a scenario takes.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and far below 2^53"
)]
pub fn size(scenario: &Scenario) -> Size {
    let (nodes, clients) = (scenario.node_count() as f64, scenario.client_count() as f64);
    let bytes = BASE_BYTES + nodes * (NODE_BYTES + nodes * PAIR_BYTES) + clients * CLIENT_BYTES;
    let hops = f64::from(scenario.layers) + 2.0;
    let rate = scenario.packet_rate() + nodes * scenario.loop_rate;
    let epochs = scenario.duration.as_secs_f64() / scenario.epoch.as_secs_f64();
    let seconds = rate * hops * HOP_SECONDS * scenario.duration.as_secs_f64()
        + epochs * nodes * nodes * PAIR_SECONDS;
    Size {
        bytes: bytes as u64,
        seconds,
    }
}
