//! A receiver who is away.

use shoal_client::ClientEvent;
use shoal_harness::Network;

use crate::support::{QUIET, START, brings, close_books, secs, told};

#[test]
fn a_message_waits_for_its_receiver_and_is_answered() {
    let mut network = Network::builder(4)
        .profile("quiet", QUIET)
        .clients(2, "quiet")
        .loop_rate(0.1)
        .build()
        .unwrap();
    let clients: Vec<_> = network.clients().collect();
    let (alice, bob) = (clients[0], clients[1]);
    // Bob is online until his mailbox is open, and never while his invitation is used.
    assert!(network.bring_up(START).unwrap());
    let open = |n: &Network| n.is_open(bob).unwrap();
    assert!(network.run_until_done(secs(60), open).unwrap());
    let invitation = network.invite(bob).unwrap();
    let invited = |n: &Network| {
        let invited = |event: &ClientEvent| matches!(event, ClientEvent::Invited { .. });
        told(n, bob, invited).is_some()
    };
    assert!(network.run_until_done(secs(10), invited).unwrap());
    network.crash(bob);
    network
        .send_by(alice, &invitation, "are you there?")
        .unwrap();
    let stored = |n: &Network| {
        told(n, alice, |event| {
            matches!(event, ClientEvent::Stored { .. })
        })
        .is_some()
    };
    assert!(network.run_until_done(secs(60), stored).unwrap());
    network.run_for(secs(120)).unwrap();
    assert_eq!(told(&network, bob, brings("are you there?")), None);

    network.start(bob).unwrap();
    network.set_online(bob, true).unwrap();
    let arrived = |n: &Network| told(n, bob, brings("are you there?")).is_some();
    assert!(network.run_until_done(secs(60), arrived).unwrap());
    // She is a contact: to her he just writes.
    network.send(bob, alice, "now I am").unwrap();
    let answered = |n: &Network| told(n, alice, brings("now I am")).is_some();
    assert!(network.run_until_done(secs(120), answered).unwrap());
    network.check().unwrap();
    close_books(&mut network);
}
