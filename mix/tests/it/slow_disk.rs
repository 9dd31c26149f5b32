//! Replay logs on disks that are slow: what is not durable at its moment leaves apart from the rest, or not.

use crate::fixture::{Door, Net};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{DropReason, Origin, Relay, RelayAction, RelayInput, RelayLimits};
use shoal_proto::{Span, Time};
use shoal_topology::delay;

/// A disk that writes one group after the other; what comes meanwhile makes the next.
struct Disk {
    takes: Span,
    /// Until when the group is being written, and its last tag.
    writing: Option<(Time, u64)>,
    /// The last tag that waits.
    waiting: Option<u64>,
}

impl Disk {
    fn begin(&mut self, now: Time) {
        if self.writing.is_none() {
            self.writing = self.waiting.take().map(|upto| (now + self.takes, upto));
        }
    }
}

/// A mix with a disk, and what was seen of it.
struct Slow {
    net: Net,
    door: Door,
    relay: Relay<ChaCha20Rng>,
    disk: Disk,
    origin: Origin,
    rng: ChaCha20Rng,
    now: Time,
    departures: Vec<Time>,
    /// When groups were on disk.
    written: Vec<Time>,
    told: Vec<(Time, &'static str)>,
}

impl Slow {
    fn new(seed: u64, takes: Span) -> Self {
        let mut net = Net::new(seed);
        let (here, now) = (net.mix(3, 0), net.noon());
        let door = net.door(here);
        let relay = net.relay(here, RelayLimits::default(), &door.books, now);
        Self {
            origin: Origin::Member(net.mix(2, 0)),
            net,
            door,
            relay,
            disk: Disk {
                takes,
                writing: None,
                waiting: None,
            },
            rng: ChaCha20Rng::seed_from_u64(seed),
            now,
            departures: Vec::new(),
            written: Vec::new(),
            told: Vec::new(),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.relay.poll_action(self.now) {
            match action {
                RelayAction::Send { passage, .. } => {
                    self.departures.push(self.now);
                    passage.sent();
                }
                RelayAction::LogTag { sequence, .. } => self.disk.waiting = Some(sequence),
                RelayAction::LogSlow(_) => self.told.push((self.now, "slow")),
                RelayAction::LogQuick => self.told.push((self.now, "quick")),
                _ => panic!("nothing else is to be done"),
            }
        }
        self.disk.begin(self.now);
    }

    /// Has time pass until then, with what is due.
    fn run_until(&mut self, until: Time) {
        loop {
            let written = self.disk.writing.map(|(at, _)| at);
            let due = [self.relay.poll_deadline(), written];
            let Some(next) = due
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= until)
            else {
                break;
            };
            self.now = self.now.max(next);
            if let Some((at, upto)) = self.disk.writing
                && at <= self.now
            {
                self.disk.writing = None;
                self.written.push(self.now);
                let durable = RelayInput::TagsDurable { upto };
                self.relay.handle_input(self.now, durable);
            }
            self.act();
        }
        self.now = self.now.max(until);
    }

    /// Packets come at moments of a Poisson process, so many a second, for so many seconds.
    fn receive(&mut self, rate: f64, seconds: u64) {
        let end = self.now + Span::from_secs(seconds);
        let mean = self.net.params.mean_delay;
        loop {
            let gap = delay::gap(&mut self.rng, rate).expect("a rate");
            let at = self.now + Span::from_secs_f64(gap);
            self.run_until(at.min(end));
            if at > end {
                return;
            }
            let frame = self.net.frame(delay::sample(&mut self.rng, mean));
            let admitted = self.door.gate.admit(at, self.origin, frame).unwrap();
            let packet = self.door.unwrap(at, admitted).unwrap();
            self.relay.handle_input(at, RelayInput::Processed(packet));
            self.act();
        }
    }

    /// Nothing comes any more.
    fn finish(&mut self) {
        self.run_until(self.now + Span::from_secs(30));
        let books = self.door.snapshot();
        assert_eq!(books.inside_total(), 0);
    }

