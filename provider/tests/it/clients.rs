//! The entry: what a client's link shows, and what the entry can see.

use std::sync::Arc;

use rand::RngExt;
use shoal_packet::{Delivery, Payload};
use shoal_proto::{ClientHandle, NodeId, Span, Time};
use shoal_provider::{AttachAnswer, DropReason, Limits, ProviderInput, StoreLimits};
use shoal_topology::path;

use crate::statistics::{are_alike, is_exponential};
use crate::world::{FIRST, World, delivery, payload};

fn handle(n: u8) -> ClientHandle {
    ClientHandle::new([n; 32])
}

fn attach(world: &mut World, n: u8, profile: &str) {
    world.input(ProviderInput::Attached {
        handle: handle(n),
        profile: profile.to_owned(),
    });
}

fn offer(world: &mut World, n: u8) -> Payload {
    let payload = payload(&mut world.rng);
    let now = world.now;
    world.deliver(delivery(None, [n; 32], payload.clone(), now));
    payload
}

fn intervals(world: &World) -> Vec<f64> {
    world
        .to_client
        .windows(2)
        .map(|pair| pair[1].0.since(pair[0].0).as_secs_f64())
        .collect()
}

#[test]
fn ticks_do_not_depend_on_what_waits() {
    let run = |seed: u64, busy: bool| {
        let mut world = World::new(seed);
        attach(&mut world, 1, "default");
        let end = world.now + Span::from_secs(300);
        while world.now < end {
            let wait = world.rng.random_range(1_000..200_000);
            world.run(Span::from_micros(wait));
            if busy {
                // Bursts, so that the queue runs full and empty.
                for _ in 0..world.rng.random_range(0..3) {
                    offer(&mut world, 1);
                }
            }
        }
        let counters = world.provider.counters();
        let frames = world.to_client.len() as u64;
        assert_eq!(
            frames,
            counters.entry.downlink_payload + counters.entry.downlink_filler
        );
        assert_eq!(counters.entry.downlink_payload > 1500, busy);
        intervals(&world)
    };
    let (idle, busy) = (run(1, false), run(2, true));
    assert!(idle.len() > 2000 && busy.len() > 2000);
    assert!(is_exponential(&idle, 1.0 / 9.0));
    assert!(is_exponential(&busy, 1.0 / 9.0));
    assert!(are_alike(&idle, &busy));
}

#[test]
fn a_payload_comes_out_as_it_went_in_and_in_order() {
    let mut world = World::new(3);
    attach(&mut world, 1, "default");
    let payloads: Vec<Payload> = (0..5).map(|_| offer(&mut world, 1)).collect();
    world.run_secs(5);
    for (payload, (_, to, frame)) in payloads.iter().zip(&world.to_client) {
        assert_eq!(*to, handle(1));
        let (id, found) = frame.clone().into_last_link();
        assert_eq!(id.as_bytes(), &[3; 16]);
        assert_eq!(found.as_bytes(), payload.as_bytes());
    }
    assert!(world.to_client.len() > 10, "and filler after them");
}

/// What the entry gets to know of a packet that ends there.
struct Seen {
    destination: [u8; 32],
    id: shoal_proto::SurbId,
    payload: Payload,
    plaintext: bool,
}

/// A packet by a reply block, carried to the entry over the way given.
fn arrive(world: &mut World, is_loop: bool) -> Seen {
    let entry = world.local;
    let document = Arc::clone(&world.view.documents[&FIRST]);
    let route = if is_loop {
        path::client_loop(&mut world.rng, &document, &world.params, &entry)
    } else {
        path::reply(&mut world.rng, &document, &world.params, &entry)
    }
    .unwrap();
    assert_eq!(route.len(), if is_loop { 5 } else { 4 });
    let surb = world.surb_on(&route, handle(1));
    let text = if is_loop {
        b"loop".to_vec()
    } else {
        vec![7; 2031]
    };
    let (first, packet) = surb.into_packet(&text).unwrap();
    let (at, destination, id, payload) = world.travel(FIRST, first, packet);
    assert_eq!(at, entry);
    let plaintext = payload.plaintext().is_some();
    Seen {
        destination,
        id,
        payload,
        plaintext,
    }
}

