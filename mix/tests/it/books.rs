//! Whatever happens in whatever order: no packet is missing from the books, and the places inside
//! agree with what is really there.

use crate::fixture::{Door, EPOCH, Net, client};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{
    DropReason, Origin, OwnKind, Passage, Processed, Relay, RelayAction, RelayInput, RelayLimits,
    Stage, UnwrapQueue,
};
use shoal_packet::Frame;
use shoal_packet::command::Command;
use shoal_proto::{NodeId, Span, SurbId, Time};
use shoal_topology::NetworkParameters;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

/// One thing that happens to a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Receive { frame: usize, from: usize },
    Unwrap,
    Process,
    Discard,
    Durable { share: u64 },
    LogFails,
    Wait { millis: u64 },
    Poll,
    RingSends,
    RingDrops,
    Originate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..24, 0usize..6).prop_map(|(frame, from)| Step::Receive { frame, from }),
        6 => Just(Step::Unwrap),
        6 => Just(Step::Process),
        1 => Just(Step::Discard),
        4 => (0u64..=4).prop_map(|share| Step::Durable { share }),
        1 => Just(Step::LogFails),
        3 => (0u64..400).prop_map(|millis| Step::Wait { millis }),
        6 => Just(Step::Poll),
        3 => Just(Step::RingSends),
        1 => Just(Step::RingDrops),
        1 => Just(Step::Originate),
    ]
}

/// A provider, the frames that it may get, and from whom.
struct Stock {
    net: Net,
    here: NodeId,
    frames: Vec<Vec<u8>>,
    origins: Vec<Origin>,
}

impl Stock {
    fn new() -> Self {
        let mut net = Net::with(
            50,
            NetworkParameters {
                loop_rate: 2.0,
                ..NetworkParameters::example()
            },
        );
        let (here, next) = (net.provider(0), net.mix(1, 0));
        let loop_text = Command::NodeLoop(SurbId::new([1; 16])).encode(&mut net.rng);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for index in 0..6 {
            let delay = Span::from_millis(index * 60);
            let wrong = net.mix(2, 0);
            let kinds = [
                net.frame_in(EPOCH, &[here, next], delay, b""),
                net.frame_in(EPOCH, &[here], delay, b"command"),
                Frame::filler(&mut net.rng, EPOCH.byte()),
            ];
            frames.extend(kinds.map(|frame| frame.as_bytes().to_vec()));
            frames.push(match index {
                0 => vec![EPOCH.byte(); 100],
                1 => vec![EPOCH.byte().wrapping_add(9); 2397],
                2 => net
                    .frame_in(EPOCH, &[here, wrong], delay, b"")
                    .as_bytes()
                    .to_vec(),
                3 => net
                    .frame_in(EPOCH, &[here], delay, &loop_text)
                    .as_bytes()
                    .to_vec(),
                _ => net
                    .frame_in(EPOCH, &[here, next], delay, b"")
                    .as_bytes()
                    .to_vec(),
            });
        }
        let peers = [net.mix(3, 0), net.mix(3, 1), net.mix(3, 0), net.mix(1, 0)];
        let mut origins: Vec<_> = peers.into_iter().map(Origin::Member).collect();
        origins.extend([client(), Origin::Member(NodeId::new([3; 32]))]);
        Self {
            net,
            here,
            frames,
            origins,
        }
    }
}

/// A node, and what the test itself knows of its packets.
struct Model {
    door: Door,
    relay: Relay<ChaCha20Rng>,
    now: Time,
    queue: UnwrapQueue<ChaCha20Rng>,
    unwrapped: VecDeque<Processed>,
    /// Sequences given to the log and not yet durable.
    awaiting: Vec<u64>,
    pooled: usize,
    /// Own loops that the relay sent.
    loops: u64,
    ring: VecDeque<(bool, Passage)>,
    received: u64,
    delivered: u64,
    forwarded: u64,
}

impl Model {
    fn new(stock: &mut Stock) -> Self {
        let limits = RelayLimits {
            pool: 6,
            queue: 6,
            log_patience: Some(Span::from_secs(1 << 30)),
            ..RelayLimits::default()
        };
        let (here, now) = (stock.here, stock.net.noon());
        let door = stock.net.door_with(here, limits.clone());
        let relay = stock.net.relay(here, limits, &door.books, now);
        Self {
            queue: door.gate.queue(ChaCha20Rng::seed_from_u64(7)),
            door,
            relay,
            now,
            unwrapped: VecDeque::new(),
            awaiting: Vec::new(),
            pooled: 0,
            loops: 0,
            ring: VecDeque::new(),
            received: 0,
            delivered: 0,
            forwarded: 0,
        }
    }

