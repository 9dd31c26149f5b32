use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_client::{
    Client, ClientAction, ClientConfig, ClientInput, ClientKeys, ContactChange, Label, UserRequest,
};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, Span, Time};

use crate::world::{World, params, secs, to_invite, to_send};

/// The instants at which a client of a fixed seed sends, while the user does `act` every second.
fn instants(act: impl Fn(&mut Client<ChaCha20Rng>, Time, u64)) -> Vec<(Time, usize)> {
    let world = World::new(5, params(3600));
    let mut rng = ChaCha20Rng::seed_from_u64(42);
    let keys = ClientKeys::generate(&mut rng);
    let config = ClientConfig::new(world.providers()[0]);
    let mut now = world.now;
    let mut client = Client::new(world.params.clone(), config, keys, rng, &[], now).unwrap();
    let (entry, handle) = (world.providers()[1], ClientHandle::new([9; 32]));
    client.handle_input(now, ClientInput::View(Arc::clone(&world.view)));
    client.handle_input(now, ClientInput::Attached { entry, handle });
    let mut sent = Vec::new();
    let (mut next_act, mut acts) = (now + secs(1.0), 0);
    let end = now + secs(40.0);
    while now < end {
        while let Some(action) = client.poll_action(now) {
            match action {
                ClientAction::SendFrame(frame) => sent.push((now, frame.as_bytes().len())),
                ClientAction::Persist { ticket, .. } => {
                    client.handle_input(now, ClientInput::Persisted { ticket });
                }
                _ => {}
            }
        }
        now = client.poll_deadline().unwrap().min(next_act);
        if now == next_act {
            act(&mut client, now, acts);
            acts += 1;
            next_act += secs(1.0);
        }
    }
    sent
}

#[test]
fn what_the_user_does_moves_no_frame() {
    let idle = instants(|_, _, _| {});
    assert!(idle.len() > 100, "{}", idle.len());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let friend = ClientKeys::generate(&mut rng);
    let world = World::new(5, params(3600));
    let config = ClientConfig::new(world.providers()[2]);
    let mut friend = Client::new(
        world.params.clone(),
        config,
        friend,
        rng.clone(),
        &[],
        world.now,
    )
    .unwrap();
    friend.handle_input(world.now, to_invite(1));
    let to = friend.invitations().remove(0).invitation;
    let busy = instants(|client, now, request| {
        let input = to_send(client, request, &to, &[7; 5000]);
        client.handle_input(now, input);
    });
    // Invites, revokes, accepts, blocks, removes.
    let social = instants(|client, now, request| {
        let own = client.invitations();
        let contacts = client.contacts();
        let (label, contact) = (Label::default(), to.key);
        let what = match request % 5 {
            0 => return client.handle_input(now, to_invite(request)),
            1 => UserRequest::Revoke {
                invitation: own[0].number,
            },
            2 => UserRequest::Accept {
                invitation: Box::new(to.clone()),
                label,
                text: None,
            },
            3 => UserRequest::Change {
                contact,
                change: ContactChange::Blocked(true),
            },
            _ => UserRequest::Remove { contact },
        };
        let input = ClientInput::Ask { request, what };
        client.handle_input(now, input);
        let after = (client.invitations(), client.contacts());
        assert!(after != (own, contacts), "{request}");
    });
    let receiving = instants(|client, now, seed| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        client.handle_input(now, ClientInput::Frame(Frame::filler(&mut rng, 3)));
    });
    assert_eq!(idle, busy);
    assert_eq!(idle, social);
    assert_eq!(idle, receiving);
}

/// Lets a client run alone for this long; frames go nowhere. How many there were.
fn drive(client: &mut Client<ChaCha20Rng>, now: &mut Time, span: Span) -> usize {
    let end = *now + span;
    let mut frames = 0;
    loop {
        while let Some(action) = client.poll_action(*now) {
            match action {
                ClientAction::SendFrame(_) => frames += 1,
                ClientAction::Persist { ticket, .. } => {
                    client.handle_input(*now, ClientInput::Persisted { ticket });
                }
                _ => {}
            }
        }
        match client.poll_deadline().filter(|next| *next < end) {
            Some(next) => *now = (*now).max(next),
            None => break,
        }
    }
    *now = end;
    frames
}

