//! A crash at any moment: everything in memory is gone, the log has what it said it had.

use crate::fixture::{EPOCH, Net};
use rand::RngExt;
use shoal_mix::{DropReason, Origin, RelayAction, RelayInput, RelayLimits};
use shoal_packet::{Frame, ReplayTag};
use shoal_proto::{Epoch, Span};

/// A replay log: what it was given, and how much of it is on disk.
#[derive(Default)]
struct Log {
    given: Vec<(u64, Epoch, ReplayTag)>,
    durable: usize,
}

impl Log {
    /// What a new process finds.
    fn survivors(&self) -> Vec<(Epoch, ReplayTag)> {
        self.given[..self.durable]
            .iter()
            .map(|(_, epoch, tag)| (*epoch, *tag))
            .collect()
    }
}

#[test]
fn no_packet_leaves_twice_over_crashes() {
    let mut net = Net::new(40);
    let here = net.mix(3, 0);
    let origin = Origin::Member(net.mix(2, 0));
    let frames: Vec<Frame> = (0..40_u64)
        .map(|n| net.frame(Span::from_millis(n % 7 * 5)))
        .collect();
    let mut departures = vec![0_u32; frames.len()];
    let mut survivors: Vec<(Epoch, ReplayTag)> = Vec::new();
    let mut refused = 0;
    let mut now = net.noon();
    // Four lives. In each the adversary sends everything once more.
    for _ in 0..4 {
        let door = net.door(here);
        for (epoch, tag) in &survivors {
            door.gate.restore_tags(*epoch, [*tag]);
        }
        let mut relay = net.relay(here, RelayLimits::default(), &door.books, now);
        let mut log = Log::default();
        // The forwarded payload tells which packet it is: unwrapping is deterministic.
        let mut known: Vec<(Frame, usize)> = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            now += Span::from_millis(1);
            match door.pass(now, origin, frame) {
                Ok(packet) => {
                    if let shoal_mix::ProcessedKind::Forward { frame, .. } = &packet.kind {
                        known.push((frame.clone(), index));
                    }
                    relay.handle_input(now, RelayInput::Processed(packet));
                }
                Err(reason) => {
                    assert_eq!(reason, DropReason::Replayed);
                    refused += 1;
                }
            }
            while let Some(action) = relay.poll_action(now) {
                match action {
                    RelayAction::LogTag {
                        sequence,
                        epoch,
                        tag,
                    } => {
                        assert_eq!(epoch, EPOCH);
                        log.given.push((sequence, epoch, tag));
                    }
                    RelayAction::Send { frame, passage, .. } => {
                        let (_, index) = known.iter().find(|(sent, _)| *sent == frame).unwrap();
                        departures[*index] += 1;
                        passage.sent();
                    }
                    _ => panic!("nothing else happens"),
                }
            }
            // The disk keeps up now and then.
            if net.rng.random_bool(0.2) && log.durable < log.given.len() {
                log.durable = net.rng.random_range(log.durable + 1..=log.given.len());
                let upto = log.given[log.durable - 1].0;
                relay.handle_input(now, RelayInput::TagsDurable { upto });
            }
        }
        // The disk may have more than it had time to say.
        log.durable = net.rng.random_range(log.durable..=log.given.len());
        survivors.extend(log.survivors());
    }
    assert!(departures.iter().all(|count| *count <= 1), "{departures:?}");
    assert!(departures.iter().sum::<u32>() > 10, "{departures:?}");
    assert!(refused > 60, "{refused}");
}
