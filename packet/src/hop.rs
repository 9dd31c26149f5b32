//! A hop's work on packets (Sphinx 2009, section 3.6), in the order in which it gets dearer, and
//! in each step on all packets of a pass that are still in it.

use crate::backend::Backend;
use crate::error::UnwrapError;
use crate::header::{ALPHA, GAMMA, Opened, Routing, authentic};
use crate::key::SphinxSecret;
use crate::keys::{HopKeys, payload_key};
use crate::lioness::{self, PayloadKey};
use crate::replay::ReplayTag;
use crate::x25519;
use shoal_proto::size::HEADER_BYTES;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Packets of the widest pass: four groups, which share an inversion.
pub(crate) const WIDE: usize = 4 * x25519::GROUP;
/// A payload has a left half of 32 bytes and something to its right.
const LEAST_PAYLOAD_BYTES: usize = 33;

/// One packet of a batch that is worked on where it lies.
pub struct Job<'a> {
    secret: &'a SphinxSecret,
    packet: &'a mut [u8],
    outcome: Result<Routing, UnwrapError>,
}

impl<'a> Job<'a> {
    /// The work of the node with this secret on the packet with these bytes.
    #[must_use]
    pub const fn new(secret: &'a SphinxSecret, packet: &'a mut [u8]) -> Self {
        Self {
            secret,
            packet,
            outcome: Err(UnwrapError::Malformed),
        }
    }

    /// What came of it: until the work is done, [`UnwrapError::Malformed`].
    ///
    /// # Errors
    /// Why the packet is dropped.
    pub const fn outcome(&self) -> Result<Routing, UnwrapError> {
        self.outcome
    }

    pub(crate) const fn length(&self) -> usize {
        self.packet.len()
    }

    fn header(&mut self) -> Option<&mut [u8; HEADER_BYTES]> {
        self.packet.first_chunk_mut()
    }
}

/// One pass over at most `N` packets, and the secrets it needs meanwhile. `keys[i]` belongs to
/// the packet at place `i`; scalars, points and products to the packets in `live`, in order.
pub(crate) struct Pass<const N: usize> {
    backend: Backend,
    live: Places<N>,
    keys: [HopKeys; N],
    scalars: [[u8; 32]; N],
    points: [[u8; 32]; N],
    products: [[u8; 32]; N],
}

