//! What a client knows of the directory from one run to the next.

use std::sync::Arc;

use prost::Message as _;
use shoal_client::{ClientError, Table};
use shoal_proto::{Epoch, Span, wire};
use shoal_roles::client::{SessionError, SessionEvent, SessionInput, forget_trust, kept_trust};
use shoal_topology::{AdoptError, Document, Kept, KeptError, Role};

use crate::world::{Answer, World};

const MINUTE: Span = Span::from_secs(60);

fn online(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Online { .. })
}

/// The document of an epoch, after these; in another history it lacks a mix.
fn next(world: &mut World, before: &[Arc<Document>], epoch: u64, other: bool) -> Arc<Document> {
    let (network, rng) = (&mut world.network, &mut world.rng);
    let mix = network.ids(Role::Mix).next().unwrap();
    let node = other.then(|| network.nodes.remove(&mix).unwrap());
    let base = before.last().map(|base| &**base);
    let made = network.document(rng, Epoch::new(epoch), base).unwrap();
    network.nodes.extend(node.map(|node| (mix, node)));
    made
}

fn shows(world: &mut World, documents: &[Arc<Document>]) {
    world.default = Answer::Documents(documents.to_vec(), 0);
}

/// A client that was online in epoch 1, saw the documents of heights 1 to 3, of which the last is for epoch
/// 2, and is started again.
fn started_again(seed: u64, term: u32) -> (World, Vec<Arc<Document>>) {
    let mut world = World::of_term(seed, term);
    let mut all = world.documents();
    for epoch in 1..3 {
        let document = next(&mut world, &all, epoch, false);
        all.push(document);
    }
    world.now = world.network.params.start_of(Epoch::new(1)) + MINUTE;
    shows(&mut world, &all);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    world.run_for(MINUTE);
    world.restart();
    world.events.clear();
    world.frames.clear();
    (world, all)
}

