//! A network's values change: a file that follows on the one before, signed by those who sit, takes effect at a moment
//! that all know, and nobody is lost by it.

use std::sync::Arc;

use shoal_proto::{Epoch, Span};
use shoal_topology::agreement::{Height, Seats};
use shoal_topology::{
    Answers, DirectoryInput, DirectoryWarning, Kept, NetworkParameters, Response, Succession,
    SuccessionError, Successor, View, chain_request,
};

use crate::harness::Harness;

/// Nine members, of whom six are mixes in two layers, in terms of four.
fn net(seed: u64) -> Harness {
    let mut net = Harness::new(seed, 6, 3, 6);
    net.start_all();
    net
}

/// Who sits at a node, and since which height.
fn seats(net: &Harness) -> (Height, Seats) {
    let directory = net.nodes[0].directory.as_ref().unwrap();
    let seats = directory.seats().unwrap().clone();
    let next = directory.view().documents.values().next_back().unwrap();
    let since = (next.height().number() / 4) * 4;
    (Height::new(since.max(1)), seats)
}

/// The file that follows on the network's from an epoch on, with other values, unsigned.
fn file(
    net: &Harness,
    epoch: u64,
    change: impl FnOnce(&mut NetworkParameters),
) -> NetworkParameters {
    let mut params = (*net.params).clone();
    let (height, seats) = seats(net);
    change(&mut params);
    let epoch = Epoch::new(epoch);
    // Its clock meets the one before.
    params.genesis = net.params.start_of(epoch) - params.epoch.scale(epoch.number(), 1);
    params.succession = Some(Succession {
        follows: net.params.hash(),
        origin: net.params.chain(),
        epoch,
        height,
        seats: seats
            .all()
            .map(|seat| *seats.holder(seat).unwrap())
            .collect(),
        signatures: Vec::new(),
    });
    params
}

/// Signed by so many of the members.
fn signed(net: &Harness, params: NetworkParameters, by: usize) -> Successor {
    let successor = Successor::of(params).unwrap();
    let sign =
        |successor: Successor, node: &crate::harness::Node| successor.sign(&node.identity).unwrap();
    net.nodes[..by].iter().fold(successor, sign)
}

fn hand_in(net: &mut Harness, index: usize, successor: &Successor) {
    let text = Arc::clone(successor.text());
    net.hand_in(index, DirectoryInput::Successor(text));
}

fn known(net: &Harness, successor: &Successor) -> usize {
    let knows = |node: &&crate::harness::Node| {
        let known = node.directory.as_ref().and_then(|it| it.successor());
        known.is_some_and(|known| known.hash() == successor.hash())
    };
    net.nodes.iter().filter(knows).count()
}

/// The network goes on by the new file: what is run by it from now on is named in its epochs.
fn succeed(net: &mut Harness, successor: &Successor) {
    net.params = Arc::clone(successor.params());
}

fn one_layer(params: &mut NetworkParameters) {
    params.layers = 1;
    params.mean_delay = Span::from_millis(50);
}

#[test]
fn values_change_at_one_moment_and_the_chain_goes_on() {
    for seed in 0..3 {
        let mut net = net(seed);
        net.run_to(5, 100);
        let before = net.agreed(5);
        let successor = signed(&net, file(&net, 9, one_layer), 7);
        hand_in(&mut net, 0, &successor);
        net.run_to(6, 500);
        assert_eq!(
            known(&net, &successor),
            9,
            "one operator has it, and all get it"
        );
        let last = {
            net.run_to(8, 999);
            net.agreed(8)
        };
        assert_eq!(last.layers(), 2, "not before its time");
        assert_eq!(last.members().len(), 9);
        succeed(&mut net, &successor);
        net.run_to(9, 20);
        let first = net.agreed(9);
        assert_eq!(first.layers(), 1, "its first document is formed by it");
        assert_eq!(first.previous(), last.hash(), "the chain goes on");
        let since = |document: &shoal_topology::Document| {
            let members = document.members();
            members
                .map(|member| (member.id, member.since))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            since(&first),
            since(&before),
            "members are as old as they were"
        );
        for epoch in 10..15 {
            net.run_to(epoch, 20);
            assert_eq!(net.agreed(epoch).layers(), 1);
        }
    }
}

#[test]
fn epochs_become_longer_or_shorter() {
    for (seed, epoch) in [(10, 90), (11, 40)] {
        let mut net = net(seed);
        net.run_to(5, 100);
        let change = |params: &mut NetworkParameters| params.epoch = Span::from_secs(epoch);
        let successor = signed(&net, file(&net, 9, change), 9);
        hand_in(&mut net, 4, &successor);
        net.run_to(8, 999);
        let last = net.agreed(8);
        succeed(&mut net, &successor);
        net.run_to(9, 20);
        assert_eq!(net.agreed(9).previous(), last.hash());
        for epoch in 10..14 {
            net.run_to(epoch, 20);
            net.agreed(epoch);
        }
    }
}

