//! Frames that pass the gate together.

use crate::fixture::{Door, EPOCH, Net};
use shoal_mix::{DropReason, Origin, Processed, ProcessedKind};
use shoal_packet::Frame;
use shoal_proto::{Epoch, Span};
use std::cell::Cell;

/// What a batch of frames comes to: outcomes in words that can be compared.
fn outcome(result: Result<Processed, DropReason>) -> String {
    match result {
        Ok(Processed {
            kind: ProcessedKind::Forward { next, frame, delay },
            epoch,
            ..
        }) => format!("{epoch:?} {next:?} {delay:?} {:?}", frame.as_bytes()),
        Ok(_) => "final".to_owned(),
        Err(reason) => format!("{reason:?}"),
    }
}

#[test]
fn a_batch_comes_to_the_same_as_its_frames_one_by_one() {
    let mut net = Net::new(9);
    let (here, origin) = (net.mix(3, 0), Origin::Member(net.mix(2, 0)));
    let now = net.dawn();
    let before = Epoch::new(EPOCH.number() - 1);
    let mut frames = Vec::new();
    for index in 0..75 {
        // Both epochs, longer than two passes.
        let epoch = if index % 3 == 0 { before } else { EPOCH };
        let route = [here, net.provider(0)];
        let mut frame = net.frame_in(epoch, &route, Span::from_millis(index), b"text");
        if index % 5 == 1 {
            let mut bytes = *frame.as_bytes();
            bytes[60] ^= 1;
            frame = Frame::from_bytes(&bytes).unwrap();
        }
        frames.push(frame);
    }
    // Copies inside the batch, in the same pass and in another.
    frames[3] = frames[2].clone();
    frames[70] = frames[2].clone();

    let (single, together) = (net.door(here), net.door(here));
    let expected: Vec<_> = frames
        .iter()
        .map(|frame| outcome(single.pass(now, origin, frame)))
        .collect();
    let admitted: Vec<_> = frames
        .iter()
        .map(|frame| together.gate.admit(now, origin, frame.clone()).unwrap())
        .collect();
    let mut found = Vec::new();
    let gate = &together.gate;
    gate.unwrap_batch(|| now, admitted, |result| found.push(outcome(result)));
    assert_eq!(found, expected);
    assert_eq!(found.iter().filter(|what| *what == "Replayed").count(), 2);
    let total = |door: &Door| door.snapshot().dropped_total();
    assert_eq!(total(&together), total(&single));
}

#[test]
fn what_a_batch_can_not_use_harms_nothing_else_in_it() {
    let mut net = Net::new(10);
    let (here, origin) = (net.mix(3, 0), Origin::Member(net.mix(2, 0)));
    let now = net.noon();
    let door = net.door(here);
    let admitted: Vec<_> = (0..40)
        .map(|_| {
            let frame = net.frame(Span::ZERO);
            door.gate.admit(now, origin, frame).unwrap()
        })
        .collect();
    // The epoch ends while they wait: for every second one the clock says so.
    let asked = Cell::new(0);
    let much_later = now + net.params.epoch.scale(3, 1);
    let clock = || {
        asked.set(asked.get() + 1);
        if asked.get() % 2 == 0 {
            much_later
        } else {
            now
        }
    };
    let (mut passed, mut refused) = (0, 0);
    door.gate
        .unwrap_batch(clock, admitted, |result| match result {
            Ok(_) => passed += 1,
            Err(reason) => {
                assert_eq!(reason, DropReason::UnknownEpoch);
                refused += 1;
            }
        });
    assert_eq!((passed, refused), (20, 20));
    door.snapshot();
}
