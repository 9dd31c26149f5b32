use shoal_client::{Alarm, ClientEvent};

use crate::world::{EPOCH, World, params, secs};

#[test]
fn a_switch_of_epochs_starves_nothing() {
    let mut world = World::new(19, params(80));
    world.now += secs(29.0);
    world.add(0, "quick");
    world.add(1, "calm");
    world.attach(0, 1);
    world.attach(1, 2);
    let to = world.invitation(1);
    let number = EPOCH.number();
    world.run(secs(31.0));
    world.set_view(number..=number + 1);
    let dry = world.dry_ticks;
    let mut sent = 0;
    // Across the switch, a message every second.
    for _ in 0..20 {
        world.send(0, sent, &to, format!("{sent}").as_bytes());
        sent += 1;
        world.run(secs(1.0));
    }
    let all = |world: &World| world.hosts[1].texts().len() as u64 == sent;
    assert!(world.run_until(secs(30.0), all));
    assert_eq!(
        world.bad_epochs, 0,
        "every frame names an epoch that counts"
    );
    let counters = world.hosts[1].client.counters();
    assert_eq!(counters.stream_pauses, 0, "{counters:?}");
    // Without stocking ahead, the whole stock would be void, and the mailbox would run dry.
    assert!(world.void_surbs < 40, "{}", world.void_surbs);
    assert!(
        world.dry_ticks - dry <= 5,
        "{} ticks",
        world.dry_ticks - dry
    );
    // Keys of the epoch that is over are forgotten: what is left are those of the stock.
    world.run(secs(15.0));
    let counters = world.hosts[1].client.counters();
    assert!(counters.reply_keys < counters.stock + 30, "{counters:?}");
}

#[test]
fn without_a_document_nothing_is_sent_and_the_user_is_told() {
    let mut world = World::new(2, params(100));
    world.add(0, "quick");
    world.attach(0, 1);
    // The document stays in force for three further epochs.
    world.run(secs(120.0));
    assert_eq!(world.hosts[0].client.counters().skipped_ticks, 0);
    let start = world
        .params
        .start_of(shoal_proto::Epoch::new(EPOCH.number() + 4));
    world.now = start + secs(0.5);
    world.hosts[0].frames.clear();
    world.push = false;
    world.run(secs(5.0));
    assert!(world.hosts[0].frames.is_empty());
    let alarm = ClientEvent::Alarm(Alarm::NoDocument);
    assert_eq!(world.hosts[0].count(|event| *event == alarm), 1);
}

#[test]
fn a_missing_mailbox_provider_does_not_change_the_rate() {
    let mut world = World::new(3, params(3600));
    let mut config = shoal_client::ClientConfig::new(shoal_proto::NodeId::new([9; 32]));
    config.profile = "quick".into();
    let who = world.add_with(config);
    world.attach(who, 1);
    world.run(secs(20.0));
    let counters = world.hosts[who].client.counters();
    assert_eq!((counters.sent_mailbox, counters.skipped_ticks), (0, 0));
    // Drops at 0.3/s, and at 0.8/s in the mailbox packets' place.
    assert!(
        (12..40).contains(&counters.sent_drop),
        "{}",
        counters.sent_drop
    );
    let alarm = ClientEvent::Alarm(Alarm::MailboxMissing);
    assert_eq!(world.hosts[who].count(|event| *event == alarm), 1);
}
