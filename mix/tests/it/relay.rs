//! The pool in virtual time, behind a real gate.

use crate::fixture::{Door, EPOCH, Net, drain};
use rand_chacha::ChaCha20Rng;
use shoal_mix::{DropReason, Origin, OwnKind, Relay, RelayAction, RelayInput, RelayLimits, Stage};
use shoal_packet::Frame;
use shoal_proto::{Span, Time};
use shoal_topology::delay;

/// A mix of the last layer that gets packets from the layer before.
struct Mix {
    net: Net,
    door: Door,
    relay: Relay<ChaCha20Rng>,
    origin: Origin,
    start: Time,
}

impl Mix {
    fn new(seed: u64, limits: RelayLimits) -> Self {
        let mut net = Net::new(seed);
        let (here, start) = (net.mix(3, 0), net.noon());
        let door = net.door_with(here, limits.clone());
        let relay = net.relay(here, limits, &door.books, start);
        let origin = Origin::Member(net.mix(2, 0));
        Self {
            net,
            door,
            relay,
            origin,
            start,
        }
    }

    /// A packet comes in and goes straight to the pool.
    fn receive(&mut self, now: Time, delay: Span) {
        let frame = self.net.frame(delay);
        self.receive_frame(now, now, &frame);
    }

    fn receive_frame(&mut self, arrival: Time, now: Time, frame: &Frame) {
        let admitted = self
            .door
            .gate
            .admit(arrival, self.origin, frame.clone())
            .unwrap();
        let processed = self.door.unwrap(now, admitted).unwrap();
        self.relay
            .handle_input(now, RelayInput::Processed(processed));
    }

    /// Runs to the end by the relay's own deadlines; when each packet left.
    fn departures(&mut self) -> Vec<Time> {
        let mut departures = Vec::new();
        while let Some(now) = self.relay.poll_deadline() {
            for action in drain(&mut self.relay, now) {
                departures.push(now);
                sent(action);
            }
        }
        departures
    }

    /// Where the packets inside are: waiting for the log, waiting for their moment.
    fn pooled(&self) -> (u64, u64) {
        let books = self.door.snapshot();
        (
            books.inside(Stage::AwaitingLog),
            books.inside(Stage::Pooled),
        )
    }
}

fn sent(action: RelayAction) {
    let RelayAction::Send { passage, .. } = action else {
        panic!("a packet is forwarded");
    };
    passage.sent();
}

const fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

#[test]
fn packets_leave_at_arrival_plus_delay() {
    let mut mix = Mix::new(20, RelayLimits::default());
    let start = mix.start;
    for delay in [300, 20, 0, 150, 20] {
        mix.receive(start, ms(delay));
    }
    // This one waited 40 ms before it was unwrapped: that is part of its delay.
    let frame = mix.net.frame(ms(50));
    mix.receive_frame(start, start + ms(40), &frame);
    drain(&mut mix.relay, start).into_iter().for_each(sent);
    let departures = mix.departures();
    let expected = [20, 20, 50, 150, 300].map(|delay| start + ms(delay));
    assert_eq!(departures, expected);
    let books = mix.door.snapshot();
    assert_eq!(
        (
            books.counters.received,
            books.counters.forwarded,
            books.counters.late
        ),
        (6, 6, 0)
    );
    assert_eq!(books.excess.counts()[0], 6);
}