#[test]
fn an_entry_sees_loops_and_replies_alike() {
    let run = |is_loop: bool| {
        let mut world = World::new(4);
        attach(&mut world, 1, "default");
        let mut bytes = [0_u64; 256];
        for _ in 0..20 {
            let seen = arrive(&mut world, is_loop);
            assert!(!seen.plaintext, "neither can be read");
            assert_eq!(seen.destination, *handle(1).as_bytes());
            assert_ne!(seen.id.as_bytes(), &[0; 16]);
            for byte in seen.payload.as_bytes() {
                bytes[usize::from(*byte)] += 1;
            }
            let arrival = world.now;
            world.deliver(Delivery {
                destination: seen.destination,
                id: seen.id,
                payload: seen.payload,
                plaintext: None,
                epoch: FIRST,
                arrival,
            });
            world.run(Span::from_millis(700));
        }
        // Payloads are noise: chi-squared with 255 degrees of freedom, 350 is far out.
        let expected = (20.0 * 2048.0) / 256.0;
        let chi: f64 = bytes
            .iter()
            .map(|n| (*n as f64 - expected).powi(2) / expected)
            .sum();
        assert!(chi < 350.0, "{chi}");
        let ticks: Vec<(Time, ClientHandle)> = world
            .to_client
            .iter()
            .map(|(at, to, _)| (*at, *to))
            .collect();
        (ticks, world.provider.counters(), world.dropped.len())
    };
    assert_eq!(
        run(true),
        run(false),
        "same actions at the same times, same counts"
    );
}

#[test]
fn who_is_not_attached_gets_nothing() {
    let mut world = World::new(5);
    offer(&mut world, 1);
    attach(&mut world, 1, "default");
    offer(&mut world, 2);
    offer(&mut world, 1);
    world.input(ProviderInput::Detached { handle: handle(1) });
    world.input(ProviderInput::Detached { handle: handle(7) });
    offer(&mut world, 1);
    world.run_secs(5);
    assert_eq!(world.dropped, [DropReason::UnknownDestination; 3]);
    assert!(world.to_client.is_empty());
    let counters = world.provider.counters();
    assert_eq!((counters.entry.abandoned, counters.entry.attached), (1, 0));
}

#[test]
fn clients_and_queues_are_bounded() {
    let limits = Limits {
        clients: 2,
        downlink_queue: 3,
        ..Limits::default()
    };
    let mut world = World::with(6, limits, StoreLimits::default());
    attach(&mut world, 1, "no such profile");
    for n in [1, 1, 2, 3] {
        attach(&mut world, n, "mobile");
    }
    use AttachAnswer::{Accepted, Full, UnknownProfile};
    assert_eq!(
        world.attached,
        [UnknownProfile, Accepted, Full, Accepted, Full]
    );
    let kept: Vec<Payload> = (0..3).map(|_| offer(&mut world, 1)).collect();
    offer(&mut world, 1);
    assert_eq!(world.dropped, [DropReason::DownlinkFull]);
    world.run_secs(60);
    let to_first = world.to_client.iter().filter(|(_, to, _)| *to == handle(1));
    for ((_, _, frame), payload) in to_first.zip(&kept) {
        assert_eq!(
            frame.clone().into_last_link().1.as_bytes(),
            payload.as_bytes(),
            "the oldest stay"
        );
    }
    world.input(ProviderInput::LinkFull { handle: handle(1) });
    assert_eq!(world.provider.counters().entry.link_full, 1);
    world.input(ProviderInput::Detached { handle: handle(1) });
    attach(&mut world, 3, "mobile");
    assert_eq!(world.attached.last(), Some(&Accepted));
}

#[test]
fn a_member_of_the_network_is_not_a_destination() {
    let mut world = World::new(7);
    let member: NodeId = world.view.documents[&FIRST].mixes(1)[0];
    let nothing = payload(&mut world.rng);
    let now = world.now;
    world.deliver(delivery(None, *member.as_bytes(), nothing, now));
    assert_eq!(world.dropped, [DropReason::UnknownDestination]);
}

#[test]
fn a_provider_that_slept_sends_no_burst_and_loses_no_payload() {
    let mut world = World::new(8);
    attach(&mut world, 1, "default");
    let payloads: Vec<Payload> = (0..3).map(|_| offer(&mut world, 1)).collect();
    world.sleep(Span::from_secs(60));
    assert!(world.to_client.is_empty(), "480 ticks were due");
    assert_eq!(world.provider.counters().entry.downlink_missed, 1);
    world.run_secs(5);
    assert!(world.to_client.len() < 100);
    for (payload, (_, _, frame)) in payloads.iter().zip(&world.to_client) {
        let (_, found) = frame.clone().into_last_link();
        assert_eq!(found.as_bytes(), payload.as_bytes());
    }
    assert_eq!(world.provider.counters().entry.downlink_missed, 1);
}
