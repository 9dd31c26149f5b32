//! Whom a client asks and believes, and when it tries again.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_client::{Label, UserRequest};
use shoal_proto::{Epoch, NodeId, Span, Time, wire};
use shoal_roles::RequestKind;
use shoal_roles::client::{Refusal, SessionError, SessionEvent, SessionInput};
use shoal_topology::{AdoptError, FamilyKey, Role};

use crate::world::{Answer, Door, World, to_invite};

const MINUTE: Span = Span::from_secs(60);

fn online(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Online { .. })
}

fn reasons(world: &World) -> Vec<SessionError> {
    let reason = |event: &SessionEvent| match event {
        SessionEvent::Offline { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    world
        .events
        .iter()
        .filter_map(|(_, event)| reason(event))
        .collect()
}

fn directory_asked(world: &World) -> Vec<NodeId> {
    let asked = world.asked.iter();
    let directory = asked.filter(|(_, _, kind)| *kind == RequestKind::Directory);
    directory.map(|(_, id, _)| *id).collect()
}

#[test]
fn three_mixes_are_asked_and_never_a_provider() {
    let mut providers_met = BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.input(SessionInput::Online(true));
        assert!(world.run_until(MINUTE, online));
        let asked = directory_asked(&world);
        assert_eq!(asked.len(), 3);
        let mixes: BTreeSet<NodeId> = world.network.ids(Role::Mix).collect();
        assert!(asked.iter().all(|id| mixes.contains(id)));
        let providers: Vec<NodeId> = world.network.ids(Role::Provider).collect();
        let entry = world.session.entry().unwrap();
        providers_met.insert(providers.iter().position(|id| *id == entry).unwrap());
        assert!(world.session.is_online());
    }
    // The first keeps the mailbox.
    assert_eq!(providers_met, BTreeSet::from([1, 2, 3, 4]));
}

#[test]
fn one_answer_is_not_enough_and_a_second_is_waited_for() {
    let mut world = World::new(3);
    let mixes: Vec<NodeId> = world.network.ids(Role::Mix).collect();
    let known = world.default.clone();
    world.default = Answer::Nothing;
    world.answers.insert(mixes[0], known.clone());
    world.input(SessionInput::Online(true));
    world.run_for(Span::from_secs(300));
    assert!(!world.is_online());
    let said = reasons(&world);
    assert!(said.contains(&SessionError::NobodyAnswered));
    assert!(said.contains(&SessionError::OneAnswer));
    assert!(world.frames.is_empty());
    world.default = known;
    assert!(world.run_until(Span::from_secs(120), online));
}

#[test]
fn who_is_slow_is_waited_for_and_not_for_ever() {
    let mut world = World::new(4);
    let mixes: Vec<NodeId> = world.network.ids(Role::Mix).collect();
    world.answers.insert(mixes[1], Answer::Silence);
    world.input(SessionInput::Online(true));
    // Whoever is asked, the two that answer are enough after the patience for stragglers.
    assert!(world.run_until(Span::from_secs(12), online));
}

#[test]
fn contradicting_documents_stop_it_with_the_reason() {
    // With this seed, three that are asked in the next epoch do not say the same.
    let mut world = World::new(25);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    // Another document of the same epoch, from half of the mixes; at the next refresh they meet.
    let base = world.documents().remove(0);
    let mixes: Vec<NodeId> = world.network.ids(Role::Mix).collect();
    let rivals = {
        let (network, rng) = (&mut world.network, &mut world.rng);
        let first = network.document(rng, Epoch::new(1), Some(&*base)).unwrap();
        let gone = network.nodes.remove(&mixes[0]).unwrap();
        let second = network.document(rng, Epoch::new(1), Some(&*base)).unwrap();
        network.nodes.insert(mixes[0], gone);
        [first, second]
    };
    assert_ne!(rivals[0].hash(), rivals[1].hash());
    for (mix, rival) in mixes.into_iter().zip(rivals.iter().cycle()) {
        let answer = Answer::Documents(vec![base.clone(), rival.clone()], 0);
        world.answers.insert(mix, answer);
    }
    let freeze = world.network.params.freeze_time(Epoch::new(2));
    let before = world.frames.len();
    world.run_for(freeze.since(world.now) + Span::from_secs(900));
    assert!(before < world.frames.len(), "it sent until then");
    let contradiction = |reason: &SessionError| {
        matches!(
            reason,
            SessionError::Adopt(AdoptError::Contradiction { .. })
        )
    };
    let stopped = world.events.iter().find(|(_, event)| {
        matches!(event, SessionEvent::Offline { reason, was_online: true } if contradiction(reason))
    });
    let (at, _) = stopped.expect("it stopped and said why");
    let back = world.events.iter().find(|(t, e)| t > at && online(e));
    let back = back.map_or(Time::MAX, |(t, _)| *t);
    let sent = world.frames.iter().filter(|t| *t > at && **t < back);
    assert_eq!(
        sent.count(),
        0,
        "nothing is sent by who is shown two networks"
    );
}

#[test]
fn an_entry_that_is_no_longer_listed_is_left_at_the_switch() {
    let mut world = World::new(9);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let entry = world.session.entry().unwrap();
    let base = world.documents().remove(0);
    world.network.nodes.remove(&entry);
    let (network, rng) = (&mut world.network, &mut world.rng);
    let next = network.document(rng, Epoch::new(1), Some(&*base)).unwrap();
    world.default = Answer::Documents(vec![base, next], 0);
    let switch = world.network.params.start_of(Epoch::new(1));

    world.run_for(switch.since(world.now) - Span::from_millis(1));
    assert_eq!(world.session.entry(), Some(entry), "in force until then");
    assert!(world.run_until(MINUTE, online));
    let other = world.session.entry().unwrap();
    assert_ne!(other, entry);
    assert!(world.network.ids(Role::Provider).any(|id| id == other));
    let left = world
        .events
        .iter()
        .find(|(_, event)| matches!(event, SessionEvent::Offline { .. }));
    assert_eq!(left.map(|(at, _)| *at), Some(switch));
    assert_eq!(reasons(&world), [SessionError::EntryGone]);
}

/// The entries that it was attached to, in order.
fn entered(world: &World) -> Vec<NodeId> {
    let entry = |(_, event): &(Time, SessionEvent)| match event {
        SessionEvent::Online { entry } => Some(*entry),
        _ => None,
    };
    world.events.iter().filter_map(entry).collect()
}

#[test]
fn who_cuts_the_connection_brings_about_no_other_entry() {
    let mut world = World::new(20);
    world.input(SessionInput::Online(true));
    for round in 0..40 {
        assert!(world.run_until(MINUTE.scale(2, 1), online), "{round}");
        world.cut();
        if round % 10 == 9 {
            world.restart();
            world.input(SessionInput::Online(true));
        }
    }
    let entered = entered(&world);
    assert_eq!(entered.len(), 40);
    assert!(
        entered.iter().all(|entry| *entry == entered[0]),
        "{entered:?}"
    );
}

#[test]
fn the_next_entry_serves_after_ten_minutes_and_after_the_last_comes_the_first() {
    let mut world = World::new(21);
    world.input(SessionInput::Online(true));
    let mut met: Vec<NodeId> = Vec::new();
    for _ in 0..3 {
        let from = world.now;
        assert!(world.run_until(MINUTE.scale(13, 1), online));
        let entry = world.session.entry().unwrap();
        assert!(!met.contains(&entry));
        let waited = world.now.since(from);
        assert!(
            met.is_empty() || waited >= MINUTE.scale(10, 1),
            "{waited:?}"
        );
        met.push(entry);
        world.dead.insert(entry);
        world.cut();
    }
    // All three are out of reach: nobody else is asked, however long it lasts.
    world.run_for(MINUTE.scale(60, 1));
    assert_eq!(entered(&world), met);
    world.dead.clear();
    assert!(world.run_until(MINUTE.scale(2, 1), online));
    assert!(met.contains(&world.session.entry().unwrap()));
}

#[test]
fn one_cut_and_going_offline_later_spend_no_second_entry() {
    let mut world = World::new(24);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    world.cut();
    assert!(world.run_until(MINUTE, online));
    // Twelve good minutes are no failure, however they end.
    world.run_for(MINUTE.scale(12, 1));
    world.input(SessionInput::Online(false));
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let entered = entered(&world);
    assert_eq!(entered.len(), 3);
    assert!(entered.iter().all(|entry| *entry == entered[0]));
}

#[test]
fn a_next_document_that_one_node_shows_is_taken_as_the_seats_have_signed_it() {
    let mut world = World::new(22);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let base = world.documents().remove(0);
    let mixes: Vec<NodeId> = world.network.ids(Role::Mix).collect();
    let next = {
        let (network, rng) = (&mut world.network, &mut world.rng);
        network.document(rng, Epoch::new(1), Some(&*base)).unwrap()
    };
    for mix in &mixes[..4] {
        let answer = Answer::Documents(vec![base.clone(), next.clone()], 0);
        world.answers.insert(*mix, answer);
    }
    let switch = world.network.params.start_of(Epoch::new(1));
    let taken = |event: &SessionEvent| matches!(event, SessionEvent::Documents { newest, .. } if *newest == Epoch::new(1));
    let left = switch.since(world.now) - Span::from_secs(20);
    assert!(world.run_until(left, taken));
}

#[test]
fn without_a_document_for_the_epoch_it_sends_nothing_until_three_families_say_there_is_none() {
    let mut world = World::new(23);
    let mixes: Vec<NodeId> = world.network.ids(Role::Mix).collect();
    // A family stands in one layer; the third is left to the one mix that is of none.
    for (mix, family) in mixes.iter().zip([1, 1, 1, 2, 2]) {
        let key = FamilyKey::from_bytes(&[family; 32]);
        world.network.nodes.get_mut(mix).unwrap().family = Some(Arc::new(key));
    }
    let base = {
        let (network, rng) = (&mut world.network, &mut world.rng);
        network.document(rng, Epoch::new(0), None).unwrap()
    };
    world.default = Answer::Documents(vec![base.clone()], 0);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let switch = world.network.params.start_of(Epoch::new(1));
    world.run_for(switch.since(world.now) - Span::from_secs(1));
    assert!(world.is_online());
    // From now on only the crew answers.
    for mix in &mixes[3..] {
        world.answers.insert(*mix, Answer::Nothing);
    }
    world.run_for(Span::from_secs(1));
    let frames = world.frames.len();
    assert!(
        world.frames.iter().all(|at| *at < switch),
        "not a frame after the switch"
    );
    world.run_for(MINUTE.scale(10, 1));
    assert_eq!(world.frames.len(), frames);
    assert!(reasons(&world).contains(&SessionError::Stale { epoch: 1 }));
    for mix in &mixes[3..] {
        world.answers.remove(mix);
    }
    assert!(world.run_until(MINUTE.scale(15, 1), online));
    world.run_for(MINUTE);
    assert!(
        world.frames.len() > frames + 100,
        "it goes on with the old document"
    );
    // The document comes late: from then on it is used.
    let next = {
        let (network, rng) = (&mut world.network, &mut world.rng);
        network.document(rng, Epoch::new(1), Some(&*base)).unwrap()
    };
    world.default = Answer::Documents(vec![base, next], 0);
    let taken = |event: &SessionEvent| matches!(event, SessionEvent::Documents { in_force, .. } if *in_force == Epoch::new(1));
    assert!(world.run_until(MINUTE.scale(2, 1), taken));
    assert!(world.is_online());
}

#[test]
fn a_made_up_network_is_refused() {
    let mut world = World::new(7);
    let mut stranger = World::new(8);
    // The stranger's network under our parameters: nobody of it is a first member.
    let mut nodes = std::mem::take(&mut stranger.network.nodes);
    std::mem::swap(&mut world.network.nodes, &mut nodes);
    let mut params = (*world.network.params).clone();
    params.genesis_members = stranger.network.params.genesis_members.clone();
    let ours = std::mem::replace(&mut world.network.params, std::sync::Arc::new(params));
    let made_up = world.network.document(&mut world.rng, Epoch::new(0), None);
    world.network.params = ours;
    // Its descriptors are signed for another network: nothing verifies, and that is told too.
    world.default = Answer::Documents(vec![made_up.unwrap()], 0);
    world.input(SessionInput::Online(true));
    world.run_for(MINUTE);
    assert!(!world.is_online());
    assert!(matches!(
        reasons(&world).first(),
        Some(SessionError::Adopt(AdoptError::NoDocument { .. }))
    ));
}

#[test]
fn an_entry_that_refuses_is_a_reason_and_tried_again_ever_later() {
    let mut world = World::new(9);
    world.door = Door::Shut(wire::AttachStatus::Full);
    world.input(SessionInput::Online(true));
    world.run_for(Span::from_secs(600));
    let refused = SessionError::Refused(Refusal::Full);
    assert!(reasons(&world).iter().all(|reason| *reason == refused));
    let times = world
        .events
        .iter()
        .filter(|(_, e)| matches!(e, SessionEvent::Offline { .. }));
    let times: Vec<_> = times.map(|(at, _)| *at).collect();
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|w| w[1].since(w[0]).as_secs_f64())
        .collect();
    assert!(gaps[0] < 3.0, "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap < 95.0), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap > 28.0), "{gaps:?}");
    world.door = Door::Open;
    assert!(world.run_until(Span::from_secs(120), online));
}

#[test]
fn a_cut_is_told_once_and_it_attaches_anew_under_another_handle() {
    let mut world = World::new(10);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let handle = world.session.handle().unwrap();
    world.run_for(MINUTE);
    let frames = world.frames.len();
    assert!(frames > 100, "cover runs: {frames}");
    world.cut();
    assert!(!world.is_online());
    let lost: Vec<_> = world
        .events
        .iter()
        .filter(|(_, event)| {
            matches!(
                event,
                SessionEvent::Offline {
                    was_online: true,
                    ..
                }
            )
        })
        .collect();
    assert_eq!(lost.len(), 1);
    assert!(world.run_until(MINUTE, online));
    assert_ne!(world.session.handle().unwrap(), handle);
}

#[test]
fn documents_are_renewed_every_epoch_and_a_failure_is_tried_again_until_two_agree() {
    let mut world = World::new(11);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let first = world.documents().remove(0);
    let second = {
        let (network, rng) = (&mut world.network, &mut world.rng);
        network.document(rng, Epoch::new(1), Some(&*first)).unwrap()
    };
    let params = world.network.params.clone();
    let (freeze, switch) = (
        params.freeze_time(Epoch::new(1)),
        params.start_of(Epoch::new(1)),
    );
    world.default = Answer::Nothing;
    world.run_for(freeze.since(world.now) + params.epoch.scale(1, 8));
    let not_renewed = |event: &SessionEvent| matches!(event, SessionEvent::NotRenewed(_));
    assert!(world.events.iter().any(|(_, event)| not_renewed(event)));
    assert!(world.is_online(), "a refresh that fails cuts nobody off");
    world.default = Answer::Documents(vec![first, second], 0);
    let renewed = |event: &SessionEvent| matches!(event, SessionEvent::Documents { newest, .. } if *newest == Epoch::new(1));
    assert!(world.run_until(Span::from_secs(100), renewed));
    assert!(world.now < switch);
    let frames = world.frames.len();
    world.run_for(switch.since(world.now) + MINUTE);
    assert!(
        world.frames.len() > frames + 100,
        "it sends on after the switch"
    );
}

#[test]
fn the_networks_clock_is_used_and_nothing_bursts() {
    for ahead in [3_600_000_000_i64, -3_600_000_000] {
        let mut world = World::new(12);
        // The machine's clock is an hour off; epochs last an hour.
        let params = world.network.params.clone();
        let epoch = if ahead > 0 { 1 } else { 0 };
        world.now = params.start_of(Epoch::new(1 - epoch)) + Span::from_secs(10);
        let document = world.documents().remove(0);
        let document = if epoch == 1 {
            let (network, rng) = (&mut world.network, &mut world.rng);
            network
                .document(rng, Epoch::new(1), Some(&*document))
                .unwrap()
        } else {
            document
        };
        world.default = Answer::Documents(vec![document], ahead);
        world.input(SessionInput::Online(true));
        assert!(world.run_until(MINUTE, online), "ahead by {ahead}");
        assert_eq!(world.session.clock_offset_us(), ahead);
        let from = world.now;
        world.run_for(MINUTE);
        let sent = world.frames.iter().filter(|at| **at > from).count();
        // 3.6 a second; five standard deviations.
        assert!((216 - 74..216 + 74).contains(&sent), "{sent}");
    }
}

#[test]
fn what_the_user_does_moves_no_frame() {
    let mut quiet = World::new(13);
    quiet.input(SessionInput::Online(true));
    quiet.run_for(MINUTE);
    let mut busy = World::new(13);
    busy.input(SessionInput::Online(true));
    let mut friend = World::new(14);
    friend.input(to_invite());
    let invitation = friend.session.client().invitations().remove(0).invitation;
    let end = busy.now + MINUTE;
    let mut request = 0;
    while busy.now < end {
        request += 1;
        let text = vec![b'x'; 100];
        let what = match request {
            1 => UserRequest::Accept {
                invitation: Box::new(invitation.clone()),
                label: Label::default(),
                text: Some(text),
            },
            _ => UserRequest::Send {
                to: invitation.key,
                text,
                life: None,
            },
        };
        busy.input(SessionInput::Ask { request, what });
        let step = Span::from_micros(7_310_123).min(end.since(busy.now));
        busy.run_for(step);
    }
    assert!(quiet.frames.len() > 150);
    assert_eq!(quiet.frames, busy.frames);
}

#[test]
fn a_slow_job_and_a_stale_one_harm_nobody() {
    let mut world = World::new(15);
    world.job = Span::from_secs(5);
    world.input(SessionInput::Online(true));
    world.run_for(Span::from_secs(2));
    // Offline while the documents are being looked at, and online again.
    world.input(SessionInput::Online(false));
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let attached = world
        .asked
        .iter()
        .filter(|(_, _, kind)| *kind == RequestKind::Attach);
    assert_eq!(attached.count(), 1);
}