#[test]
fn nothing_leaves_before_its_tag_is_durable() {
    let limits = RelayLimits {
        log_grace: Some(ms(1_000)),
        ..RelayLimits::default()
    };
    let mut mix = Mix::new(21, limits);
    let (start, books) = (mix.start, mix.door.books.clone());
    for delay in [10, 20, 30] {
        mix.receive(start, ms(delay));
    }
    let mut sequences = Vec::new();
    while let Some(action) = mix.relay.poll_action(start) {
        let RelayAction::LogTag {
            sequence,
            epoch: EPOCH,
            ..
        } = action
        else {
            panic!("nothing else yet");
        };
        sequences.push(sequence);
    }
    assert_eq!(sequences, [1, 2, 3]);
    let late = start + ms(100);
    assert!(mix.relay.poll_action(late).is_none());
    assert_eq!(mix.pooled(), (3, 0));
    // Without a durable tag there is nothing to wait for but the log.
    assert_eq!(mix.relay.poll_deadline(), None);

    mix.relay
        .handle_input(late, RelayInput::TagsDurable { upto: 2 });
    assert_eq!(mix.pooled(), (1, 2));
    sent(mix.relay.poll_action(late).unwrap());
    let action = mix.relay.poll_action(late).unwrap();
    assert_eq!(books.snapshot().inside(Stage::Departing), 1);
    sent(action);
    assert!(mix.relay.poll_action(late).is_none());
    // 90 and 80 ms after their moments: past the limit of 50, in the bucket up to 100.
    let snapshot = mix.door.snapshot();
    assert_eq!(
        (snapshot.counters.late, snapshot.excess.counts()[6]),
        (2, 2)
    );
    assert_eq!(snapshot.excess.sum(), ms(170));

    // A promise about tags that were never given out binds nobody.
    mix.relay
        .handle_input(late, RelayInput::TagsDurable { upto: u64::MAX });
    sent(mix.relay.poll_action(late).unwrap());
    mix.receive(late, ms(0));
    assert!(matches!(
        mix.relay.poll_action(late),
        Some(RelayAction::LogTag { sequence: 4, .. })
    ));
    assert!(mix.relay.poll_action(late).is_none());
}

#[test]
fn finals_wait_for_the_log_only() {
    let mut net = Net::new(22);
    let (now, here) = (net.noon(), net.provider(0));
    let door = net.door(here);
    let mut relay = net.relay(here, RelayLimits::default(), &door.books, now);
    let frame = net.frame_in(EPOCH, &[here], Span::ZERO, b"for the provider");
    let processed = door
        .pass(now, Origin::Member(net.mix(3, 1)), &frame)
        .unwrap();
    relay.handle_input(now, RelayInput::Processed(processed));
    assert!(matches!(
        relay.poll_action(now),
        Some(RelayAction::LogTag { sequence: 1, .. })
    ));
    assert!(relay.poll_action(now).is_none());
    relay.handle_input(now, RelayInput::TagsDurable { upto: 1 });
    let Some(RelayAction::Deliver(delivery)) = relay.poll_action(now) else {
        panic!("delivers")
    };
    assert_eq!(delivery.plaintext.unwrap().as_slice(), b"for the provider");
    assert_eq!((delivery.epoch, delivery.arrival), (EPOCH, now));
    let books = door.snapshot();
    assert_eq!((books.counters.delivered, books.excess.count()), (1, 0));
    assert_eq!(books.dropped_total(), 0);
}

#[test]
fn a_failing_log_stops_everything_and_is_tried_again() {
    let mut mix = Mix::new(23, RelayLimits::default());
    let start = mix.start;
    mix.receive(start, ms(500));
    assert!(drain(&mut mix.relay, start).is_empty());
    mix.receive(start, ms(10));
    mix.receive(start, ms(20));
    while mix.relay.poll_action(start).is_some() {}
    mix.relay.handle_input(start, RelayInput::TagsFailed);
    // What was durable stays, what was not is gone.
    assert_eq!(mix.pooled(), (0, 1));
    let lost = |mix: &Mix| mix.door.snapshot().dropped(DropReason::LogUnavailable);
    assert_eq!(lost(&mix), 2);

    mix.receive(start + ms(999), ms(10));
    assert_eq!(lost(&mix), 3);
    // One packet tries again; while it waits, no other.
    let retry = start + ms(1_000);
    mix.receive(retry, ms(10));
    mix.receive(retry, ms(10));
    assert_eq!((lost(&mix), mix.pooled()), (4, (1, 1)));
    let Some(RelayAction::LogTag { sequence: 4, .. }) = mix.relay.poll_action(retry) else {
        panic!("the tag goes to the log");
    };
    // The log says nothing for long: it is not given more.
    let retry = retry + ms(1_500);
    mix.receive(retry, ms(10));
    assert_eq!(lost(&mix), 5);
    mix.relay.handle_input(retry, RelayInput::TagsFailed);
    assert_eq!((lost(&mix), mix.pooled()), (6, (0, 1)));

    // The log works again: that packet leaves, and the next ones are taken.
    let again = retry + ms(1_000);
    mix.receive(again, ms(10));
    while let Some(action) = mix.relay.poll_action(again) {
        match action {
            RelayAction::LogTag { sequence, .. } => {
                mix.relay
                    .handle_input(again, RelayInput::TagsDurable { upto: sequence });
            }
            // The one from the start.
            action => sent(action),
        }
    }
    mix.receive(again, ms(10));
    mix.receive(again, ms(10));
    assert_eq!(mix.departures().len(), 3);
    assert_eq!((lost(&mix), mix.door.snapshot().counters.forwarded), (6, 4));
}

