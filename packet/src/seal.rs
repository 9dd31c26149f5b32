//! Writing headers, from the inside out (Sphinx 2009, section 3.2). Their layout is
//! [`header`](crate::header)'s.

use crate::header::{
    ALPHA, BETA, BETA_BYTES, FINAL, FINAL_BYTES, FORWARD, GAMMA, MAC_BYTES, NANOS_PER_MICRO,
    PADDED_BYTES, STEP_BYTES, VERSION, apply_stream, mac,
};
use crate::keys::HopKeys;
use crate::route::Hop;
use rand::CryptoRng;
use shoal_proto::SurbId;
use shoal_proto::size::HEADER_BYTES;
use zeroize::Zeroizing;

/// What the final hop is told.
pub(crate) struct Destination {
    pub(crate) address: [u8; 32],
    pub(crate) id: SurbId,
}

/// The header for a route whose hops have these keys, as many as hops and at least one. What is
/// left of the final hop's routing information is random (Kuhn et al. 2020: zeros would tell it
/// the path's length).
pub(crate) fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    alpha: &[u8; 32],
    route: &[Hop],
    keys: &[HopKeys],
    destination: &Destination,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let Some((last, forward)) = keys.split_last() else {
        return header;
    };
    header[ALPHA].copy_from_slice(alpha);
    let beta = &mut header[BETA];
    let (innermost, filler) = beta.split_at_mut(BETA_BYTES - forward.len() * STEP_BYTES);
    write_final(rng, innermost, destination);
    apply_stream(&last.stream, innermost);
    fill(filler, forward);
    let mut gamma = mac(&last.mac, beta);
    for (keys, hops) in forward.iter().zip(route.windows(2)).rev() {
        if let [hop, next] = hops {
            // What is pushed out at the end comes back as the filler.
            beta.copy_within(..BETA_BYTES - STEP_BYTES, STEP_BYTES);
            write_forward(beta, hop, next, &gamma);
        }
        apply_stream(&keys.stream, beta);
        gamma = mac(&keys.mac, beta);
    }
    header[GAMMA].copy_from_slice(&gamma);
    header
}

/// Flag, version, destination, identifier, padding.
fn write_final<R: CryptoRng + ?Sized>(rng: &mut R, routing: &mut [u8], destination: &Destination) {
    let (told, padding) = routing.split_at_mut(FINAL_BYTES);
    told[0] = FINAL;
    told[1..4].copy_from_slice(&VERSION);
    told[4..36].copy_from_slice(&destination.address);
    told[36..].copy_from_slice(destination.id.as_bytes());
    rng.fill_bytes(padding);
}

/// Flag, version, next node, delay, and the MAC for the next node.
fn write_forward(routing: &mut [u8], hop: &Hop, next: &Hop, gamma: &[u8; MAC_BYTES]) {
    let nanos = hop.delay.as_micros().saturating_mul(NANOS_PER_MICRO);
    routing[0] = FORWARD;
    routing[1..4].copy_from_slice(&VERSION);
    routing[4..36].copy_from_slice(next.node.as_bytes());
    routing[36..44].copy_from_slice(&nanos.to_be_bytes());
    routing[44..STEP_BYTES].copy_from_slice(gamma);
}

/// What the hops before the last leave at the end of the routing information, by each appending
/// zeros, decrypting, and taking off the front.
fn fill(filler: &mut [u8], forward: &[HopKeys]) {
    let mut padded = Zeroizing::new([0; PADDED_BYTES]);
    for keys in forward {
        apply_stream(&keys.stream, padded.as_mut_slice());
        padded.copy_within(STEP_BYTES.., 0);
        padded[BETA_BYTES..].fill(0);
    }
    filler.copy_from_slice(&padded[BETA_BYTES - filler.len()..BETA_BYTES]);
}
