//! What leaves the outbox when, and what a receipt, an end or another address changes of it.

use shoal_packet::DropSite;
use shoal_packet::fragment::CONTENT_BYTES;
use shoal_proto::{DropId, NodeId};
use zeroize::Zeroizing;

use super::*;

const MESSAGE: MessageId = MessageId::new([7; 16]);

fn at(secs: u64) -> Time {
    Time::from_micros(secs * 1_000_000)
}

fn site(fill: u8) -> DropSite {
    DropSite {
        provider: NodeId::new([fill; 32]),
        drop: DropId::new([fill; 32]),
    }
}

/// Whom it is to.
fn peer() -> PeerKey {
    crate::ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(5)).public()
}

fn text(message: MessageId) -> (MessageId, PeerKey, Kind) {
    (message, peer(), Kind::Text)
}

fn part(number: u8) -> OutboxRow {
    OutboxRow {
        site: site(1),
        other: None,
        deposit: MessageId::new([number; 16]),
        content: Zeroizing::new(vec![0; CONTENT_BYTES]),
    }
}

fn outbox(limit: usize) -> Outbox {
    let mut config = ClientConfig::new(NodeId::new([1; 32]));
    config.limits.outbox_fragments = limit;
    let first_wait = Span::from_millis(3_500);
    Outbox::new(
        &config,
        (first_wait, Copies::Two),
        &mut ChaCha20Rng::seed_from_u64(1),
    )
}

#[test]
fn what_waits_to_be_saved_takes_up_room() {
    let mut outbox = outbox(3);
    let parts = || vec![part(1), part(2)];
    let first = outbox.prepare((at(0), None), text(MESSAGE), parts(), all(2));
    let full = SendError::OutboxFull {
        waiting: 2,
        limit: 3,
    };
    assert_eq!(outbox.check_room(2), Err(full.clone()));
    outbox.forget(&first);
    assert_eq!(outbox.check_room(2), Ok(()));
    let second = outbox.prepare((at(0), None), text(MESSAGE), parts(), all(2));
    assert_eq!(outbox.accept(at(1), second), MESSAGE);
    assert_eq!(outbox.check_room(2), Err(full));
    assert_eq!((outbox.waiting(), outbox.prepared), (2, 0));
}

#[test]
fn a_retry_waits_as_long_when_the_clock_moves() {
    for ahead in [true, false] {
        let mut outbox = outbox(3);
        let prepared = outbox.prepare((at(1000), None), text(MESSAGE), vec![part(1)], all(1));
        outbox.accept(at(1000), prepared);
        let expires = outbox.next_expiry();
        outbox.tried(&MESSAGE, 0, true, at(1000));
        // Due in 1.75 to 5.25 s.
        outbox.clock_moved(ClockStep::new(ahead, Span::from_secs(500)));
        let now = if ahead { 1500 } else { 500 };
        assert!(outbox.next_due(at(now + 1)).is_none());
        assert!(outbox.next_due(at(now + 6)).is_some());
        assert_eq!(outbox.next_expiry(), expires, "a date stays");
    }
}

fn accepted(now: Time, parts: u8) -> Outbox {
    let mut outbox = outbox(99);
    let rows = (0..parts).map(part).collect();
    let prepared = outbox.prepare((now, None), text(MESSAGE), rows, all(parts.into()));
    outbox.accept(now, prepared);
    outbox
}

fn dues(outbox: &Outbox) -> Vec<Time> {
    let parts = outbox.by_order.values().flat_map(|it| it.parts.values());
    parts.map(|part| part.retry.due).collect()
}

#[test]
fn eight_tries_follow_each_other_alike_and_then_the_wait_doubles() {
    let mut now = at(1000);
    let mut outbox = accepted(now, 1);
    for wait in [[3.5; 7].as_slice(), &[7.0, 14.0, 28.0, 56.0, 60.0, 60.0]].concat() {
        outbox.tried(&MESSAGE, 0, true, now);
        let due = dues(&outbox)[0];
        let waits = due.since(now).as_secs_f64() / wait;
        assert!((0.5..1.5).contains(&waits), "{waits} of {wait}");
        now = due;
    }
}

