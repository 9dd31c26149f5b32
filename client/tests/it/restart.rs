use std::collections::BTreeSet;

use proptest::prelude::*;
use shoal_client::{
    Client, ClientConfig, ClientError, ClientEvent, ClientInput, ClientKeys, Hindrance, Row, Table,
};
use shoal_proto::{NodeId, Span, Time};

use crate::world::{World, params, secs, to_send};

const ALICE: usize = 0;
const BOB: usize = 1;

#[derive(Clone, Debug)]
enum Step {
    Send {
        length: usize,
    },
    Run {
        millis: u64,
    },
    /// The process does this many more of its actions, and dies.
    Crash {
        who: usize,
        actions: usize,
    },
    Reattach {
        who: usize,
    },
    Disk {
        who: usize,
        full: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..4_000).prop_map(|length| Step::Send { length }),
        4 => (10u64..1_500).prop_map(|millis| Step::Run { millis }),
        3 => (0usize..2, 0usize..4).prop_map(|(who, actions)| Step::Crash { who, actions }),
        1 => (0usize..2).prop_map(|who| Step::Reattach { who }),
        1 => (0usize..2, any::<bool>()).prop_map(|(who, full)| Step::Disk { who, full }),
    ];
    proptest::collection::vec(step, 4..14)
}

fn play(seed: u64, steps: &[Step]) {
    let mut world = World::new(seed, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.loss = 0.02;
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    let mut request = 0;
    for step in steps {
        match step {
            Step::Send { length } => {
                let mut text = vec![b'x'; *length];
                text.extend_from_slice(format!("-{request}").as_bytes());
                let input = to_send(&world.hosts[ALICE].client, request, &to, &text);
                // Not pumped: a crash may come before the disk has it.
                world.hosts[ALICE].client.handle_input(world.now, input);
                request += 1;
            }
            Step::Run { millis } => {
                world.pump(ALICE, usize::MAX);
                world.run(secs(*millis as f64 / 1e3));
            }
            Step::Crash { who, actions } => {
                world.pump(*who, *actions);
                world.crash(*who);
                world.attach(*who, 1 + *who);
            }
            Step::Reattach { who } => {
                world.detach(*who);
                world.attach(*who, 1 + *who);
            }
            Step::Disk { who, full } => world.hosts[*who].disk_full = *full,
        }
    }
    for who in [ALICE, BOB] {
        world.hosts[who].disk_full = false;
        world.pump(who, usize::MAX);
    }
    let accepted: BTreeSet<_> = world.hosts[ALICE]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            ClientEvent::Accepted { message, .. } => Some(*message),
            _ => None,
        })
        .collect();
    let told = |world: &World| -> BTreeSet<_> {
        let received = |event: &ClientEvent| match event {
            ClientEvent::Received { message, .. } => Some(*message),
            _ => None,
        };
        world.hosts[BOB]
            .events
            .iter()
            .filter_map(|(_, event)| received(event))
            .collect()
    };
    let all = |world: &World| told(world).is_superset(&accepted);
    assert!(
        world.run_until(secs(180.0), all),
        "an accepted message is lost"
    );
    assert!(
        world.run_until(secs(60.0), |world| world.stored() == 0),
        "all is acknowledged"
    );
    let rows = |world: &World, table| {
        world.hosts[BOB]
            .rows
            .keys()
            .filter(|(in_table, _)| *in_table == table)
            .count()
    };
    assert_eq!(rows(&world, Table::Partial), 0, "no fragment is left over");
    // Whatever was told is on disk until it is read, and then it is not.
    for message in told(&world) {
        world.input(BOB, ClientInput::Read { message });
    }
    assert_eq!(rows(&world, Table::Inbox), 0);
    let before = world.hosts[BOB].events.len();
    world.crash(BOB);
    assert_eq!(
        world.hosts[BOB].events.len(),
        before,
        "what was read is not told again"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10,
        rng_seed: proptest::test_runner::RngSeed::Fixed(2),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_accepted_message_is_lost(seed in 0u64..1000, steps in steps()) {
        play(seed, &steps);
    }

    #[test]
    fn damaged_rows_are_told_and_never_panic(
        table in 0usize..Table::ALL.len(),
        key in proptest::collection::vec(any::<u8>(), 0..60),
        value in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let world = World::new(1, params(3600));
        let rows = [Row { table: Table::ALL[table], key, value: value.into() }];
        let made = make(&world, &rows);
        if let Err(error) = made {
            let message = error.to_string();
            prop_assert!(message.contains(Table::ALL[table].as_str()), "{}", message);
        }
    }
}

fn make(world: &World, rows: &[Row]) -> Result<(), ClientError> {
    let mut rng = world.rng.clone();
    let keys = ClientKeys::generate(&mut rng);
    let config = ClientConfig::new(world.providers()[0]);
    Client::new(world.params.clone(), config, keys, rng, rows, world.now).map(|_| ())
}