/// Why it did not come online, in ten minutes in which it sent nothing.
fn refusal(world: &mut World) -> AdoptError {
    world.input(SessionInput::Online(true));
    world.run_for(MINUTE.scale(10, 1));
    assert!(!world.is_online() && world.frames.is_empty());
    let reason = world.events.iter().find_map(|(_, event)| match event {
        SessionEvent::Offline { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    match reason {
        Some(SessionError::Adopt(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn kept(world: &World) -> Kept {
    let kept = kept_trust(&world.network.params, &world.all_rows()).unwrap();
    kept.expect("something is kept")
}

fn value(world: &mut World) -> &mut Vec<u8> {
    let mut rows = world.rows.iter_mut();
    let row = rows.find(|((table, _), _)| *table == Table::Trust);
    row.map(|(_, value)| value).expect("a row")
}

#[test]
fn a_client_that_is_started_again_asks_from_where_it_was_and_needs_nothing_before() {
    // Terms of two: the seats change after heights 1 and 2, those of 3 decide 4 as well.
    let (mut world, all) = started_again(30, 2);
    let kept = kept(&world);
    assert_eq!(kept.trust.since().number(), 2);
    assert_eq!(kept.newest.map(|it| it.hash), Some(*all[2].hash()));
    let asked = world.questions.len();
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let (before, after) = world.questions.split_at(asked);
    let read = |bytes: &Vec<u8>| wire::SyncRequest::decode(bytes.as_slice()).unwrap();
    // No document is here, so that none is asked for as a change of one.
    assert!(
        after
            .iter()
            .map(read)
            .all(|it| (it.chain, it.known) == (3, 1))
    );
    assert_eq!(read(&before[0]).chain, 1);
    assert!(world.questions.iter().all(|it| it.len() == before[0].len()));
    // That of height 2, in force, is of a term that is over: it is known by the hash in the next.
    let epoch = world.session.document_epoch(world.now);
    assert_eq!(epoch, Some(Epoch::new(1)));
}

#[test]
fn the_last_document_of_a_term_is_known_again_without_its_seats_and_so_is_the_one_before() {
    // After height 1 others sit, and in terms of two after height 2 as well; nothing is decided by them yet.
    for (term, count) in [(24, 1), (2, 2)] {
        let mut world = World::of_term(31, term);
        let mut all = world.documents();
        for epoch in 1..count {
            let document = next(&mut world, &all, epoch, false);
            all.push(document);
        }
        shows(&mut world, &all);
        world.input(SessionInput::Online(true));
        assert!(world.run_until(MINUTE, online));
        world.run_for(MINUTE);
        world.restart();
        assert_eq!(kept(&world).trust.since().number(), count);
        world.input(SessionInput::Online(true));
        assert!(world.run_until(MINUTE, online));
        let epoch = world.session.document_epoch(world.now);
        assert_eq!(epoch, Some(Epoch::new(0)));
    }
}

#[test]
fn who_is_shown_an_old_state_after_a_restart_sends_nothing_until_somebody_shows_the_new_one() {
    let (mut world, all) = started_again(32, 24);
    shows(&mut world, &all[..2]);
    let (seen, shown) = (all[2].height(), all[1].height());
    let refused = refusal(&mut world);
    assert_eq!(refused, AdoptError::Older { seen, shown });
    let text = refused.to_string();
    assert!(
        text.contains("height 3") && text.contains("after 2"),
        "{text}"
    );
    // That without what was kept it would be believed: nothing else is wrong with it.
    let (mut other, all_of_it) = started_again(32, 24);
    for forget in forget_trust(&other.all_rows()) {
        other.rows.remove(&(forget.table, forget.key));
    }
    other.restart();
    shows(&mut other, &all_of_it[..2]);
    other.input(SessionInput::Online(true));
    assert!(other.run_until(MINUTE, online));
    // One node that has the newest is enough, when it is asked.
    let mixes: Vec<_> = world.network.ids(Role::Mix).collect();
    world.answers.insert(mixes[0], Answer::Documents(all, 0));
    assert!(world.run_until(MINUTE.scale(15, 1), online));
}

#[test]
fn an_old_state_of_a_term_before_is_refused_too() {
    let (mut world, all) = started_again(33, 24);
    shows(&mut world, &all[..1]);
    let (seen, shown) = (all[2].height(), all[0].height());
    assert_eq!(refusal(&mut world), AdoptError::Older { seen, shown });
}

#[test]
fn another_history_is_noticed_after_a_restart() {
    // Another document in the place of the newest.
    let (mut world, all) = started_again(34, 24);
    let mut others = all[..2].to_vec();
    let other = next(&mut world, &others, 2, true);
    others.push(other);
    assert_ne!(others[2].hash(), all[2].hash());
    shows(&mut world, &others);
    let seen = [*all[2].hash(), *others[2].hash()];
    let epoch = Epoch::new(2);
    let contradiction = AdoptError::Contradiction { epoch, seen };
    assert_eq!(refusal(&mut world), contradiction);
    // Nothing of it is kept.
    assert_eq!(kept(&world).newest.map(|it| it.hash), Some(*all[2].hash()));
    // One that does not follow from the newest.
    let last = next(&mut world, &others, 3, false);
    world.restart();
    world.events.clear();
    world.now = world.network.params.start_of(Epoch::new(2)) + MINUTE;
    shows(&mut world, &[last]);
    assert_eq!(refusal(&mut world), contradiction);
    assert_eq!(kept(&world).newest.map(|it| it.hash), Some(*all[2].hash()));
}

#[test]
fn what_is_kept_is_written_when_it_changes_and_only_then() {
    let mut world = World::new(35);
    let first = world.documents();
    world.input(SessionInput::Online(true));
    for _ in 0..5 {
        assert!(world.run_until(MINUTE.scale(2, 1), online));
        world.cut();
    }
    assert_eq!(world.writes.get(&Table::Trust), Some(&1));
    world.restart();
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    assert_eq!(world.writes.get(&Table::Trust), Some(&1));
    let next = next(&mut world, &first, 1, false);
    shows(&mut world, &[first[0].clone(), next.clone()]);
    let end = world.network.params.start_of(Epoch::new(1));
    world.run_for(end.since(world.now) - MINUTE);
    assert_eq!(world.writes.get(&Table::Trust), Some(&2));
    let rows = world
        .rows
        .keys()
        .filter(|(table, _)| *table == Table::Trust);
    assert_eq!(rows.count(), 1);
    assert_eq!(kept(&world).newest.map(|it| it.hash), Some(*next.hash()));
}

#[test]
fn writing_it_moves_nothing_on_the_link_and_failing_is_told_and_tried_again() {
    let mut worlds = [None, Some(Table::Trust)].map(|full| {
        let mut world = World::new(36);
        world.full = full;
        world.input(SessionInput::Online(true));
        world.run_for(MINUTE.scale(3, 1));
        world
    });
    let [written, failed] = &mut worlds;
    assert!(written.frames.len() > 100);
    assert_eq!(written.frames, failed.frames);
    assert_eq!(written.asked, failed.asked);
    let told = |event: &SessionEvent| matches!(event, SessionEvent::TrustNotKept { .. });
    assert!(failed.events.iter().any(|(_, event)| told(event)));
    assert!(!written.events.iter().any(|(_, event)| told(event)));
    failed.full = None;
    failed.cut();
    assert!(failed.run_until(MINUTE, online));
    assert_eq!(value(failed).clone(), *value(written));
}

#[test]
fn a_damaged_row_and_one_of_another_network_are_errors_that_say_what_to_do() {
    let (mut world, _) = started_again(37, 24);
    let sound = value(&mut world).clone();
    value(&mut world)[50] ^= 1;
    let error = world.try_restart().unwrap_err();
    let damaged = |error: &ClientError| {
        matches!(
            error,
            ClientError::Kept {
                error: KeptError::Damaged,
                ..
            }
        )
    };
    assert!(damaged(&error), "{error}");
    assert!(
        error.to_string().contains("shoal client trust --forget"),
        "{error}"
    );
    value(&mut world).clear();
    assert!(damaged(&world.try_restart().unwrap_err()));
    *value(&mut world) = sound;
    world.try_restart().unwrap();
    let params = Arc::make_mut(&mut world.network.params);
    params.name.push('x');
    let error = world.try_restart().unwrap_err();
    let of = matches!(
        &error,
        ClientError::Kept {
            error: KeptError::Network { .. },
            ..
        }
    );
    assert!(of && error.to_string().contains("take the file"), "{error}");
}
