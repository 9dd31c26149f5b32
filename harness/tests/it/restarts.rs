//! Processes that end without warning.

use shoal_client::ClientEvent;
use shoal_harness::{Network, Party};

use crate::support::{
    QUIET, START, brings, close_books, received, run_checked, secs, stored, told,
};

/// Six clients: every ordered pair of three providers is somebody's entry and mailbox.
fn network(seed: u64) -> Network {
    let mut network = Network::builder(seed)
        .profile("quiet", QUIET)
        .providers(3)
        .clients(6, "quiet")
        .loop_rate(0.1)
        .client_config(|config| config.retry_max = secs(20))
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(10)).unwrap();
    network
}

fn wait_until(network: &mut Network, seconds: u64, done: impl FnMut(&Network) -> bool) {
    assert!(
        network.run_until_done(secs(seconds), done).unwrap(),
        "not done in {seconds} s"
    );
    network.check().unwrap();
}

/// The clients with their mailbox at this provider.
fn owners(network: &Network, provider: Party) -> Vec<Party> {
    let id = network.id(provider).unwrap();
    network
        .clients()
        .filter(|c| network.mailbox(*c).unwrap() == id)
        .collect()
}

#[test]
fn what_was_stored_is_found_after_each_provider_went_down() {
    let mut network = network(5);
    let mut expected = Vec::new();
    for provider in network.providers().collect::<Vec<_>>() {
        let owners = owners(&network, provider);
        assert_eq!(owners.len(), 2);
        for owner in &owners {
            network.set_online(*owner, false).unwrap();
        }
        network.run_for(secs(3)).unwrap();
        // Of some it is told that they are stored, and at that moment the provider goes down;
        // others are under way.
        let before = stored(network.happenings()).len();
        for from in network
            .clients()
            .filter(|c| !owners.contains(c))
            .collect::<Vec<_>>()
        {
            for to in &owners {
                let text = format!("{from} to {to}");
                network.send(from, *to, text.clone()).unwrap();
                expected.push((*to, text));
            }
        }
        wait_until(&mut network, 60, |n| {
            stored(n.happenings()).len() >= before + 4
        });
        network.crash(provider);
        run_checked(&mut network, 10);
        assert!(
            stored(network.happenings()).len() < before + 8,
            "nothing was under way"
        );
        let at_crash = network.store_usage(provider).unwrap().entries;
        assert!(at_crash >= 4);
        network.start(provider).unwrap();
        for owner in &owners {
            network.set_online(*owner, true).unwrap();
        }
        wait_until(&mut network, 240, |n| {
            stored(n.happenings()).len() == expected.len()
                && received(n.happenings()).len() == expected.len()
        });
    }
    run_checked(&mut network, 30);
    let received = received(network.happenings());
    for message in &expected {
        assert_eq!(received.get(message), Some(&1), "{message:?}");
    }
    close_books(&mut network);
}

#[test]
fn an_accepted_message_outlives_its_senders_process() {
    let mut network = network(6);
    let clients: Vec<_> = network.clients().collect();
    let (alice, bob) = (clients[0], clients[4]);
    network
        .send(alice, bob, "once accepted, never lost")
        .unwrap();
    let accepted = |event: &ClientEvent| matches!(event, ClientEvent::Accepted { .. });
    wait_until(&mut network, 1, |n| told(n, alice, accepted).is_some());
    network.crash(alice);
    run_checked(&mut network, 5);
    network.start(alice).unwrap();
    wait_until(&mut network, 60, |n| {
        told(n, alice, |event| {
            matches!(event, ClientEvent::Stored { .. })
        })
        .is_some()
    });
    wait_until(&mut network, 60, |n| {
        told(n, bob, brings("once accepted, never lost")).is_some()
    });
    close_books(&mut network);
}

#[test]
fn a_receivers_crash_loses_nothing() {
    let mut network = network(7);
    let clients: Vec<_> = network.clients().collect();
    let (alice, bob) = (clients[0], clients[4]);
    let texts: Vec<String> = (0..10).map(|number| format!("message {number}")).collect();
    for text in &texts {
        network.send(alice, bob, text.as_str()).unwrap();
    }
    for _ in 0..5 {
        run_checked(&mut network, 5);
        network.crash(bob);
        run_checked(&mut network, 1);
        network.start(bob).unwrap();
    }
    wait_until(&mut network, 240, |n| {
        texts
            .iter()
            .all(|text| told(n, bob, brings(text)).is_some())
    });
    close_books(&mut network);
}

#[test]
fn a_mix_that_restarts_is_used_again() {
    let mut network = network(8);
    let mix = network.mixes().next().unwrap();
    network.crash(mix);
    run_checked(&mut network, 20);
    network.start(mix).unwrap();
    run_checked(&mut network, 20);
    let books = network.books(mix);
    assert_eq!(books.len(), 2);
    assert!(books[0].counters.forwarded > 0 && books[1].counters.forwarded > 0);
    let dropped: Vec<_> = shoal_mix::DropReason::ALL
        .iter()
        .map(|reason| (reason.as_str(), books[1].dropped(*reason)))
        .filter(|(_, count)| *count > 0)
        .collect();
    // Its own loops from before are the only packets that it can't place.
    assert!(
        dropped.iter().all(|(reason, _)| *reason == "loop_unknown"),
        "{dropped:?}"
    );
    close_books(&mut network);
}

/// Whoever cuts a client off, or makes it start anew, looks at the mailboxes of those it may write to.
#[test]
fn coming_back_brings_no_try_forward() {
    let mut network = Network::builder(9)
        .profile("quiet", QUIET)
        .providers(3)
        .clients(6, "quiet")
        .loop_rate(0.1)
        .client_config(|config| {
            (config.retry_after, config.retry_max) = (Some(secs(120)), secs(120))
        })
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(5)).unwrap();
    let clients: Vec<_> = network.clients().collect();
    let alice = clients[0];
    let keeps = |client: Party| network.mailbox(client).unwrap();
    let taken = [
        network.id(network.entry(alice).unwrap()).unwrap(),
        keeps(alice),
    ];
    let bob = clients
        .iter()
        .find(|client| !taken.contains(&keeps(**client)));
    let bob = *bob.unwrap();
    let mailbox = network
        .providers()
        .find(|p| network.id(*p).unwrap() == keeps(bob));
    // Nobody answers.
    network.crash(mailbox.unwrap());
    network.send(alice, bob, "in vain").unwrap();
    let is_try = |event: &ClientEvent| matches!(event, ClientEvent::Sent { .. });
    wait_until(&mut network, 30, |n| told(n, alice, is_try).is_some());
    let first = network.now();
    for round in 0..5 {
        if round % 2 == 0 {
            network.crash(alice);
            run_checked(&mut network, 1);
            network.start(alice).unwrap();
        } else {
            network.set_online(alice, false).unwrap();
            run_checked(&mut network, 1);
            network.set_online(alice, true).unwrap();
        }
        let back = |n: &Network| n.handle(alice).unwrap().is_some();
        wait_until(&mut network, 10, back);
        run_checked(&mut network, 5);
    }
    let tries = |network: &Network| {
        let own = network.happenings().iter().filter(|h| h.client == alice);
        own.filter(|h| h.client_event().is_some_and(is_try)).count()
    };
    assert!(
        network.now().since(first) < secs(55),
        "the wait is a minute or more"
    );
    assert_eq!(tries(&network), 1);
    let again = |n: &Network| tries(n) == 2;
    wait_until(&mut network, 240, again);
    close_books(&mut network);
}
