//! Whole networks of directories: what they agree on, whatever happens to them.

use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{DocumentHash, Epoch, NodeId, Span, Time, wire};
use shoal_topology::agreement::Seats;
use shoal_topology::{
    Directory, DirectoryAction, DirectoryInput, DirectoryWarning, FamilyKey, Refusal, Response,
    Ticket, Verdict, adopt_documents,
};

use crate::harness::Harness;

/// Everybody up from the start, no loss.
fn quiet(seed: u64) -> Harness {
    let mut net = Harness::new(seed, 6, 2, 6);
    net.start_all();
    net
}

#[test]
fn all_form_the_same_documents() {
    let mut net = quiet(1);
    net.run_to(0, 300);
    let mut previous = net.agreed(0);
    assert_eq!(*previous.previous(), DocumentHash::new([0; 32]));
    for epoch in 1..5 {
        net.run_to(epoch, 1);
        let document = net.agreed(epoch);
        assert_eq!(document.previous(), previous.hash());
        assert_eq!(document.members().len(), 8);
        previous = document;
    }
    assert!(net.warnings.is_empty(), "{:?}", net.warnings);
}

#[test]
fn the_first_document_comes_within_seconds() {
    let mut net = quiet(2);
    net.run_until(net.now + Span::from_secs(2));
    net.agreed(0);
}

/// Started late in an epoch, the first document's members carry over to the next one.
#[test]
fn a_network_started_late_in_an_epoch_runs_on() {
    for late in [400, 600, 800, 970] {
        let mut net = Harness::new(3, 6, 2, 6);
        net.now = net.params.start_of(Epoch::new(0)) + net.params.epoch.scale(late, 1000);
        net.start_all();
        for epoch in 1..4 {
            net.run_to(epoch, 100);
            net.agreed(epoch);
        }
        let stale = net
            .warnings
            .iter()
            .any(|(_, w)| matches!(w, DirectoryWarning::Stale { .. }));
        assert!(!stale, "{late}: {:?}", net.warnings);
    }
}

/// Eight nodes, a network that loses so many of a thousand messages, a late joiner, a node that is off for two epochs, a partition
/// and its end: at every epoch all have the same document.
fn eventful(seed: u64, loss: u32, job_time: Span) -> Harness {
    let mut net = Harness::new(seed, 6, 2, 5);
    net.loss = loss;
    net.job_time = job_time;
    // Where messages are lost or jobs slow, rounds are over before all have voted, and some height is decided
    // only just before the switch, or after it: then it takes some questions to have it.
    let soon = if job_time > Span::ZERO || loss > 100 {
        200
    } else {
        50
    };
    let late = 5;
    for index in (0..8).filter(|index| *index != late) {
        net.start(index);
    }
    net.run_to(1, soon);
    assert_eq!(net.agreed(1).members().len(), 7);
    net.run_to(1, 210);
    net.start(late);
    net.run_to(1, 410);
    // It goes by the others' document at once, and is a member from the next epoch on.
    net.agreed(1);
    net.run_to(2, soon);
    assert_eq!(net.agreed(2).members().len(), 8);

    net.stop(3);
    net.run_to(3, soon);
    net.agreed(3);
    net.run_to(4, soon);
    assert_eq!(net.agreed(4).members().len(), 7);
    net.start(3);
    net.run_to(4, soon + 250);
    net.agreed(4);
    net.run_to(5, soon);
    assert_eq!(net.agreed(5).members().len(), 8);

    // Apart while descriptors are issued, together again before the switch.
    net.partition(|index| u8::from(index % 2 == 0));
    net.run_to(5, 790);
    net.heal();
    // Whoever had the first turn then may not have heard of all yet, and nobody misses what was late for all.
    net.run_to(6, soon);
    assert!(net.agreed(6).members().len() >= 7);
    net.run_to(7, soon);
    assert_eq!(net.agreed(7).members().len(), 8);
    net
}

#[test]
fn all_agree_through_loss_absence_and_partition() {
    for seed in 12..15 {
        eventful(seed, 300, Span::ZERO);
    }
}

/// Jobs that take up to a three-hundredth of an epoch, and end in any order.
#[test]
fn all_agree_though_jobs_are_slow() {
    for seed in 16..22 {
        eventful(seed, 100, Span::from_millis(200));
    }
}

#[test]
fn a_seed_gives_one_trace() {
    for (loss, job_time) in [(300, Span::ZERO), (100, Span::from_millis(200))] {
        let run = |seed| eventful(seed, loss, job_time);
        let (first, second) = (run(12), run(12));
        assert!(first.trace.len() > 1000);
        assert_eq!(first.trace, second.trace);
        assert_ne!(first.trace, run(13).trace);
    }
}