    /// The share of departures within a millisecond after a group was on disk.
    fn with_the_disk(&self) -> f64 {
        let close = |departure: &&Time| {
            let before = self.written.partition_point(|at| at <= departure);
            let last = before.checked_sub(1).map(|index| self.written[index]);
            last.is_some_and(|at| departure.since(at) < Span::from_millis(1))
        };
        let count = self.departures.iter().filter(close).count();
        count as f64 / self.departures.len() as f64
    }
}

#[test]
fn what_a_slow_disk_holds_up_does_not_leave_together() {
    let mut mix = Slow::new(60, Span::from_millis(200));
    mix.receive(150.0, 20);
    mix.finish();
    let books = mix.door.snapshot();
    // It waits for 200 to 400 ms, so that most miss their moments.
    let redrawn = books.counters.redrawn as f64 / mix.departures.len() as f64;
    assert!((0.75..0.99).contains(&redrawn), "{redrawn}");
    // By chance it would be one in 200; the rest are those that miss their moment by little.
    let together = mix.with_the_disk();
    assert!(together < 0.03, "{together}");
    assert_eq!(mix.told.len(), 1, "{:?}", mix.told);
    assert_eq!(mix.told[0].1, "slow");
    // The oldest tag waits for 100 to 400 ms, of which a mean delay is taken as it comes: not all are.
    let dropped = books.dropped(DropReason::LogSlow) as f64 / books.counters.received as f64;
    assert!((0.3..0.7).contains(&dropped), "{dropped}");
}

#[test]
fn a_disk_that_keeps_up_changes_nothing() {
    let mut mix = Slow::new(61, Span::from_millis(4));
    mix.receive(150.0, 20);
    mix.finish();
    let books = mix.door.snapshot();
    assert_eq!((books.counters.redrawn, books.dropped_total()), (0, 0));
    assert!(mix.told.is_empty());
    assert!(books.excess.sum() < Span::from_millis(books.counters.forwarded));
}

#[test]
fn a_disk_that_stands_still_is_told_of_once_and_when_it_is_over() {
    let mut mix = Slow::new(62, Span::from_secs(3));
    mix.receive(100.0, 12);
    let books = mix.door.snapshot();
    // What waited for ten mean delays is of no use to anybody any more, and of what comes few are taken.
    let dropped = books.dropped(DropReason::LogSlow) as f64 / books.counters.received as f64;
    assert!(dropped > 0.9, "{dropped}");
    assert_eq!(mix.told.len(), 1);
    mix.disk.takes = Span::from_millis(4);
    mix.receive(20.0, 75);
    mix.finish();
    let names: Vec<_> = mix.told.iter().map(|(_, what)| *what).collect();
    assert_eq!(names, ["slow", "quick"]);
    // A minute without trouble.
    let calm = mix.told[1].0.since(mix.told[0].0);
    assert!(calm > Span::from_secs(60), "{calm}");
}

/// Chance decides what is taken, so no sender's packets have it better, however they come.
#[test]
fn what_a_slow_disk_costs_is_shared_out_evenly() {
    let mut mix = Slow::new(63, Span::from_millis(600));
    let (mut steady, mut bursts) = ((0, 0), (0, 0));
    for round in 0..600_u32 {
        let before = mix.door.snapshot().dropped_total();
        // One now and then, or ten at once: as many in all.
        let burst = round % 10 == 0;
        let count = if burst { 10 } else { 1 };
        for _ in 0..count {
            let frame = mix.net.frame(Span::from_secs(5));
            let admitted = mix.door.gate.admit(mix.now, mix.origin, frame).unwrap();
            let packet = mix.door.unwrap(mix.now, admitted).unwrap();
            mix.relay
                .handle_input(mix.now, RelayInput::Processed(packet));
        }
        let dropped = mix.door.snapshot().dropped_total() - before;
        let of = if burst { &mut bursts } else { &mut steady };
        *of = (of.0 + dropped, of.1 + count);
        mix.act();
        mix.run_until(mix.now + Span::from_millis(10));
    }
    let share = |(dropped, of): (u64, u64)| dropped as f64 / of as f64;
    let (steady, bursts) = (share(steady), share(bursts));
    assert!(
        steady > 0.5 && (steady - bursts).abs() < 0.1,
        "{steady} {bursts}"
    );
}
