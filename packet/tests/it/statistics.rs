//! Neither the position of a packet on its path, nor the path's length, nor whether it is a
//! reply, shows in any field.
//!
//! Packets of every class (kind, length of path, position) are compared on two questions. Each
//! bit of header and payload, and each bit that a final hop decrypts beyond what it is told, is
//! one half of the time, whatever the class: a test of the binomial distribution for each. And
//! the values of the bytes of each field are distributed alike in all classes: a chi-squared test
//! of homogeneity for each. Over all tests together, chance fails one run in a thousand
//! (Bonferroni); the seed is fixed, so it is no matter of luck afterwards. All packets say the
//! same, nothing but zeros, over paths of the same nodes and delays.
//!
//! With so many packets in a class a bit is found that is one in 75 cases of 100. That the tests
//! find what they look for is shown on packets that tell.

use crate::layer::{Layer, reseal};
use crate::{rng, route};
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Engine, Hop, Packet, SphinxSecret, Unwrapped, build_forward, build_surb};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{ClientHandle, SurbId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::slice::from_ref;

/// Of each class.
const PACKETS: usize = 256;
/// The probability that chance fails any test of a run.
const SIGNIFICANCE: f64 = 1e-3;
/// Bits and bytes, on the wire and decrypted.
const FAMILIES: f64 = 4.0;
/// What a final hop is told; the rest of what it decrypts is padding and filler, followed by the
/// stream of its own key.
const TOLD: Range<usize> = 0..52;
const BEYOND: Range<usize> = TOLD.end..300;
/// Zero in every canonical encoding of a group element.
const CANONICAL: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    reply: bool,
    hops: usize,
    position: usize,
}

/// Packets by class.
type Sample = BTreeMap<Class, Vec<Vec<u8>>>;

/// Packets as they are seen on the links, and what final hops decrypt.
#[derive(Default)]
struct Views {
    wire: Sample,
    decrypted: Sample,
}

/// One path's packet, from a sender that may tell something: `leak` changes what is on the wire
/// at each position.
fn observe(
    views: &mut Views,
    secrets: &[SphinxSecret],
    mut class: Class,
    mut packet: Packet,
    leak: &dyn Fn(&Class, &SphinxSecret, &mut [u8]),
) {
    for (position, secret) in secrets.iter().enumerate() {
        class.position = position;
        let mut bytes = packet.as_bytes().to_vec();
        leak(&class, secret, &mut bytes);
        let opened = Layer::of(secret, &bytes).open(&bytes);
        views.wire.entry(class).or_default().push(bytes);
        match Engine::best().unwrap(secret, packet, |_| true).unwrap() {
            Unwrapped::Forward { packet: inner, .. } => packet = inner,
            Unwrapped::Final { .. } => {
                let beyond = opened[BEYOND].to_vec();
                views.decrypted.entry(class).or_default().push(beyond);
                return;
            }
        }
    }
}

fn forward(rng: &mut ChaCha20Rng, route: &[Hop]) -> Packet {
    build_forward(rng, route, &[0; PLAINTEXT_BYTES]).unwrap()
}

fn reply(rng: &mut ChaCha20Rng, route: &[Hop]) -> Packet {
    let (handle, id) = (ClientHandle::new([5; 32]), SurbId::new([4; 16]));
    let (surb, _) = build_surb(rng, route, &handle, id).unwrap();
    surb.into_packet(&[0; PLAINTEXT_BYTES]).unwrap().1
}

fn views(
    seed: u64,
    lengths: Range<usize>,
    leak: &dyn Fn(&Class, &SphinxSecret, &mut [u8]),
) -> Views {
    let mut rng = rng(seed);
    let (secrets, route) = route(&mut rng, 5);
    let mut views = Views::default();
    for hops in lengths {
        for is_reply in [false, true] {
            if is_reply && hops < 2 {
                continue;
            }
            for _ in 0..PACKETS {
                let make = if is_reply { reply } else { forward };
                let packet = make(&mut rng, &route[..hops]);
                let class = Class {
                    reply: is_reply,
                    hops,
                    position: 0,
                };
                observe(&mut views, &secrets[..hops], class, packet, leak);
            }
        }
    }
    views
}

/// The two-sided tail of a standard normal distribution, log10, for large values (Abramowitz and
/// Stegun 7.1.13, an upper bound).
fn log10_tail(z: f64) -> f64 {
    let z = z.abs().max(1.0);
    (2.0 / (z * (2.0 * std::f64::consts::PI).sqrt())).log10()
        - z * z / 2.0 * std::f64::consts::LOG10_E
}

/// What is seen at least as often by chance as the significance allows for one of `tests`, in one
/// of the families of tests.
fn limit(tests: usize) -> f64 {
    (SIGNIFICANCE / FAMILIES / tests as f64).log10()
}

/// How often each bit is one.
fn ones(packets: &[Vec<u8>]) -> Vec<u32> {
    let mut ones = vec![0; 8 * packets[0].len()];
    for packet in packets {
        for (byte, ones) in packet.iter().zip(ones.chunks_mut(8)) {
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(byte >> bit & 1);
            }
        }
    }
    ones
}

/// Bits that are not one half of the time, by class. `except` is one that never is.
fn biased_bits(sample: &Sample, except: Option<usize>) -> Vec<(Class, usize)> {
    let bits = sample.values().map(|packets| 8 * packets[0].len());
    let limit = limit(bits.sum());
    let mut found = Vec::new();
    for (class, packets) in sample {
        let count = packets.len() as f64;
        for (bit, ones) in ones(packets).into_iter().enumerate() {
            if Some(bit) == except {
                assert_eq!(ones, 0, "{class:?}: not canonical");
                continue;
            }
            let z = (2.0 * f64::from(ones) - count) / count.sqrt();
            if log10_tail(z) < limit {
                found.push((*class, bit));
            }
        }
    }
    found
}

