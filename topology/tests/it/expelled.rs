//! Seats that say two things: everybody hears of it, a document expels them for a term, and nobody is expelled for less.

use prost::Message as _;
use shoal_proto::{Epoch, NodeId, Span, wire};
use shoal_topology::agreement::{Evidence, Height, Seats};
use shoal_topology::{
    DirectoryAction, DirectoryInput, DirectoryWarning, Identity, Ticket, Verdict,
};

use crate::harness::{Disk, Harness};
use crate::words::seats;

const PREVOTE: u8 = 2;
const PRECOMMIT: u8 = 3;

fn place_of(seats: &Seats, id: &NodeId) -> u16 {
    let all = seats.all().map(|seat| seats.holder(seat).unwrap().id);
    u16::try_from(all.into_iter().position(|it| it == *id).unwrap()).unwrap()
}

/// A vote as it stands in the documentation, signed by whoever.
fn vote(
    (network, seats): &([u8; 32], [u8; 32]),
    (identity, seat): (&Identity, u16),
    (kind, height, round): (u8, u64, u32),
    document: u8,
) -> Vec<u8> {
    let body = [
        &[1, kind][..],
        &height.to_be_bytes(),
        &round.to_be_bytes(),
        &[document; 32],
        &[1],
        &seat.to_be_bytes(),
    ]
    .concat();
    let signed = [&b"shoal agreement 2"[..], network, seats, &body].concat();
    [&body[..], &identity.sign(&signed)].concat()
}

fn pair(mut votes: [Vec<u8>; 2]) -> Vec<u8> {
    votes.sort();
    let each = votes.iter().map(|vote| {
        let length = u16::try_from(vote.len()).unwrap().to_be_bytes();
        [&length[..], vote].concat()
    });
    each.collect::<Vec<_>>().concat()
}

/// The network and the seats that what is said counts in: their hashes.
fn room(net: &Harness) -> ([u8; 32], [u8; 32]) {
    (*net.params.hash().as_bytes(), seats(net).hash())
}

/// Two votes of a node at a height of the first term.
fn votes(net: &Harness, liar: usize, height: u64) -> [Vec<u8>; 2] {
    let node = &net.nodes[liar];
    let seat = place_of(&seats(net), &node.id);
    // Of a round that is not reached, so that its own program says nothing in it.
    let place = (PREVOTE, height, 3);
    [8, 9].map(|document| vote(&room(net), (&node.identity, seat), place, document))
}

fn evidence(net: &Harness, liar: usize, height: u64) -> Vec<u8> {
    pair(votes(net, liar, height))
}

fn gossip(what: wire::gossip::What) -> Vec<u8> {
    let what = Some(what);
    wire::Gossip { what, again: 0 }.encode_to_vec()
}

fn tell(net: &mut Harness, to: usize, from: usize, evidence: Vec<u8>) {
    net.tell(to, from, gossip(wire::gossip::What::Evidence(evidence)));
}

/// Who has evidence on its disk.
fn having(net: &Harness) -> usize {
    let has = |disk: &Disk| !disk.evidence.is_empty();
    net.nodes.iter().filter(|node| has(&node.disk)).count()
}

fn quiet(seed: u64) -> Harness {
    let mut net = Harness::new(seed, 6, 2, 6);
    net.start_all();
    net
}

/// The last epoch of a node's expulsion, by the document that all have.
fn until(net: &Harness, epoch: u64, id: &NodeId) -> Option<u64> {
    let document = net.agreed(epoch);
    let expulsion = document.expulsion(id)?;
    assert_eq!(
        document.member(id).is_none(),
        expulsion.holds(document.epoch())
    );
    Some(expulsion.last.number())
}