/// Nobody agrees on the first document before its moment: it is agreed on after that, from one of the old values.
#[test]
fn the_first_document_by_other_values_may_be_late() {
    let mut net = net(12);
    net.run_to(5, 100);
    let successor = signed(&net, file(&net, 9, one_layer), 9);
    hand_in(&mut net, 0, &successor);
    net.run_to(8, 600);
    let last = net.agreed(8);
    net.partition(|index| u8::from(index % 2 == 0));
    net.run_to(8, 999);
    succeed(&mut net, &successor);
    net.run_to(9, 100);
    assert_eq!(net.agreed(8).hash(), last.hash(), "it stays in force");
    net.heal();
    net.run_to(11, 20);
    let document = net.agreed(11);
    assert_eq!(document.layers(), 1);
    assert!(document.height() > last.height().next());
}

#[test]
fn too_few_signatures_change_nothing() {
    let mut net = net(20);
    net.run_to(5, 100);
    // Six of nine are two thirds, and not more.
    let successor = signed(&net, file(&net, 9, one_layer), 6);
    hand_in(&mut net, 0, &successor);
    net.run_to(7, 0);
    assert_eq!(known(&net, &successor), 0);
    let unsigned = SuccessionError::Unsigned {
        signed: 6,
        needed: 7,
    };
    let warned = DirectoryWarning::NotFollowing(unsigned);
    assert!(net.warnings.contains(&(0, warned)), "{:?}", net.warnings);
    // One more, and it counts.
    let successor = signed(&net, file(&net, 9, one_layer), 7);
    hand_in(&mut net, 0, &successor);
    net.run_to(8, 0);
    assert_eq!(known(&net, &successor), 9);
}

/// Signatures of who does not sit count for nothing, and one that is of something else spoils the file.
#[test]
fn signatures_of_others_are_none() {
    let mut net = net(21);
    net.run_to(5, 100);
    let strangers = (0..9).map(|seed| shoal_topology::Identity::from_bytes(&[100 + seed; 32]));
    let successor = Successor::of(file(&net, 9, one_layer)).unwrap();
    let by_strangers = strangers.fold(successor.clone(), |it, who| it.sign(&who).unwrap());
    let (_, seats) = seats(&net);
    let none = SuccessionError::Unsigned {
        signed: 0,
        needed: 7,
    };
    assert_eq!(by_strangers.check_signed(&seats), Err(none));
    let other = Successor::of(file(&net, 13, one_layer)).unwrap();
    let other = other.sign(&net.nodes[0].identity).unwrap();
    assert_eq!(successor.merge(&other), Err(SuccessionError::Other));
    let mut params = (**successor.params()).clone();
    params.succession.as_mut().unwrap().signatures = other.succession().signatures.clone();
    let read = Successor::read(params.to_toml().as_bytes(), &net.params);
    assert!(matches!(read, Err(SuccessionError::File(_))), "{read:?}");
    hand_in(&mut net, 0, &by_strangers);
    net.run_to(6, 0);
    assert_eq!(known(&net, &by_strangers), 0);
}

/// Operators sign a hash, and see no keys: what the seats of a file are, nodes look up.
#[test]
fn seats_that_were_not_agreed_on_are_refused_whoever_signs() {
    let mut net = net(22);
    net.run_to(5, 100);
    let mut forged = file(&net, 9, one_layer);
    let theirs = shoal_topology::Identity::from_bytes(&[66; 32]).id();
    forged.succession.as_mut().unwrap().seats[3].key = theirs;
    let mut ahead = file(&net, 9, one_layer);
    let height = &mut ahead.succession.as_mut().unwrap().height;
    *height = Height::new(height.number() + 4);
    for (index, wrong) in [forged, ahead].into_iter().enumerate() {
        let successor = signed(&net, wrong, 9);
        hand_in(&mut net, index, &successor);
        net.run_to(6, 500 + 100 * index as u64);
        assert_eq!(known(&net, &successor), 0);
        let height = successor.succession().height;
        let warned = DirectoryWarning::NotFollowing(SuccessionError::Root(height));
        assert!(
            net.warnings.contains(&(index, warned)),
            "{:?}",
            net.warnings
        );
    }
}

