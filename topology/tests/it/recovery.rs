//! A third of the seats is lost for good: nobody decides any more, until those who are left agree outside of
//! the network on who does.

use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, NodeId};
use shoal_topology::agreement::Height;
use shoal_topology::{
    Answers, DirectoryWarning, Document, DocumentError, Kept, KeptError, NetworkParameters,
    Recovery, RecoveryError, RecoveryFile, Response, Trust, View, chain_request,
};

use crate::harness::Harness;

/// Nine members in terms of four; up to this epoch all is well, then three are gone, and two epochs later
/// those who are left stand still.
fn lost(seed: u64, epoch: u64) -> Harness {
    let mut net = Harness::new(seed, 6, 3, 6);
    net.start_all();
    net.run_to(epoch, 100);
    net.agreed(epoch);
    (0..3).for_each(|index| net.stop(index));
    net.run_to(epoch + 2, 100);
    net
}

fn last(net: &Harness, index: usize) -> Arc<Document> {
    let directory = net.nodes[index].directory.as_ref().unwrap();
    let documents = &directory.view().documents;
    Arc::clone(documents.values().next_back().unwrap())
}

fn ids(net: &Harness, nodes: std::ops::Range<usize>) -> Vec<NodeId> {
    net.nodes[nodes].iter().map(|node| node.id).collect()
}

/// Those that are left, of whom so many have signed.
fn recovery(net: &Harness, signed: usize) -> Recovery {
    let network = net.params.hash();
    let left = ids(net, 3..9);
    let mut recovery = Recovery::new(network, &last(net, 3), &left).unwrap();
    for node in &net.nodes[3..3 + signed] {
        recovery.sign(&network, &node.identity).unwrap();
    }
    recovery
}

/// The network's file, with a recovery at its end.
fn recovered(net: &Harness, recovery: &Recovery) -> NetworkParameters {
    let mut params = (*net.params).clone();
    params.recoveries.push(recovery.clone());
    params
}

/// These stop, get the file, and start again.
fn install(net: &mut Harness, params: NetworkParameters, nodes: std::ops::Range<usize>) {
    nodes.clone().for_each(|index| net.stop(index));
    net.params = Arc::new(params);
    // What was said in the seats of before counts in no other.
    net.said.clear();
    nodes.for_each(|index| net.start(index));
}

/// What a client has that knows so much and asks a node.
fn asks(net: &mut Harness, node: usize, kept: &Kept) -> (Kept, Option<DocumentHash>) {
    let question = chain_request(kept.trust.since(), Height::default(), net.params.hash());
    let response = Response {
        from: net.nodes[node].id,
        came: net.now,
        bytes: net.asked(node, question),
    };
    let answers = Answers::read(&[response]).unwrap();
    let looked = answers.look(&net.params, &kept.trust, &View::default());
    let adopted = answers.adopt(&net.params, &looked, &View::default(), kept.newest, net.now);
    let newest = adopted.map(|it| *it.documents.values().next_back().unwrap().hash());
    let kept = Kept {
        trust: looked.furthest().unwrap().clone(),
        newest: looked.newest(kept.newest),
    };
    (kept, newest.ok())
}

/// Loses three of nine in a term, or with its last document, and goes on with six.
fn goes_on(seed: u64, epoch: u64) {
    let mut net = lost(seed, epoch);
    let from = last(&net, 3);
    for index in 3..9 {
        assert_eq!(last(&net, index).hash(), from.hash(), "nobody decides");
    }
    assert!(from.epoch() <= Epoch::new(epoch + 1));
    let first = Kept::first(&net.params).unwrap();
    let (client, newest) = asks(&mut net, 3, &first);
    assert_eq!(newest, Some(*from.hash()));
    let client = client.encode(&net.params);
    let params = recovered(&net, &recovery(&net, 5));
    assert_eq!(params.validate(), Ok(()));
    assert_eq!(params.hash(), net.params.hash(), "it is the same network");
    install(&mut net, params, 3..9);
    // The last document is in force still, so that the next one is agreed on at its time.
    net.run_to(epoch + 3, 10);
    let first = last(&net, 3);
    assert_eq!(first.previous(), from.hash());
    // Through the end of the term and of the next.
    for epoch in epoch + 4..epoch + 13 {
        net.run_to(epoch, 10);
        net.agreed(epoch);
    }
    // Those who were lost come back, with the file: they follow.
    (0..3).for_each(|index| net.start(index));
    net.run_to(epoch + 15, 10);
    let document = net.agreed(epoch + 15);
    assert_eq!(document.members().len(), 9);
    // Who knows the file and nothing else follows as well, and who has it without the recovery is told.
    let question = chain_request(Height::default(), Height::default(), net.params.hash());
    let bytes = net.asked(4, question);
    let response = Response {
        from: net.nodes[4].id,
        came: net.now,
        bytes,
    };
    let answers = Answers::read(&[response]).unwrap();
    let look = |params: &NetworkParameters| {
        let trust = Trust::first(params).unwrap();
        let looked = answers.look(params, &trust, &View::default());
        let (followed, error) = looked.each().next().unwrap();
        let newest = followed.documents.last().map(|it| *it.document.hash());
        (newest, error.cloned())
    };
    assert_eq!(look(&net.params), (Some(*document.hash()), None));
    let mut without = (*net.params).clone();
    without.recoveries.clear();
    let error = DocumentError::Recovered(from.height());
    assert_eq!(look(&without), (None, Some(error)));
    // A client that was there before the loss follows with the file, and can't go on without it from then on.
    let client = Kept::restore(&net.params, &client).unwrap();
    let (client, newest) = asks(&mut net, 4, &client);
    assert_eq!(newest, Some(*document.hash()));
    let height = from.height();
    let read = Kept::restore(&without, &client.encode(&net.params));
    assert_eq!(read, Err(KeptError::Withdrawn { height }));
}

