//! Every reason for which the gate refuses, and what it never forgets.

use crate::fixture::{Door, EPOCH, Net, client};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{Accounting, DropReason, Gate, Origin, ProcessedKind, RelayLimits};
use shoal_packet::Frame;
use shoal_packet::command::Command;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{NodeId, Span, SurbId};
use shoal_topology::{KeyRing, NetworkParameters, View};
use std::sync::{Arc, OnceLock};

fn reason<T>(result: Result<T, DropReason>) -> Option<DropReason> {
    result.err()
}

/// Expects one drop for a reason, in the result and in the books.
fn expect<T>(door: &Door, result: Result<T, DropReason>, expected: DropReason) {
    assert_eq!(reason(result), Some(expected));
    let books = door.snapshot();
    assert_eq!(
        (books.dropped(expected), books.dropped_total()),
        (1, 1),
        "{expected}"
    );
    assert_eq!((books.counters.received, books.inside_total()), (1, 0));
}

#[test]
fn a_packet_passes_all_positions() {
    let mut net = Net::new(1);
    let now = net.noon();
    let route = [
        net.provider(0),
        net.mix(1, 1),
        net.mix(2, 0),
        net.mix(3, 1),
        net.provider(1),
    ];
    let delay = Span::from_millis(70);
    let mut frame = net.frame_in(EPOCH, &route, delay, b"hello");
    let mut origin = client();
    for (index, id) in route.into_iter().enumerate() {
        let processed = net.door(id).pass(now, origin, &frame).unwrap();
        assert_eq!((processed.epoch, processed.arrival), (EPOCH, now));
        origin = Origin::Member(id);
        frame = match &processed.kind {
            ProcessedKind::Forward {
                next,
                frame,
                delay: asked,
            } => {
                assert_eq!((*next, *asked), (route[index + 1], delay));
                frame.clone()
            }
            ProcessedKind::Final(hop) => {
                assert_eq!(index, 4);
                assert_eq!(hop.plaintext.as_ref().unwrap().as_slice(), b"hello");
                return;
            }
            ProcessedKind::Loop(_) => panic!("not a loop"),
        };
    }
    panic!("never arrived");
}

#[test]
fn senders_are_checked_before_any_cryptography() {
    let mut net = Net::new(2);
    let now = net.noon();
    let frame = net.frame(Span::ZERO);
    let good = Origin::Member(net.mix(2, 0));
    let here = net.mix(3, 0);

    let door = net.door(here);
    door.gate.set_view(Arc::new(View::default()));
    expect(
        &door,
        door.gate.admit(now, good, frame.clone()),
        DropReason::NoView,
    );

    let mut other = frame.as_bytes().to_vec();
    other[0] = other[0].wrapping_add(1);
    let door = net.door(here);
    expect(
        &door,
        door.admit_bytes(now, good, &other),
        DropReason::UnknownEpoch,
    );

    let door = net.door(here);
    door.gate.set_keys(&KeyRing::new());
    expect(
        &door,
        door.gate.admit(now, good, frame.clone()),
        DropReason::UnknownEpoch,
    );

    let door = net.door(here);
    let stranger = Origin::Member(NodeId::new([7; 32]));
    expect(
        &door,
        door.gate.admit(now, stranger, frame.clone()),
        DropReason::NotAMember,
    );

    let door = net.door(here);
    expect(
        &door,
        door.gate.admit(now, client(), frame.clone()),
        DropReason::NotAttached,
    );

    for wrong in [net.mix(1, 0), net.mix(3, 0), net.mix(3, 1), net.provider(0)] {
        let door = net.door(here);
        let origin = Origin::Member(wrong);
        expect(
            &door,
            door.gate.admit(now, origin, frame.clone()),
            DropReason::WrongLayer,
        );
    }
    for length in [0, 1, FRAME_BYTES - 1, FRAME_BYTES + 1] {
        let door = net.door(here);
        let bytes = vec![frame.epoch_byte(); length];
        expect(
            &door,
            door.admit_bytes(now, good, &bytes),
            DropReason::Malformed,
        );
    }
    // The same frame from the right sender passes.
    assert_eq!(reason(net.door(here).pass(now, good, &frame)), None);
}