/// What there is one copy of goes to its receiver's mailboxes in turns after the first tries, each time under another
/// name, at the times that it would have left anyway.
#[test]
fn one_copy_turns_to_the_other_mailbox() {
    let tries = |other| {
        let mut outbox = outbox(9);
        let row = OutboxRow { other, ..part(1) };
        let prepared = outbox.prepare((at(0), None), text(MESSAGE), vec![row], all(1));
        outbox.accept(at(0), prepared);
        let tries = (0..12).map(|_| {
            let now = dues(&outbox)[0];
            let row = outbox.next_due(now).unwrap().row;
            let changes = outbox.tried(&MESSAGE, 0, true, now);
            let kept = changes
                .iter()
                .filter(|it| it.table == Table::Outbox)
                .count();
            (row.site, row.deposit, kept)
        });
        tries.collect::<Vec<_>>()
    };
    let alone = tries(None);
    assert!(alone.iter().all(|it| *it == (site(1), part(1).deposit, 0)));
    let two = tries(Some(site(2)));
    let places: Vec<_> = two.iter().map(|it| it.0).collect();
    let (first, other) = (site(1), site(2));
    assert_eq!(places[..8], [first; 8]);
    assert_eq!(places[8..], [other, first, other, first]);
    let names: BTreeSet<_> = two.iter().map(|it| it.1).collect();
    assert_eq!(names.len(), 5);
    let kept: Vec<_> = two.iter().map(|it| it.2).collect();
    assert_eq!(kept, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
}

#[test]
fn what_was_tried_in_vain_has_one_turn_in_four_beside_what_was_not() {
    let mut outbox = accepted(at(1000), 1);
    (0..20).for_each(|_| drop(outbox.tried(&MESSAGE, 0, true, at(1000))));
    let other = MessageId::new([8; 16]);
    let rows = (0..40).map(part).collect();
    let prepared = outbox.prepare((at(1000), None), text(other), rows, all(40));
    outbox.accept(at(1000), prepared);
    // Nothing of the other is ever stored, and all of both is due again and again.
    let mut served = [0, 0];
    for _ in 0..40 {
        for outgoing in outbox.by_order.values_mut() {
            outgoing
                .parts
                .values_mut()
                .for_each(|it| it.retry.due = at(2000));
        }
        let due = outbox.next_due(at(2000)).unwrap();
        served[usize::from(due.message == MESSAGE)] += 1;
        outbox.tried(&due.message, due.index, true, at(2000));
    }
    assert_eq!(served, [30, 10]);
}

fn all(fragments: u16) -> Needed {
    Needed {
        fragments,
        more: 0,
        both: false,
    }
}

/// The second mailbox delivers a quarter as fast as the first: what goes there begins early.
#[test]
fn one_in_five_that_leave_is_for_the_second_mailbox() {
    let (mut outbox, _) = coded(20, 10, true);
    let mut order = Vec::new();
    for _ in 0..20 {
        let due = outbox.next_due(at(1000)).unwrap();
        order.push(due.index);
        let _ = outbox.tried(&MESSAGE, due.index, true, at(1000));
    }
    let expected = [
        0, 1, 2, 3, 10, 4, 5, 6, 7, 11, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19,
    ];
    assert_eq!(order, expected);
}

/// A message of so many parts, of which so many are more than are needed.
fn coded(parts: u8, more: u16, both: bool) -> (Outbox, Vec<Change>) {
    let mut outbox = outbox(99);
    let rows = (0..parts).map(part).collect();
    let needed = Needed {
        fragments: u16::from(parts) - more,
        more,
        both,
    };
    let prepared = outbox.prepare((at(1000), None), text(MESSAGE), rows, needed);
    let changes = prepared.changes();
    outbox.accept(at(1000), prepared);
    (outbox, changes)
}

fn stored(outbox: &mut Outbox, index: u16) -> Settled {
    outbox.receipt(&MESSAGE, index, ReceiptStatus::Stored)
}

/// How many are needed, how many are stored, and how many wait.
fn progress(outbox: &Outbox) -> (u16, u16, usize) {
    let status = outbox.status(&MESSAGE).unwrap();
    (status.fragments, status.stored, outbox.waiting())
}

#[test]
fn a_message_is_stored_with_as_many_as_it_needs_and_the_rest_is_dropped() {
    let (mut outbox, _) = coded(5, 2, false);
    assert_eq!(progress(&outbox), (3, 0, 5));
    let _ = outbox.tried(&MESSAGE, 1, true, at(1000));
    for index in [4, 0] {
        assert!(matches!(stored(&mut outbox, index), Settled::Fragment(_)));
    }
    // Once more is no more.
    assert!(matches!(stored(&mut outbox, 0), Settled::Nothing));
    // Two are stored, and the third is not because the others are refused.
    let _ = outbox.receipt(&MESSAGE, 1, ReceiptStatus::Refused);
    assert_eq!(progress(&outbox), (3, 2, 3));
    let Settled::Message(changes) = stored(&mut outbox, 3) else {
        panic!("three of five are stored");
    };
    assert_eq!(progress(&outbox), (3, 3, 0));
    assert_eq!((outbox.check_room(99), dues(&outbox)), (Ok(()), Vec::new()));
    for index in 1..4 {
        for change in deletions(&MESSAGE, index) {
            assert!(changes.contains(&change), "{index}");
        }
    }
    // What was on its way when it was dropped is answered, too.
    assert!(matches!(stored(&mut outbox, 1), Settled::Nothing));
    let refused = outbox.receipt(&MESSAGE, 2, ReceiptStatus::Refused);
    assert!(matches!(refused, Settled::Nothing));
    assert!(outbox.next_hindered().is_none() && outbox.next_due(at(9000)).is_none());
}

#[test]
fn the_second_copy_is_tried_on_when_the_message_is_stored() {
    for first in [0, 1] {
        let (mut outbox, _) = coded(2, 1, true);
        assert!(matches!(stored(&mut outbox, first), Settled::Message(_)));
        assert_eq!(progress(&outbox), (1, 1, 1));
        // A refusal is no news: the message is stored.
        let _ = outbox.receipt(&MESSAGE, 1 - first, ReceiptStatus::Refused);
        assert!(outbox.next_hindered().is_none());
        let due = outbox.next_due(at(1000)).unwrap();
        assert_eq!(due.index, 1 - first);
        let Settled::Fragment(changes) = stored(&mut outbox, 1 - first) else {
            panic!("told again");
        };
        assert!(changes.contains(&deletions(&MESSAGE, 1 - first)[0]));
        assert_eq!(progress(&outbox), (1, 1, 0));
        assert_eq!(outbox.next_expiry(), None);
    }
    // One that never comes is given up when the message's time is over, and nobody is told.
    let (mut outbox, _) = coded(2, 1, true);
    let _ = stored(&mut outbox, 0);
    let end = outbox.next_expiry().unwrap();
    let (_, expired, changes) = outbox.expire(end).unwrap();
    assert!(!expired && changes.contains(&deletions(&MESSAGE, 1)[0]));
    assert_eq!(outbox.status(&MESSAGE).unwrap().state, MessageState::Stored);
    assert_eq!((outbox.waiting(), outbox.next_expiry()), (0, None));
}

/// One provider of a receiver is gone: what is tried in vain there waits for what never left.
#[test]
fn a_second_copy_that_is_tried_in_vain_holds_up_nothing_new() {
    let (mut outbox, _) = coded(2, 1, true);
    let _ = stored(&mut outbox, 0);
    let _ = outbox.tried(&MESSAGE, 1, true, at(1000));
    let other = MessageId::new([8; 16]);
    let rows = (0..30).map(part).collect();
    let prepared = outbox.prepare((at(1000), None), text(other), rows, all(30));
    outbox.accept(at(1000), prepared);
    let mut served = [0, 0];
    for turn in 0..28 {
        let due = outbox.next_due(at(9000 + turn)).unwrap();
        served[usize::from(due.message == other)] += 1;
        let _ = outbox.tried(&due.message, due.index, true, at(0));
    }
    assert_eq!(served, [7, 21]);
}

#[test]
fn after_a_restart_as_many_are_needed() {
    let (_, changes) = coded(5, 2, false);
    let rows = changes.into_iter().map(|change| Row {
        table: change.table,
        key: change.key,
        value: change.value.unwrap(),
    });
    let mut again = outbox(99);
    again.restore(&rows.collect::<Vec<_>>(), at(1001)).unwrap();
    assert_eq!(progress(&again), (3, 0, 5));
    (0..2).for_each(|index| drop(stored(&mut again, index)));
    assert!(matches!(stored(&mut again, 4), Settled::Message(_)));
    assert_eq!(progress(&again), (3, 3, 0));
}

#[test]
fn what_never_left_goes_first_and_text_before_parity() {
    let (mut outbox, _) = coded(5, 2, false);
    let mut order = Vec::new();
    for turn in 0..7 {
        // All that left is due again at each turn.
        let now = at(1000 + turn * 20);
        let due = outbox.next_due(now).unwrap();
        order.push((due.index, due.again));
        let _ = outbox.tried(&MESSAGE, due.index, true, now);
    }
    let first = (0..5).map(|index| (index, false));
    let expected: Vec<_> = first.chain([(0, true), (0, true)]).collect();
    assert_eq!(order, expected);
}

#[test]
fn what_was_missed_waits_for_the_next_try_and_the_rest_stays() {
    let mut outbox = accepted(at(1000), 40);
    (0..20).for_each(|index| drop(outbox.tried(&MESSAGE, index, true, at(1000))));
    let before = dues(&outbox);
    let back = at(1010);
    outbox.miss(back);
    assert!(
        outbox.next_due(back).is_none(),
        "nothing is due because it is back"
    );
    let after = dues(&outbox);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before <= back, "what was not due stays");
    }
    // It is spread: no second of the next half minute has more than a third.
    let in_second = |second: u64| {
        let from = back + Span::from_secs(second);
        let until = from + Span::from_secs(1);
        after
            .iter()
            .filter(|due| **due > from && **due <= until)
            .count()
    };
    assert!((0..30).all(|second| in_second(second) < 13));
    // However long it was, it takes no longer than the longest wait.
    let late = at(1000) + Span::from_secs(6 * 86_400);
    outbox.miss(late);
    let after = dues(&outbox);
    assert!(
        after
            .iter()
            .all(|due| *due > late && *due <= late + Span::from_secs(90))
    );
}

