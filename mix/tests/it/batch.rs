//! Frames that pass the gate together.

use crate::fixture::{Door, EPOCH, Net};
use shoal_mix::{DropReason, Origin, Processed, ProcessedKind};
use shoal_packet::{Batch, Engine, Frame};
use shoal_proto::{Epoch, Span};

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
        // Both epochs, more than two batches.
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
    // Copies, in the same batch and in another.
    frames[3] = frames[2].clone();
    frames[70] = frames[2].clone();

    let (single, together) = (net.door(here), net.door(here));
    let expected: Vec<_> = frames
        .iter()
        .map(|frame| outcome(single.pass(now, origin, frame)))
        .collect();
    let admit = |frame: &Frame| together.gate.admit(now, origin, frame.clone()).unwrap();
    let mut admitted = frames.iter().map(admit);
    let mut found = Vec::new();
    while admitted.len() > 0 {
        let batch = Batch::fill(&mut admitted);
        let outcomes = together.gate.unwrap_batch(now, batch);
        found.extend(outcomes.into_iter().map(outcome));
    }
    assert_eq!(found, expected);
    assert_eq!(found.iter().filter(|what| *what == "Replayed").count(), 2);
    let total = |door: &Door| door.snapshot().dropped_total();
    assert_eq!(total(&together), total(&single));
}

#[test]
fn what_a_batch_can_not_use_harms_nothing_else_in_it() {
    let mut net = Net::new(10);
    let (here, origin) = (net.mix(3, 0), Origin::Member(net.mix(2, 0)));
    let (dawn, noon) = (net.dawn(), net.noon());
    let before = EPOCH.previous().unwrap();
    let door = net.door(here);
    // The epoch before ends while they wait: every second frame is of it.
    let mut admitted = (0..Engine::BATCH).map(|index| {
        let epoch = if index % 2 == 0 { EPOCH } else { before };
        let route = [here, net.provider(0)];
        let frame = net.frame_in(epoch, &route, Span::ZERO, b"text");
        door.gate.admit(dawn, origin, frame).unwrap()
    });
    let batch = Batch::fill(&mut admitted);
    assert_eq!(batch.len(), Engine::BATCH);
    let outcomes = door.gate.unwrap_batch(noon, batch);
    for (index, result) in outcomes.into_iter().enumerate() {
        let expected = (index % 2 == 1).then_some(DropReason::UnknownEpoch);
        assert_eq!(result.err(), expected);
    }
    let books = door.snapshot();
    let refused = books.dropped(DropReason::UnknownEpoch);
    assert_eq!(usize::try_from(refused).unwrap(), Engine::BATCH / 2);
}