#[test]
fn a_node_that_is_not_listed_takes_nothing() {
    let mut net = Net::new(3);
    let (now, frame) = (net.noon(), net.frame(Span::ZERO));
    let books = Accounting::new();
    let here = net.mix(3, 0);
    let params = Arc::clone(&net.params);
    let unlisted = NodeId::new([7; 32]);
    let gate = Gate::new(
        params,
        unlisted,
        net.role(&here),
        RelayLimits::default(),
        books.clone(),
    );
    gate.set_view(Arc::clone(&net.view));
    gate.set_keys(&net.network.nodes[&here].keys);
    let door = Door { gate, books };
    let origin = Origin::Member(net.mix(2, 0));
    expect(
        &door,
        door.gate.admit(now, origin, frame),
        DropReason::NotListed,
    );
}

#[test]
fn next_hops_that_do_not_fit_the_layers_are_refused() {
    let mut net = Net::new(4);
    let now = net.noon();
    let here = net.mix(2, 0);
    let origin = Origin::Member(net.mix(1, 0));
    for wrong in [net.mix(1, 1), net.mix(2, 0), net.mix(2, 1), net.provider(1)] {
        let frame = net.frame_in(EPOCH, &[here, wrong], Span::ZERO, b"");
        let door = net.door(here);
        expect(&door, door.pass(now, origin, &frame), DropReason::NextHop);
    }
    // A member by its key, but under a name that nobody has.
    let document = Arc::clone(net.document(EPOCH));
    let hops = [here, net.mix(3, 0)].map(|id| shoal_packet::Hop {
        node: if id == here { id } else { NodeId::new([7; 32]) },
        key: document.member(&id).unwrap().key,
        delay: Span::ZERO,
    });
    let packet = shoal_packet::build_forward(&mut net.rng, &hops, b"").unwrap();
    let door = net.door(here);
    expect(
        &door,
        door.pass(now, origin, &Frame::new(EPOCH, packet)),
        DropReason::NextHop,
    );
}

#[test]
fn altered_headers_and_noise_are_told_by_the_mac() {
    let mut net = Net::new(5);
    let now = net.noon();
    let (here, origin) = (net.mix(3, 0), Origin::Member(net.mix(2, 0)));
    let frame = net.frame(Span::ZERO);
    for position in [40, 100, 348] {
        let mut bytes = frame.as_bytes().to_vec();
        bytes[position] ^= 1;
        let door = net.door(here);
        let admitted = door.admit_bytes(now, origin, &bytes).unwrap();
        expect(&door, door.unwrap(now, admitted), DropReason::Mac);
    }
    let door = net.door(here);
    let noise = Frame::filler(&mut net.rng, EPOCH.byte());
    expect(&door, door.pass(now, origin, &noise), DropReason::Mac);
    let mut zeros = [0; FRAME_BYTES];
    zeros[0] = EPOCH.byte();
    let door = net.door(here);
    let admitted = door.admit_bytes(now, origin, &zeros).unwrap();
    expect(&door, door.unwrap(now, admitted), DropReason::LowOrder);
    // A key of another node.
    let door = net.door(net.mix(3, 1));
    expect(&door, door.pass(now, origin, &frame), DropReason::Mac);
}

#[test]
fn finals_end_where_they_may() {
    let mut net = Net::new(6);
    let now = net.noon();
    let (mix, provider) = (net.mix(3, 0), net.provider(0));
    let (to_mix, to_provider) = (Origin::Member(net.mix(2, 0)), Origin::Member(mix));

    let at_mix = net.frame_in(EPOCH, &[mix], Span::ZERO, b"nothing for a mix");
    let door = net.door(mix);
    expect(
        &door,
        door.pass(now, to_mix, &at_mix),
        DropReason::FinalAtMix,
    );

    let unmixed = net.frame_in(EPOCH, &[provider], Span::ZERO, b"past the mixes");
    let door = net.door(provider);
    expect(
        &door,
        door.pass(now, client(), &unmixed),
        DropReason::Routing,
    );
    assert_eq!(
        reason(door.pass(now, to_provider, &unmixed)),
        Some(DropReason::Replayed)
    );

    let id = SurbId::new([5; 16]);
    let text = Command::NodeLoop(id).encode(&mut net.rng);
    for (node, origin) in [(mix, to_mix), (provider, to_provider)] {
        let frame = net.frame_in(EPOCH, &[node], Span::ZERO, &text);
        let processed = net.door(node).pass(now, origin, &frame).unwrap();
        assert!(matches!(processed.kind, ProcessedKind::Loop(found) if found == id));
    }
}

