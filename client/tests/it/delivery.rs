use shoal_client::{
    Alarm, ClientEvent, ClientInput, Hindrance, InvitationError, MAX_TEXT_BYTES, MessageState,
    SendError,
};
use shoal_proto::Span;

use crate::world::{Answer, World, params, random_bytes, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice's mailbox is at provider 0, Bob's at 1; both are attached elsewhere.
fn two(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    world
}

/// Alice is attached; Bob is away.
fn alone(seed: u64) -> World {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world
}

#[test]
fn a_message_and_its_answer_cross() {
    let mut world = World::new(1, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    let to = world.invitation(BOB);
    world.send(ALICE, 7, &to, b"hello");
    let stored = |world: &World| {
        world.hosts[ALICE].count(|event| matches!(event, ClientEvent::Stored { .. })) == 1
    };
    assert!(world.run_until(secs(20.0), stored));
    world.attach(BOB, 2);
    assert!(world.run_until(secs(20.0), |world| !world.hosts[BOB].texts().is_empty()));
    let (text, reply_to) = world.hosts[BOB].received().next().unwrap();
    assert_eq!(text, b"hello");
    assert_eq!(reply_to, world.hosts[ALICE].client.public_key());
    world.send(BOB, 8, &reply_to, b"hello back");
    assert!(world.run_until(secs(30.0), |world| !world.hosts[ALICE].texts().is_empty()));
    assert_eq!(world.hosts[ALICE].texts(), vec![b"hello back".to_vec()]);
    // Acknowledged: the mailboxes are empty, and nothing is told twice.
    assert!(world.run_until(secs(20.0), |world| world.stored() == 0));
    world.run(secs(10.0));
    assert_eq!(world.hosts[BOB].texts().len(), 1);
}

/// An address works once its owner was online, and what came before is tried again.
#[test]
fn what_is_sent_before_the_mailbox_is_open_is_stored_afterwards() {
    let mut world = two(22);
    world.strict = true;
    let to = world.invitation(BOB);
    world.detach(BOB);
    let fresh = World::add(&mut world, 1, "calm");
    let early = world.invitation(fresh);
    assert!(!world.hosts[fresh].client.is_open());
    world.send(ALICE, 1, &early, b"early");
    world.run(secs(20.0));
    let refused = |event: &ClientEvent| {
        let by = Hindrance::Refused;
        matches!(event, ClientEvent::Hindered { by: found, .. } if *found == by)
    };
    assert_eq!(world.hosts[ALICE].count(refused), 1);
    world.attach(fresh, 2);
    assert!(world.run_until(secs(20.0), |world| world.hosts[fresh].client.is_open()));
    assert!(world.run_until(secs(60.0), |world| !world.hosts[fresh].texts().is_empty()));
    // Bob's is not open either.
    world.send(ALICE, 2, &to, b"hello");
    world.attach(BOB, 2);
    assert!(world.run_until(secs(60.0), |world| !world.hosts[BOB].texts().is_empty()));
}

#[test]
fn every_fragment_is_traced_there_and_back() {
    let mut world = two(2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"hello");
    assert!(world.run_until(secs(30.0), |world| !world.hosts[BOB].texts().is_empty()));
    let layers = |event: &ClientEvent| match event {
        ClientEvent::Sent { trace, .. } | ClientEvent::Received { trace, .. } => {
            Some(trace.iter().map(|hop| hop.layer).collect::<Vec<_>>())
        }
        _ => None,
    };
    let sent = world.hosts[ALICE]
        .events
        .iter()
        .find_map(|(_, event)| layers(event));
    assert_eq!(sent, Some(vec![0, 1, 2, 3, 0]));
    let received = world.hosts[BOB]
        .events
        .iter()
        .find_map(|(_, event)| layers(event));
    assert_eq!(received, Some(vec![1, 2, 3, 0]));
}

#[test]
fn a_long_text_is_put_together_in_spite_of_loss() {
    let mut world = two(3);
    world.loss = 0.4;
    let text = random_bytes(&mut world.rng, 9_000);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &text);
    assert!(world.run_until(secs(90.0), |world| world.hosts[BOB].texts().len() == 1));
    assert!(world.hosts[BOB].texts()[0] == text);
    let settled = |world: &World| world.hosts[ALICE].client.counters().outbox_fragments == 0;
    assert!(world.run_until(secs(90.0), settled));
    // Eight with text and three of parity, of which the last need not leave.
    let counters = world.hosts[ALICE].client.counters();
    assert!(counters.retransmissions > 0, "{counters:?}");
    let first = counters.sent_real - counters.retransmissions;
    assert!((8..=11).contains(&first), "{counters:?}");
}

#[test]
fn a_long_message_holds_up_no_other() {
    let mut world = two(18);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &[1; 20_000]);
    world.send(ALICE, 2, &to, b"short");
    assert!(world.run_until(secs(60.0), |world| world.hosts[BOB].texts().len() == 2));
    let sent = |(_, event): &(_, ClientEvent)| match event {
        ClientEvent::Sent {
            message, fragment, ..
        } => Some((*message, *fragment)),
        _ => None,
    };
    let order: Vec<_> = world.hosts[ALICE].events.iter().filter_map(sent).collect();
    // The short one goes second, and the long one's fragments go in order.
    assert_ne!(order[0].0, order[1].0);
    let long = order.iter().filter(|(message, _)| *message == order[0].0);
    let indices: Vec<u16> = long.map(|(_, index)| *index).take(5).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
}

