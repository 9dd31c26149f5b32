//! Places: they are moved to, contacts come along, and the old ones are closed and forgotten.

use std::collections::BTreeSet;

use shoal_client::{
    ClientConfig, ClientEvent, ClientInput, MessageState, PeerKey, PlaceAudience, PlaceStage,
    PlaceStatus, Table, UserRequest,
};
use shoal_packet::command::{DropChange, Share};
use shoal_proto::{NodeId, Span};

use crate::world::{World, one_layer, secs};

const ALICE: usize = 0;
const BOB: usize = 1;

/// A place lives an hour and a half, so a day has three minutes; messages are kept for ten.
pub(crate) fn quick_places() -> shoal_topology::NetworkParameters {
    let mut params = one_layer(36_000);
    params.place_life = secs(5400.0);
    params.time_to_live = secs(600.0);
    slow(&mut params);
    params
}

/// Fewer packets, so that hours take seconds.
fn slow(params: &mut shoal_topology::NetworkParameters) {
    let calm = params.profiles["calm"];
    let slow = shoal_topology::Profile {
        real: 0.1,
        loops: 0.005,
        drops: 0.005,
        mailbox: 0.4,
        mailbox_clock: 0.5,
        ..calm
    };
    params.profiles.insert("slow".into(), slow);
}

/// Alice and Bob, whose places are drawn, who are online, and who have written to each other once.
fn pair(seed: u64) -> World {
    pair_in(seed, quick_places())
}

fn pair_in(seed: u64, params: shoal_topology::NetworkParameters) -> World {
    let mut world = World::new(seed, params);
    for _ in 0..2 {
        world.add_with(ClientConfig {
            profile: "slow".into(),
            retry_after: Some(Span::from_secs(2)),
            retry_max: Span::from_secs(20),
            // The profile is slow.
            order_patience: Span::from_secs(600),
            ..ClientConfig::default()
        });
    }
    world.attach(ALICE, 0);
    world.attach(BOB, 0);
    let confirmed = |host: &crate::world::Host| host.client.counters().drops_unconfirmed == 0;
    let open = |world: &World| world.hosts.iter().all(confirmed);
    assert!(world.run_until(secs(170.0), open));
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"hello");
    // By a mailbox with a small share.
    assert!(world.run_until(secs(1200.0), |world| heard(world, BOB, b"hello")));
    let (_, reply_to) = world.hosts[BOB].received().next().unwrap();
    world.send(BOB, 2, &reply_to, b"hello back");
    assert!(world.run_until(secs(300.0), |world| heard(world, ALICE, b"hello back")));
    world
}

fn heard(world: &World, who: usize, text: &[u8]) -> bool {
    world.hosts[who].texts().iter().any(|it| it == text)
}

/// The numbers of a client's places, as they are on its disk.
fn places(world: &World, who: usize) -> BTreeSet<u32> {
    let rows = world.hosts[who].rows.keys();
    let places = rows.filter(|(table, _)| *table == Table::Place);
    places
        .map(|(_, key)| u32::from_be_bytes(key[..].try_into().unwrap()))
        .collect()
}

fn closed(world: &World) -> usize {
    let changes = world.drop_sets.iter().flat_map(|(_, said)| said);
    changes.filter(|it| **it == DropChange::Close).count()
}

/// As whom one of them knows the other.
fn contact_of(world: &World, from: usize, to: usize) -> PeerKey {
    let key = world.hosts[to].client.public_key();
    let known = world.hosts[from].client.contact(&key);
    known.unwrap().key
}