#[test]
fn a_seat_that_votes_twice_is_expelled_by_all_and_comes_back_as_a_newcomer() {
    let mut net = quiet(200);
    let id = net.nodes[0].id;
    net.run_until(net.params.freeze_time(Epoch::new(1)) + Span::from_millis(20));
    for vote in votes(&net, 0, 2) {
        net.tell(3, 2, gossip(wire::gossip::What::Agreement(vote)));
    }
    net.run_to(1, 10);
    assert_eq!((until(&net, 1, &id), having(&net)), (None, 8));
    let named = DirectoryWarning::VotedTwice(id);
    let warned = (0..8).filter(|at| net.warnings.contains(&(*at, named.clone())));
    assert_eq!(warned.count(), 8);
    // For a term of four, from the next document on.
    for epoch in 2..6 {
        net.run_to(epoch, 10);
        assert_eq!(until(&net, epoch, &id), Some(5));
        assert_eq!(net.agreed(epoch).members().len(), 7);
    }
    assert_eq!(having(&net), 0, "a document has it");
    let named = DirectoryWarning::Expelled {
        id,
        last: Epoch::new(5),
    };
    for (index, node) in net.nodes.iter().enumerate() {
        assert!(net.warnings.contains(&(index, named.clone())));
        let directory = node.directory.as_ref().unwrap();
        let counters = directory.counters();
        assert_eq!((counters.contradicted, counters.expelled), (1, 1));
    }
    let directory = net.nodes[0].directory.as_ref().unwrap();
    let back = net.params.start_of(Epoch::new(7));
    assert_eq!(directory.next_usable(net.now), back);
    net.run_to(6, 10);
    assert_eq!(until(&net, 6, &id), Some(5), "what it has paid for");
    assert_eq!(net.agreed(6).member(&id).unwrap().position(), None);
    // The same evidence again, whose height is of the term before.
    let again = evidence(&net, 0, 2);
    tell(&mut net, 3, 2, again);
    net.run_until(net.now + Span::from_secs(1));
    assert_eq!(having(&net), 0);
    for epoch in 7..14 {
        net.run_to(epoch, 10);
        let document = net.agreed(epoch);
        assert!(document.member(&id).unwrap().position().is_some());
    }
    assert_eq!(until(&net, 13, &id), None, "nobody knows of it any more");
}

#[test]
fn evidence_survives_a_restart_of_all() {
    let mut net = quiet(201);
    let id = net.nodes[0].id;
    net.run_to(1, 200);
    let evidence = evidence(&net, 0, 2);
    tell(&mut net, 3, 2, evidence);
    net.run_to(1, 400);
    (0..8).for_each(|index| net.stop(index));
    assert_eq!(having(&net), 8);
    net.start_all();
    net.run_to(2, 10);
    assert_eq!(until(&net, 2, &id), Some(5));
    // And so does the expulsion.
    (0..8).for_each(|index| net.stop(index));
    assert_eq!(having(&net), 0);
    net.start_all();
    net.run_to(5, 10);
    assert_eq!(until(&net, 5, &id), Some(5));
}

#[test]
fn who_comes_later_is_given_the_evidence() {
    let mut net = quiet(202);
    net.run_to(1, 200);
    net.stop(7);
    let evidence = evidence(&net, 0, 2);
    tell(&mut net, 3, 2, evidence);
    net.run_to(1, 400);
    assert_eq!(having(&net), 7);
    net.start(7);
    net.run_to(1, 450);
    assert_eq!(having(&net), 8);
}

