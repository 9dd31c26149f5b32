//! Clients that are made anew, from an export or from nothing but their key: nothing of theirs is used twice.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    ClientEvent, ContactChange, ContactStatus, SavedContact, SendError, Table, restored_rows,
    saved_contacts,
};

use crate::contacts::{ALICE, BOB, EVE, accept, change, heard, key, label, refused, three};
use crate::world::{World, secs};

/// Bob's machine is another one: he is made anew, and comes online.
fn restore(world: &mut World, contacts: &[SavedContact], seed: u64) {
    if world.hosts[BOB].link.is_some() {
        world.detach(BOB);
    }
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let changes = restored_rows(world.now, contacts, &mut rng);
    let host = &mut world.hosts[BOB];
    host.rows.clear();
    for change in changes {
        let value = change.value.unwrap();
        host.rows.insert((change.table, change.key), value);
    }
    world.crash(BOB);
    world.attach(BOB, 0);
    let open = |world: &World| world.hosts[BOB].client.counters().drops_unconfirmed == 0;
    assert!(world.run_until(secs(120.0), open));
}

fn contact(world: &World, who: usize) -> ContactStatus {
    let key = key(world, who);
    world.hosts[BOB].client.contact(&key).unwrap()
}

/// Bob invites, they accept, and each pair writes to and fro. `name` tells their texts from others.
fn meet(world: &mut World, name: &str) {
    for who in [ALICE, EVE] {
        let link = world.invite(BOB);
        let text = format!("{name}: to Bob");
        accept(world, who, &link, Some(&text));
        let from = key(world, who);
        let here = |world: &World| {
            world.hosts[BOB]
                .received()
                .any(|(it, sender)| sender == from && it == text.as_bytes())
        };
        assert!(world.run_until(secs(200.0), here), "{name} {who}");
        assert!(!contact(world, who).needs_invitation);
        for number in 0..3 {
            let text = format!("{name}: from Bob, {number}");
            world.send(BOB, 100 + number, &from, text.as_bytes());
            // At once: none waits for one that never was.
            assert!(
                world.run_until(secs(30.0), |world| heard(world, who, &text)),
                "{text}"
            );
        }
    }
}

/// The numbers of Bob's messages, as somebody has heard them, with the gaps.
fn numbers(world: &World, who: usize) -> Vec<(u64, u64)> {
    let bob = key(world, BOB);
    let events = world.hosts[who].events.iter();
    let told = events.filter_map(|(_, event)| match event {
        ClientEvent::Received {
            from,
            sequence,
            gap_before,
            ..
        } if *from == bob => Some((*sequence, *gap_before)),
        _ => None,
    });
    told.collect()
}

/// What is never to be used by two: tags of sessions, and what drop ids and mailboxes follow from.
fn secrets(world: &World) -> BTreeSet<Vec<u8>> {
    let rows = world.rows(BOB).into_iter();
    let own = rows.filter_map(|row| match row.table {
        Table::Session => Some(row.key),
        // Behind version and provider.
        Table::Mailbox => Some(row.value[33..65].to_vec()),
        // Behind version, place and number.
        Table::Invitation => Some(row.value[7..39].to_vec()),
        _ => None,
    });
    own.collect()
}

/// The drop ids of Bob's contacts, by their numbers.
fn drops(world: &World) -> Vec<[u8; 2]> {
    let rows = world.rows(BOB).into_iter();
    let own = rows.filter(|row| row.table == Table::Contact);
    own.map(|row| [row.value[9], row.value[10]]).collect()
}

#[test]
fn what_is_restored_twice_and_late_uses_nothing_that_was_used() {
    let mut world = three(21);
    meet(&mut world, "first");
    let alice = key(&world, ALICE);
    change(
        &mut world,
        BOB,
        alice,
        ContactChange::Label(label("Zo\u{eb}")),
    );
    change(&mut world, BOB, alice, ContactChange::Verified(true));
    let export = saved_contacts(&world.rows(BOB)).unwrap();
    assert_eq!(export.len(), 2);
    let mut used = secrets(&world);
    // More than the export knows of.
    for number in 0..4 {
        let text = format!("later: {number}");
        world.send(BOB, 200 + number, &alice, text.as_bytes());
        assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, &text)));
    }
    for (seed, name) in [(1, "restored"), (2, "restored again")] {
        // In another minute, so that the numbers are larger.
        world.run(secs(61.0));
        restore(&mut world, &export, seed);
        let known = contact(&world, ALICE);
        assert!(known.needs_invitation && known.verified && known.label == label("Zo\u{eb}"));
        assert!(!contact(&world, EVE).verified);
        world.send(BOB, 300, &alice, b"to nobody");
        assert_eq!(refused(&world, BOB), Some(SendError::NoSession));
        meet(&mut world, name);
        let fresh = secrets(&world);
        // Two mailboxes or more, two sessions, two invitations.
        assert!(fresh.len() >= 5 && fresh.is_disjoint(&used), "{name}");
        used.extend(fresh);
        let drops = drops(&world);
        assert!(drops.len() == 2 && drops[0] != drops[1]);
    }
    for who in [ALICE, EVE] {
        let numbers = numbers(&world, who);
        let once = BTreeSet::from_iter(numbers.iter().map(|(number, _)| *number));
        assert_eq!(once.len(), numbers.len(), "a number twice: {numbers:?}");
        assert!(
            numbers.is_sorted(),
            "what was written later comes later: {numbers:?}"
        );
        assert!(numbers.iter().all(|(_, gap)| *gap == 0), "{numbers:?}");
    }
}

/// Bob has his key from 24 words. What he says of himself is newer than what he said before: Alice follows him when he
/// moves.
#[test]
fn who_has_only_the_key_counts_on_and_is_followed() {
    let mut world = three(22);
    meet(&mut world, "first");
    restore(&mut world, &[], 1);
    assert!(world.hosts[BOB].client.contacts().is_empty());
    meet(&mut world, "anew");
    let moved = |world: &World| world.hosts[BOB].client.places().len() > 2;
    let _ = world.run_until(secs(3600.0), moved);
    let alice = key(&world, ALICE);
    let bob = key(&world, BOB);
    world.send(BOB, 400, &alice, b"from elsewhere");
    assert!(world.run_until(secs(120.0), |world| heard(world, ALICE, "from elsewhere")));
    world.send(ALICE, 401, &bob, b"there");
    assert!(world.run_until(secs(120.0), |world| heard(world, BOB, "there")));
    assert!(numbers(&world, ALICE).is_sorted());
}

/// A blocked contact stays blocked, and one that was never more than a newcomer is not kept.
#[test]
fn who_is_blocked_stays_so_and_newcomers_are_not_kept() {
    let mut world = three(23);
    let link = world.invite(BOB);
    for (who, text) in [(ALICE, "I am Alice"), (EVE, "I am Eve")] {
        accept(&mut world, who, &link, Some(text));
        assert!(world.run_until(secs(120.0), |world| heard(world, BOB, text)));
    }
    let eve = key(&world, EVE);
    change(&mut world, BOB, eve, ContactChange::Blocked(true));
    let export = saved_contacts(&world.rows(BOB)).unwrap();
    assert_eq!(export.len(), 1, "Alice is a newcomer");
    restore(&mut world, &export, 1);
    let blocked = contact(&world, EVE);
    assert!(blocked.blocked && !blocked.needs_invitation);
    let link = world.invite(BOB);
    accept(&mut world, EVE, &link, Some("me again"));
    world.run(secs(60.0));
    assert!(!heard(&world, BOB, "me again"));
}