/// Apart over a whole switch, and no side has more than two thirds of the seats: both go on with the last
/// document, and once together they agree on the next.
#[test]
fn sides_without_a_quorum_go_on_with_the_last_document() {
    let mut net = Harness::new(20, 8, 2, 8);
    net.start_all();
    net.run_to(1, 10);
    let first = net.agreed(1);
    net.partition(|index| u8::from(index % 5 < 2));
    net.run_to(3, 100);
    for index in 0..10 {
        assert_eq!(net.document(index).unwrap().hash(), first.hash());
    }
    net.heal();
    net.run_to(4, 10);
    assert_eq!(net.agreed(4).previous(), first.hash());
    net.run_to(5, 10);
    assert_eq!(net.agreed(5).members().len(), 10);
}

/// Apart, and one side has more than two thirds of the seats: it goes on alone, and the other follows once
/// they are together.
#[test]
fn a_side_with_a_quorum_goes_on_and_the_other_follows() {
    let mut net = Harness::new(21, 8, 2, 8);
    net.start_all();
    net.run_to(1, 10);
    let document = net.agreed(1);
    // Three that leave no layer empty.
    let mixes = [
        document.mixes(1)[0],
        document.mixes(2)[0],
        document.providers()[0],
    ];
    let away: Vec<bool> = net.nodes.iter().map(|n| mixes.contains(&n.id)).collect();
    net.partition(|index| u8::from(away[index]));
    net.run_to(3, 100);
    let of = |net: &Harness, side| {
        let index = away.iter().position(|away| *away == side).unwrap();
        net.document(index).unwrap()
    };
    assert_eq!(of(&net, false).epoch().number(), 3);
    assert_eq!(of(&net, true).hash(), document.hash());
    net.heal();
    net.run_to(3, 400);
    assert_eq!(net.agreed(3).hash(), of(&net, false).hash());
    net.run_to(5, 10);
    assert_eq!(net.agreed(5).members().len(), 10);
}

/// Without a provider no document can be formed: the last one stays in force, with its keys, for
/// three further epochs and not longer.
#[test]
fn the_last_document_stays_in_force_for_three_epochs() {
    let mut net = Harness::new(30, 4, 1, 4);
    net.start_all();
    net.run_to(1, 10);
    let first = net.agreed(1);
    net.stop(4);
    for epoch in 2..=4 {
        net.run_to(epoch, 500);
        net.agreed(1);
        for node in &net.nodes[..4] {
            assert!(
                node.disk.keys.contains_key(&Epoch::new(1)),
                "its keys stay too"
            );
        }
    }
    net.run_to(5, 500);
    assert!(net.document(0).is_none());
    for node in &net.nodes[..4] {
        let kept: Vec<_> = node.disk.keys.keys().map(|epoch| epoch.number()).collect();
        assert_eq!(kept, [5, 6], "expired keys are gone from disk");
    }
    let stale = |left| {
        let warned = |(index, w): &(usize, DirectoryWarning)| {
            *index == 0 && matches!(w, DirectoryWarning::Stale { left: l, .. } if *l == left)
        };
        net.warnings.iter().filter(|w| warned(w)).count()
    };
    assert_eq!([stale(2), stale(1), stale(0)], [1, 1, 1]);

    // When the provider is back, the seats agree on one for this epoch at once.
    net.start(4);
    net.run_to(5, 700);
    assert_eq!(net.agreed(5).previous(), first.hash());
    net.run_to(6, 500);
    net.agreed(6);
}

/// Who proposes first has not heard of a newcomer, because it was cut off: the others held its descriptor for
/// long enough, and take the next one's document.
#[test]
fn a_document_that_leaves_out_what_others_hold_is_not_taken() {
    let mut net = Harness::new(90, 7, 2, 6);
    (0..9)
        .filter(|index| *index != 6)
        .for_each(|index| net.start(index));
    // All have said what they say in this epoch.
    net.run_to(1, 300);
    let base = net.agreed(1);
    let members = net.params.genesis_members.iter().map(|member| member.id);
    let seats = Seats::first(net.params.hash(), members).unwrap();
    let first = seats.holder(seats.proposers(base.seed())[0]).unwrap().id;
    let first = net.nodes.iter().position(|node| node.id == first).unwrap();
    net.partition(|index| u8::from(index == first));
    net.start(6);
    net.run_until(net.params.freeze_time(Epoch::new(2)) - Span::from_millis(10));
    net.heal();
    net.run_to(2, 10);
    let document = net.agreed(2);
    assert!(document.member(&net.nodes[6].id).is_some());
    assert!(document.header().reveal.as_ref().unwrap().round > 0);
}