#[test]
fn absurd_delays_are_clamped() {
    let mut net = Net::new(7);
    let (now, origin) = (net.noon(), Origin::Member(net.mix(2, 0)));
    let frame = net.frame(Span::from_secs(3600));
    let processed = net.door(net.mix(3, 0)).pass(now, origin, &frame).unwrap();
    let ProcessedKind::Forward { delay, .. } = processed.kind else {
        panic!("forwards")
    };
    assert_eq!(delay, Span::from_millis(2_764));
}

#[test]
fn both_epochs_count_around_a_switch_and_replays_in_each_are_caught() {
    let mut net = Net::new(8);
    let now = net.dawn();
    let (old, new) = (EPOCH.previous().unwrap(), EPOCH);
    let frames = [old, new].map(|epoch| {
        let document = Arc::clone(net.document(epoch));
        let route = [document.mixes(3)[0], document.providers()[0]];
        let origin = Origin::Member(document.mixes(2)[0]);
        (
            epoch,
            route[0],
            origin,
            net.frame_in(epoch, &route, Span::ZERO, b""),
        )
    });
    for (epoch, here, origin, frame) in &frames {
        let door = net.door(*here);
        let first = door.pass(now, *origin, frame).unwrap();
        assert_eq!(first.epoch, *epoch);
        for _ in 0..2 {
            assert_eq!(
                reason(door.pass(now, *origin, frame)),
                Some(DropReason::Replayed)
            );
        }
        // Under another epoch's byte it is for another key.
        let mut bytes = frame.as_bytes().to_vec();
        bytes[0] = if *epoch == old {
            new.byte()
        } else {
            old.byte()
        };
        let other = Frame::from_bytes(&bytes).unwrap();
        assert!(door.pass(now, *origin, &other).is_err());
    }
    // Later in the epoch the old one is unknown, whether its key is still there or not.
    let (_, here, origin, frame) = &frames[0];
    let door = net.door(*here);
    let late = door.gate.admit(net.noon(), *origin, frame.clone());
    expect(&door, late, DropReason::UnknownEpoch);
}

#[test]
fn the_epoch_may_end_while_a_frame_waits() {
    let mut net = Net::new(9);
    let old = EPOCH.previous().unwrap();
    let document = Arc::clone(net.document(old));
    let route = [document.mixes(3)[0], document.providers()[0]];
    let frame = net.frame_in(old, &route, Span::ZERO, b"");
    let door = net.door(route[0]);
    let origin = Origin::Member(document.mixes(2)[0]);
    let admitted = door.gate.admit(net.dawn(), origin, frame).unwrap();
    expect(
        &door,
        door.unwrap(net.noon(), admitted),
        DropReason::UnknownEpoch,
    );
}

#[test]
fn a_forgotten_key_never_comes_back() {
    let mut net = Net::new(10);
    let (now, here) = (net.noon(), net.mix(3, 0));
    let origin = Origin::Member(net.mix(2, 0));
    let frame = net.frame(Span::ZERO);
    let door = net.door(here);
    let first = door.pass(now, origin, &frame).unwrap();
    let keys = net.network.nodes[&here].keys.clone();
    let mut later = keys.clone();
    later.expire(EPOCH.next());
    door.gate.set_keys(&later);
    assert_eq!(
        reason(door.pass(now, origin, &frame)),
        Some(DropReason::UnknownEpoch)
    );
    door.gate.set_keys(&keys);
    door.gate.restore_tags(EPOCH, [first.tag]);
    assert_eq!(
        reason(door.pass(now, origin, &frame)),
        Some(DropReason::UnknownEpoch)
    );
    // Without a change nothing is forgotten.
    let door = net.door(here);
    assert_eq!(reason(door.pass(now, origin, &frame)), None);
    door.gate.set_keys(&keys);
    assert_eq!(
        reason(door.pass(now, origin, &frame)),
        Some(DropReason::Replayed)
    );
}