impl<const N: usize> Pass<N> {
    /// Does the work and leaves the outcome in each job. Looks at the first `N` jobs.
    pub(crate) fn run(
        backend: Backend,
        length: usize,
        jobs: &mut [Job<'_>],
        fresh: &mut dyn FnMut(usize, &ReplayTag) -> bool,
    ) {
        let mut pass = Self {
            backend,
            live: Places::new(),
            keys: std::array::from_fn(|_| HopKeys::default()),
            scalars: [[0; 32]; N],
            points: [[0; 32]; N],
            products: [[0; 32]; N],
        };
        pass.check_length(length, jobs);
        pass.share(jobs);
        pass.authenticate(jobs, fresh);
        pass.open(jobs);
        pass.blind(jobs);
        pass.peel(jobs);
    }

    fn check_length(&mut self, length: usize, jobs: &[Job<'_>]) {
        for (place, job) in jobs.iter().enumerate() {
            if job.length() == length && length >= HEADER_BYTES + LEAST_PAYLOAD_BYTES {
                self.live.push(place);
            }
        }
    }

    /// The secret shared with each sender.
    fn share(&mut self, jobs: &mut [Job<'_>]) {
        for (order, place) in self.live.iter().enumerate() {
            self.scalars[order] = *jobs[place].secret.as_bytes();
            self.load_point(order, &mut jobs[place]);
        }
        self.multiply(self.live.count);
        let (products, keys) = (&self.products, &mut self.keys);
        self.live.retain(|order, place| {
            let shared = &products[order];
            // RFC 7748, section 6.1: with a point of low order everybody knows the secret.
            if bool::from(shared.ct_eq(&[0; 32])) {
                jobs[place].outcome = Err(UnwrapError::LowOrder);
                return false;
            }
            keys[place].derive(shared);
            true
        });
    }

    /// MAC first, then the caller's decision.
    fn authenticate(
        &mut self,
        jobs: &mut [Job<'_>],
        fresh: &mut dyn FnMut(usize, &ReplayTag) -> bool,
    ) {
        let keys = &self.keys;
        self.live.retain(|_, place| {
            let (job, keys) = (&mut jobs[place], &keys[place]);
            let Some(header) = job.header() else {
                return false;
            };
            if !authentic(keys, header) {
                job.outcome = Err(UnwrapError::Mac);
                return false;
            }
            if !fresh(place, &ReplayTag::new(keys.tag)) {
                job.outcome = Err(UnwrapError::Replayed);
                return false;
            }
            true
        });
    }

    /// Reads the routing information and puts the next header in its place, but for alpha.
    fn open(&mut self, jobs: &mut [Job<'_>]) {
        let keys = &self.keys;
        self.live.retain(|_, place| {
            let (job, keys) = (&mut jobs[place], &keys[place]);
            let Some(header) = job.header() else {
                return false;
            };
            let opened = Opened::decrypt(keys, header);
            let outcome = opened.parse();
            match outcome {
                Ok(Routing::Forward { .. }) => header[GAMMA.start..].copy_from_slice(opened.next()),
                Ok(Routing::Final { .. }) => header.zeroize(),
                Err(_) => {}
            }
            job.outcome = outcome;
            outcome.is_ok()
        });
    }

    /// The group element for the next hop.
    fn blind(&mut self, jobs: &mut [Job<'_>]) {
        let mut forward = self.live;
        forward.retain(|_, place| matches!(jobs[place].outcome, Ok(Routing::Forward { .. })));
        for (order, place) in forward.iter().enumerate() {
            self.scalars[order] = self.keys[place].blinding;
            self.load_point(order, &mut jobs[place]);
        }
        self.multiply(forward.count);
        for (place, product) in forward.iter().zip(&self.products) {
            if let Some(header) = jobs[place].header() {
                header[ALPHA].copy_from_slice(product);
            }
        }
    }

    /// One layer of the payloads.
    fn peel(&mut self, jobs: &mut [Job<'_>]) {
        let mut keys: [PayloadKey; N] = std::array::from_fn(|_| PayloadKey::default());
        let mut blocks: [&mut [u8]; N] = std::array::from_fn(|_| &mut [][..]);
        let mut count = 0;
        for (place, job) in jobs.iter_mut().enumerate() {
            if self.live.contains(place) {
                payload_key(&self.keys[place].payload_seed, &mut keys[count]);
                blocks[count] = &mut job.packet[HEADER_BYTES..];
                count += 1;
            }
        }
        lioness::decrypt(self.backend, &keys[..count], &mut blocks[..count]);
    }

    fn load_point(&mut self, order: usize, job: &mut Job<'_>) {
        if let Some(header) = job.header() {
            self.points[order].copy_from_slice(&header[ALPHA]);
        }
    }

    fn multiply(&mut self, count: usize) {
        x25519::multiply(
            self.backend,
            &self.scalars[..count],
            &self.points[..count],
            &mut self.products[..count],
        );
    }
}

impl<const N: usize> Drop for Pass<N> {
    fn drop(&mut self) {
        self.scalars.zeroize();
        self.products.zeroize();
    }
}

/// Places in a batch that are still in the running, in ascending order.
#[derive(Clone, Copy)]
struct Places<const N: usize> {
    places: [usize; N],
    count: usize,
}

impl<const N: usize> Places<N> {
    const fn new() -> Self {
        Self {
            places: [0; N],
            count: 0,
        }
    }

    /// Adds a place, if there is room.
    fn push(&mut self, place: usize) {
        if let Some(free) = self.places.get_mut(self.count) {
            *free = place;
            self.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + use<N> {
        self.places.into_iter().take(self.count)
    }

    fn contains(&self, place: usize) -> bool {
        self.iter().any(|other| other == place)
    }

    /// Keeps those of which `keep` says so, told their order and place.
    fn retain(&mut self, mut keep: impl FnMut(usize, usize) -> bool) {
        let all = *self;
        self.count = 0;
        for (order, place) in all.iter().enumerate() {
            if keep(order, place) {
                self.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::build::build_forward;
    use crate::engine::{Unwrapped, unwrap};
    use crate::header::{BETA, BETA_BYTES, FINAL, FORWARD, PADDED_BYTES, apply_stream, mac};
    use crate::packet::Packet;
    use crate::route::Hop;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use shoal_proto::{NodeId, Span};
    use sphinx_packet::SphinxPacket;
    use x25519_dalek::{StaticSecret, x25519};

    fn one_hop() -> (SphinxSecret, Packet) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = SphinxSecret::generate(&mut rng);
        let hop = Hop {
            node: NodeId::new([1; 32]),
            key: secret.public(),
            delay: Span::ZERO,
        };
        let packet = build_forward(&mut rng, &[hop], b"text").unwrap();
        (secret, packet)
    }

    /// MAC and routing information as a sender makes them who knows these keys.
    fn seal(keys: &HopKeys, mut routing: Vec<u8>) -> Vec<u8> {
        apply_stream(&keys.stream, &mut routing);
        [&mac(&keys.mac, &routing)[..], &routing].concat()
    }

    /// A packet whose routing information the sender chose as `change` says.
    fn with_routing(change: impl FnOnce(&mut [u8])) -> (SphinxSecret, Packet) {
        let (secret, packet) = one_hop();
        let mut bytes = *packet.as_bytes();
        let alpha = bytes[ALPHA].try_into().unwrap();
        let mut keys = HopKeys::default();
        keys.derive(&x25519(*secret.to_bytes(), alpha));
        let mut routing = [0; PADDED_BYTES];
        routing[..BETA_BYTES].copy_from_slice(&bytes[BETA]);
        apply_stream(&keys.stream, &mut routing);
        change(&mut routing);
        let sealed = seal(&keys, routing[..BETA_BYTES].to_vec());
        bytes[GAMMA.start..HEADER_BYTES].copy_from_slice(&sealed);
        (secret, Packet::from_bytes(&bytes).unwrap())
    }

    #[test]
    fn versions_are_told_by_all_three_bytes() {
        for bytes in [
            [0, 1, 4],
            [1, 1, 4],
            [255, 1, 4],
            [0, 1, 3],
            [0, 1, 5],
            [0, 0, 4],
            [1, 0, 0],
        ] {
            let (secret, packet) = with_routing(|routing| routing[1..4].copy_from_slice(&bytes));
            let result = unwrap(&secret, packet, |_| true).map(|_| ());
            let expected = if bytes == [0, 1, 4] {
                Ok(())
            } else {
                Err(UnwrapError::Version)
            };
            assert_eq!(result, expected, "{bytes:?}");
        }
    }

    #[test]
    fn kinds_of_routing_information_are_two() {
        for flag in 0..=255 {
            let (secret, packet) = with_routing(|routing| routing[0] = flag);
            match (flag, unwrap(&secret, packet, |_| true)) {
                (FORWARD, Ok(Unwrapped::Forward { .. }))
                | (FINAL, Ok(Unwrapped::Final { .. }))
                | (0 | 3.., Err(UnwrapError::Routing)) => {}
                (flag, result) => panic!("{flag}: {result:?}"),
            }
        }
    }

    #[test]
    fn delays_are_read_whatever_the_sender_says() {
        for nanos in [0, 999, 1_000, u64::MAX] {
            let (secret, packet) = with_routing(|routing| {
                routing[0] = FORWARD;
                routing[36..44].copy_from_slice(&nanos.to_be_bytes());
            });
            let Ok(Unwrapped::Forward { delay, .. }) = unwrap(&secret, packet, |_| true) else {
                panic!("{nanos}");
            };
            assert_eq!(delay, Span::from_micros(nanos / 1_000));
        }
    }

    /// Every encoding of a point of low order: on the curve, on the twist, not canonical, and
    /// with the bit that X25519 ignores.
    fn low_order_encodings() -> Vec<[u8; 32]> {
        let mut found: Vec<_> = EIGHT_TORSION
            .iter()
            .map(|point| point.to_montgomery().to_bytes())
            .collect();
        let minus = |low: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            bytes
        };
        // p - 1 (of order four on the twist), p and p + 1.
        found.extend([minus(0xec), minus(0xed), minus(0xee)]);
        found.sort_unstable();
        found.dedup();
        let masked = found.iter().map(|bytes| {
            let mut bytes = *bytes;
            bytes[31] |= 0x80;
            bytes
        });
        let masked: Vec<_> = masked.collect();
        found.extend(masked);
        found
    }

    #[test]
    fn nobody_sends_with_a_public_secret() {
        let encodings = low_order_encodings();
        assert_eq!(encodings.len(), 14);
        // What anybody can derive from a shared secret of zeros.
        let mut keys = HopKeys::default();
        keys.derive(&[0; 32]);
        let (secret, packet) = one_hop();
        let mut routing = vec![0; BETA_BYTES];
        routing[..4].copy_from_slice(&[FINAL, 0, 1, 4]);
        let sealed = seal(&keys, routing);
        for alpha in encodings {
            let bytes = [&alpha[..], &sealed, &packet.as_bytes()[HEADER_BYTES..]].concat();
            let reference = SphinxPacket::from_bytes(&bytes).unwrap();
            assert!(
                reference
                    .process(&StaticSecret::from(*secret.to_bytes()))
                    .is_ok(),
                "the reference takes it"
            );
            let packet = Packet::from_bytes(&bytes).unwrap();
            let result = unwrap(&secret, packet, |_| panic!("asked about a forgery"));
            assert_eq!(result.err(), Some(UnwrapError::LowOrder));
        }
    }
}