    fn apply(&mut self, stock: &Stock, step: Step) {
        match step {
            Step::Receive { frame, from } => {
                self.received += 1;
                let origin = stock.origins[from];
                let bytes = &stock.frames[frame];
                if let Ok(admitted) = self.door.admit_bytes(self.now, origin, bytes) {
                    let _ = self.queue.push(admitted);
                }
            }
            Step::Unwrap => {
                for admitted in self.queue.take(self.now) {
                    self.unwrapped.extend(self.door.unwrap(self.now, admitted));
                }
            }
            Step::Process => {
                if let Some(packet) = self.unwrapped.pop_front() {
                    self.relay
                        .handle_input(self.now, RelayInput::Processed(packet));
                    self.poll_log();
                }
            }
            Step::Discard => {
                for admitted in self.queue.take(self.now) {
                    admitted.drop_as(DropReason::QueueFull);
                }
                drop(self.unwrapped.pop_back());
            }
            Step::Durable { share } => {
                let index = self.awaiting.len() * usize::try_from(share).unwrap() / 4;
                let upto = index.checked_sub(1).map_or(0, |last| self.awaiting[last]);
                self.awaiting.drain(..index);
                self.pooled += index;
                self.relay
                    .handle_input(self.now, RelayInput::TagsDurable { upto });
            }
            Step::LogFails => {
                self.awaiting.clear();
                self.relay.handle_input(self.now, RelayInput::TagsFailed);
            }
            Step::Wait { millis } => self.now += Span::from_millis(millis),
            Step::Poll => self.poll_log(),
            Step::RingSends => {
                if let Some((forwarded, passage)) = self.ring.pop_front() {
                    self.forwarded += u64::from(forwarded);
                    passage.sent();
                }
            }
            Step::RingDrops => {
                if let Some((_, passage)) = self.ring.pop_front() {
                    passage.drop_as(DropReason::RingFull);
                }
            }
            Step::Originate => {
                let passage = self.door.books.originate(OwnKind::Provider);
                self.ring.push_back((false, passage));
            }
        }
    }

    fn poll_log(&mut self) {
        while let Some(action) = self.relay.poll_action(self.now) {
            match action {
                RelayAction::LogTag { sequence, .. } => self.awaiting.push(sequence),
                RelayAction::Send { passage, .. } => {
                    // The relay sends the loops that it made before what it holds.
                    let loops = self.door.books.snapshot().own(OwnKind::Loop).originated;
                    let forwarded = self.loops == loops;
                    self.loops += u64::from(!forwarded);
                    self.pooled -= usize::from(forwarded);
                    self.ring.push_back((forwarded, passage));
                }
                RelayAction::Deliver(_) => {
                    self.pooled -= 1;
                    self.delivered += 1;
                }
                RelayAction::LoopAlarm(_)
                | RelayAction::LoopRecovered(_)
                | RelayAction::LogSlow(_)
                | RelayAction::LogQuick => {}
            }
        }
    }

    /// The books against what is really there.
    fn check(&self) -> Result<(), TestCaseError> {
        let books = self.door.books.snapshot();
        prop_assert!(books.balanced(), "{:?}", books);
        let inside = |stage| usize::try_from(books.inside(stage)).unwrap();
        prop_assert_eq!(inside(Stage::Queued), self.queue.len());
        prop_assert_eq!(inside(Stage::Unwrapping), self.unwrapped.len());
        prop_assert_eq!(inside(Stage::AwaitingLog), self.awaiting.len());
        prop_assert_eq!(inside(Stage::Pooled), self.pooled);
        let forwards = self.ring.iter().filter(|(forwarded, _)| *forwarded).count();
        prop_assert_eq!(inside(Stage::Departing), forwards);
        let own: u64 = OwnKind::ALL
            .iter()
            .map(|kind| books.own(*kind).departing)
            .sum();
        prop_assert_eq!(usize::try_from(own).unwrap(), self.ring.len() - forwards);
        prop_assert_eq!(books.counters.received, self.received);
        prop_assert_eq!(books.counters.forwarded, self.forwarded);
        prop_assert_eq!(books.counters.delivered, self.delivered);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_books_balance_whatever_happens(steps in prop::collection::vec(step(), 1..150)) {
        static STOCK: OnceLock<Mutex<Stock>> = OnceLock::new();
        let stock = STOCK.get_or_init(|| Mutex::new(Stock::new()));
        let mut stock = stock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut model = Model::new(&mut stock);
        for step in steps {
            model.apply(&stock, step);
            model.check()?;
        }
        let Model { door, relay, queue, unwrapped, ring, .. } = model;
        drop((relay, queue, unwrapped, ring));
        let books = door.books.snapshot();
        prop_assert!(books.balanced());
        prop_assert_eq!(books.inside_total(), 0);
    }
}