/// Of eight seats three are heard of: whatever a seat says, nobody begins with what three have said of
/// themselves.
#[test]
fn a_seat_that_begins_too_early_begins_alone() {
    let mut whole = quiet(96);
    whole.run_until(whole.now + Span::from_secs(2));
    let words = std::mem::take(&mut whole.spoken);
    assert!(words.len() > 8);
    let mut net = Harness::new(96, 6, 2, 6);
    (0..3).for_each(|index| net.start(index));
    net.run_until(net.now + Span::from_secs(1));
    for (_, bytes) in words {
        net.tell(0, 1, bytes);
    }
    net.run_until(net.now + Span::from_secs(10));
    assert!(net.spoken.is_empty());
    (3..8).for_each(|index| net.start(index));
    net.run_to(0, 500);
    assert_eq!(net.agreed(0).members().len(), 8);
}

/// All seats crash at one moment and start again, at any moment of an agreement: each goes on with what it
/// said, the lock is kept and what it is of, and a document comes of it.
#[test]
fn a_crash_of_all_at_any_moment_loses_no_lock_and_no_document() {
    for step in 0..24 {
        let mut net = quiet(91);
        net.run_until(net.params.freeze_time(Epoch::new(1)) + Span::from_millis(20 * step));
        (0..8).for_each(|index| net.stop(index));
        net.start_all();
        net.run_to(1, 10);
        net.agreed(1);
        net.run_to(2, 10);
        net.agreed(2);
    }
}

/// And each alone, again and again, so that what it says anew meets what it said.
#[test]
fn a_seat_that_crashes_again_and_again_says_nothing_else() {
    for (seed, crashed) in (0..8).enumerate() {
        let mut net = quiet(92 + seed as u64);
        net.loss = 100;
        let freeze = net.params.freeze_time(Epoch::new(1));
        for step in 0..20 {
            net.run_until(freeze + Span::from_millis(50 * step));
            net.stop(crashed);
            net.run_until(freeze + Span::from_millis(50 * step + 20));
            net.start(crashed);
        }
        net.run_to(1, 10);
        net.agreed(1);
    }
}

/// A seat that has voted, and starts again where it hears nothing of what it voted for, says the same.
#[test]
fn a_seat_says_the_same_again_though_it_hears_something_else() {
    for millis in [150, 250, 350, 450] {
        let mut net = quiet(94);
        net.run_until(net.params.freeze_time(Epoch::new(1)) + Span::from_millis(millis));
        net.stop(1);
        // With one beside it that hears it.
        net.stop(2);
        net.partition(|index| u8::from(index == 1 || index == 2));
        net.start(1);
        net.start(2);
        net.run_to(0, 990);
        net.heal();
        net.run_to(1, 10);
        net.agreed(1);
    }
}

/// Whoever takes a machine finds no key of a term that is over.
#[test]
fn the_key_of_a_seat_is_wiped_when_the_next_term_has_begun() {
    let mut net = quiet(93);
    let oldest = |net: &Harness| -> Vec<u64> {
        let kept = net.nodes.iter().map(|node| node.disk.seat_keys.clone());
        let first = |kept: Option<zeroize::Zeroizing<Vec<u8>>>| {
            u64::from_be_bytes(kept.unwrap()[..8].try_into().unwrap())
        };
        kept.map(first).collect()
    };
    net.run_to(1, 10);
    assert_eq!(oldest(&net), [0; 8]);
    // Terms of four: the third begins with height 9, which is epoch 8's.
    net.run_to(13, 10);
    net.agreed(13);
    assert!(
        oldest(&net).iter().all(|first| *first >= 2),
        "{:?}",
        oldest(&net)
    );
}

#[test]
fn keys_are_deleted_a_margin_after_their_epoch() {
    let mut net = quiet(40);
    net.run_to(2, 90);
    let kept = |net: &Harness| -> Vec<u64> {
        net.nodes[0]
            .disk
            .keys
            .keys()
            .map(|epoch| epoch.number())
            .collect()
    };
    assert_eq!(kept(&net).first(), Some(&1));
    net.run_to(2, 101);
    assert_eq!(kept(&net).first(), Some(&2));
    let held: Vec<u64> = net.nodes[0]
        .directory
        .as_ref()
        .unwrap()
        .keys()
        .iter()
        .map(|(e, _)| e.number())
        .collect();
    assert_eq!(held, kept(&net));
}