/// A client that is stopped again and again, with more to send than it can: what never left is still before what did,
/// and none of it waits as if it had been sent in vain.
#[test]
fn what_was_missed_was_not_tried() {
    let mut outbox = accepted(at(1000), 40);
    for second in 1010..1040 {
        outbox.is_able(at(second));
        outbox.miss(at(second) + Span::from_millis(900));
    }
    let after = dues(&outbox);
    let last = at(1039) + Span::from_millis(900);
    assert!(
        after
            .iter()
            .all(|due| *due > last && *due <= last + Span::from_millis(5_250))
    );
    let later = last + Span::from_secs(6);
    assert!(
        outbox
            .next_due(later)
            .is_some_and(|due| due.index == 0 && !due.again)
    );
    // One that was sent in vain, often, waits longer, and goes on from there.
    (0..12).for_each(|_| drop(outbox.tried(&MESSAGE, 1, true, later)));
    let long = dues(&outbox)[1];
    assert!(long > later + Span::from_secs(6));
    outbox.miss(long);
    assert!(
        outbox
            .next_due(long + Span::from_secs(100))
            .is_some_and(|due| due.index == 0)
    );
}

/// What was put off before it ever left leaves in the order in which it was accepted, and what is written meanwhile after it.
#[test]
fn what_never_left_leaves_in_its_order() {
    let mut outbox = outbox(99);
    let id = |number| MessageId::new([number; 16]);
    for number in 1..=20 {
        let prepared = outbox.prepare(
            (at(1000), None),
            text(id(number)),
            vec![part(number)],
            all(1),
        );
        outbox.accept(at(1000), prepared);
    }
    outbox.is_able(at(1001));
    outbox.miss(at(1002));
    let prepared = outbox.prepare((at(1003), None), text(id(21)), vec![part(21)], all(1));
    outbox.accept(at(1003), prepared);
    let mut left = Vec::new();
    for tenth in 0..100 {
        let now = at(1003) + Span::from_millis(100 * tenth);
        while let Some(due) = outbox.next_due(now).filter(|due| !due.again) {
            left.push(due.message);
            outbox.tried(&due.message, due.index, true, now);
        }
    }
    assert_eq!(left, Vec::from_iter((1..=21).map(id)));
}

