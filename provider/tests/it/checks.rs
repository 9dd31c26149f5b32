//! The checks that a host does before it gives a delivery to the core.

use shoal_packet::command::{Command, DropChange, MailboxPacket};
use shoal_proto::Span;
use shoal_provider::{Checked, Checker, DropReason, ProviderInput};

use crate::operations::drop_id;
use crate::world::{FIRST, Owner, World, delivery, payload, put_command};

fn may_cross_threads<T: Send>() {}

#[test]
fn any_thread_may_check_and_nothing_counts_before_it_comes_in() {
    may_cross_threads::<Checked>();
    let mut world = World::new(1);
    let mut owner = Owner::new(1);
    let request = owner.request(world.surbs(FIRST), &[], &[DropChange::Register(drop_id(1))]);
    let (network, elsewhere) = (world.params.hash(), world.entry);
    let plaintexts = [world.local, elsewhere].map(|provider| {
        let (key, request) = (&owner.key, request.clone());
        let packet = MailboxPacket::sign(&mut world.rng, key, &network, &provider, request);
        Command::Mailbox(Box::new(packet.unwrap())).encode(&mut world.rng)
    });
    let before = world.provider.counters();
    let checker: Checker = world.provider.checker();
    let now = world.now;
    let checked = plaintexts.map(|plaintext| {
        let delivery = delivery(
            Some(plaintext.to_vec()),
            [0; 32],
            payload(&mut world.rng),
            now,
        );
        std::thread::spawn(move || checker.check(delivery))
            .join()
            .unwrap()
    });
    assert_eq!(world.provider.counters(), before);
    for checked in checked {
        world.input(ProviderInput::Delivered(checked));
    }
    world.run_secs(1);
    let counters = world.provider.counters();
    assert_eq!(
        (
            counters.packets.received,
            counters.mailboxes.mailbox_commands
        ),
        (2, 1)
    );
    assert_eq!(counters.dropped(DropReason::MailboxSignature), 1);
    assert_eq!(counters.dropped_total(), 1);
}

#[test]
fn a_grant_has_to_last_when_it_comes_in_and_not_when_it_is_checked() {
    let mut world = World::new(2);
    let owner = Owner::new(1);
    let expires = world.now + Span::from_secs(3600);
    let grant = world.grant(&owner, 1, expires);
    let expires = grant.expires();
    let check = |world: &mut World, message| {
        let command = put_command(world, 1, message, Some(grant.clone()));
        let plaintext = command.encode(&mut world.rng).to_vec();
        let nothing = payload(&mut world.rng);
        let delivery = delivery(Some(plaintext), [0; 32], nothing, world.now);
        world.provider.checker().check(delivery)
    };
    let [early, late] = [check(&mut world, 1), check(&mut world, 2)];
    // It ends within the hour, and the reply goes out later than anybody waits.
    world.now = expires - Span::from_micros(1);
    world.input(ProviderInput::Delivered(early));
    assert_eq!(world.provider.counters().packets.grants_invalid, 0);
    world.now = expires;
    world.input(ProviderInput::Delivered(late));
    assert_eq!(world.provider.counters().packets.grants_invalid, 1);
}