/// A restart keeps the place: same keys, a higher sequence number, no other document.
#[test]
fn a_restart_changes_nothing() {
    for (down, up) in [(100, 300), (300, 550), (600, 700), (740, 760), (950, 990)] {
        let mut net = quiet(50);
        net.run_to(2, down);
        net.stop(1);
        net.run_to(2, up);
        let before = net.nodes[1].disk.keys.get(&Epoch::new(2)).unwrap().clone();
        net.start(1);
        net.run_to(2, 999);
        assert_eq!(*net.nodes[1].disk.keys.get(&Epoch::new(2)).unwrap(), before);
        net.agreed(2);
        net.run_to(3, 10);
        assert_eq!(net.agreed(3).members().len(), 8, "down {down}, up {up}");
        net.run_to(4, 10);
        assert_eq!(net.agreed(4).members().len(), 8);
    }
}

/// Nobody takes two descriptors of a node within a twentieth of an epoch, so it does not issue them.
#[test]
fn a_node_that_restarts_at_once_says_what_it_said_before() {
    let mut net = quiet(52);
    net.run_until(net.now + Span::from_secs(1));
    for _ in 0..3 {
        net.stop(1);
        net.run_until(net.now + Span::from_millis(400));
        net.start(1);
        net.run_until(net.now + Span::from_millis(200));
        assert_eq!(net.nodes[1].disk.sequence, 1);
    }
    net.run_until(net.now + Span::from_secs(3));
    assert_eq!(net.nodes[1].disk.sequence, 2, "but soon after");
    net.run_to(1, 10);
    net.agreed(1);
    for node in &net.nodes {
        let directory = node.directory.as_ref().unwrap();
        assert_eq!(directory.counters().too_soon, 0);
    }
}

/// One that goes on at another address says so at once, and others take it.
#[test]
fn a_node_that_restarts_elsewhere_says_so_at_once() {
    let mut net = quiet(53);
    net.run_until(net.now + Span::from_secs(1));
    for (port, sequence) in [(5000, 2), (5001, 3)] {
        net.stop(1);
        net.nodes[1].port = Some(port);
        net.start(1);
        net.run_until(net.now + Span::from_millis(200));
        assert_eq!(net.nodes[1].disk.sequence, sequence);
    }
    net.run_until(net.now + Span::from_secs(1));
    for node in &net.nodes {
        let directory = node.directory.as_ref().unwrap();
        assert_eq!(directory.counters().too_soon, 0);
    }
}

/// A node that lost its disk, but not its key, is a member again by the next epoch.
#[test]
fn a_node_that_lost_its_disk_comes_back() {
    let mut net = quiet(51);
    net.run_to(2, 400);
    net.stop(1);
    net.nodes[1].disk = crate::harness::Disk::default();
    net.run_to(3, 30);
    net.start(1);
    net.run_to(4, 10);
    assert_eq!(net.agreed(4).members().len(), 8);
    let warned = |(index, w): &(usize, DirectoryWarning)| {
        *index == 1 && *w == DirectoryWarning::OwnIdentityElsewhere
    };
    assert!(net.warnings.iter().any(warned));
    assert!(net.nodes[1].disk.sequence > 3);
}

/// A clock two epochs ahead keeps its owner out and harms nobody else.
#[test]
fn a_clock_two_epochs_ahead_is_alone() {
    let mut net = Harness::new(60, 6, 2, 5);
    net.nodes[5].ahead = net.params.epoch.scale(2, 1);
    net.start_all();
    for epoch in 1..4 {
        net.run_to(epoch, 10);
        let documents: Vec<_> = (0..8)
            .filter(|i| *i != 5)
            .map(|i| net.document(i))
            .collect();
        let first = documents[0].clone().unwrap();
        assert_eq!(first.epoch().number(), epoch);
        assert!(
            documents
                .iter()
                .all(|d| d.as_ref().unwrap().hash() == first.hash())
        );
        assert!(first.member(&net.nodes[5].id).is_none());
    }
}

#[test]
fn a_family_sits_in_one_layer() {
    let mut net = Harness::new(61, 8, 2, 8);
    for index in [1, 4, 6] {
        net.nodes[index].family = Some(FamilyKey::from_bytes(&[1; 32]));
    }
    net.start_all();
    net.run_to(2, 10);
    let document = net.agreed(2);
    let layers: Vec<u8> = [1, 4, 6]
        .map(|i| document.member(&net.nodes[i].id).unwrap().layer)
        .to_vec();
    assert!(layers.iter().all(|layer| *layer == layers[0]));
    assert_eq!(document.mixes(1).len(), 4);
}

