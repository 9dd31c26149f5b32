//! Seats that lie, fewer than a third, and seats that are silent, slow, away or have wrong clocks, in whole
//! networks: the others agree on every epoch, and never say two things.

use prost::Message as _;
use shoal_proto::{DocumentHash, Epoch, Span, wire};
use shoal_topology::DirectoryWarning;
use shoal_topology::agreement::{Message, VoteKind};

use crate::attacks::{newcomer, tell_all};
use crate::harness::{Harness, Lie};
use crate::words;

/// Ten seats, of which seven decide: three may lie.
fn ten(seed: u64) -> Harness {
    Harness::new(seed, 8, 2, 8)
}

/// Runs over two terms, and gives the rounds in which documents were made.
fn agree(net: &mut Harness, epochs: std::ops::Range<u64>) -> Vec<u32> {
    let mut rounds = Vec::new();
    for epoch in epochs {
        net.run_to(epoch, 60);
        let document = net.agreed(epoch);
        rounds.push(document.header().reveal.as_ref().map_or(0, |it| it.round));
    }
    rounds
}

#[test]
fn seats_that_withhold_or_are_silent_cost_rounds_and_no_epoch() {
    for (seed, lie) in [(500, Lie::Withholds), (501, Lie::Silent)] {
        let mut net = ten(seed);
        for index in [0, 4, 8] {
            net.nodes[index].lie = Some(lie);
        }
        net.start_all();
        let rounds = agree(&mut net, 1..10);
        assert!(rounds.iter().any(|round| *round > 0), "{lie:?}: {rounds:?}");
        assert!(rounds.iter().all(|round| *round < 4), "{lie:?}: {rounds:?}");
    }
}

/// Each of three is two nodes with one key, of which half of the others hear the one and half the other:
/// they propose and vote two things in one step, and show two descriptors with one number.
#[test]
fn seats_that_say_two_things_to_halves_split_nobody_and_are_found_out() {
    for seed in 510..512 {
        let mut net = ten(seed);
        for index in [0, 4, 8] {
            net.twin(index);
        }
        net.start_all();
        agree(&mut net, 1..10);
        let honest = |index: &usize| net.nodes[*index].is_honest();
        let by_honest = net.warnings.iter().filter(|(index, _)| honest(index));
        let warned = |is: fn(&DirectoryWarning) -> bool| by_honest.clone().any(|(_, it)| is(it));
        assert!(warned(|it| matches!(it, DirectoryWarning::VotedTwice(_))));
        assert!(warned(|it| matches!(it, DirectoryWarning::Equivocation(_))));
        assert!(!warned(|it| matches!(
            it,
            DirectoryWarning::Contradiction { .. }
        )));
    }
}

/// Whatever anybody has said in any round of any height is said again, to everybody, before a freeze, while
/// the seats agree and after it.
#[test]
fn what_was_said_before_counts_for_nothing() {
    let mut net = ten(520);
    net.nodes[3].lie = Some(Lie::Speaks);
    net.start_all();
    let mut number = 1000;
    for epoch in 0..6 {
        for per_mille in [400, 752, 754, 757, 760, 900] {
            net.run_to(epoch, per_mille);
            let words = net.spoken.clone();
            for (_, bytes) in words.iter().rev().take(300).chain(words.iter().take(100)) {
                number += 1;
                tell_all(&mut net, 3, &words::again(bytes, number));
            }
        }
        net.run_to(epoch + 1, 60);
        net.agreed(epoch + 1);
    }
    assert!(number > 5000);
    assert!(net.warnings.is_empty(), "{:?}", net.warnings);
}

