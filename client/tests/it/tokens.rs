//! Tokens: got and spent hours apart, at once for the first place, and seen by nobody else.

use std::collections::BTreeSet;

use shoal_client::ClientConfig;
use shoal_proto::Span;
use shoal_topology::TokenDemand;

use crate::world::{World, one_layer, secs};

const ALICE: usize = 0;

fn alice(seed: u64, demand: Option<TokenDemand>, config: ClientConfig) -> World {
    let mut params = one_layer(36_000);
    params.place_life = secs(7200.0);
    params.time_to_live = secs(600.0);
    let mut world = World::new(seed, params);
    if let Some(demand) = demand {
        world.issue(demand);
    }
    world.add_with(ClientConfig {
        profile: "calm".into(),
        retry_max: Span::from_secs(20),
        ..config
    });
    world.attach(ALICE, 0);
    world
}

fn is_open(world: &World) -> bool {
    world.hosts[ALICE].client.is_open()
}

#[test]
fn the_first_places_are_opened_at_once_and_each_token_opens_one_mailbox() {
    for demand in [TokenDemand::Open, TokenDemand::Work { bits: 1 }] {
        let mut world = alice(1, Some(demand), ClientConfig::default());
        assert!(world.run_until(secs(60.0), is_open), "{demand:?}");
        let all = |world: &World| world.hosts[ALICE].client.counters().drops_unconfirmed == 0;
        assert!(world.run_until(secs(120.0), all), "{demand:?}");
        assert_eq!(
            world.closed_doors, 0,
            "nothing is written to what is not there"
        );
        let spent: BTreeSet<_> = world.spent.iter().map(|(.., token)| *token).collect();
        assert_eq!((world.spent.len(), spent.len()), (4, 4));
        let blinded: BTreeSet<_> = world.asked.iter().map(|(.., blinded)| *blinded).collect();
        assert_eq!(
            blinded.len(),
            4,
            "one for each, however often it was asked for"
        );
        assert_eq!(world.hosts[ALICE].client.counters().tokens, 4);
    }
}

#[test]
fn later_ones_are_bought_hours_before_they_are_spent() {
    // A day has four minutes, an hour ten seconds.
    for seed in [2, 5] {
        let mut world = alice(seed, Some(TokenDemand::Open), ClientConfig::default());
        let six = |world: &World| world.spent.len() >= 6;
        assert!(world.run_until(secs(12_000.0), six));
        let (first, second) = (world.spent[3].0, world.spent[4].0);
        assert!(second.since(first) > secs(3000.0), "a place's life later");
        let bought = world
            .asked
            .iter()
            .filter(|(at, ..)| *at > first + secs(600.0));
        let last = bought.map(|(at, ..)| *at).max().unwrap();
        let gap = second.since(last).as_secs_f64();
        assert!(gap > 9.0, "an hour or more: {gap}");
        assert_eq!(world.closed_doors, 0);
    }
}

#[test]
fn who_has_a_code_is_taken_and_nobody_else() {
    let mut world = alice(3, Some(TokenDemand::Code), ClientConfig::default());
    world.run(secs(60.0));
    assert!(
        world.hosts[ALICE].client.places().is_empty(),
        "nobody takes her"
    );
    assert!(world.asked.is_empty());
    // The same providers again.
    let providers = world.providers();
    let codes = providers[1..].iter().map(|it| (*it, "friend".to_owned()));
    let config = ClientConfig {
        codes: codes.collect(),
        ..ClientConfig::default()
    };
    let mut world = alice(3, Some(TokenDemand::Code), config);
    assert!(world.run_until(secs(60.0), is_open));
    assert!(
        world
            .asked
            .iter()
            .all(|(_, provider, _)| *provider != providers[0])
    );
    // One that is named, with a wrong code, and then the right one.
    for (code, opens) in [("foe", false), ("friend", true)] {
        let mut config = ClientConfig::new(providers[2]);
        config.codes.insert(providers[2], code.into());
        let mut world = alice(3, Some(TokenDemand::Code), config);
        assert_eq!(world.run_until(secs(60.0), is_open), opens);
    }
}

#[test]
fn a_key_for_one_client_alone_is_noticed() {
    let mut world = alice(6, Some(TokenDemand::Open), ClientConfig::default());
    world.forge = true;
    world.run(secs(100.0));
    let counters = world.hosts[ALICE].client.counters();
    assert!(counters.tokens_forged > 3 && counters.tokens == 0);
    assert!(world.spent.is_empty() && !is_open(&world));
    // Should the right one come, the mailbox is opened.
    world.forge = false;
    assert!(world.run_until(secs(120.0), is_open));
}

#[test]
fn a_token_is_neither_lost_nor_spent_twice_by_a_crash() {
    let mut world = alice(7, Some(TokenDemand::Open), ClientConfig::default());
    for round in 0..40 {
        world.run(secs(0.3 + f64::from(round % 7) / 5.0));
        world.crash(ALICE);
        world.attach(ALICE, 0);
    }
    assert!(world.run_until(secs(60.0), is_open));
    let all = |world: &World| world.hosts[ALICE].client.counters().drops_unconfirmed == 0;
    assert!(world.run_until(secs(120.0), all));
    let spent: BTreeSet<_> = world.spent.iter().map(|(.., token)| *token).collect();
    assert_eq!((world.spent.len(), spent.len()), (4, 4));
}

/// A provider that gave the mailbox up, as one does whose owner was away for months.
#[test]
fn a_mailbox_that_is_gone_is_opened_anew_under_its_key() {
    let mut world = alice(8, Some(TokenDemand::Open), ClientConfig::default());
    let all = |world: &World| world.hosts[ALICE].client.counters().drops_unconfirmed == 0;
    assert!(world.run_until(secs(120.0), |world| is_open(world) && all(world)));
    let before = world.invite(ALICE).sites.first.provider;
    world.detach(ALICE);
    world.forget_mailboxes();
    world.attach(ALICE, 0);
    // Silence, a quarter of a day of it, and another token.
    let anew = |world: &World| world.spent.len() >= 8;
    assert!(world.run_until(secs(600.0), anew), "{}", world.spent.len());
    assert!(world.run_until(secs(120.0), all));
    assert!(
        world.invite(ALICE).sites.first.provider == before,
        "the place goes on"
    );
    assert!(is_open(&world));
}

/// To a link it is the same whether tokens are asked for, worked for, or not needed.
#[test]
fn tokens_move_no_frame() {
    let frames = |demand| {
        let mut world = alice(9, demand, ClientConfig::default());
        world.run(secs(300.0));
        world.hosts[ALICE].frames.clone()
    };
    let none = frames(None);
    assert!(none.len() > 300);
    assert_eq!(frames(Some(TokenDemand::Open)), none);
    assert_eq!(frames(Some(TokenDemand::Work { bits: 1 })), none);
    assert_eq!(frames(Some(TokenDemand::Code)), none);
}