/// What a node says of what it is told as evidence.
fn verdict(net: &mut Harness, bytes: Vec<u8>) -> Verdict {
    let (now, from, ticket) = (net.now, net.nodes[2].id, Ticket(1));
    let directory = net.nodes[3].directory.as_mut().unwrap();
    let bytes = gossip(wire::gossip::What::Evidence(bytes));
    let input = DirectoryInput::Gossip {
        from,
        ticket,
        bytes,
    };
    directory.handle_input(now, input);
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

#[test]
fn made_up_evidence_is_refused() {
    let mut net = quiet(203);
    net.run_to(1, 200);
    let room = room(&net);
    let seat = place_of(&seats(&net), &net.nodes[0].id);
    let liar = std::sync::Arc::clone(&net.nodes[0].identity);
    let other = std::sync::Arc::clone(&net.nodes[1].identity);
    let step = (PREVOTE, 2, 3);
    let of =
        |identity: &Identity, seat, step, document| vote(&room, (identity, seat), step, document);
    let good = [of(&liar, seat, step, 8), of(&liar, seat, step, 9)];
    let (elsewhere, others) = (([1; 32], room.1), (room.0, [1; 32]));
    let mut wrong = vec![
        ("nonsense", vec![7; 30]),
        ("nothing", Vec::new()),
        ("too long", [pair(good.clone()), vec![0; 200]].concat()),
        ("in the other order", {
            let mut bytes = pair(good.clone());
            bytes.rotate_left(115);
            bytes
        }),
        ("the same twice", pair([good[0].clone(), good[0].clone()])),
        (
            "of another network",
            pair([8, 9].map(|document| vote(&elsewhere, (&liar, seat), step, document))),
        ),
        (
            "of other seats",
            pair([8, 9].map(|document| vote(&others, (&liar, seat), step, document))),
        ),
        (
            "of no seat",
            pair([8, 9].map(|document| of(&liar, 77, step, document))),
        ),
        (
            "of an honest seat, one signed by another",
            pair([good[0].clone(), of(&other, seat, step, 9)]),
        ),
        (
            "of an honest seat, both signed by another",
            pair([8, 9].map(|document| of(&other, seat, step, document))),
        ),
    ];
    for (what, step) in [
        ("of two rounds", (PREVOTE, 2, 2)),
        ("of two heights", (PREVOTE, 1, 3)),
        ("of two steps", (PRECOMMIT, 2, 3)),
    ] {
        wrong.push((what, pair([good[0].clone(), of(&liar, seat, step, 9)])));
    }
    let count = wrong.len();
    for (what, bytes) in wrong {
        assert_eq!(verdict(&mut net, bytes), Verdict::Reject, "{what}");
    }
    let refused = |net: &Harness| {
        let directory = net.nodes[3].directory.as_ref().unwrap();
        let counters = directory.counters();
        (counters.not_evidence, counters.contradicted)
    };
    assert_eq!(refused(&net), (count as u64, 0));
    // Of seats that are not known yet, or no more.
    for height in [4, 9, 1 << 40] {
        let ahead = pair([8, 9].map(|document| of(&liar, seat, (PREVOTE, height, 3), document)));
        assert_eq!(verdict(&mut net, ahead), Verdict::Ignore, "{height}");
    }
    assert_eq!(verdict(&mut net, pair(good.clone())), Verdict::Accept);
    assert_eq!(verdict(&mut net, pair(good)), Verdict::Ignore, "known");
    assert_eq!(refused(&net), (count as u64, 1));
    assert!(Evidence::verify(&evidence(&net, 1, 2), &seats(&net)).is_ok());
}

#[test]
fn the_last_height_of_a_term_counts_in_the_next_and_not_after_it() {
    let mut net = quiet(204);
    let (early, late) = (net.nodes[0].id, net.nodes[1].id);
    net.run_to(3, 200);
    assert_eq!(net.agreed(3).height(), Height::new(4));
    let told = evidence(&net, 0, 4);
    tell(&mut net, 3, 2, told);
    net.run_to(4, 10);
    assert_eq!(until(&net, 4, &early), Some(7));
    // With height 9 the next term begins.
    net.run_to(7, 900);
    let told = evidence(&net, 1, 4);
    tell(&mut net, 3, 2, told);
    net.run_to(8, 10);
    assert_eq!((until(&net, 8, &late), having(&net)), (None, 0));
}

#[test]
fn who_is_expelled_with_the_last_document_of_a_term_gets_no_seat_in_the_next() {
    let mut net = quiet(205);
    let id = net.nodes[0].id;
    net.run_to(2, 200);
    let told = evidence(&net, 0, 3);
    tell(&mut net, 3, 2, told);
    net.run_to(3, 10);
    let document = net.agreed(3);
    assert_eq!(document.height(), Height::new(4));
    assert_eq!(until(&net, 3, &id), Some(6));
    let handover = net.nodes[3].disk.handovers[&Height::new(4)].to_vec();
    let handover = wire::Handover::decode(handover.as_slice()).unwrap();
    let sits = |id: &NodeId| {
        handover
            .seats
            .chunks(96)
            .any(|seat| seat[..32] == *id.as_bytes())
    };
    assert!(!sits(&id) && sits(&net.nodes[1].id));
    net.run_to(7, 10);
    net.agreed(7);
}

/// The first in turn has not heard of it: the others held it for long enough, and take the next one's document.
#[test]
fn a_document_that_does_not_expel_whom_others_have_evidence_against_is_not_taken() {
    let mut net = quiet(206);
    net.run_to(1, 300);
    let (base, seats) = (net.agreed(1), seats(&net));
    let first = seats.holder(seats.proposers(base.seed())[0]).unwrap().id;
    let first = net.nodes.iter().position(|node| node.id == first).unwrap();
    let [liar, told, teller] = [1, 2, 3].map(|step| (first + step) % 8);
    net.partition(|index| u8::from(index == first));
    let evidence = evidence(&net, liar, 2);
    tell(&mut net, told, teller, evidence);
    // What it would be given when it comes back is lost, so that it proposes without.
    let freeze = net.params.freeze_time(Epoch::new(2));
    net.run_until(freeze - Span::from_secs(1));
    net.loss = 1000;
    net.heal();
    net.run_until(freeze - Span::from_micros(1));
    assert_eq!(having(&net), 7);
    net.loss = 0;
    net.run_to(2, 10);
    let id = net.nodes[liar].id;
    assert_eq!(until(&net, 2, &id), Some(5));
    assert!(net.agreed(2).header().reveal.as_ref().unwrap().round > 0);
}

/// Of two providers one is down.
#[test]
fn the_only_provider_is_not_expelled_before_there_is_another() {
    let mut net = Harness::new(207, 6, 2, 6);
    (0..7).for_each(|index| net.start(index));
    let id = net.nodes[6].id;
    net.run_to(1, 200);
    let told = evidence(&net, 6, 2);
    tell(&mut net, 3, 2, told);
    for epoch in 2..4 {
        net.run_to(epoch, 10);
        assert_eq!(until(&net, epoch, &id), None);
        assert_eq!(net.agreed(epoch).providers(), [id]);
    }
    assert_eq!(having(&net), 7, "it is put off, not off");
    net.start(7);
    net.run_to(4, 10);
    assert_eq!(until(&net, 4, &id), Some(7));
    assert_eq!(net.agreed(4).providers(), [net.nodes[7].id]);
    // The other goes: rather the one that is expelled than none.
    net.stop(7);
    net.run_to(5, 10);
    assert_eq!(until(&net, 5, &id), Some(4), "it is over");
    assert_eq!(net.agreed(5).providers(), [id]);
}

/// A layer of one mix.
#[test]
fn a_layer_is_not_left_empty() {
    let mut net = Harness::new(208, 2, 6, 2);
    net.start_all();
    let mixes = [net.nodes[0].id, net.nodes[1].id];
    net.run_to(1, 200);
    for liar in [0, 1] {
        let told = evidence(&net, liar, 2);
        tell(&mut net, 3, 2, told);
    }
    for epoch in 2..10 {
        net.run_to(epoch, 10);
        for id in mixes {
            assert!(net.agreed(epoch).member(&id).unwrap().position().is_some());
        }
    }
    assert_eq!(having(&net), 0, "it can count no more");
}

type Change<'a> = &'a dyn Fn(&mut wire::Document);

#[test]
fn what_is_said_of_the_expelled_is_what_was_signed() {
    let mut net = quiet(209);
    net.run_to(1, 200);
    let told = evidence(&net, 0, 2);
    tell(&mut net, 3, 2, told);
    net.run_to(2, 10);
    let document = net.agreed(2);
    let decode = |change: &dyn Fn(&mut wire::Document), with_hash: bool| {
        let mut wire = wire::Document::decode(document.encode()).unwrap();
        change(&mut wire);
        if with_hash {
            let contents = shoal_topology::contents_hash(&wire).to_vec();
            wire.header.as_mut().unwrap().members = contents;
        }
        let bytes = wire.encode_to_vec();
        shoal_topology::Document::decode_verified(&bytes, &net.params).err()
    };
    use shoal_topology::DocumentError::{Expelled, Malformed};
    assert_eq!(decode(&|_| {}, true), None);
    let changes: [(&str, Change<'_>); 9] = [
        ("forgotten", &|it| it.expelled.clear()),
        ("without evidence", &|it| it.evidence.clear()),
        ("evidence twice", &|it| {
            it.evidence.push(it.evidence[0].clone())
        }),
        ("listed twice", &|it| {
            it.expelled.push(it.expelled[0].clone())
        }),
        ("out of order", &|it| {
            let (identity, last_epoch) = (vec![0; 32], 1);
            it.expelled.push(wire::Expelled {
                identity,
                last_epoch,
                height: 1,
            });
        }),
        ("for longer", &|it| it.expelled[0].last_epoch += 1),
        ("for more", &|it| it.expelled[0].height += 1),
        ("nobody", &|it| it.expelled[0].identity.clear()),
        ("a member", &|it| {
            let id = *document.members().next().unwrap().id.as_bytes();
            it.expelled[0].identity = id.to_vec();
        }),
    ];
    for (what, change) in changes {
        assert_eq!(decode(change, false), Some(Malformed), "{what}");
        assert_eq!(decode(change, true), Some(Expelled), "{what}");
    }
    let many = |it: &mut wire::Document| {
        let last = document.epoch().number() - 1;
        it.expelled = (0..=shoal_topology::MAX_EXPELLED)
            .map(|number| wire::Expelled {
                identity: [&number.to_be_bytes()[..], &[0; 24]].concat(),
                last_epoch: last,
                height: 1,
            })
            .collect();
        it.evidence.clear();
    };
    assert_eq!(decode(&many, true), Some(Expelled));
    let other = |it: &mut wire::Document| it.evidence[0][9] ^= 1;
    assert_eq!(decode(&other, false), Some(Malformed));
}
