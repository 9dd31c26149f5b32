//! The checks that a host does before it gives a delivery to the core.

use shoal_packet::command::{Command, DropChange, MailboxPacket};
use shoal_provider::{Checked, Checker, DropReason, ProviderInput};

use crate::operations::set;
use crate::world::{FIRST, Owner, World, delivery, payload};

fn may_cross_threads<T: Send>() {}

#[test]
fn any_thread_may_check_and_nothing_counts_before_it_comes_in() {
    may_cross_threads::<Checked>();
    let mut world = World::new(1);
    let mut owner = Owner::new(1);
    let request = owner.request(world.surbs(FIRST), &[], &[DropChange::Register(set(1))]);
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
