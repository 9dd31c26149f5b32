//! How much a network in virtual time is, before it is built.

use super::Scenario;

/// The program, and what every network has. Measured: 16 MB for 9 nodes and 6 clients, 22 MB for 20 and
/// 20, 51 MB for 60 and 20, 34 MB for 9 and 60, 259 MB for 190 and 60.
const BASE_BYTES: f64 = 13e6;
/// A node, and what it knows of each other node.
const NODE_BYTES: f64 = 200e3;
const PAIR_BYTES: f64 = 5.2e3;
/// A client.
const CLIENT_BYTES: f64 = 330e3;
/// A packet's hop: built or unwrapped with all its cryptography; and what a node says to another in
/// an epoch and has to check. Measured: 0.47 s of processor for a virtual second of 190 nodes and
/// 60 clients.
const HOP_SECONDS: f64 = 1.5e-4;
const PAIR_SECONDS: f64 = 4e-4;
/// Seconds that a network runs besides: it comes up, and what comes twice is waited for.
const BESIDES: f64 = 35.0;

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
    let duration = scenario.duration.as_secs_f64() + BESIDES;
    let epochs = duration / scenario.epoch.as_secs_f64();
    let seconds = rate * hops * HOP_SECONDS * duration + epochs * nodes * nodes * PAIR_SECONDS;
    Size {
        bytes: bytes as u64,
        seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_near_what_was_measured() {
        for (width, providers, clients, measured) in [
            (2, 3, 6, 16.2e6),
            (5, 5, 20, 21.6e6),
            (15, 15, 20, 50.5e6),
            (2, 3, 60, 34.0e6),
            (50, 40, 60, 259e6),
        ] {
            let text = format!(
                "[network]\nwidth = {width}\nproviders = {providers}\n[[clients]]\ncount = {clients}"
            );
            let found = size(&Scenario::parse(&text).unwrap());
            let ratio = found.bytes as f64 / measured;
            assert!((0.7..1.3).contains(&ratio), "{width} {clients}: {ratio}");
            assert!(found.seconds > 0.0);
        }
    }
}
