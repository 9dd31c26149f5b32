//! Two mailboxes: every text goes to both, is told once, and outlives either.

use std::collections::BTreeSet;

use shoal_client::{Alarm, ClientConfig, ClientEvent, MessageState, SendError};
use shoal_proto::NodeId;

use crate::world::{Answer, World, one_layer, secs, to_invite};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice, who has one mailbox, and Bob, who has two and is online.
fn two(seed: u64) -> World {
    let mut world = World::new(seed, one_layer(3600));
    world.add(0, "quick");
    world.add_two([1, 2], "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 3);
    world
}

fn count(world: &World, who: usize, is: fn(&ClientEvent) -> bool) -> usize {
    world.hosts[who].count(is)
}

fn stored(world: &World) -> usize {
    count(world, ALICE, |event| {
        matches!(event, ClientEvent::Stored { .. })
    })
}

/// Where something was deposited for Bob.
fn deposited(world: &World) -> BTreeSet<NodeId> {
    world
        .deposits
        .iter()
        .map(|deposit| deposit.provider)
        .collect()
}

#[test]
fn a_text_goes_to_both_and_is_told_once() {
    let mut world = two(1);
    let to = world.invitation(BOB);
    assert!(to.sites.second.is_some());
    for request in 0..10 {
        world.send(ALICE, request, &to, &[b'a' + request as u8; 9]);
    }
    assert!(world.run_until(secs(120.0), |world| world.hosts[BOB].texts().len() == 10));
    assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
    world.run(secs(30.0));
    let texts: Vec<_> = (0..10_u8).map(|n| vec![b'a' + n; 9]).collect();
    assert_eq!(world.hosts[BOB].texts(), texts, "each once, in order");
    assert_eq!(stored(&world), 10, "told once of both receipts");
    let providers = world.providers();
    assert_eq!(
        deposited(&world),
        BTreeSet::from([providers[1], providers[2]])
    );
    // No two deposits have anything in common: neither blob, nor id, nor drop id between the two.
    let ids: BTreeSet<_> = world.deposits.iter().map(|it| it.message).collect();
    let blobs: BTreeSet<_> = world.deposits.iter().map(|it| it.blob.clone()).collect();
    assert_eq!((ids.len(), blobs.len()), (20, 20));
    let drops = |at: NodeId| {
        let there = world.deposits.iter().filter(move |it| it.provider == at);
        there.map(|it| it.drop).collect::<BTreeSet<_>>()
    };
    assert!(drops(providers[1]).is_disjoint(&drops(providers[2])));
    assert_eq!(world.hosts[ALICE].client.counters().outbox_fragments, 0);
    // And none comes back after a restart.
    world.crash(BOB);
    world.attach(BOB, 3);
    world.run(secs(30.0));
    assert_eq!(
        world.hosts[BOB].texts().len(),
        20,
        "unread ones are told again, once"
    );
}

/// A network whose profile declines the second copy: half the slots, and the other mailbox only if the first does not
/// answer.
#[test]
fn one_copy_goes_to_the_first_and_to_the_other_if_that_is_gone() {
    let mut params = one_layer(3600);
    params.profiles.get_mut("quick").unwrap().copies = 1;
    let mut world = World::new(3, params);
    world.add(0, "quick");
    world.add_two([1, 2], "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 3);
    let to = world.invitation(BOB);
    let [first, second] = [1, 2].map(|at: usize| world.providers()[at]);
    for request in 0..10 {
        world.send(ALICE, request, &to, &[request as u8; 9]);
    }
    assert!(world.run_until(secs(120.0), |world| world.hosts[BOB].texts().len() == 10));
    assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
    assert_eq!(world.deposits.len(), 10, "one of each");
    assert_eq!(deposited(&world), BTreeSet::from([first]));
    world.deposits.clear();
    world.dead = Some(first);
    world.send(ALICE, 10, &to, b"and now");
    assert!(world.run_until(secs(240.0), |world| world.hosts[BOB].texts().len() == 11));
    assert_eq!(deposited(&world), BTreeSet::from([second]));
    // Back as well as there: a restart in between has both.
    world.dead = Some(second);
    world.send(ALICE, 11, &to, b"and then");
    world.crash(ALICE);
    world.attach(ALICE, 1);
    let back = |world: &World| {
        let texts = world.hosts[BOB].texts();
        texts.iter().any(|text| text == b"and then")
    };
    assert!(world.run_until(secs(240.0), back));
}

#[test]
fn answers_find_both_as_well() {
    let mut world = two(2);
    let bob_writes = world.invitation(ALICE);
    world.send(BOB, 1, &bob_writes, b"hello");
    assert!(world.run_until(secs(60.0), |world| !world.hosts[ALICE].texts().is_empty()));
    let (_, reply_to) = world.hosts[ALICE].received().next().unwrap();
    let providers = world.providers();
    world.dead = Some(providers[1]);
    world.send(ALICE, 2, &reply_to, b"hello back");
    assert!(world.run_until(secs(120.0), |world| !world.hosts[BOB].texts().is_empty()));
}

/// Either provider dies while texts are under way: none is lost, and the other takes over.
#[test]
fn either_may_die() {
    for gone in [1, 2] {
        let mut world = two(5 + gone as u64);
        let to = world.invitation(BOB);
        world.run(secs(20.0));
        let dead = world.providers()[gone];
        for request in 0..20 {
            world.send(ALICE, request, &to, &[request as u8; 9]);
            world.run(secs(2.0));
            if request == 9 {
                world.dead = Some(dead);
            }
        }
        let all = |world: &World| world.hosts[BOB].texts().len() == 20;
        assert!(world.run_until(secs(240.0), all), "{gone}");
        assert!(world.run_until(secs(60.0), |world| stored(world) == 20));
        world.run(secs(60.0));
        let paused =
            |event: &ClientEvent| matches!(event, ClientEvent::Alarm(Alarm::StreamPaused(_)));
        assert_eq!(world.hosts[BOB].count(paused), 1, "{gone}");
        // The one that is there has the larger share now, or still.
        let left = world.providers()[3 - gone];
        world.mailbox_packets.clear();
        world.run(secs(120.0));
        let packets = world.mailbox_packets[&left];
        // Four of five of 96.
        assert!((55..100).contains(&packets), "{packets}");
    }
}

#[test]
fn four_of_five_packets_are_for_the_first() {
    let mut world = two(7);
    world.run(secs(600.0));
    let providers = world.providers();
    let [first, second] = [1, 2].map(|at: usize| world.mailbox_packets[&providers[at]] as f64);
    let share = first / (first + second);
    // 480 packets: three deviations are .055.
    assert!((share - 0.8).abs() < 0.055, "{share}");
    assert!(world.hosts[BOB].client.alarms().is_empty());
}

/// The link shows neither that a mailbox is dead, nor that shares change.
#[test]
fn a_dead_mailbox_moves_no_frame() {
    let frames = |gone: Option<usize>| {
        let mut world = two(8);
        world.run(secs(10.0));
        world.dead = gone.map(|at| world.providers()[at]);
        world.run(secs(120.0));
        world.hosts[BOB].frames.clone()
    };
    let alive = frames(None);
    assert!(alive.len() > 100);
    for gone in [1, 2] {
        assert_eq!(frames(Some(gone)), alive);
    }
}

#[test]
fn long_texts_outlive_either_as_well() {
    for gone in [1, 2] {
        let mut world = two(10 + gone as u64);
        let to = world.invitation(BOB);
        world.run(secs(10.0));
        let text = vec![7; 5_800];
        world.send(ALICE, 1, &to, &text);
        let half = |world: &World| world.deposits.len() == 10;
        assert!(
            world.run_until(secs(60.0), half),
            "five there and five here"
        );
        assert_eq!(stored(&world), 1);
        // All that lay there is lost.
        let dead = world.providers()[gone];
        world.dead = Some(dead);
        assert!(
            world.run_until(secs(120.0), |world| world.hosts[BOB].texts()
                == [text.clone()])
        );
        let status = world.hosts[ALICE].client.sent_messages().next().unwrap();
        assert_eq!(
            (status.state, status.fragments, status.stored),
            (MessageState::Stored, 5, 5)
        );
    }
}

#[test]
fn mailboxes_are_drawn_apart_and_kept() {
    let mut met = BTreeSet::<NodeId>::new();
    let mut world = World::new(20, one_layer(3600));
    for _ in 0..20 {
        let who = world.add_with(ClientConfig::default());
        world.input(who, to_invite(1));
        let refused = |event: &ClientEvent| {
            let reason = SendError::NoMailbox;
            *event == ClientEvent::Refused { request: 1, reason }
        };
        assert_eq!(world.hosts[who].count(refused), 1, "no mailbox yet");
        world.attach(who, 0);
        // Two mailboxes for strangers and two for contacts, and one provider is left to enter by.
        let client = &world.hosts[who].client;
        assert_eq!(client.mailbox_providers().count(), 4);
        let providers: BTreeSet<_> = client.mailbox_providers().collect();
        assert!((2..=3).contains(&providers.len()));
        met.extend(&providers);
        let invitation = world.invitation(who);
        let sites = invitation.sites;
        assert_ne!(sites.first.provider, sites.second.unwrap().provider);
        world.crash(who);
        let kept = &world.hosts[who].client.invitations()[0].invitation;
        assert_eq!(*kept, invitation, "kept");
        assert_eq!(world.invite(who).sites.first.provider, sites.first.provider);
    }
    assert_eq!(met.len(), 4, "all providers, in twenty draws of two");
}

#[test]
fn a_named_entry_is_no_mailbox() {
    for seed in 0..10 {
        let mut world = World::new(seed, one_layer(3600));
        let entry = world.providers()[0];
        let config = ClientConfig {
            entry: Some(entry),
            ..ClientConfig::default()
        };
        let who = world.add_with(config);
        world.attach(who, 0);
        let client = &world.hosts[who].client;
        assert!(client.mailbox_providers().all(|provider| provider != entry));
        assert_eq!(client.mailbox_providers().count(), 4);
    }
}

#[test]
fn what_can_not_be_saved_is_not_written_to() {
    let mut world = World::new(30, one_layer(3600));
    let who = world.add_with(ClientConfig::default());
    world.hosts[who].disk_full = true;
    world.attach(who, 0);
    world.run(secs(60.0));
    assert_eq!(world.mailbox_packets.len(), 0);
    assert!(world.hosts[who].client.alarms().contains(&Alarm::Storage));
    let sent = world.hosts[who].frames.len();
    assert!(
        sent > 100,
        "cover in the place of what can't be sent: {sent}"
    );
    // With the next connection it is saved, and used.
    world.hosts[who].disk_full = false;
    world.detach(who);
    world.attach(who, 0);
    world.run(secs(60.0));
    assert!(world.mailbox_packets.len() >= 2);
    // And invitations to it are the same after a restart, and good.
    let to = world.invitation(who);
    world.crash(who);
    assert!(world.hosts[who].client.invitations()[0].invitation == to);
    world.attach(who, 0);
    world.add(1, "quick");
    let other = world.hosts.len() - 1;
    world.attach(other, 2);
    world.send(other, 1, &to, b"hello");
    assert!(world.run_until(secs(120.0), |world| !world.hosts[who].texts().is_empty()));
}

#[test]
fn a_mailbox_that_only_refuses_costs_no_time() {
    let mut world = two(31);
    world.answer = Answer::Refuse;
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"later");
    world.run(secs(10.0));
    assert_eq!(stored(&world), 0);
    world.answer = Answer::Honest;
    assert!(world.run_until(secs(60.0), |world| stored(world) == 1));
}
