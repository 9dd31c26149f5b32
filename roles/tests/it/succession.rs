//! A client whose network gets other values.

use shoal_client::Invitation;
use shoal_proto::{Epoch, Span, Time};
use shoal_roles::client::{SessionEvent, SessionInput, kept_successors};
use shoal_topology::agreement::Height;
use shoal_topology::{NetworkParameters, Succession, Successor};

use crate::world::{Answer, World, to_invite};

const MINUTE: Span = Span::from_secs(60);
/// The first epoch of the other values.
const NEXT: Epoch = Epoch::new(1);

fn online(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Online { .. })
}

/// A file with other delays, signed by so many of those who sit.
fn successor(world: &World, signed: usize) -> Successor {
    let before = &world.network.params;
    let first = &world.documents()[0];
    let seats = world.network.handover(first).unwrap().seats;
    let holders = seats.all().map(|seat| *seats.holder(seat).unwrap());
    let params = NetworkParameters {
        mean_delay: Span::from_millis(30),
        succession: Some(Succession {
            follows: before.hash(),
            origin: before.chain(),
            epoch: NEXT,
            height: Height::FIRST,
            seats: holders.collect(),
            signatures: Vec::new(),
        }),
        ..(**before).clone()
    };
    let unsigned = Successor::of(params).unwrap();
    let signers = world.network.nodes.values().take(signed);
    signers.fold(unsigned, |file, node| file.sign(&node.identity).unwrap())
}

/// Begins with the file of before, and with the documents of both epochs; is shown what follows if that is signed by
/// so many.
fn world(signed: Option<usize>) -> World {
    let mut world = World::new(50);
    if let Some(signed) = signed {
        world.successor = successor(&world, signed).text().to_vec();
    }
    let documents = world.documents();
    let (network, rng) = (&mut world.network, &mut world.rng);
    let next = network.document(rng, NEXT, documents.last().map(|it| &**it));
    let all = [documents, vec![next.unwrap()]].concat();
    world.default = Answer::Documents(all, 0);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    world
}

fn begins(world: &World) -> Time {
    world.network.params.start_of(NEXT)
}

fn succeeded(world: &World) -> Vec<Time> {
    let said = world.events.iter();
    let said = said.filter(|(_, event)| matches!(event, SessionEvent::Succeeded));
    said.map(|(at, _)| *at).collect()
}

#[test]
fn what_follows_is_kept_and_said_once_at_its_moment() {
    let mut world = world(Some(8));
    let hash = successor(&world, 8).hash();
    assert_eq!(world.session.successor().map(Successor::hash), Some(hash));
    let kept = kept_successors(&world.all_rows());
    assert_eq!(kept.iter().map(Successor::hash).collect::<Vec<_>>(), [hash]);
    // Started again before that it goes by the values of before, and knows what follows without asking.
    world.restart();
    assert_eq!(world.session.successor().map(Successor::hash), Some(hash));
    world.input(SessionInput::Online(true));
    let begins = begins(&world);
    world.run_for(begins.since(world.now) - Span::from_secs(1));
    assert_eq!(succeeded(&world), []);
    world.run_for(MINUTE);
    assert_eq!(succeeded(&world), [begins]);
    // From its disk it goes by the other values, and is on the same chain.
    world.restart();
    assert_eq!(world.session.successor(), None);
    world.input(SessionInput::Online(true));
    assert!(world.run_until(MINUTE, online));
    let chain = world.network.params.hash();
    world.input(to_invite());
    let invitation = &world.session.client().invitations()[0].invitation;
    let network = Invitation::short_network(&chain);
    assert_eq!(invitation.network, network, "invitations stay good");
    let mut before = self::world(None);
    before.run_for(MINUTE);
    assert_eq!(succeeded(&before), []);
}

#[test]
fn what_too_few_have_signed_is_as_if_nobody_had_shown_it() {
    let world = world(Some(7));
    assert_eq!(world.session.successor(), None);
    assert_eq!(kept_successors(&world.all_rows()).len(), 0);
}

/// Of two that were signed for one place, a single mix could show the one that nobody goes by.
#[test]
fn what_counts_already_is_believed_of_two() {
    for by_one in [true, false] {
        let mut world = World::new(51);
        let documents = world.documents();
        let (network, rng) = (&mut world.network, &mut world.rng);
        let next = network.document(rng, NEXT, documents.last().map(|it| &**it));
        let all = [documents, vec![next.unwrap()]].concat();
        world.default = Answer::Documents(all, 0);
        world.successor = successor(&world, 11).text().to_vec();
        world.shown_by_one = by_one;
        world.now = begins(&world) + MINUTE;
        world.restart();
        world.input(SessionInput::Online(true));
        assert!(world.run_until(MINUTE, online));
        assert_eq!(world.session.successor().is_none(), by_one);
        world.run_for(MINUTE);
        assert_eq!(succeeded(&world).len(), usize::from(!by_one));
    }
}

/// Before its moment nothing that leaves is at another time, or of another size.
#[test]
fn to_know_what_follows_moves_nothing_before_its_moment() {
    let [mut one, mut other] = [None, Some(11)].map(world);
    assert!(one.session.successor().is_none() && other.session.successor().is_some());
    for world in [&mut one, &mut other] {
        let begins = begins(world);
        world.run_for(begins.since(world.now) - Span::from_millis(1));
    }
    assert!(one.frames.len() > 10_000);
    assert!(one.frames == other.frames, "frames leave at other times");
    assert_eq!(one.asked, other.asked);
    let sizes = |world: &World| world.questions.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&one), sizes(&other));
}
