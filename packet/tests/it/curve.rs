//! The group arithmetic of every back end with group elements that no honest sender uses.

use crate::layer::{BETA_BYTES, Layer};
use crate::reference::judge;
use crate::{engines, rng, route};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::Scalar;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use shoal_packet::{Job, SphinxSecret, UnwrapError, build_forward};
use shoal_proto::size::{HEADER_BYTES, PACKET_BYTES};

/// 2^255 - 1 with another low byte: p is 0xed.
fn near_the_top(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (low, 0x7f);
    bytes
}

/// Every encoding of a point of low order.
fn low_order() -> Vec<[u8; 32]> {
    let mut found: Vec<_> = EIGHT_TORSION
        .iter()
        .map(|point| point.to_montgomery().to_bytes())
        .chain([0xec, 0xed, 0xee].map(near_the_top))
        .collect();
    found.sort_unstable();
    found.dedup();
    with_the_ignored_bit(&mut found);
    found
}

fn with_the_ignored_bit(points: &mut Vec<[u8; 32]>) {
    let masked: Vec<_> = points
        .iter()
        .map(|point| {
            let mut point = *point;
            point[31] |= 0x80;
            point
        })
        .collect();
    points.extend(masked);
}

/// A packet with this group element, under a MAC that holds with what is shared. Its kind is 1
/// to forward or 2 to deliver.
fn sealed(rng: &mut ChaCha20Rng, layer: &Layer, alpha: &[u8; 32], kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; PACKET_BYTES];
    rng.fill_bytes(&mut bytes[HEADER_BYTES..]);
    bytes[..32].copy_from_slice(alpha);
    let mut routing = [0; BETA_BYTES];
    rng.fill_bytes(&mut routing);
    routing[..4].copy_from_slice(&[kind, 0, 1, 4]);
    layer.seal(&mut bytes, &routing);
    bytes
}

#[test]
fn low_order_is_refused_in_every_place_of_a_batch() {
    let mut rng = rng(90);
    let (secrets, route) = route(&mut rng, 2);
    let good = build_forward(&mut rng, &route, b"text").unwrap();
    let after = judge(&secrets[0], good.as_bytes()).after;
    // What anybody can derive from a shared secret of zeros.
    let layer = Layer::from_shared(&[0; 32]);
    let points = low_order();
    assert_eq!(points.len(), 14);
    let forged: Vec<_> = points
        .iter()
        .map(|alpha| sealed(&mut rng, &layer, alpha, 2))
        .collect();
    for engine in engines() {
        for size in [1, 2, 8, 9, 32, 40] {
            for place in 0..size {
                let forged = &forged[(place + size) % forged.len()];
                let mut buffers = vec![good.as_bytes().to_vec(); size];
                buffers[place].clone_from(forged);
                let mut jobs: Vec<_> = buffers
                    .iter_mut()
                    .map(|bytes| Job::new(&secrets[0], bytes))
                    .collect();
                engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |asked, _| {
                    assert_ne!(asked, place, "asked about a forgery");
                    true
                });
                for (other, job) in jobs.iter().enumerate() {
                    let expected = (other == place).then_some(UnwrapError::LowOrder);
                    assert_eq!(
                        job.outcome().err(),
                        expected,
                        "{engine:?}: {other} of {size}"
                    );
                }
                for (other, bytes) in buffers.iter().enumerate() {
                    assert!(bytes == if other == place { forged } else { &after });
                }
            }
        }
        // All of them together.
        let mut buffers = forged.clone();
        let mut jobs: Vec<_> = buffers
            .iter_mut()
            .map(|bytes| Job::new(&secrets[0], bytes))
            .collect();
        engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, _| {
            panic!("asked about a forgery")
        });
        assert!(
            jobs.iter()
                .all(|job| job.outcome() == Err(UnwrapError::LowOrder))
        );
        assert!(buffers == forged);
    }
}

/// On the twist, with torsion, not canonical, and with the bit that is ignored.
fn strange_points(rng: &mut ChaCha20Rng) -> Vec<[u8; 32]> {
    let mut points: Vec<[u8; 32]> = (0xef..=0xff).chain([0xeb]).map(near_the_top).collect();
    while points.len() < 50 {
        let bytes: [u8; 32] = rng.random();
        if bytes[31] < 0x80 && MontgomeryPoint(bytes).to_edwards(0).is_none() {
            points.push(bytes);
        }
    }
    for torsion in EIGHT_TORSION {
        let point = EdwardsPoint::mul_base(&Scalar::from(rng.random::<u64>()));
        points.push((point + torsion).to_montgomery().to_bytes());
    }
    with_the_ignored_bit(&mut points);
    points
}

#[test]
fn a_point_of_low_order_added_changes_nothing() {
    let mut rng = rng(92);
    let secret = SphinxSecret::generate(&mut rng);
    let point = EdwardsPoint::mul_base(&Scalar::from(rng.random::<u64>()));
    let alpha = point.to_montgomery().to_bytes();
    let good = sealed(&mut rng, &Layer::of(&secret, &alpha), &alpha, 1);
    let expected = judge(&secret, &good);
    assert!(expected.outcome.is_ok());
    for engine in engines() {
        for torsion in &EIGHT_TORSION[1..] {
            let mut bytes = good.clone();
            bytes[..32].copy_from_slice(&(point + torsion).to_montgomery().to_bytes());
            assert!(bytes != good);
            let mut jobs = [Job::new(&secret, &mut bytes)];
            engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, tag| {
                // No way around the replay filter.
                assert_eq!(Some(*tag), expected.tag);
                true
            });
            assert_eq!(jobs[0].outcome(), expected.outcome, "{engine:?}");
            assert!(bytes == expected.after, "{engine:?}");
        }
    }
}

#[test]
fn strange_group_elements_are_done_as_by_the_reference() {
    let mut rng = rng(91);
    let secret = SphinxSecret::generate(&mut rng);
    let cases: Vec<_> = strange_points(&mut rng)
        .iter()
        .enumerate()
        .map(|(index, alpha)| {
            let layer = Layer::of(&secret, alpha);
            let kind = 1 + u8::from(index % 4 == 0);
            let bytes = sealed(&mut rng, &layer, alpha, kind);
            let expected = judge(&secret, &bytes);
            assert!(expected.outcome.is_ok(), "{index}: {:?}", expected.outcome);
            (bytes, expected)
        })
        .collect();
    for engine in engines() {
        for size in [1, 3, 8, 32] {
            for batch in cases.chunks(size) {
                let mut buffers: Vec<_> = batch.iter().map(|(bytes, _)| bytes.clone()).collect();
                let mut jobs: Vec<_> = buffers
                    .iter_mut()
                    .map(|bytes| Job::new(&secret, bytes))
                    .collect();
                engine.unwrap_in_place(PACKET_BYTES, &mut jobs, |place, tag| {
                    assert_eq!(Some(*tag), batch[place].1.tag);
                    true
                });
                for (job, (_, expected)) in jobs.iter().zip(batch) {
                    assert_eq!(job.outcome(), expected.outcome, "{engine:?}");
                }
                for (buffer, (_, expected)) in buffers.iter().zip(batch) {
                    assert!(*buffer == expected.after, "{engine:?}");
                }
            }
        }
    }
}