#[test]
fn every_truncated_or_altered_row_is_an_error_or_harmless() {
    let mut world = World::new(4, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    for request in 0..3 {
        world.send(ALICE, request, &to, &[3; 2_000]);
        world.run(secs(1.0));
    }
    let rows: Vec<Row> = (0..world.hosts.len())
        .flat_map(|who| world.rows(who))
        .collect();
    assert!(rows.len() > 8);
    for row in &rows {
        let cut = Row {
            value: row.value[..row.value.len() / 2].to_vec().into(),
            ..row.clone()
        };
        let newer = {
            let mut value = row.value.clone();
            value[0] = 9;
            Row {
                value,
                ..row.clone()
            }
        };
        for bad in [cut, newer] {
            let made = make(&world, std::slice::from_ref(&bad)).err();
            let error = made.unwrap_or_else(|| panic!("{:?}: {:?}", bad.table, bad.value));
            assert!(matches!(error, ClientError::Row { table, .. } if table == row.table));
        }
    }
}

/// Of a program whose fragments had no parity: what they say can't be sent or read any more, and the user
/// is told why.
#[test]
fn rows_with_fragments_of_the_version_before_are_refused_with_the_reason() {
    let mut world = World::new(8, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, &[3; 9_000]);
    let partial = |world: &World| {
        let rows = world.hosts[BOB].rows.iter();
        let mut partial = rows.filter(|((table, _), _)| *table == Table::Partial);
        partial
            .next()
            .map(|((_, key), value)| (key.clone(), value.clone()))
    };
    assert!(world.run_until(secs(30.0), |world| partial(world).is_some()));
    let (key, value) = partial(&world).unwrap();
    let rows = world.hosts[ALICE].rows.iter();
    let outbox = rows
        .into_iter()
        .find(|((table, _), _)| *table == Table::Outbox);
    let ((_, sealed), blob) = outbox.unwrap();
    // The row's own version, and that of the fragment behind version and time.
    for (table, key, value, (place, version)) in [
        (Table::Outbox, sealed, blob, (0, 5)),
        (Table::Partial, &key, &value, (9, 4)),
    ] {
        assert_eq!(value[place], version);
        let mut row = Row {
            table,
            key: key.clone(),
            value: value.clone(),
        };
        row.value[place] = 1;
        let error = make(&world, &[row]).unwrap_err().to_string();
        assert!(error.contains("of the version before"), "{error}");
        assert!(error.contains(table.as_str()), "{error}");
    }
}

#[test]
fn an_unread_message_is_told_again_after_a_restart() {
    let mut world = World::new(5, params(3600));
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(ALICE, 1);
    world.attach(BOB, 2);
    let to = world.invitation(BOB);
    world.send(ALICE, 1, &to, b"keep me");
    assert!(world.run_until(secs(30.0), |world| world.hosts[BOB].texts().len() == 1));
    world.crash(BOB);
    assert_eq!(world.hosts[BOB].texts(), vec![b"keep me".to_vec(); 2]);
}

#[test]
fn the_generation_grows_even_if_the_clock_goes_back() {
    let mut world = World::new(6, params(3600));
    world.add(0, "quick");
    world.attach(ALICE, 1);
    // Version 1 byte, provider 32, seed 32, generation 8, states.
    let generation = |world: &World| {
        let key = (Table::Mailbox, vec![0, 0, 0, 0, 0]);
        world.hosts[ALICE].rows[&key][65..73].to_vec()
    };
    let first = generation(&world);
    world.now = world.params.start_of(crate::world::EPOCH);
    world.crash(ALICE);
    world.attach(ALICE, 1);
    assert!(generation(&world) > first);
}

/// A fragment whose receiver's provider is gone from the document is put off like one that was sent.
#[test]
fn a_try_that_could_not_leave_is_put_off_across_a_restart() {
    let mut world = World::new(7, params(3600));
    world.add(0, "quick");
    let gone = ClientConfig::new(NodeId::new([9; 32]));
    let receiver = world.add_with(gone);
    world.attach(ALICE, 1);
    let to = world.invitation(receiver);
    world.send(ALICE, 1, &to, b"later");
    world.run(secs(90.0));
    assert_eq!(world.hosts[ALICE].client.counters().sent_real, 0);
    let missing = |event: &ClientEvent| {
        matches!(
            event,
            ClientEvent::Hindered {
                by: Hindrance::ProviderMissing,
                ..
            }
        )
    };
    assert_eq!(world.hosts[ALICE].count(missing), 1, "why is told, once");
    // Version 1 byte, tries 4, when it is due 8, its mean wait 8.
    let retry = |world: &World| {
        let mut rows = world.hosts[ALICE].rows.iter();
        let row = rows.find(|((table, _), _)| *table == Table::Retry);
        let value = row.expect("it is on disk").1;
        let micros = |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().unwrap());
        (Time::from_micros(micros(5)), Span::from_micros(micros(13)))
    };
    let before = retry(&world);
    assert!(before.0 > world.now);
    assert_eq!(before.1, world.hosts[ALICE].config.retry_max);
    world.crash(ALICE);
    world.attach(ALICE, 1);
    world.run(before.0.since(world.now));
    assert_eq!(retry(&world), before, "nothing moves it");
    world.run(secs(5.0));
    assert!(retry(&world).0 > before.0, "and then it is tried");
}