/// A descriptor that half of the nodes see just before the freeze, or just before they take down what they
/// hold: nobody's document is refused for it.
#[test]
fn a_descriptor_that_half_of_the_nodes_see_costs_no_round() {
    for (seed, early) in [(530, false), (531, false), (532, true), (533, true)] {
        let mut net = ten(seed);
        net.nodes[3].lie = Some(Lie::Speaks);
        net.start_all();
        // In the first term: those whom nobody runs have no seat.
        for epoch in 1..3 {
            net.run_to(epoch, 60);
            let base = net.agreed(epoch);
            let issued_at = net.now;
            let freeze = net.params.freeze_time(Epoch::new(epoch + 1));
            let early = net.params.epoch.scale(u64::from(early), 20);
            net.run_until(freeze - early - Span::from_millis(1));
            let bytes = newcomer(&net, 10 * seed + epoch, issued_at);
            for to in (0..10).filter(|to| *to != 3 && to % 2 == usize::from(seed % 2 == 0)) {
                net.tell(to, 3, bytes.clone());
            }
            net.run_to(epoch + 1, 60);
            let document = net.agreed(epoch + 1);
            // Who showed it to half need not list it, and then half do not vote for what it proposes.
            let honest = words::proposer(&net, &base, 0) != 3;
            let round = document.header().reveal.as_ref().unwrap().round;
            assert!(
                round == 0 || !honest,
                "seed {seed} epoch {epoch}: round {round}"
            );
            assert!(
                net.nodes
                    .iter()
                    .all(|node| document.member(&node.id).is_some())
            );
        }
    }
}

/// The first proposer is heard by the second only, which keeps its document, and proposes it as its own, or as
/// if more than two thirds had prevoted it: nobody takes it, so that no one chooses between two outputs.
#[test]
fn what_was_proposed_in_vain_is_not_taken_from_another() {
    for (seed, locked) in [(540, None), (541, Some(0)), (542, None), (543, Some(0))] {
        let mut net = ten(seed);
        net.start_all();
        net.run_to(1, 700);
        let base = net.agreed(1);
        let [first, second] = [0, 1].map(|round| words::proposer(&net, &base, round));
        net.nodes[second].lie = Some(Lie::Withholds);
        let others = (0..10).filter(|other| ![first, second].contains(other));
        net.apart = others.map(|it| (it.min(first), it.max(first))).collect();
        net.run_until(net.params.freeze_time(Epoch::new(2)) + Span::from_millis(300));
        let proposal = net.spoken.iter().rev().find_map(|(index, bytes)| {
            let gossip = wire::Gossip::decode(&bytes[..]).unwrap();
            let Some(wire::gossip::What::Agreement(message)) = gossip.what else {
                return None;
            };
            match Message::decode(&message).unwrap() {
                Message::Proposal(it) if *index == first => Some((it.height, it.document)),
                _ => None,
            }
        });
        let (height, document) = proposal.expect("it has proposed");
        assert_eq!(height, base.height().next());
        let bytes = net.nodes[first].disk.proposals[&document].to_vec();
        net.nodes[second].serves.insert(document, bytes);
        let again = words::proposal(&net, second, (height, 1), (document, locked));
        net.publish(second, again);
        net.run_to(1, 950);
        net.apart.clear();
        net.run_to(2, 60);
        let agreed = net.agreed(2);
        assert_ne!(*agreed.hash(), document);
        assert!(agreed.header().reveal.as_ref().unwrap().round > 1);
    }
}

/// Two seats vote for one thing and another, and for what there is not, in rounds to come and in those that
/// are over.
#[test]
fn votes_for_what_there_is_not_decide_nothing() {
    let mut net = ten(550);
    for index in [2, 9] {
        net.nodes[index].lie = Some(Lie::Speaks);
    }
    net.start_all();
    net.run_to(1, 60);
    let base = net.agreed(1);
    let height = base.height().next();
    net.run_until(net.params.freeze_time(Epoch::new(2)) + Span::from_millis(1));
    for step in 0..12_u32 {
        for index in [2, 9] {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                let number = u8::try_from(1 + step % 3).unwrap();
                let nothing = Some(DocumentHash::new([number; 32]));
                let vote = words::vote(&net, index, (kind, height, step % 4), nothing);
                net.publish(index, vote);
            }
        }
        net.run_until(net.now + Span::from_millis(40));
    }
    agree(&mut net, 2..5);
    let found = |it: &(usize, DirectoryWarning)| matches!(it.1, DirectoryWarning::VotedTwice(_));
    assert!(net.warnings.iter().any(found));
}