#[test]
fn restored_tags_are_replays() {
    let mut net = Net::new(11);
    let (now, here) = (net.noon(), net.mix(3, 0));
    let origin = Origin::Member(net.mix(2, 0));
    let frame = net.frame(Span::ZERO);
    let tag = net.door(here).pass(now, origin, &frame).unwrap().tag;

    let after_keys = net.door(here);
    after_keys.gate.restore_tags(EPOCH, [tag]);
    assert_eq!(
        reason(after_keys.pass(now, origin, &frame)),
        Some(DropReason::Replayed)
    );

    let before_keys = net.door(here);
    let limits = RelayLimits::default();
    let role = net.role(&here);
    let gate = Gate::new(
        Arc::clone(&net.params),
        here,
        role,
        limits,
        before_keys.books.clone(),
    );
    gate.restore_tags(EPOCH, [tag]);
    gate.set_view(Arc::clone(&net.view));
    gate.set_keys(&net.network.nodes[&here].keys);
    let door = Door {
        gate,
        books: before_keys.books,
    };
    assert_eq!(
        reason(door.pass(now, origin, &frame)),
        Some(DropReason::Replayed)
    );

    let other_epoch = net.door(here);
    other_epoch.gate.restore_tags(EPOCH.next(), [tag]);
    assert_eq!(reason(other_epoch.pass(now, origin, &frame)), None);
}

#[test]
fn a_full_filter_sheds_and_forgets_nothing() {
    let params = NetworkParameters {
        epoch: Span::from_secs(10),
        loop_rate: 0.0,
        ..NetworkParameters::example()
    };
    let mut net = Net::with(12, params);
    let (now, origin) = (net.noon(), Origin::Member(net.mix(2, 0)));
    // Seven tags in all: of these, three for one of two neighbours.
    let limits = RelayLimits {
        packets_per_second: 1,
        ..RelayLimits::default()
    };
    let door = net.door_with(net.mix(3, 0), limits);
    let frames = [0; 4].map(|_| net.frame(Span::ZERO));
    let mut outcomes = Vec::new();
    for index in [0, 1, 2, 3, 0, 1, 2, 3] {
        outcomes.push(reason(door.pass(now, origin, &frames[index])));
    }
    let (full, seen) = (Some(DropReason::FilterFull), Some(DropReason::Replayed));
    assert_eq!(outcomes, [None, None, None, full, seen, seen, seen, full]);
}

#[test]
fn of_two_copies_at_once_one_passes() {
    let mut net = Net::new(13);
    let (now, origin) = (net.noon(), Origin::Member(net.mix(2, 0)));
    let door = net.door(net.mix(3, 0));
    for _ in 0..20 {
        let frame = net.frame(Span::ZERO);
        let passed: usize = std::thread::scope(|scope| {
            let copies = [0; 3].map(|_| scope.spawn(|| door.pass(now, origin, &frame).is_ok()));
            copies
                .into_iter()
                .map(|copy| usize::from(copy.join().unwrap()))
                .sum()
        });
        assert_eq!(passed, 1);
    }
    assert_eq!(door.snapshot().dropped(DropReason::Replayed), 40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No bytes from anybody are more than a drop that is counted.
    #[test]
    fn no_bytes_panic(
        length in prop_oneof![0..FRAME_BYTES + 2, Just(FRAME_BYTES)],
        seed: u64,
        epoch in prop_oneof![Just(EPOCH.byte()), any::<u8>()],
        sender in 0usize..10,
    ) {
        static NET: OnceLock<Net> = OnceLock::new();
        let net = NET.get_or_init(|| Net::new(16));
        let mut bytes = vec![0; length];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = epoch;
        }
        let origin = net.network.nodes.keys().nth(sender).map_or(client(), |id| Origin::Member(*id));
        for here in [net.mix(1, 0), net.mix(3, 1), net.provider(0)] {
            let door = net.door(here);
            let result = door.admit_bytes(net.noon(), origin, &bytes)
                .and_then(|admitted| door.unwrap(net.noon(), admitted));
            let dropped = result.err().expect("noise is never taken");
            prop_assert_eq!(door.snapshot().dropped(dropped), 1);
        }
    }
}

#[test]
fn the_gate_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Gate>();
    shared::<Accounting>();
}