#[test]
fn fragments_are_deposited_under_ids_that_do_not_tell_they_belong_together() {
    let mut world = two(4);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &[1; 3_000]);
    assert!(world.run_until(secs(30.0), |world| !world.hosts[BOB].texts().is_empty()));
    let mut ids: Vec<_> = world
        .deposits
        .iter()
        .map(|deposit| deposit.message)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    // Three with text, and one of parity if it left before they were stored.
    assert!((3..=4).contains(&ids.len()), "{}", ids.len());
}

#[test]
fn a_fragment_is_sent_again_until_it_is_stored() {
    let mut world = alone(5);
    world.answer = Answer::Silent;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"again");
    world.run(secs(40.0));
    let tries = world.deposits.clone();
    let status = world.hosts[ALICE].client.sent_messages().next().unwrap();
    assert_eq!(status.hindrance, Some(Hindrance::NoAnswer));
    // Eight with 2 s between them in the mean, and then after 4, 8 and 16 s.
    assert!((8..=12).contains(&tries.len()), "{}", tries.len());
    for pair in tries.windows(2) {
        assert_eq!(
            (&pair[0].drop, &pair[0].message),
            (&pair[1].drop, &pair[1].message)
        );
        // Sealed anew.
        assert_ne!(pair[0].blob, pair[1].blob);
        assert_ne!(pair[0].surb, pair[1].surb);
        assert_eq!(pair[0].provider, pair[1].provider);
    }
    let gaps: Vec<f64> = tries
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at).as_secs_f64())
        .collect();
    let waits = [[2.0; 7].as_slice(), &[4.0, 8.0, 16.0, 20.0]].concat();
    for (gap, wait) in gaps.iter().zip(waits) {
        // And then the next tick.
        let range = wait * 0.5..wait * 1.5 + 4.0;
        assert!(range.contains(gap), "{gap} for {wait}");
    }
    world.answer = Answer::Honest;
    let done = |world: &World| world.hosts[ALICE].client.counters().outbox_fragments == 0;
    assert!(world.run_until(secs(40.0), done));
    let settled = world.deposits.len();
    world.run(secs(20.0));
    assert_eq!(world.deposits.len(), settled);
}

#[test]
fn a_late_commit_is_told_at_the_next_try() {
    let mut world = two(6);
    world.answer = Answer::Late;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"late");
    world.run(secs(3.0));
    world.answer = Answer::Honest;
    let stored = |world: &World| world.hosts[ALICE].client.counters().stored == 1;
    assert!(world.run_until(secs(20.0), stored));
    world.run(secs(10.0));
    assert_eq!(world.hosts[BOB].texts().len(), 1);
}

/// Or a provider could have what is for it come at a moment of its choice.
#[test]
fn an_answer_that_says_nothing_brings_no_try_forward() {
    let mut world = World::new(6, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[0]);
    config.profile = "quick".into();
    config.retry_after = Some(Span::from_secs(60));
    world.add_with(config);
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.answer = Answer::Late;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"late");
    let tried = |world: &World| !world.deposits.is_empty();
    assert!(world.run_until(secs(10.0), tried));
    world.run(secs(25.0));
    assert_eq!(world.deposits.len(), 1, "the wait is half a minute or more");
    world.answer = Answer::Honest;
    let stored = |world: &World| world.hosts[ALICE].client.counters().stored == 1;
    assert!(world.run_until(secs(80.0), stored));
}

#[test]
fn a_refused_fragment_backs_off() {
    let mut world = alone(7);
    world.answer = Answer::Refuse;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"no");
    world.run(secs(40.0));
    let tries = world.deposits.len();
    assert!((8..=12).contains(&tries), "{tries}");
    let hindered = |by: Hindrance| {
        world.hosts[ALICE]
            .count(|event| matches!(event, ClientEvent::Hindered { by: told, .. } if *told == by))
    };
    assert_eq!(
        (hindered(Hindrance::Refused), hindered(Hindrance::NoAnswer)),
        (1, 0)
    );
    let counters = world.hosts[ALICE].client.counters();
    assert_eq!(counters.receipts_refused as usize, world.deposits.len());
    world.answer = Answer::Honest;
    let stored = |world: &World| world.hosts[ALICE].client.counters().stored == 1;
    assert!(world.run_until(secs(40.0), stored));
}

