//! The same cases in both places.

#[cfg(feature = "postgres")]
use shoal_node::state::{Durable, NotKept, StateError};
#[cfg(feature = "postgres")]
use shoal_packet::ReplayTag;
use shoal_proto::{DocumentHash, Epoch, NodeId};
use shoal_topology::DirectoryChange;
use shoal_topology::agreement::Height;

use super::place::{Damage, all_kinds, is_all_there, key, no_key, places};
#[cfg(feature = "postgres")]
use super::place::{Place, record};
#[cfg(feature = "postgres")]
use super::server::Server;

#[test]
fn the_next_process_has_all_that_was_kept() {
    for place in places() {
        let mut first = place.start();
        assert!(first.epochs().is_empty() && first.loaded.restored.sequence == 0);
        first.keep(all_kinds());
        for tag in 0..50 {
            assert!(first.tag(1 + u64::from(tag) % 2, tag));
        }
        drop(first);
        let second = place.start();
        is_all_there(&second.loaded);
        assert!(second.tags(1).into_iter().eq((0..50).step_by(2)));
        assert!(second.tags(2).into_iter().eq((1..50).step_by(2)));
    }
}

#[test]
fn tags_of_several_processes_add_up() {
    for place in places() {
        place.start().keep(vec![key(1, 1)]);
        for tag in 0..4 {
            let mut next = place.start();
            assert!(next.tags(1).into_iter().eq(0..tag), "{tag}");
            assert!(next.tag(1, tag));
        }
    }
}

#[test]
fn of_two_changes_the_later_counts_and_what_is_removed_is_gone() {
    for place in places() {
        let mut first = place.start();
        first.keep(all_kinds());
        assert!(first.tag(2, 1));
        let id = NodeId::new([7; 32]);
        let height = Height::new(3);
        let hash = DocumentHash::new([6; 32]);
        let epoch = Epoch::new(1);
        first.keep(vec![
            DirectoryChange::Sequence(10),
            DirectoryChange::Sequence(11),
            no_key(2),
            DirectoryChange::RemoveDocument { epoch },
            DirectoryChange::RemoveDescriptor { id, sequence: 4 },
            DirectoryChange::RemoveRecord { height, number: 0 },
            DirectoryChange::RemoveProposal { hash },
            DirectoryChange::RemoveEvidence { id },
        ]);
        assert!(!first.tag(2, 2), "its log is gone");
        // A key of the same epoch is another, with tags of its own.
        first.keep(vec![key(2, 7)]);
        assert!(first.tag(2, 3));
        drop(first);
        let second = place.start();
        let restored = &second.loaded.restored;
        assert_eq!(restored.sequence, 11);
        assert_eq!((second.epochs(), restored.keys[1].1[0]), (vec![1, 2], 7));
        assert_eq!(second.tags(2), [3]);
        assert!(restored.documents.is_empty() && restored.descriptors.is_empty());
        assert!(restored.proposals.is_empty() && restored.evidence.is_empty());
        assert_eq!(restored.records.len(), 1);
        drop(second);
        #[cfg(feature = "postgres")]
        if let Place::Postgres(server) = &place {
            assert_eq!(server.sql("SELECT count(*) FROM @.tag_batches"), "1");
        }
    }
}

#[test]
fn a_key_without_its_tags_is_forgotten_for_good() {
    for damage in [Damage::LogGone, Damage::LogChanged, Damage::LogOfAnother] {
        for place in places() {
            let mut first = place.start();
            first.keep(all_kinds());
            assert!(first.tag(1, 1) && first.tag(1, 2) && first.tag(2, 3));
            drop(first);
            place.damage(damage);
            let second = place.start();
            assert_eq!(second.epochs(), [2], "{damage:?}");
            assert_eq!(second.loaded.forgotten.len(), 1, "{damage:?}");
            assert_eq!(second.tags(2), [3]);
            drop(second);
            let third = place.start();
            assert_eq!(third.epochs(), [2], "{damage:?}");
            assert!(third.loaded.forgotten.is_empty());
        }
    }
}

#[test]
fn a_log_without_its_key_is_removed() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![key(1, 1), key(2, 2)]);
        assert!(first.tag(1, 1));
        drop(first);
        place.damage(Damage::KeyGone);
        let mut second = place.start();
        assert_eq!(second.epochs(), [2]);
        // The next key of that epoch begins with none.
        second.keep(vec![key(1, 3)]);
        assert!(second.tag(1, 2));
        drop(second);
        assert_eq!(place.start().tags(1), [2]);
    }
}

#[test]
fn what_failed_comes_back_and_is_kept_later() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![DirectoryChange::Sequence(1)]);
        place.fails(true);
        let (failed, why) = first.fails(vec![key(1, 1), DirectoryChange::Sequence(2)]);
        // Each file is one of its own; a transaction is whole.
        assert_eq!(failed, if place.is_files() { 1 } else { 2 }, "{why}");
        place.fails(false);
        // Nothing of a half: no key without its log, and none of which nobody was told.
        drop(first);
        let mut second = place.start();
        assert!(second.epochs().is_empty());
        let expected = if place.is_files() { 2 } else { 1 };
        assert_eq!(second.loaded.restored.sequence, expected);
        second.keep(vec![key(1, 1), DirectoryChange::Sequence(2)]);
        assert!(second.tag(1, 1));
        drop(second);
        let third = place.start();
        assert_eq!((third.epochs(), third.tags(1)), (vec![1], vec![1]));
        assert_eq!(third.loaded.restored.sequence, 2);
    }
}

