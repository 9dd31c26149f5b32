//! That nobody's flood costs another: in line for the workers, in the filter, in the pool.

use crate::fixture::{Door, Net, client, drain};
use shoal_mix::{DropReason, Origin, RelayInput, RelayLimits, Stage, UnwrapQueue};
use shoal_packet::Frame;
use shoal_proto::{Span, Time};
use shoal_topology::NetworkParameters;

fn push(
    door: &Door,
    queue: &mut UnwrapQueue,
    (now, origin): (Time, Origin),
    frame: &Frame,
) -> Result<(), DropReason> {
    queue.push(door.gate.admit(now, origin, frame.clone()).unwrap())
}

#[test]
fn a_flood_of_garbage_costs_other_senders_no_frame_and_no_turn() {
    let mut net = Net::new(40);
    let now = net.noon();
    let [noisy, other] = [0, 1].map(|index| Origin::Member(net.mix(2, index)));
    let door = net.door(net.mix(3, 0));
    let mut queue = door.gate.queue();
    let noise = Frame::filler(&mut net.rng, crate::fixture::EPOCH.byte());
    let mut passed = 0;
    for round in 0..20 {
        for _ in 0..2_000 {
            let _ = push(&door, &mut queue, (now, noisy), &noise);
        }
        let frames = [0; 5].map(|_| net.frame(Span::ZERO));
        for frame in &frames {
            assert_eq!(
                push(&door, &mut queue, (now, other), frame),
                Ok(()),
                "{round}"
            );
        }
        // One batch, and none of them waits any more.
        let batch = queue.take(now);
        let outcomes = door.gate.unwrap_batch(now, batch).into_iter();
        passed += outcomes.filter(Result::is_ok).count();
    }
    assert_eq!(passed, 100);
    let books = door.snapshot();
    // It has half of the places, and the rest of what it sent is its own loss.
    assert_eq!(books.inside(Stage::Queued), queue.len() as u64);
    assert!((4_000..4_100).contains(&queue.len()), "{}", queue.len());
    assert!(books.dropped(DropReason::QueueFull) > 30_000);
    assert_eq!(books.dropped(DropReason::Mac), 20 * 27);
}

#[test]
fn places_are_shared_out_and_the_last_is_nobodys() {
    let mut net = Net::new(41);
    let now = net.noon();
    let [a, b] = [0, 1].map(|index| Origin::Member(net.mix(3, index)));
    let limits = RelayLimits {
        queue: 8,
        ..RelayLimits::default()
    };
    let door = net.door_with(net.provider(0), limits);
    let (mut queue, frame) = (door.gate.queue(), net.frame(Span::ZERO));
    let fits = |queue: &mut UnwrapQueue, origin| {
        let all = (0..10).filter(|_| push(&door, queue, (now, origin), &frame).is_ok());
        all.count()
    };
    assert_eq!([a, b, client()].map(|who| fits(&mut queue, who)), [4, 2, 1]);
    assert_eq!(queue.len(), 7);
    // In turn, and each one's own in the order in which they came.
    let batch = queue.take(now);
    assert_eq!((batch.len(), queue.is_empty()), (7, true));
    assert_eq!(fits(&mut queue, b), 4);
    assert_eq!(door.snapshot().dropped(DropReason::QueueFull), 23 + 6);
}

#[test]
fn a_sender_whose_frames_wait_too_long_is_shed_and_no_other() {
    let mut net = Net::new(42);
    let now = net.noon();
    let [slow, other] = [0, 1].map(|index| Origin::Member(net.mix(2, index)));
    let door = net.door(net.mix(3, 0));
    let mut queue = door.gate.queue();
    let frames = [0; 70].map(|_| net.frame(Span::ZERO));
    for frame in &frames {
        assert_eq!(push(&door, &mut queue, (now, slow), frame), Ok(()));
    }
    let later = now + net.params.mean_delay + Span::from_micros(1);
    drop(queue.take(later));
    // Some still wait, and the last one waited for more than a mean delay.
    let overload = Err(DropReason::Overload);
    assert_eq!(push(&door, &mut queue, (later, slow), &frames[0]), overload);
    assert_eq!(push(&door, &mut queue, (later, other), &frames[0]), Ok(()));
    // None waits: what comes is taken, and soon the wait is short again.
    drop(queue.take(later));
    drop(queue.take(later));
    assert!(queue.is_empty());
    for _ in 0..40 {
        assert_eq!(push(&door, &mut queue, (later, slow), &frames[0]), Ok(()));
    }
    drop(queue.take(later));
    assert_eq!(push(&door, &mut queue, (later, slow), &frames[0]), Ok(()));
}

#[test]
fn a_member_that_fills_the_filter_takes_nothing_from_others() {
    let params = NetworkParameters {
        epoch: Span::from_secs(10),
        loop_rate: 0.0,
        ..NetworkParameters::example()
    };
    let mut net = Net::with(43, params);
    let now = net.noon();
    let [greedy, other] = [0, 1].map(|index| Origin::Member(net.mix(2, index)));
    let limits = RelayLimits {
        packets_per_second: 8,
        ..RelayLimits::default()
    };
    let door = net.door_with(net.mix(3, 0), limits);
    let mut passes = |at: Time, origin| {
        let all = (0..60).filter(|_| {
            let frame = net.frame(Span::ZERO);
            door.pass(at, origin, &frame).is_ok()
        });
        all.count()
    };
    // Half of the epoch and a fifth before it, 56 packets: each has a quarter, and of the half for who
    // needs more, what is left.
    assert_eq!(passes(now, greedy), 14 + 14);
    assert_eq!(passes(now, greedy), 0);
    assert_eq!(passes(now, other), 14 + 7);
    assert_eq!(passes(now + Span::from_secs(1), other), 2 + 2);
    assert!(door.snapshot().dropped(DropReason::FilterFull) > 100);
}

#[test]
fn packets_that_stay_long_do_not_fill_the_pool_for_others() {
    let mut net = Net::new(44);
    let (now, here) = (net.noon(), net.mix(3, 0));
    let [patient, other] = [0, 1].map(|index| Origin::Member(net.mix(2, index)));
    let limits = RelayLimits {
        pool: 16,
        ..RelayLimits::default()
    };
    let door = net.door_with(here, limits.clone());
    let mut relay = net.relay(here, limits, &door.books, now);
    for _ in 0..20 {
        let frame = net.frame(Span::from_secs(3600));
        let packet = door.pass(now, patient, &frame).unwrap();
        relay.handle_input(now, RelayInput::Processed(packet));
    }
    assert!(drain(&mut relay, now).is_empty());
    for _ in 0..20 {
        let frame = net.frame(Span::ZERO);
        let packet = door.pass(now, other, &frame).unwrap();
        relay.handle_input(now, RelayInput::Processed(packet));
        assert_eq!(drain(&mut relay, now).len(), 1);
    }
    let books = door.snapshot();
    assert_eq!(books.dropped(DropReason::PoolFull), 12);
    assert_eq!(books.inside(Stage::Pooled), 8);
}