/// A host whose clock is 20 minutes off, and corrects it.
#[test]
fn a_correction_of_the_clock_makes_nothing_due_and_moves_no_date() {
    for ahead in [true, false] {
        let world = World::new(7, params(3600));
        let mut rng = ChaCha20Rng::seed_from_u64(42);
        let keys = ClientKeys::generate(&mut rng);
        let mut config = ClientConfig::new(world.providers()[0]);
        config.profile = "quick".into();
        let (right, by) = (world.now + secs(1800.0), secs(1200.0));
        let mut now = if ahead { right - by } else { right + by };
        let mut client = Client::new(world.params.clone(), config, keys, rng, &[], now).unwrap();
        let (entry, handle) = (world.providers()[1], ClientHandle::new([9; 32]));
        client.handle_input(now, ClientInput::View(Arc::clone(&world.view)));
        client.handle_input(now, ClientInput::Attached { entry, handle });
        // Somebody else, at the same providers.
        let keys = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(43));
        client.handle_input(now, to_invite(1));
        let to = shoal_client::Invitation {
            key: keys.public(),
            ..client.invitations().remove(0).invitation
        };
        let input = to_send(&client, 1, &to, b"hello");
        client.handle_input(now, input);
        assert!(drive(&mut client, &mut now, secs(20.0)) > 50);
        let (before, sent) = (client.counters(), client.sent_messages().next());
        assert!(before.sent_real > 0 && sent.is_some());

        now = if ahead { now + by } else { now - by };
        client.handle_input(now, ClientInput::ClockMoved { ahead, by });
        assert!(!client.is_running(), "the connection is gone");
        assert_eq!(drive(&mut client, &mut now, secs(5.0)), 0);
        let after = client.counters();
        assert_eq!((after.missed_ticks, after.loops_lost), (0, 0));
        assert_eq!(after.reply_keys, 0);
        assert_eq!(client.sent_messages().next(), sent, "dates stay");

        client.handle_input(now, ClientInput::Attached { entry, handle });
        drive(&mut client, &mut now, secs(60.0));
        let after = client.counters();
        assert_eq!(after.missed_ticks, 0);
        assert!(after.sent_real > before.sent_real, "it is sent again");
        // Losses are looked for as before.
        assert!(after.loops_lost > 5, "{after:?}");
    }
}

#[test]
fn nothing_runs_without_link_or_view() {
    let mut world = World::new(6, params(3600));
    let who = world.add(0, "quick");
    let view = Arc::clone(&world.view);
    world.input(who, ClientInput::View(view));
    world.run(secs(10.0));
    assert!(world.hosts[who].frames.is_empty());
    world.attach(who, 1);
    world.run(secs(10.0));
    let sent = world.hosts[who].frames.len();
    assert!(sent > 30, "{sent}");
    world.detach(who);
    world.run(secs(10.0));
    assert_eq!(world.hosts[who].frames.len(), sent);
    assert!(!world.hosts[who].client.is_running());
}

#[test]
fn a_new_view_restarts_nothing() {
    let mut world = World::new(6, params(3600));
    let who = world.add(0, "quick");
    world.attach(who, 1);
    let before = world.hosts[who].client.poll_deadline();
    for _ in 0..5 {
        let view = Arc::clone(&world.view);
        world.input(who, ClientInput::View(view));
    }
    assert_eq!(world.hosts[who].client.poll_deadline(), before);
}

#[test]
fn the_first_mailbox_packet_waits_as_configured() {
    let firsts = (0..40).map(|seed| {
        let mut world = World::new(seed, params(3600));
        let mut config = ClientConfig::new(world.providers()[0]);
        config.profile = "calm".into();
        config.first_contact_mean = Span::from_secs(20);
        let who = world.add_with(config);
        world.attach(who, 1);
        let start = world.now;
        let sent = |world: &World| world.hosts[who].client.counters().sent_mailbox > 0;
        while !sent(&world) {
            world.hosts[who].deaf = true;
            let next = world.hosts[who].client.poll_deadline().unwrap();
            world.now = next;
            // Frames go nowhere: only the instants matter.
            while let Some(_action) = world.hosts[who].client.poll_action(next) {}
        }
        world.now.since(start).as_secs_f64()
    });
    let mean = firsts.sum::<f64>() / 40.0;
    assert!((10.0..32.0).contains(&mean), "{mean}");
}