#[test]
fn contacts_come_along_and_nothing_is_lost() {
    let mut world = pair(1);
    assert_eq!(places(&world, BOB), BTreeSet::from([0, 1]));
    // Alice knows of Bob what he wrote once, and nothing else tells her: she goes on writing to that.
    let old = contact_of(&world, ALICE, BOB);
    let mut met = BTreeSet::new();
    let mut sent: u64 = 0;
    while met.len() < 4 {
        sent += 1;
        let text = format!("{sent}").into_bytes();
        world.send(ALICE, 100 + sent, &old, &text);
        world.run(secs(150.0));
        met.extend(places(&world, BOB));
        assert!(sent < 300, "{met:?}");
    }
    assert!(world.run_until(secs(600.0), |world| {
        (1..=sent).all(|n| heard(world, BOB, format!("{n}").as_bytes()))
    }));
    let texts: Vec<_> = world.hosts[BOB].texts().split_off(1);
    let expected: Vec<_> = (1..=sent).map(|n| format!("{n}").into_bytes()).collect();
    assert_eq!(texts, expected, "each once, and in order");
    // Bob was never written to by a user, and yet Alice has followed him.
    let notices = world.hosts[ALICE].client.counters().notices;
    assert!(notices >= 1, "{notices}");
    let providers = world.hosts[ALICE].client.counters().receipts_refused;
    assert_eq!(providers, 0, "she was told before the old place closed");
    // The old ones are closed and forgotten; the place for strangers stays.
    assert!(closed(&world) > 0);
    assert!(world.run_until(secs(1200.0), |world| !places(world, BOB).contains(&0)));
    assert!(places(&world, BOB).contains(&1));
    assert_eq!(world.hosts[BOB].client.counters().unexpected, 0);
}

/// No key, drop id or secret of one place is one of another.
#[test]
fn no_two_places_have_anything_in_common() {
    let mut world = pair(2);
    let mut seen = Vec::new();
    for _ in 0..30 {
        let rows = world.hosts[BOB].rows.iter();
        for ((table, key), value) in rows.filter(|((table, _), _)| *table == Table::Mailbox) {
            // Version, provider, seed.
            seen.push((*table, key.clone(), value[33..65].to_vec()));
        }
        world.run(secs(300.0));
    }
    seen.sort_unstable();
    seen.dedup();
    let keys: BTreeSet<_> = seen.iter().map(|(_, key, _)| key).collect();
    let seeds: BTreeSet<_> = seen.iter().map(|(.., seed)| seed).collect();
    assert!(
        keys.len() >= 6,
        "two for strangers, and two places for contacts"
    );
    assert_eq!((keys.len(), seen.len()), (seeds.len(), seeds.len()));
}

/// Who was away while its contact moved is told again, and what waits for the contact goes along.
#[test]
fn who_was_away_for_longer_than_messages_are_kept_finds_back() {
    let mut world = pair(3);
    world.strict = true;
    let old = contact_of(&world, ALICE, BOB);
    world.detach(ALICE);
    let first = |world: &World| !places(world, BOB).contains(&0);
    assert!(
        world.run_until(secs(9.0 * 3600.0), first),
        "the place is gone"
    );
    // Deposits are over in the meantime.
    world.expire();
    world.send(ALICE, 9, &old, b"where are you?");
    world.attach(ALICE, 0);
    world.run(secs(5.0));
    let refused = world.hosts[ALICE].client.counters().receipts_refused;
    let state = |world: &World| {
        world.hosts[ALICE]
            .client
            .sent_messages()
            .last()
            .unwrap()
            .state
    };
    assert!(refused > 0 || state(&world) != MessageState::Stored);
    assert!(world.run_until(secs(900.0), |world| heard(world, BOB, b"where are you?")));
    assert_eq!(state(&world), MessageState::Stored);
    let texts = world.hosts[BOB].texts();
    assert_eq!(
        texts.iter().filter(|it| *it == b"where are you?").count(),
        1
    );
    // All of it under names that no provider had seen for this text before.
    let by_name: BTreeSet<_> = world
        .deposits
        .iter()
        .map(|it| (it.message, it.provider))
        .collect();
    let names: BTreeSet<_> = by_name.iter().map(|(message, _)| message).collect();
    assert_eq!(
        by_name.len(),
        names.len(),
        "a deposit id is used at one provider"
    );
}

/// Who is away does not move, and comes back in two visits.
#[test]
fn an_owner_who_is_away_does_not_move() {
    let mut world = pair(4);
    let old = contact_of(&world, ALICE, BOB);
    world.detach(BOB);
    world.run(secs(2.0 * 3600.0));
    assert_eq!(places(&world, BOB), BTreeSet::from([0, 1]));
    world.send(ALICE, 9, &old, b"still there?");
    world.run(secs(60.0));
    // A new process of a new boot.
    world.crash(BOB);
    world.attach(BOB, 0);
    assert!(world.run_until(secs(300.0), |world| heard(world, BOB, b"still there?")));
    assert!(world.run_until(secs(600.0), |world| places(world, BOB).contains(&2)));
}