#[test]
fn clients_take_what_nodes_agree_on() {
    let mut net = quiet(70);
    net.run_to(2, 950);
    let slow = net.now - Span::from_secs(7);
    let answers: Vec<Response> = net
        .nodes
        .iter()
        .map(|node| Response {
            from: node.id,
            came: slow,
            bytes: node.directory.as_ref().unwrap().chain_response(
                net.now,
                Default::default(),
                &net.params.hash(),
            ),
        })
        .collect();
    let adopted = adopt_documents(&net.params, &answers, slow).unwrap();
    assert_eq!(adopted.clock_offset_us, 7_000_000);
    let epochs: Vec<u64> = adopted
        .documents
        .keys()
        .map(|epoch| epoch.number())
        .collect();
    assert_eq!(epochs, [1, 2, 3]);
    assert_eq!(
        adopted.documents[&Epoch::new(2)].hash(),
        net.agreed(2).hash()
    );
    let view = adopted.view();
    assert_eq!(
        view.current(&net.params, net.now).unwrap().epoch().number(),
        2
    );
    assert_eq!(view.next(&net.params, net.now).unwrap().epoch().number(), 3);
}

/// Nothing that comes from outside makes a node fail, and nonsense is held against its sender.
#[test]
fn nonsense_is_survived() {
    let mut net = quiet(80);
    net.run_to(1, 300);
    let now = net.now;
    let stranger = shoal_proto::NodeId::new([9; 32]);
    let peer = net.nodes[1].id;
    let descriptor = {
        let directory = net.nodes[0].directory.as_ref().unwrap();
        directory.descriptor(&peer).unwrap().encode().to_vec()
    };
    let directory = net.nodes[0].directory.as_mut().unwrap();
    assert_eq!(gossip(directory, now, peer, &descriptor), Verdict::Ignore);
    for index in 0..2 * descriptor.len() {
        let mut bad = descriptor.clone();
        bad[index / 2] ^= [1, 0x40][index % 2];
        assert_ne!(
            gossip(directory, now, peer, &bad),
            Verdict::Accept,
            "byte {index}"
        );
    }
    let (counters, refusals) = (directory.counters(), directory.refusals());
    assert!(refusals.of(Refusal::Signature) > 50, "{refusals:?}");
    assert!(
        counters.rate_limited > 0,
        "one neighbour can't keep us verifying"
    );
    assert_eq!(
        gossip(directory, now, stranger, b"nonsense"),
        Verdict::Reject
    );
    assert_eq!(
        gossip(directory, now, stranger, &[0; 1025]),
        Verdict::Reject
    );
    assert_eq!(directory.refusals().of(Refusal::Size), 1);
    for bytes in [vec![], vec![0xff; 100], vec![0; 300_000]] {
        let from = shoal_topology::Ticket(7);
        directory.handle_input(
            now,
            DirectoryInput::SyncRequest {
                from,
                request: bytes.clone(),
            },
        );
        directory.handle_input(
            now,
            DirectoryInput::SyncResponse {
                from: peer,
                response: bytes,
            },
        );
    }
    directory.handle_input(now, DirectoryInput::SyncFailed { from: stranger });
    assert_eq!(directory.counters().malformed, 3);
}

/// Hands in a piece of gossip, runs the jobs, and gives the verdict.
fn gossip(
    directory: &mut Directory<ChaCha20Rng>,
    now: Time,
    from: NodeId,
    bytes: &[u8],
) -> Verdict {
    let ticket = Ticket(1);
    let bytes = wire::Gossip {
        what: Some(wire::gossip::What::Descriptor(bytes.to_vec())),
        again: 0,
    }
    .encode_to_vec();
    directory.handle_input(
        now,
        DirectoryInput::Gossip {
            from,
            ticket,
            bytes,
        },
    );
    let mut verdicts = Vec::new();
    while let Some(action) = directory.poll_action(now) {
        match action {
            DirectoryAction::Job(job) => {
                directory.handle_input(now, DirectoryInput::Done(job.run()));
            }
            DirectoryAction::Verdict { verdict, .. } => verdicts.push(verdict),
            _ => {}
        }
    }
    assert_eq!(verdicts.len(), 1, "one verdict for each piece of gossip");
    verdicts[0]
}