#[test]
fn a_message_expires() {
    let mut world = World::new(8, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[0]);
    config.profile = "quick".into();
    config.time_to_live = Span::from_secs(20);
    world.add_with(config);
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.answer = Answer::Silent;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &[0; 4_000]);
    world.run(secs(10.0));
    // Also while nobody is attached.
    world.detach(ALICE);
    world.run(secs(15.0));
    let expired = |event: &ClientEvent| matches!(event, ClientEvent::Expired { .. });
    assert_eq!(world.hosts[ALICE].count(expired), 1);
    let status = world.hosts[ALICE].client.sent_messages().next().unwrap();
    assert_eq!(status.state, MessageState::Expired);
    assert_eq!(world.hosts[ALICE].client.counters().outbox_fragments, 0);
    let outbox =
        |(table, _): &&(shoal_client::Table, Vec<u8>)| *table == shoal_client::Table::Outbox;
    assert_eq!(world.hosts[ALICE].rows.keys().filter(outbox).count(), 0);
}

#[test]
fn what_does_not_open_blocks_nothing() {
    let mut world = two(9);
    world.run(secs(3.0));
    let (node, to) = (world.providers()[1], world.invitation(BOB));
    for length in 0..20 {
        let mut blob = random_bytes(&mut world.rng, 1572);
        blob[0] = length;
        world.plant(node, to.sites.first.drop, &blob);
    }
    world.send(ALICE, 1, &to, b"through");
    assert!(world.run_until(secs(60.0), |world| !world.hosts[BOB].texts().is_empty()));
    assert!(world.run_until(secs(30.0), |world| world.stored() == 0));
    assert!(world.hosts[BOB].client.counters().undecryptable >= 20);
}

#[test]
fn an_entry_pushed_again_is_told_once() {
    let mut world = two(10);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"once");
    assert!(world.run_until(secs(30.0), |world| !world.hosts[BOB].texts().is_empty()));
    // The provider forgets the acks: the same deposit comes again and again.
    let deposit = world.deposits.last().unwrap().clone();
    world.run(secs(5.0));
    for _ in 0..3 {
        world.replay(&deposit);
        world.run(secs(8.0));
    }
    assert_eq!(world.hosts[BOB].texts().len(), 1);
    assert!(world.hosts[BOB].client.counters().duplicates >= 3);
    assert!(world.run_until(secs(20.0), |world| world.stored() == 0));
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let mut world = two(12);
    let to = world.invitation(BOB);
    world.hosts[ALICE].disk_full = true;
    world.send(ALICE, 1, &to, b"refused");
    let refused = |event: &ClientEvent| {
        matches!(
            event,
            ClientEvent::Refused {
                request: 1,
                reason: SendError::Storage(_)
            }
        )
    };
    assert_eq!(world.hosts[ALICE].count(refused), 1);
    world.hosts[ALICE].disk_full = false;
    world.hosts[BOB].disk_full = true;
    world.send(ALICE, 2, &to, &[5; 2_000]);
    world.run(secs(15.0));
    assert!(world.hosts[BOB].texts().is_empty());
    // Two with text, and one of parity if it left before they were stored.
    assert!((2..=3).contains(&world.stored()), "not acknowledged");
    world.hosts[BOB].disk_full = false;
    assert!(world.run_until(secs(30.0), |world| world.hosts[BOB].texts().len() == 1));
    assert!(world.run_until(secs(30.0), |world| world.stored() == 0));
    let events = &world.hosts[BOB].events;
    let sequence = events.iter().find_map(|(_, event)| match event {
        ClientEvent::Received { sequence, .. } => Some(*sequence),
        _ => None,
    });
    assert_eq!(sequence, Some(0), "what was refused took no number");
}

#[test]
fn senseless_requests_are_refused_with_the_reason() {
    let mut world = two(13);
    let to = world.invitation(BOB);
    let mut other = to.clone();
    other.network = [0; 8];
    world.send(ALICE, 1, &other, b"x");
    world.send(ALICE, 2, &to, &vec![0; MAX_TEXT_BYTES + 1]);
    let reasons: Vec<_> = world.hosts[ALICE]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            ClientEvent::Refused { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        reasons,
        [
            SendError::Invitation(InvitationError::OtherNetwork),
            SendError::TooLong {
                bytes: MAX_TEXT_BYTES + 1,
                limit: MAX_TEXT_BYTES
            }
        ]
    );
}