#[test]
fn six_of_nine_go_on_by_a_recovery_in_a_term() {
    goes_on(300, 1);
}

#[test]
fn six_of_nine_go_on_by_a_recovery_from_the_last_document_of_a_term() {
    // Height 4 is decided in epoch 2, for epoch 3.
    let net = lost(301, 3);
    assert_eq!(last(&net, 3).height(), Height::new(4));
    drop(net);
    goes_on(301, 3);
}

/// Who has no file with the recovery is stuck and says why, and keeps nobody from going on.
#[test]
fn who_has_not_got_the_recovery_says_what_to_do() {
    let mut net = lost(302, 1);
    let from = last(&net, 3).height();
    let (old, new) = (Arc::clone(&net.params), recovered(&net, &recovery(&net, 6)));
    install(&mut net, new, 3..8);
    net.run_to(4, 10);
    assert_eq!(last(&net, 3).height(), from.next());
    assert_eq!(last(&net, 8).height(), from);
    let warning = DirectoryWarning::Recovered(from);
    assert!(net.warnings.contains(&(8, warning.clone())));
    assert!(
        net.warnings
            .iter()
            .all(|(index, it)| *index == 8 || *it != warning)
    );
    assert!(old.recoveries.is_empty());
}

/// A document that other seats have agreed on is not thrown away for a recovery that is late, or made up.
#[test]
fn a_recovery_that_is_late_is_not_started_with() {
    let mut net = Harness::new(303, 6, 3, 6);
    net.start_all();
    net.run_to(1, 100);
    let late = recovered(&net, &recovery(&net, 6));
    let known = last(&net, 3).height();
    let disk = |net: &Harness| net.nodes[3].disk.restored();
    assert_eq!(
        disk(&net).check(&late),
        Ok(()),
        "it would go on from the newest"
    );
    net.run_to(3, 100);
    let error = RecoveryError::Late {
        recovery: known,
        newest: last(&net, 3).height(),
    };
    assert_eq!(disk(&net).check(&late), Err(error));
    assert_eq!(disk(&net).check(&net.params), Ok(()));
}

/// From another document than everybody has, nothing is gone on from.
#[test]
fn a_recovery_from_another_document_is_told() {
    let mut net = lost(304, 1);
    let mut other = recovery(&net, 0);
    other.document = *last(&net, 3).previous();
    for node in &net.nodes[3..9] {
        other.sign(&net.params.hash(), &node.identity).unwrap();
    }
    let height = other.height;
    let params = recovered(&net, &other);
    assert_eq!(params.validate(), Ok(()));
    install(&mut net, params, 3..9);
    net.run_to(4, 10);
    assert_eq!(last(&net, 3).height(), height);
    let warning = DirectoryWarning::RecoveredFromAnother(height);
    assert!(net.warnings.contains(&(3, warning)));
}