#[test]
fn the_pool_has_a_bound() {
    let mut mix = Mix::new(
        24,
        RelayLimits {
            // One sender gets half.
            pool: 4,
            ..RelayLimits::default()
        },
    );
    let start = mix.start;
    for _ in 0..3 {
        mix.receive(start, ms(10));
    }
    assert_eq!(mix.door.snapshot().dropped(DropReason::PoolFull), 1);
    assert_eq!(mix.departures().len(), 2);
    mix.receive(start + ms(10), ms(10));
    assert_eq!(mix.departures().len(), 1);
}

#[test]
fn a_relay_that_stops_abandons_what_it_holds() {
    let mut mix = Mix::new(25, RelayLimits::default());
    let start = mix.start;
    mix.receive(start, ms(10));
    assert!(drain(&mut mix.relay, start).is_empty());
    mix.receive(start, ms(10));
    let Mix { door, relay, .. } = mix;
    drop(relay);
    let books = door.snapshot();
    assert_eq!(
        (books.dropped(DropReason::Abandoned), books.inside_total()),
        (2, 0)
    );
    assert_eq!(books.own(OwnKind::Loop).originated, 0);
}

/// Of n exponential clocks started together, the gap before the next to ring of the k that are
/// left is exponential too, with mean/k, whatever happened before: the departures are those of a
/// Poisson process whose rate is proportional to what is inside. Times k, all gaps are alike.
/// The largest distance between their distribution and the exponential one, times sqrt(n).
fn distance_from_memoryless(start: Time, departures: &[Time], mean: Span) -> f64 {
    let mut before = start;
    let mut gaps: Vec<f64> = Vec::new();
    for (index, departure) in departures.iter().enumerate() {
        let left = departures.len() - index;
        gaps.push(departure.since(before).as_secs_f64() * left as f64 / mean.as_secs_f64());
        before = *departure;
    }
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    let distance = |(index, gap): (usize, &f64)| {
        let expected = 1.0 - (-gap).exp();
        (expected - index as f64 / n)
            .abs()
            .max(((index + 1) as f64 / n - expected).abs())
    };
    gaps.iter().enumerate().map(distance).fold(0.0, f64::max) * n.sqrt()
}

/// Kolmogorov and Smirnov's bound for a significance of 0.1%.
const CRITICAL: f64 = 1.95;

#[test]
fn exponential_delays_leave_poisson_departures() {
    let mean = ms(100);
    let burst = |seed, delay: &mut dyn FnMut(&mut ChaCha20Rng) -> Span| {
        let mut mix = Mix::new(seed, RelayLimits::default());
        for _ in 0..500 {
            let delay = delay(&mut mix.net.rng);
            mix.receive(mix.start, delay);
        }
        let departures = mix.departures();
        assert_eq!(departures.len(), 500);
        distance_from_memoryless(mix.start, &departures, mean)
    };
    let exponential = burst(26, &mut |rng| delay::sample(rng, mean));
    assert!(exponential < CRITICAL, "{exponential}");
    // The test can tell: delays that are uniform with the same mean are rejected.
    let uniform = burst(27, &mut |rng| {
        mean.scale(u64::from(rand::Rng::next_u32(rng)), 1 << 31)
    });
    assert!(uniform > CRITICAL, "{uniform}");
}