#[test]
fn the_outbox_has_a_bound() {
    let mut world = World::new(14, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[0]);
    config.limits.outbox_fragments = 7;
    world.add_with(config);
    world.add(1, "calm");
    let to = world.invitation(BOB);
    for request in 0..3 {
        world.send(ALICE, request, &to, &[0; 2_000]);
    }
    let full = SendError::OutboxFull {
        waiting: 6,
        limit: 7,
    };
    let refused = |event: &ClientEvent| {
        *event
            == ClientEvent::Refused {
                request: 2,
                reason: full.clone(),
            }
    };
    assert_eq!(world.hosts[ALICE].count(refused), 1);
}

#[test]
fn unread_messages_beyond_the_bound_stay_at_the_mailbox() {
    let mut world = World::new(15, params(3600));
    world.add(0, "quick");
    let mut config = shoal_client::ClientConfig::new(world.providers()[1]);
    config.profile = "calm".into();
    config.limits.unread = 1;
    world.add_with(config);
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    for request in 0..2 {
        world.send(ALICE, request, &to, b"hello");
    }
    world.run(secs(20.0));
    assert_eq!(world.hosts[BOB].texts().len(), 1);
    assert_eq!(world.stored(), 1);
    let full = ClientEvent::Alarm(Alarm::InboxFull);
    assert_eq!(world.hosts[BOB].count(|event| *event == full), 1);
    let message = world.hosts[BOB]
        .events
        .iter()
        .find_map(|(_, event)| match event {
            ClientEvent::Received { message, .. } => Some(*message),
            _ => None,
        });
    world.input(
        BOB,
        ClientInput::Read {
            message: message.unwrap(),
        },
    );
    assert!(world.run_until(secs(20.0), |world| world.hosts[BOB].texts().len() == 2));
}

#[test]
fn losses_are_counted_apart_and_raise_alarms() {
    let mut world = World::new(16, params(3600));
    let mut config = shoal_client::ClientConfig::new(world.providers()[0]);
    config.profile = "quick".into();
    config.reply_timeout = Span::from_secs(5);
    world.add_with(config);
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    world.run(secs(5.0));
    world.hosts[ALICE].deaf = true;
    world.run(secs(60.0));
    let counters = world.hosts[ALICE].client.counters();
    assert!(
        counters.loops_lost > 8 && counters.receipts_lost > 40,
        "{counters:?}"
    );
    assert_eq!(counters.stream_pauses, 1);
    let raised = |alarm: fn(&Alarm) -> bool| {
        world.hosts[ALICE].count(|event| matches!(event, ClientEvent::Alarm(it) if alarm(it)))
    };
    assert_eq!(raised(|alarm| matches!(alarm, Alarm::LoopsLost(_))), 1);
    assert_eq!(raised(|alarm| matches!(alarm, Alarm::ReceiptsLost(_))), 1);
    assert_eq!(raised(|alarm| matches!(alarm, Alarm::StreamPaused(_))), 1);
    assert_eq!(world.hosts[ALICE].client.alarms().len(), 3);
    // When all comes again, each ends, once.
    world.hosts[ALICE].deaf = false;
    let calm = |world: &World| world.hosts[ALICE].client.alarms().is_empty();
    assert!(world.run_until(secs(150.0), calm));
    let over = |event: &ClientEvent| matches!(event, ClientEvent::AlarmOver(_));
    let begun = |event: &ClientEvent| matches!(event, ClientEvent::Alarm(_));
    let host = &world.hosts[ALICE];
    // The numbers that were missed are one more.
    assert_eq!((host.count(begun), host.count(over)), (4, 4));
    let fine = world.hosts[BOB].client.counters();
    assert_eq!(
        (fine.loops_lost, fine.receipts_lost, fine.stream_gaps),
        (0, 0, 0)
    );
    assert!(fine.loops_returned > 5);
}

#[test]
fn every_process_sends_at_its_rate_and_is_answered() {
    let mut world = alone(17);
    world.run(secs(60.0));
    let counters = world.hosts[ALICE].client.counters();
    // Three standard deviations of a Poisson count.
    for (sent, rate) in [
        (counters.sent_dummy, 2.5),
        (counters.sent_loop, 0.5),
        (counters.sent_drop, 0.3),
        (counters.sent_mailbox, 0.8),
    ] {
        let mean: f64 = rate * 60.0;
        assert!(
            (sent as f64 - mean).abs() < 3.0 * mean.sqrt(),
            "{sent} at {rate}/s"
        );
    }
    assert!(counters.answers_dummy + 20 > counters.sent_dummy);
    assert_eq!(
        counters.unexpected + counters.corrupted + counters.filler,
        0
    );
    assert_eq!(counters.skipped_ticks + counters.missed_ticks, 0);
    assert_eq!(world.bad_epochs, 0);
}