/// It is known from what is on disk until when a client that was killed could send.
#[test]
fn what_waited_behind_others_waits_no_longer_because_of_a_restart() {
    let mut outbox = outbox(99);
    let prepared = outbox.prepare(
        (at(1000), None),
        text(MESSAGE),
        vec![part(0), part(1)],
        all(2),
    );
    let mut kept = prepared.changes();
    outbox.accept(at(1000), prepared);
    // The other one was not sent: there was too much before it.
    kept.extend(outbox.tried(&MESSAGE, 1, true, at(1300)));
    let row = |change: Change| Row {
        table: change.table,
        key: change.key,
        value: change.value.unwrap(),
    };
    let rows: Vec<Row> = kept.into_iter().map(row).skip(1).collect();
    let mut again = self::outbox(99);
    again.restore(&rows, at(1302)).unwrap();
    again.miss(at(1302));
    let due = dues(&again)[0];
    // Were it for what it was due at, it could be a minute and more.
    assert!(
        due > at(1302) && due <= at(1302) + Span::from_millis(5_250),
        "{due:?}"
    );
}

#[test]
fn what_is_due_is_due_then_after_a_restart_too() {
    let mut outbox = accepted(at(1000), 2);
    let mut kept = outbox
        .prepare(
            (at(1000), None),
            text(MESSAGE),
            vec![part(0), part(1)],
            all(2),
        )
        .changes();
    kept.extend(outbox.tried(&MESSAGE, 1, true, at(1003)));
    let rows: Vec<Row> = kept
        .into_iter()
        .map(|change| Row {
            table: change.table,
            key: change.key,
            value: change.value.unwrap(),
        })
        .collect();
    // The message's row was written twice; the later one counts.
    let rows: Vec<Row> = rows.iter().skip(1).cloned().collect();
    let mut again = self::outbox(99);
    again.restore(&rows, at(1004)).unwrap();
    assert_eq!(dues(&again), dues(&outbox));
    assert!(
        again
            .next_due(at(1004))
            .is_some_and(|due| due.index == 0 && !due.again)
    );
    // Written by a clock that was a day ahead, it does not wait for a day.
    let mut early = self::outbox(99);
    early.restore(&rows, at(0)).unwrap();
    assert!(dues(&early).iter().all(|due| *due <= at(90)));
    // A fragment's row without its message, and a retry's without its fragment, are faults.
    for table in [Table::Sent, Table::Outbox] {
        let rest: Vec<Row> = rows
            .iter()
            .filter(|row| row.table != table)
            .cloned()
            .collect();
        assert!(self::outbox(99).restore(&rest, at(1004)).is_err());
    }
}