#[test]
fn a_file_of_a_recovery_is_read_as_it_was_written_and_no_other_is() {
    let net = lost(305, 1);
    let network = net.params.hash();
    let good = recovery(&net, 6);
    let file = RecoveryFile {
        network,
        recovery: good.clone(),
    };
    let text = file.to_toml();
    assert_eq!(RecoveryFile::read(&text, &network), Ok(file));
    assert_eq!(good.check(&network), Ok(()));
    assert_eq!((good.signed(), good.needed()), (6, 5));
    let few = recovery(&net, 4);
    let unsigned = RecoveryError::Unsigned {
        signed: 4,
        needed: 5,
    };
    assert_eq!(few.check(&network), Err(unsigned));

    // Two that signed copies of the same.
    let mut one = recovery(&net, 3);
    let mut two = recovery(&net, 0);
    two.sign(&network, &net.nodes[8].identity).unwrap();
    one.merge(&two).unwrap();
    assert_eq!(one.signed(), 4);
    two.document = *last(&net, 3).previous();
    assert_eq!(one.merge(&two), Err(RecoveryError::Other));

    let refused = |change: &dyn Fn(&mut Recovery)| {
        let mut recovery = good.clone();
        change(&mut recovery);
        let text = RecoveryFile { network, recovery }.to_toml();
        RecoveryFile::read(&text, &network).unwrap_err()
    };
    let first = good.members[0].id;
    let signature = RecoveryError::Signature(first);
    let height = |it: &mut Recovery| it.height = it.height.next();
    assert_eq!(refused(&height), signature, "of another height");
    let document = |it: &mut Recovery| it.document = *last(&net, 3).previous();
    assert_eq!(refused(&document), signature, "from another document");
    assert_eq!(refused(&|it| it.seats = [9; 32]), signature, "other seats");
    let swapped = |it: &mut Recovery| it.members[0].signature = it.members[1].signature;
    assert_eq!(refused(&swapped), signature, "somebody else's");
    assert_eq!(
        refused(&|it| it.height = Height::default()),
        RecoveryError::Height
    );
    assert_eq!(refused(&|it| it.members.clear()), RecoveryError::Members(0));
    let out_of_order = |it: &mut Recovery| it.members.swap(0, 1);
    assert_eq!(refused(&out_of_order), RecoveryError::Members(6));
    let twice = |it: &mut Recovery| it.members.push(it.members[5]);
    assert_eq!(refused(&twice), RecoveryError::Members(7));

    let other = shoal_proto::NetworkHash::new([1; 32]);
    let wrong = RecoveryFile::read(&text, &other).unwrap_err();
    assert!(matches!(wrong, RecoveryError::Network { .. }), "{wrong}");
    let long = text.clone() + &" ".repeat(200_000);
    assert_eq!(
        RecoveryFile::read(&long, &network),
        Err(RecoveryError::Size(long.len()))
    );
    for (from, to, told) in [
        ("network = ", "network_ = ", "missing field `network`"),
        ("height = ", "height = -", "height"),
        ("seats = \"", "seats = \"0", "seats"),
        (
            "members = [",
            "members = [\"x\", ",
            "neither `ID` nor `ID:SIGNATURE`",
        ),
        ("height = ", "more = 1\nheight = ", "unknown field `more`"),
        ("= ", "", "TOML"),
    ] {
        let wrong = RecoveryFile::read(&text.replace(from, to), &network).unwrap_err();
        let form = matches!(wrong, RecoveryError::Form(_));
        assert!(form && wrong.to_string().contains(told), "{told}: {wrong}");
    }
}

#[test]
fn a_recovery_names_members_of_its_document() {
    let net = lost(306, 1);
    let (network, document) = (net.params.hash(), last(&net, 3));
    let stranger = NodeId::new([9; 32]);
    assert_eq!(
        Recovery::new(network, &document, &[stranger]),
        Err(RecoveryError::NoMember(stranger))
    );
    let nobody = Recovery::new(network, &document, &[]);
    assert!(matches!(nobody, Err(RecoveryError::Seats(_))));
    let mut recovery = recovery(&net, 0);
    let outside = &net.nodes[0];
    assert_eq!(
        recovery.sign(&network, &outside.identity),
        Err(RecoveryError::NotNamed(outside.id))
    );
    // Who is named twice is named once.
    let ids = ids(&net, 3..9);
    let twice = [&ids[..], &ids[..2]].concat();
    assert_eq!(Recovery::new(network, &document, &twice), Ok(recovery));
}

#[test]
fn the_file_of_a_network_has_its_recoveries_and_refuses_bad_ones() {
    let net = lost(307, 1);
    let good = recovered(&net, &recovery(&net, 5));
    let text = good.to_toml();
    assert_eq!(NetworkParameters::from_toml(&text), Ok(good.clone()));
    let told = |params: &NetworkParameters| {
        let read = NetworkParameters::from_toml(&params.to_toml());
        read.unwrap_err().to_string()
    };
    let mut few = good.clone();
    few.recoveries[0] = recovery(&net, 4);
    let told_of_few = told(&few);
    let line = 1 + text
        .lines()
        .position(|line| line == "[[recoveries]]")
        .unwrap();
    assert!(
        told_of_few.starts_with(&format!("line {line}: recoveries: 4 of those")),
        "{told_of_few}"
    );
    let mut twice = good.clone();
    twice.recoveries.push(good.recoveries[0].clone());
    assert!(
        told(&twice).contains("ascending heights"),
        "{}",
        told(&twice)
    );
    let mut many = good.clone();
    many.recoveries = vec![good.recoveries[0].clone(); 9];
    assert!(told(&many).contains("at most 8"), "{}", told(&many));
    // A mistake in a recovery does not hide others.
    let spoilt = text
        .replace("document = \"", "document = \"0")
        .replace("layers = 2", "layers = 9");
    let told = NetworkParameters::from_toml(&spoilt)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("layers = 9") && told.contains("hash of 32 bytes"),
        "{told}"
    );
}