#[test]
fn tags_of_an_epoch_without_a_log_fail_and_others_go_on() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![key(1, 1)]);
        assert!(first.tag(1, 1) && !first.tag(2, 2) && first.tag(1, 3));
        drop(first);
        assert_eq!(place.start().tags(1), [1, 3]);
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_batch_that_failed_is_not_durable_and_the_next_is() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut first = place.start();
    first.keep(vec![key(1, 1)]);
    assert!(first.tag(1, 1));
    server.sql(
        "CREATE FUNCTION @.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON @.tag_batches EXECUTE FUNCTION @.full_disk()",
    );
    assert!(!first.tag(1, 2));
    server.sql("DROP TRIGGER full_disk ON @.tag_batches");
    assert!(first.tag(1, 3));
    drop(first);
    assert_eq!(place.start().tags(1), [1, 3]);
}

/// The connections break, and nobody comes between: the same process goes on.
#[cfg(feature = "postgres")]
#[test]
fn a_process_goes_on_over_new_connections_if_nobody_came_between() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut first = place.start();
    first.keep(vec![key(1, 1), DirectoryChange::Sequence(1)]);
    let mut durable = Vec::new();
    for round in 0..3_u8 {
        server.cut(false);
        server.cut(true);
        for tag in [round * 10, round * 10 + 1, round * 10 + 2] {
            // The first may be what notices that the connection has broken.
            if first.tag(1, tag) {
                durable.push(tag);
            }
        }
        let number = || DirectoryChange::Sequence(u64::from(round) + 2);
        if let Err(NotKept { changes, .. }) = first.state.apply(vec![number()], &first.log) {
            first.keep(changes);
        }
        assert!(durable.contains(&(round * 10 + 2)));
    }
    assert!(!first.overtaken.is_so());
    drop(first);
    let second = place.start();
    assert_eq!(second.loaded.restored.sequence, 4);
    for tag in durable {
        assert!(
            second.tags(1).contains(&tag),
            "{tag} was told to be durable"
        );
    }
}

/// A process that hangs is overtaken, and comes to itself: what it was about to write is not written.
#[cfg(feature = "postgres")]
#[test]
fn who_was_overtaken_keeps_nothing_more_and_notices() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut old = place.start();
    old.keep(all_kinds());
    assert!(old.tag(1, 1));
    server.cut(true);
    let mut new = place.start();
    is_all_there(&new.loaded);
    assert_eq!(new.tags(1), [1], "what was told to be durable");
    assert!(!old.overtaken.is_so(), "it has not looked");
    for also_cut in [false, true] {
        if also_cut {
            // It makes new connections, and finds out so, too.
            server.sql(&format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '@' \
                 AND pid <> ALL (ARRAY[{}])",
                server.sql("SELECT coalesce(string_agg(pid::text, ','), '0') FROM pg_locks WHERE locktype = 'advisory'")
            ));
        }
        assert!(
            !old.tag(1, 2),
            "a packet that the new one has taken may come again"
        );
        for change in [
            DirectoryChange::Sequence(10),
            record(2, 6),
            key(3, 3),
            no_key(1),
        ] {
            let (failed, why) = old.fails(vec![change]);
            assert_eq!(failed, 1);
            let tells = matches!(why, StateError::Overtaken);
            assert!(tells || why.to_string().contains("terminat"), "{why}");
        }
        assert!(old.overtaken.is_so());
    }
    // The new one goes on, with the same numbers; the first may notice that its connections were cut.
    let _ = new.tag(1, 7);
    assert!(new.tag(1, 8));
    let number = || vec![DirectoryChange::Sequence(10)];
    if new.state.apply(number(), &new.log).is_err() {
        new.keep(number());
    }
    drop((old, new));
    let third = place.start();
    assert_eq!(third.loaded.restored.sequence, 10);
    assert_eq!(third.epochs(), [1, 2]);
    assert_eq!(third.loaded.restored.records.len(), 2);
    assert!(third.tags(1).starts_with(&[1]) && third.tags(1).ends_with(&[8]));
    assert!(!third.tags(1).contains(&2));
}

/// Not a test but a measurement: `.ci/postgres cargo test -p shoal-node --features postgres --test it speed -- --ignored
/// --nocapture`.
#[cfg(feature = "postgres")]
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let mut first = place.start();
    first.keep(vec![key(1, 1)]);
    let rounds = 500_u32;
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        assert!(first.tag(1, 1));
    }
    let each = begun.elapsed() / rounds;
    println!("a tag alone is durable after {} us", each.as_micros());
    let (all, epoch) = (1_000_000_u64, Epoch::new(1));
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let begun = std::time::Instant::now();
    for number in 0..all {
        let mut tag = [0; 32];
        tag[..8].copy_from_slice(&number.to_be_bytes());
        while !first.log.append(1000 + number, epoch, ReplayTag::new(tag)) {
            std::thread::yield_now();
        }
    }
    while !matches!(first.told.recv().unwrap(), Durable::UpTo(upto) if upto == 999 + all) {}
    println!(
        "{all} tags are durable after {} ms",
        begun.elapsed().as_millis()
    );
    drop(first);
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let begun = std::time::Instant::now();
    let second = place.start();
    println!(
        "and the next process has them after {} ms",
        begun.elapsed().as_millis()
    );
    assert_eq!(
        second.loaded.tags[0].1.len() as u64,
        all + u64::from(rounds)
    );
}