#[test]
fn who_was_away_at_the_moment_follows_within_a_term() {
    let mut net = net(30);
    net.run_to(5, 100);
    net.stop(2);
    let successor = signed(&net, file(&net, 9, one_layer), 9);
    hand_in(&mut net, 0, &successor);
    net.run_to(8, 999);
    let old = Arc::clone(&net.params);
    succeed(&mut net, &successor);
    net.run_to(11, 20);
    // It has the old file, and its neighbours answer what it asks by it.
    net.params = old;
    net.start(2);
    succeed(&mut net, &successor);
    net.run_to(13, 20);
    let document = net.agreed(13);
    assert_eq!(document.members().len(), 9);
    assert_eq!(net.nodes[2].file.as_ref().unwrap().hash(), successor.hash());
}

#[test]
fn clients_of_the_old_file_learn_of_the_new_one_and_who_has_only_that_follows() {
    let mut net = net(31);
    net.run_to(5, 100);
    let old = Arc::clone(&net.params);
    let ask = |net: &mut Harness, kept: &Kept, file: &NetworkParameters| {
        let question = chain_request(kept.trust.since(), Height::default(), file.hash());
        let response = Response {
            from: net.nodes[3].id,
            came: net.now,
            bytes: net.asked(3, question),
        };
        let answers = Answers::read(&[response]).unwrap();
        let looked = answers.look(file, &kept.trust, &View::default());
        let successor = looked.successor().map(|(file, _)| file.clone());
        let adopted = answers.adopt(file, &looked, &View::default(), kept.newest, net.now);
        let newest = adopted.map(|it| *it.documents.values().next_back().unwrap().hash());
        let kept = Kept {
            trust: looked.furthest().unwrap().clone(),
            newest: looked.newest(kept.newest),
        };
        (kept, successor, newest)
    };
    let first = Kept::first(&old).unwrap();
    let (kept, none, _) = ask(&mut net, &first, &old);
    assert!(none.is_none());
    let kept = kept.encode(&old);
    let successor = signed(&net, file(&net, 9, one_layer), 8);
    hand_in(&mut net, 0, &successor);
    net.run_to(6, 500);
    // Before it counts, and after it does, who has the old file is given the new one, and nobody else.
    let mut learnt = Vec::new();
    for epoch in [6, 11] {
        net.run_to(epoch, 600);
        for kept in [Kept::restore(&old, &kept).unwrap(), first.clone()] {
            let (_, shown, _) = ask(&mut net, &kept, &old);
            learnt.push(shown.map(|shown| shown.hash()));
        }
        if epoch == 6 {
            net.run_to(8, 999);
            succeed(&mut net, &successor);
        }
    }
    assert_eq!(learnt, [Some(successor.hash()); 4]);
    // What was known by the old file is known by the new one; and who has that alone follows as well.
    let newest = *net.agreed(11).hash();
    let fresh = Kept::first(successor.params()).unwrap();
    for kept in [Kept::restore(successor.params(), &kept).unwrap(), fresh] {
        let (_, none, shown) = ask(&mut net, &kept, successor.params());
        assert!(none.is_none());
        assert_eq!(shown.ok(), Some(newest));
    }
}

#[test]
fn what_does_not_follow_is_told() {
    let mut net = net(40);
    net.run_to(5, 100);
    let read = |params: &NetworkParameters| {
        let successor = Successor::of(params.clone())?;
        Successor::read(successor.text(), &net.params).map(|_| ())
    };
    let good = file(&net, 9, one_layer);
    assert_eq!(read(&good), Ok(()));
    assert_eq!(read(&net.params), Err(SuccessionError::None));
    let spoilt = |spoil: fn(&mut NetworkParameters)| {
        let mut params = good.clone();
        spoil(&mut params);
        read(&params).unwrap_err().to_string()
    };
    for (spoil, words) in [
        (
            (|it| it.name = "other".to_owned()) as fn(&mut NetworkParameters),
            "name can't change",
        ),
        (|it| it.term = 5, "term can't change"),
        (
            |it| it.genesis += Span::from_secs(1),
            "its epoch 9 begins at",
        ),
        (
            |it| _ = it.profiles.remove("mobile"),
            "it lacks the profile `mobile`",
        ),
        (
            |it| it.succession.as_mut().unwrap().follows = it.hash(),
            "it follows on the network's file",
        ),
        (
            |it| it.succession.as_mut().unwrap().origin = it.hash(),
            "it goes on with the chain of",
        ),
        (
            |it| it.succession.as_mut().unwrap().height = Height::default(),
            "its height is 0",
        ),
        (
            |it| it.succession.as_mut().unwrap().seats.clear(),
            "its seats: a term has 1 to 400",
        ),
    ] {
        let told = spoilt(spoil);
        assert!(told.contains(words), "{words}: {told}");
    }
}