/// That a message is delivered cancels its tries, and is believed of its receiver only.
#[test]
fn what_its_receiver_has_is_tried_no_more() {
    let mut outbox = outbox(9);
    let parts = vec![part(1), part(2)];
    let prepared = outbox.prepare((at(0), None), text(MESSAGE), parts, all(2));
    outbox.accept(at(0), prepared);
    let other = crate::ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(77)).public();
    assert!(outbox.delivered(&other, &MESSAGE, false).is_none());
    assert!(outbox.next_due(at(1)).is_some());
    let changes = outbox.delivered(&peer(), &MESSAGE, false).unwrap();
    assert_eq!(changes.iter().filter(|it| it.value.is_none()).count(), 4);
    assert!(outbox.next_due(at(1)).is_none() && outbox.waiting() == 0);
    let state = |outbox: &Outbox| outbox.status(&MESSAGE).unwrap().state;
    assert_eq!(state(&outbox), MessageState::Delivered);
    assert!(
        outbox.delivered(&peer(), &MESSAGE, false).is_none(),
        "no news"
    );
    assert!(outbox.delivered(&peer(), &MESSAGE, true).is_some());
    assert!(outbox.delivered(&peer(), &MESSAGE, false).is_none());
    assert_eq!(state(&outbox), MessageState::Read);
    // It is over: a late receipt of a mailbox, and its end, change nothing.
    let settled = outbox.receipt(&MESSAGE, 0, ReceiptStatus::Stored);
    assert!(matches!(settled, Settled::Nothing));
    assert!(outbox.expire(at(10_000_000)).is_none());
}
