//! A node that can't open its neighbours' packets knows it, and nobody else makes it think so.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{DropReason, Origin};
use shoal_packet::Frame;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::KeyRing;

use crate::fixture::{Door, EPOCH, Net, client};

/// Sends so many fresh packets from each of these to the last mix.
fn send(net: &mut Net, door: &Door, now: Time, from: &[NodeId], count: usize) {
    for sender in from {
        for _ in 0..count {
            let frame = net.frame(Span::ZERO);
            let _ = door.pass(now, Origin::Member(*sender), &frame);
        }
    }
}

/// A frame with this epoch byte that no key opens.
fn garbage(net: &mut Net, epoch: u8) -> Frame {
    let mut bytes = net.frame(Span::ZERO).as_bytes().to_vec();
    bytes[0] = epoch;
    // Within the header's MAC.
    bytes[60] ^= 1;
    Frame::from_bytes(&bytes).unwrap()
}

#[test]
fn a_node_without_the_epochs_key_hears_nothing() {
    let mut net = Net::new(31);
    let (now, before) = (net.noon(), [net.mix(2, 0), net.mix(2, 1)]);
    let door = net.door(net.mix(3, 0));
    send(&mut net, &door, now, &before, 20);
    assert_eq!(door.gate.why_deaf(now), None);

    // The key is gone: the epoch can't be opened.
    let door = net.door(net.mix(3, 0));
    door.gate.set_keys(&KeyRing::new());
    send(&mut net, &door, now, &before, 7);
    assert_eq!(door.gate.why_deaf(now), None, "too few say nothing");
    send(&mut net, &door, now, &before, 1);
    assert_eq!(door.gate.why_deaf(now), Some(DropReason::UnknownEpoch));
    // That was long ago.
    assert_eq!(door.gate.why_deaf(now + Span::from_secs(61)), None);
}

#[test]
fn a_wrong_key_is_told_from_a_wrong_epoch() {
    let mut net = Net::new(32);
    let (now, before) = (net.noon(), [net.mix(2, 0), net.mix(2, 1)]);
    let door = net.door(net.mix(3, 0));
    let mut keys = KeyRing::new();
    keys.ensure(&mut ChaCha20Rng::seed_from_u64(9), EPOCH);
    let fresh = shoal_mix::Gate::new(
        Arc::clone(&net.params),
        net.mix(3, 0),
        shoal_topology::Role::Mix,
        shoal_mix::RelayLimits::default(),
        Arc::clone(&door.books),
    );
    fresh.set_view(Arc::clone(&net.view));
    fresh.set_keys(&keys);
    let door = Door {
        gate: fresh,
        books: door.books,
    };
    send(&mut net, &door, now, &before, 8);
    assert_eq!(door.gate.why_deaf(now), Some(DropReason::Mac));
}

#[test]
fn one_neighbour_and_strangers_make_a_node_doubt_nothing() {
    let mut net = Net::new(33);
    let (now, before) = (net.noon(), [net.mix(2, 0), net.mix(2, 1)]);
    let here = net.mix(3, 0);
    let door = net.door(here);
    let epoch = EPOCH.byte();
    let bad = garbage(&mut net, epoch);
    let unknown = garbage(&mut net, epoch.wrapping_add(1));
    for _ in 0..10_000 {
        for frame in [&bad, &unknown] {
            // A neighbour; strangers, members of other layers, clients.
            let others = [NodeId::new([7; 32]), net.mix(1, 0), net.mix(3, 1)];
            let others = others.map(Origin::Member);
            for origin in others
                .into_iter()
                .chain([Origin::Member(before[0]), client()])
            {
                let _ = door.pass(now, origin, frame);
            }
        }
    }
    assert_eq!(door.gate.why_deaf(now), None, "one of two is not most");
    // Both, but the other one's packets open now and then.
    for round in 0..100 {
        let _ = door.pass(now, Origin::Member(before[1]), &bad);
        if round % 10 == 0 {
            send(&mut net, &door, now, &before[1..], 1);
        }
    }
    assert_eq!(door.gate.why_deaf(now), None);
}