/// The fields of a packet, and single bytes where one could hide a number.
fn fields() -> Vec<Range<usize>> {
    let mut fields = vec![
        0..31,
        31..32,
        32..48,
        48..108,
        108..168,
        168..228,
        228..288,
        288..348,
    ];
    fields.extend(
        (HEADER_BYTES..PACKET_BYTES)
            .step_by(512)
            .map(|start| start..start + 512),
    );
    fields
}

/// Fields whose bytes have other values in some classes than in others.
fn uneven_fields(sample: &Sample, fields: &[Range<usize>]) -> Vec<Range<usize>> {
    let limit = limit(fields.len());
    fields
        .iter()
        .filter(|field| log10_tail(heterogeneity(sample, field)) < limit)
        .cloned()
        .collect()
}

/// How far the values of a field's bytes are from one distribution in all classes: Pearson's
/// chi-squared of the table of classes and values (the high half of a byte, the low half, each
/// of 16 values), as a standard normal deviate (Wilson and Hilferty 1931); 0 if it is below its
/// mean.
fn heterogeneity(sample: &Sample, field: &Range<usize>) -> f64 {
    let table: Vec<[f64; 32]> = sample
        .values()
        .map(|packets| {
            let mut counts = [0.0; 32];
            for byte in packets.iter().flat_map(|packet| &packet[field.clone()]) {
                counts[usize::from(byte >> 4)] += 1.0;
                counts[usize::from(16 + (byte & 15))] += 1.0;
            }
            counts
        })
        .collect();
    let (mut chi_squared, mut freedom) = (0.0, 0.0);
    for half in [0..16, 16..32] {
        let rows: Vec<f64> = table
            .iter()
            .map(|row| row[half.clone()].iter().sum())
            .collect();
        let total: f64 = rows.iter().sum();
        let mut values = -1.0;
        for value in half {
            let column: f64 = table.iter().map(|row| row[value]).sum();
            if column == 0.0 {
                continue;
            }
            values += 1.0;
            for (row, row_sum) in table.iter().zip(&rows) {
                let expected = row_sum * column / total;
                chi_squared += (row[value] - expected).powi(2) / expected;
            }
        }
        freedom += values * (table.len() as f64 - 1.0);
    }
    let variance = 2.0 / (9.0 * freedom);
    let deviate = ((chi_squared / freedom).cbrt() - (1.0 - variance)) / variance.sqrt();
    deviate.max(0.0)
}

#[test]
fn position_length_and_kind_show_in_no_field() {
    let views = views(110, 1..6, &|_, _, _| ());
    assert_eq!((views.wire.len(), views.decrypted.len()), (29, 9));
    assert!(views.wire.values().all(|packets| packets.len() == PACKETS));
    assert_eq!(biased_bits(&views.wire, Some(CANONICAL)), []);
    assert_eq!(uneven_fields(&views.wire, &fields()), []);
    assert_eq!(biased_bits(&views.decrypted, None), []);
    let whole = 0..BEYOND.len();
    assert_eq!(uneven_fields(&views.decrypted, from_ref(&whole)), []);
}

#[test]
fn a_length_in_a_byte_would_be_found() {
    let views = views(111, 3..5, &|class, _, bytes| bytes[200] = class.hops as u8);
    let bits = biased_bits(&views.wire, Some(CANONICAL));
    assert!(bits.iter().all(|(_, bit)| bit / 8 == 200) && !bits.is_empty());
    let uneven = uneven_fields(&views.wire, &fields());
    assert!(uneven.len() == 1 && uneven[0] == (168..228), "{uneven:?}");
}

#[test]
fn a_bit_that_leans_with_the_position_would_be_found() {
    // Set beyond chance in every other packet that is at its second hop.
    let views = views(112, 3..5, &|class, _, bytes| {
        if class.position == 1 && bytes[0] & 1 == 0 {
            bytes[1_000] |= 0x10;
        }
    });
    let bits = biased_bits(&views.wire, Some(CANONICAL));
    assert!(!bits.is_empty());
    assert!(
        bits.iter()
            .all(|(class, bit)| class.position == 1 && *bit == 8_004)
    );
}

#[test]
fn padding_of_zeros_would_be_found() {
    // As in the paper of 2009: the final hop sees how long the path was (Kuhn et al. 2020).
    let views = views(113, 3..5, &|class, secret, bytes| {
        if class.position + 1 == class.hops {
            reseal(secret, bytes, |routing| {
                routing[TOLD.end..300 - 60 * (class.hops - 1)].fill(0);
            });
        }
    });
    // Nobody else sees it.
    assert_eq!(biased_bits(&views.wire, Some(CANONICAL)), []);
    assert_eq!(uneven_fields(&views.wire, &fields()), []);
    assert!(!biased_bits(&views.decrypted, None).is_empty());
    let whole = 0..BEYOND.len();
    assert_eq!(uneven_fields(&views.decrypted, from_ref(&whole)).len(), 1);
}

#[test]
fn the_limits_are_those_of_the_tables() {
    // Two-sided: 1.96 is 5 percent, 3.2905 one in a thousand, 4.8916 one in a million.
    for (z, tail) in [(1.96, 0.05_f64), (3.2905, 1e-3), (4.8916, 1e-6)] {
        let bound = log10_tail(z);
        assert!(
            bound >= tail.log10() && bound < tail.log10() + 0.1,
            "{z}: {bound}"
        );
    }
}