#[test]
fn a_client_that_crashes_while_it_moves_loses_nothing() {
    let mut params = quick_places();
    params.place_life = secs(1800.0);
    let mut world = pair_in(5, params);
    let old = contact_of(&world, ALICE, BOB);
    for round in 0..60u64 {
        let text = format!("{round}").into_bytes();
        world.send(ALICE, 10 + round, &old, &text);
        world.run(secs(70.0 + round as f64));
        for who in [ALICE, BOB] {
            world.crash(who);
            world.attach(who, 0);
        }
    }
    assert!(places(&world, BOB).iter().any(|it| *it > 2));
    assert!(world.run_until(secs(600.0), |world| {
        (0..60).all(|n| heard(world, BOB, format!("{n}").as_bytes()))
    }));
}

#[test]
fn invitations_that_lead_elsewhere_take_the_place_of_the_first_which_goes_on_for_a_while() {
    let mut world = pair(6);
    let first = world.invitation(BOB);
    world.input(BOB, ClientInput::RenewInvitations);
    world.input(BOB, ClientInput::RenewInvitations);
    let of_strangers = |world: &World| {
        let places = world.hosts[BOB].client.places().into_iter();
        let present = places.filter(|it| it.stage == PlaceStage::Present);
        present
            .filter(|it| it.audience == PlaceAudience::Strangers)
            .count()
    };
    let renewed = |world: &World| {
        let left = |it: &PlaceStatus| it.stage == PlaceStage::Left;
        of_strangers(world) == 1 && world.hosts[BOB].client.places().iter().any(left)
    };
    assert!(world.run_until(secs(400.0), renewed));
    // The first one's share is little from then on, once the packets that are under way are there.
    world.run(secs(10.0));
    world.shares.clear();
    world.run(secs(300.0));
    let said = |share: Share| {
        let said = world
            .shares
            .values()
            .filter(|it| it.contains_key(&share.weight()));
        said.count()
    };
    // Alice's two, and Bob's two.
    assert_eq!(said(Share::Intake), 4);
    // Either of the old ones gets two packets in the mean: it may be none.
    assert!((1..=2).contains(&said(Share::Minor)));
    let second = world.invite(BOB);
    assert_ne!(first.sites, second.sites);
    assert!(world.hosts[BOB].client.is_open());
    assert_eq!(places(&world, BOB).len(), 3);
    let stranger = |world: &mut World| {
        let who = world.add(0, "quick");
        world.attach(who, 1);
        who
    };
    for (address, text) in [(&first, &b"by the first"[..]), (&second, b"by the second")] {
        let who = stranger(&mut world);
        world.send(who, 1, address, text);
        assert!(world.run_until(secs(900.0), |world| heard(world, BOB, text)));
    }
    // A day and a time to live later it takes nothing more.
    world.strict = true;
    world.run(secs(1500.0));
    assert!(closed(&world) > 0);
    let late = stranger(&mut world);
    world.send(late, 1, &first, b"too late");
    world.run(secs(200.0));
    assert!(!heard(&world, BOB, b"too late"));
    assert!(world.hosts[late].client.counters().receipts_refused > 0);
}

/// The user names providers, and does not any more.
#[test]
fn named_providers_are_moved_to_and_from() {
    let mut world = pair(7);
    let old = contact_of(&world, ALICE, BOB);
    let providers = world.providers();
    let named = vec![providers[2], providers[3]];
    world.hosts[BOB].config.mailboxes.clone_from(&named);
    world.crash(BOB);
    world.attach(BOB, 0);
    world.send(ALICE, 9, &old, b"to the drawn ones");
    assert!(world.run_until(secs(300.0), |world| heard(world, BOB, b"to the drawn ones")));
    let of = |sites: &shoal_client::Sites| {
        let second = sites.second.unwrap();
        vec![sites.first.provider, second.provider]
    };
    assert_eq!(of(&world.invite(BOB).sites), named);
    // Alice is told within a day, and writes there.
    world.run(secs(300.0));
    world.deposits.clear();
    world.send(ALICE, 10, &old, b"to the named ones");
    assert!(world.run_until(secs(300.0), |world| heard(world, BOB, b"to the named ones")));
    world.run(secs(30.0));
    let met: BTreeSet<NodeId> = world.deposits.iter().map(|it| it.provider).collect();
    assert!(named.iter().all(|it| met.contains(it)));
    assert!(world.run_until(secs(3600.0), |world| places(world, BOB).len() == 1));
    world.hosts[BOB].config.mailboxes.clear();
    world.crash(BOB);
    world.attach(BOB, 0);
    assert!(world.run_until(secs(600.0), |world| places(world, BOB).len() == 3));
    world.send(ALICE, 11, &old, b"to the drawn ones again");
    assert!(world.run_until(secs(600.0), |world| heard(
        world,
        BOB,
        b"to the drawn ones again"
    )));
}