#[test]
fn slow_seats_are_waited_for_or_done_without() {
    for (seed, millis) in [(560, 150), (561, 600), (562, 3000)] {
        let mut net = ten(seed);
        for index in [1, 5, 9] {
            net.nodes[index].slow = Span::from_millis(millis);
        }
        net.start_all();
        for epoch in 1..8 {
            net.run_to(epoch, 200);
            net.agreed(epoch);
        }
    }
}

/// Clocks that differ by a tenth of an epoch among all, and by that from all others in three.
#[test]
fn clocks_may_differ_by_a_tenth_of_an_epoch() {
    for (seed, most) in [(570, 20), (571, 10)] {
        let mut net = ten(seed);
        let most = net.params.epoch.scale(1, most);
        let skewed: Vec<usize> = match seed {
            570 => (0..10).collect(),
            _ => vec![1, 5, 9],
        };
        for (place, index) in skewed.into_iter().enumerate() {
            let node = &mut net.nodes[index];
            match place % 2 {
                0 => node.ahead = most,
                _ => node.behind = most,
            }
        }
        net.start_all();
        for epoch in 1..8 {
            net.run_to(epoch, 300);
            let document = net.agreed(epoch);
            assert!(
                document.members().len() >= 7,
                "{}",
                document.members().len()
            );
        }
    }
}

/// Three seats are away when the seats of the next term are drawn, and some epochs of it: of ten, the others go
/// on; of nine, they are too many, so that the last document stays until they are back.
#[test]
fn a_third_is_away_at_the_end_of_a_term_and_comes_back() {
    for (seed, mixes) in [(580, 8), (581, 7)] {
        let mut net = Harness::new(seed, mixes, 2, mixes);
        net.start_all();
        net.run_to(2, 700);
        let before = net.agreed(2);
        // Some that leave no layer empty.
        let away = [
            before.mixes(1)[0],
            before.mixes(2)[0],
            before.providers()[0],
        ];
        let places = 0..net.nodes.len();
        let away: Vec<usize> = places
            .filter(|i| away.contains(&net.nodes[*i].id))
            .collect();
        away.iter().for_each(|index| net.stop(*index));
        net.run_to(4, 300);
        let there = (0..9).find(|index| !away.contains(index)).unwrap();
        let epoch = net.document(there).unwrap().epoch().number();
        assert_eq!(epoch, if mixes == 8 { 4 } else { 2 });
        away.iter().for_each(|index| net.start(*index));
        for epoch in 5..11 {
            net.run_to(epoch, 60);
            net.agreed(epoch);
        }
        assert_eq!(net.agreed(10).members().len(), net.nodes.len());
    }
}

/// Who comes when terms are over has the network's file and nothing else: it follows, and is a member next.
#[test]
fn who_comes_after_terms_follows_them_and_is_a_member() {
    let mut net = Harness::new(590, 9, 2, 7);
    net.loss = 100;
    (0..11)
        .filter(|i| ![7, 8].contains(i))
        .for_each(|i| net.start(i));
    agree(&mut net, 1..10);
    net.run_to(9, 200);
    net.start(7);
    net.start(8);
    net.run_to(9, 300);
    net.agreed(9);
    let position = |net: &Harness, epoch: u64, index: usize| {
        let document = net.agreed(epoch);
        let member = document.member(&net.nodes[index].id).cloned();
        member.map(|member| member.position())
    };
    net.run_to(10, 60);
    assert_eq!(
        [7, 8].map(|i| position(&net, 10, i)),
        [Some(None); 2],
        "without a layer"
    );
    net.run_to(11, 60);
    assert!(
        [7, 8]
            .iter()
            .all(|i| matches!(position(&net, 11, *i), Some(Some(_))))
    );
    agree(&mut net, 12..17);
    let seats = |node: &crate::harness::Node| node.disk.handovers.len();
    assert_eq!(
        seats(&net.nodes[7]),
        seats(&net.nodes[0]),
        "it skipped none"
    );
}
