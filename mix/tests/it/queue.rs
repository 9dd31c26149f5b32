//! That nobody's flood costs another: in line for the workers, in the filter, in the pool.

use crate::fixture::{Door, Net, client, drain};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{DropReason, Origin, RelayInput, RelayLimits, Stage, UnwrapQueue};
use shoal_packet::Frame;
use shoal_proto::{Span, Time};
use shoal_topology::NetworkParameters;

fn push(
    door: &Door,
    queue: &mut UnwrapQueue<ChaCha20Rng>,
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
    let mut queue = door.gate.queue(ChaCha20Rng::seed_from_u64(7));
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
    let (mut queue, frame) = (
        door.gate.queue(ChaCha20Rng::seed_from_u64(7)),
        net.frame(Span::ZERO),
    );
    let fits = |queue: &mut UnwrapQueue<ChaCha20Rng>, origin| {
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
    let (mut line, [slow, other]) = Line::new(42);
    let mut refused = Vec::new();
    // Four times what is taken.
    for turn in 0..100 {
        for number in 0..128 {
            if line.at(number, slow).is_err() {
                refused.push(4 * turn);
            }
        }
        assert_eq!(line.at(1, other), Ok(()));
        line.pass(1);
    }
    // It takes a while until anything is shed, and then it is most of what comes.
    let first = refused[0];
    assert!((100..=140).contains(&first), "{first}");
    assert!(refused.len() > 60 * 80, "{}", refused.len());
    assert_eq!(
        line.door.snapshot().dropped(DropReason::Overload),
        refused.len() as u64
    );
    // Who sends less loses nothing any more, after a moment.
    for turn in 0..300 {
        for number in 0..16 {
            let outcome = line.at(number, slow);
            assert!(turn < 250 || outcome.is_ok(), "{turn}");
        }
        line.pass(1);
    }
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

/// Workers that take a batch every so often, while senders send.
struct Line {
    door: Door,
    queue: UnwrapQueue<ChaCha20Rng>,
    frame: Frame,
    now: Time,
    /// Frames that were taken: when they came, and how long they had waited.
    taken: Vec<(Time, Span)>,
}

impl Line {
    fn new(seed: u64) -> (Self, [Origin; 2]) {
        let mut net = Net::new(seed);
        let senders = [0, 1].map(|index| Origin::Member(net.mix(2, index)));
        let door = net.door(net.mix(3, 0));
        let line = Self {
            queue: door.gate.queue(ChaCha20Rng::seed_from_u64(seed)),
            door,
            frame: net.frame(Span::ZERO),
            now: net.noon(),
            taken: Vec::new(),
        };
        (line, senders)
    }

    fn at(&mut self, micros: u64, origin: Origin) -> Result<(), DropReason> {
        let came = self.now + Span::from_micros(micros);
        push(&self.door, &mut self.queue, (came, origin), &self.frame)
    }

    /// Four milliseconds pass, at whose end so many batches are taken, of 32 frames each if there are as many.
    fn pass(&mut self, batches: usize) {
        self.now += Span::from_millis(4);
        for _ in 0..batches {
            for admitted in self.queue.take(self.now) {
                let came = admitted.arrival();
                self.taken.push((came, self.now.since(came)));
                admitted.drop_as(DropReason::Abandoned);
            }
        }
    }
}

#[test]
fn few_wait_for_others_and_a_group_does_not() {
    let (mut line, [one, other]) = Line::new(45);
    assert_eq!(line.queue.due(), None);
    line.at(500, one).unwrap();
    line.at(100, other).unwrap();
    // A fiftieth of the mean delay after the oldest came.
    let due = line.now + Span::from_micros(2_100);
    assert_eq!(line.queue.due(), Some(due));
    for _ in 0..9 {
        line.at(700, one).unwrap();
    }
    assert!(line.queue.due() < Some(line.now));
    // What is more than a group waits for others again.
    assert_eq!((line.queue.take(line.now).len(), line.queue.len()), (8, 3));
    assert_eq!(line.queue.due(), Some(line.now + Span::from_micros(2_700)));
    assert_eq!(
        (line.queue.take(line.now).len(), line.queue.due()),
        (3, None)
    );
}

#[test]
fn a_pause_of_the_machine_costs_nothing() {
    let (mut line, [one, other]) = Line::new(46);
    for round in 0..300 {
        // 2,000 a second each, and workers that stand still for 60 ms now and then.
        for number in 0..8 {
            line.at(number, one).unwrap();
            line.at(number, other).unwrap();
        }
        let pauses = round % 40 < 15;
        line.pass(if pauses { 0 } else { 4 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Chance picks what is dropped: of what a sender passes on, bursts and single packets have the same
    /// chance to get through, and nothing waits for long.
    #[test]
    fn what_is_shed_is_drawn(seed: u64, burst in 2_u64..8, batches in 1_usize..3) {
        let (mut line, [sender, _]) = Line::new(seed);
        let (mut steady, mut bursts) = (0_u32, 0_u32);
        // Twice or four times what is taken: half of it a few at a time, half in bursts.
        let each = 64;
        let mut owed = 0;
        for _ in 0..1_000 {
            for number in 0..each {
                let _ = line.at(number * 60 + 1, sender);
                steady += 1;
            }
            owed += each;
            if owed >= burst * each {
                for _ in 0..owed {
                    let _ = line.at(500, sender);
                    bursts += 1;
                }
                owed = 0;
            }
            line.pass(batches);
        }
        let is_steady = |came: &Time| came.as_micros() % 10 == 1;
        let through = line.taken.iter().filter(|(came, _)| is_steady(came)).count() as f64;
        let of_steady = through / f64::from(steady);
        let of_bursts = (line.taken.len() as f64 - through) / f64::from(bursts);
        let ratio = of_bursts / of_steady;
        prop_assert!((0.85..1.15).contains(&ratio), "{of_steady} {of_bursts}");
        // An eighth of the mean delay, and what is let in of a burst.
        let settled = line.taken.iter().skip(line.taken.len() / 2);
        let longest = settled.map(|(_, waited)| *waited).max().unwrap_or_default();
        prop_assert!(longest < Span::from_millis(80), "{longest}");
    }

    /// Who sends no more than its share loses nothing, whatever another one sends.
    #[test]
    fn who_keeps_to_its_share_loses_nothing(seed: u64, flood in 16_u64..240, modest in 1_u64..13) {
        let (mut line, [greedy, other]) = Line::new(seed);
        for _ in 0..300 {
            for number in 0..flood {
                let _ = line.at(number, greedy);
            }
            for number in 0..modest {
                prop_assert_eq!(line.at(number, other), Ok(()));
            }
            line.pass(1);
        }
    }
}