/// A provider that is dead for a quarter of a day makes the next move come within a day, and no link shows it.
#[test]
fn trouble_that_lasts_brings_the_move_forward_once() {
    let mut world = pair(8);
    // Not soon after the last move: a tenth of a place's life.
    world.run(secs(600.0));
    let dead = world.hosts[BOB].client.mailbox_providers().next().unwrap();
    assert_eq!(places(&world, BOB), BTreeSet::from([0, 1]));
    world.dead = Some(dead);
    // A quarter of a day, three quarters of one at most, and the next place.
    assert!(world.run_until(secs(200.0), |world| places(world, BOB).contains(&2)));
    let old = contact_of(&world, ALICE, BOB);
    world.send(ALICE, 9, &old, b"are you well?");
    assert!(world.run_until(secs(300.0), |world| heard(world, BOB, b"are you well?")));
}

/// The stages of the places for contacts, in the order in which these were made.
fn stages(world: &World, who: usize) -> Vec<PlaceStage> {
    let places = world.hosts[who].client.places();
    let own = places
        .iter()
        .filter(|it| it.audience == PlaceAudience::Contacts);
    own.map(|it| it.stage).collect()
}

/// What the owner is told of a move, to its end; and that a place which has just been given out is not fled from,
/// however long it took to get that far.
#[test]
fn a_move_is_told_to_its_owner_and_the_next_is_not_soon() {
    use PlaceStage::{Closing, Coming, Left, Present};
    let mut world = pair(10);
    assert_eq!(stages(&world, BOB), [Present]);
    let comes = |world: &World| stages(world, BOB) == [Present, Coming];
    assert!(world.run_until(secs(3.0 * 5400.0), comes));
    let moved = |world: &World| stages(world, BOB) == [Left, Present];
    assert!(world.run_until(secs(3600.0), moved));
    let places = world.hosts[BOB].client.places();
    let own = |it: &&PlaceStatus| it.audience == PlaceAudience::Contacts && it.stage == Present;
    let present = places.iter().find(own).unwrap();
    assert_eq!(present.mailboxes.len(), 2);
    assert!(
        present
            .mailboxes
            .iter()
            .all(|it| it.open && !it.troubled && !it.waits_for_token)
    );
    world.dead = Some(present.mailboxes[0].provider);
    // A tenth of its life is 540 s, and trouble that was told of before makes none come.
    let flees = |world: &World| stages(world, BOB).contains(&Coming);
    assert!(!world.run_until(secs(500.0), flees));
    let places = world.hosts[BOB].client.places();
    let present = places.iter().find(own).unwrap();
    assert!(
        present.mailboxes[0].troubled && !present.mailboxes[1].troubled,
        "{places:?}"
    );
    assert!(world.run_until(secs(600.0), flees));
    // The first of all is closed when Alice has come along, and gone when it is empty.
    let closes = |world: &World| stages(world, BOB)[0] == Closing;
    assert!(world.run_until(secs(3600.0), closes));
    assert!(world.run_until(secs(3600.0), |world| !stages(world, BOB).contains(&Closing)));
}

/// The shares that the mailboxes of a client are said to have after a while in which it invites so many, and how often.
fn shares_with(invitations: usize) -> Vec<(Share, usize)> {
    let mut params = quick_places();
    params.place_life = secs(864_000.0);
    let mut world = World::new(12, params);
    world.add_with(ClientConfig {
        profile: "slow".into(),
        ..ClientConfig::default()
    });
    world.attach(ALICE, 0);
    world.run(secs(200.0));
    world.shares.clear();
    for _ in 0..invitations {
        world.invite(ALICE);
        world.run(secs(2400.0 / invitations as f64));
    }
    world.run(secs(if invitations == 0 { 2400.0 } else { 0.0 }));
    let all = [Share::First, Share::Second, Share::Intake, Share::Minor];
    let mut found = Vec::new();
    for said in world.shares.values() {
        assert_eq!(said.len(), 1, "it is always the same: {said:?}");
        let share = |weight: u32| all.into_iter().find(|it| it.weight() == weight).unwrap();
        found.extend(said.iter().map(|(weight, times)| (share(*weight), *times)));
    }
    found.sort_unstable_by_key(|(share, _)| std::cmp::Reverse(share.weight()));
    found
}

/// The share of the place for strangers, and the packets it gets, are the same whether anybody is invited or not.
#[test]
fn the_place_for_strangers_has_a_share_of_its_own_whoever_is_invited() {
    for invitations in [0, 12] {
        let found = shares_with(invitations);
        let shares: Vec<Share> = found.iter().map(|(share, _)| *share).collect();
        let expected = [Share::First, Share::Second, Share::Intake, Share::Intake];
        assert_eq!(shares, expected);
        let all: u32 = expected.iter().map(|share| share.weight()).sum();
        for (share, times) in found {
            // Of 960 packets; four deviations.
            let mean = 960.0 * f64::from(share.weight()) / f64::from(all);
            let off = (times as f64 - mean).abs();
            assert!(off < 4.0 * mean.sqrt(), "{share:?}: {times}, not {mean}");
        }
    }
}

/// To a client's link it is the same whether it moves or not: when each frame leaves, for hours.
#[test]
fn a_move_moves_no_frame() {
    let frames = |life: f64| {
        let mut params = one_layer(36_000);
        params.place_life = secs(life);
        params.time_to_live = secs(600.0);
        slow(&mut params);
        let mut world = World::new(9, params);
        world.add_with(ClientConfig {
            profile: "slow".into(),
            ..ClientConfig::default()
        });
        world.attach(ALICE, 0);
        world.run(secs(3.0 * 3600.0));
        let moved = places(&world, ALICE).last().copied().unwrap();
        (world.hosts[ALICE].frames.clone(), moved)
    };
    let (moving, far) = frames(1200.0);
    let (staying, near) = frames(864_000.0);
    assert!(far >= 5 && near == 1, "{far} {near}");
    assert!(moving.len() > 2_500);
    assert_eq!(moving, staying);
}

#[test]
fn what_comes_after_its_time_is_told_to_nobody() {
    let mut world = pair(10);
    let to = contact_of(&world, ALICE, BOB);
    world.detach(BOB);
    for (request, life) in [(1, Some(secs(120.0))), (2, Some(secs(540.0))), (3, None)] {
        let text = format!("{request}").into_bytes();
        let what = UserRequest::Send { to, text, life };
        world.input(ALICE, ClientInput::Ask { request, what });
    }
    world.run(secs(300.0));
    world.attach(BOB, 0);
    assert!(world.run_until(secs(300.0), |world| heard(world, BOB, b"3")));
    world.run(secs(150.0));
    assert!(heard(&world, BOB, b"2") && !heard(&world, BOB, b"1"));
    let counters = world.hosts[BOB].client.counters();
    assert!(
        (1..=2).contains(&counters.late_texts),
        "{}",
        counters.late_texts
    );
    let acked = |world: &World| world.hosts[BOB].client.counters().pending_acks == 0;
    assert!(world.run_until(secs(300.0), acked));
    // Its sender gives up what is not stored in time.
    let (text, life) = (b"4".to_vec(), Some(secs(60.0)));
    let gone = ClientInput::Ask {
        request: 4,
        what: UserRequest::Send { to, text, life },
    };
    world.answer = crate::world::Answer::Silent;
    world.input(ALICE, gone);
    let expired = |event: &ClientEvent| matches!(event, ClientEvent::Expired { .. });
    world.run(secs(70.0));
    assert_eq!(world.hosts[ALICE].count(expired), 1);
}
