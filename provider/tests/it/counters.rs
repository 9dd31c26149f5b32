//! Every counter, level and reason moves.

use std::collections::BTreeSet;

use shoal_packet::command::{Command, DropChange, MailboxRequest, TokenProof};
use shoal_packet::token::{PendingToken, TokenCode};
use shoal_proto::{ClientHandle, Span, SurbId};
use shoal_provider::{Limits, ProviderInput, StoreError, StoreLimits};
use shoal_topology::{TokenDemand, token_period};

use crate::operations::set;
use crate::world::{FIRST, Owner, World, delivery, payload};

type Series = (&'static str, Option<&'static str>);

/// The series that were seen above 0.
#[derive(Default)]
struct Moved(BTreeSet<Series>);

impl Moved {
    fn look(&mut self, world: &World) {
        let counters = world.provider.counters();
        let moved = counters.samples().filter(|sample| sample.value > 0);
        self.0
            .extend(moved.map(|sample| (sample.metric.name, sample.label)));
    }
}

fn offer(world: &mut World) {
    let (payload, now) = (payload(&mut world.rng), world.now);
    world.deliver(delivery(None, [1; 32], payload, now));
}

fn clients(world: &mut World, moved: &mut Moved) {
    let handle = ClientHandle::new([1; 32]);
    let profile = "default".to_owned();
    world.input(ProviderInput::Attached { handle, profile });
    world.input(ProviderInput::Notices(vec![vec![7; 9].into()]));
    offer(world);
    world.run_secs(2);
    world.sleep(Span::from_secs(5));
    (0..3).for_each(|_| offer(world));
    moved.look(world);
    world.input(ProviderInput::LinkFull { handle });
    world.input(ProviderInput::Detached { handle });
    offer(world);
    moved.look(world);
}

fn answers(world: &mut World, moved: &mut Moved) {
    world.plaintext(Vec::new());
    world.command(&Command::NodeLoop(SurbId::new([5; 16])));
    world.command(&Command::Drop);
    for epoch in [FIRST, FIRST.next()] {
        let surb = world.surb(epoch);
        let surb_epoch = epoch.byte();
        world.command(&Command::Dummy { surb_epoch, surb });
    }
    world.store_delay = Span::ZERO;
    world.deposit(1, 1);
    world.deposit(9, 1);
    world.run_secs(4);
    world.store_fails = Some(StoreError::DiskFull);
    world.deposit(1, 9);
    world.run_secs(4);
    world.store_fails = None;
    world.store_delay = Span::from_secs(10);
    world.deposit(1, 1);
    world.deposit(1, 2);
    // A third operation is one too many.
    world.deposit(1, 3);
    moved.look(world);
    world.run_secs(11);
    world.store_delay = Span::ZERO;
    world.store_fails = Some(StoreError::Busy);
    world.attend(&mut Owner::new(2), &[], &[]);
    world.run_secs(4);
    world.store_fails = None;
    moved.look(world);
}

fn mailboxes(world: &mut World, moved: &mut Moved) {
    let mut owner = Owner::new(1);
    let register = [DropChange::Register(set(1))];
    let request = owner.request(world.surbs(FIRST), &[], &register);
    world.owner_command(&owner, request.clone());
    moved.look(world);
    world.run_secs(1);
    world.owner_command(&owner, request);
    world.run_secs(1);
    let unknown = MailboxRequest {
        profile: 9,
        ..owner.request(world.surbs(FIRST), &[], &[])
    };
    world.owner_command(&owner, unknown);
    world.run_secs(1);
    let void = MailboxRequest {
        surb_epoch: 0,
        ..owner.request(world.surbs(FIRST), &[], &[])
    };
    world.owner_command(&owner, void);
    world.run_secs(1);
    for _ in 0..40 {
        world.attend(&mut owner, &[], &[]);
        world.run(Span::from_millis(15));
    }
    world.deposit(1, 1);
    world.run_secs(50);
    world.attend(&mut owner, &[1], &[]);
    moved.look(world);
    world.run_secs(1);
    let mut others = Owner::new(2);
    // One is one too many.
    let two = [register[0].clone(), DropChange::Register(set(2))];
    world.attend(&mut others, &[], &two);
    world.run_secs(1);
    world.attend(&mut Owner::new(3), &[], &[]);
    let surbs = world.surbs(FIRST);
    let mut forged = others.request(surbs, &[], &[]);
    forged.mailbox = owner.mailbox();
    world.forge(&others, forged);
    world.run_secs(20);
    moved.look(world);
}

/// At a provider that issues tokens.
fn tokens(moved: &mut Moved) {
    let limits = Limits {
        tokens_per_hour: 2,
        openings_per_hour: 2,
        active_mailboxes: 1,
        ..Limits::default()
    };
    let demand = TokenDemand::Code;
    let mut world = World::issuing(2, limits, StoreLimits::default(), demand);
    let number = token_period(world.now);
    let (_, blinded) = PendingToken::blind(&mut world.rng).unwrap();
    // Which gives two.
    let own = TokenProof::Code(TokenCode::of(&world.local, "myfriend"));
    for _ in 0..3 {
        let (_, blinded) = PendingToken::blind(&mut world.rng).unwrap();
        world.ask(number, blinded, own.clone());
    }
    world.run_secs(1);
    let code = TokenProof::Code(TokenCode::of(&world.local, "friends"));
    for (number, proof) in [
        (number, code.clone()),
        (number, code.clone()),
        (number, TokenProof::None),
        (0, code),
    ] {
        world.ask(number, blinded, proof);
    }
    let token = world.token();
    world.attend(&mut Owner::new(1), &[], &[]);
    let mut second = Owner::new(2);
    world.attend_with(&mut second, Some(token.clone()));
    world.run_secs(30);
    world.attend_with(&mut Owner::new(3), Some(token));
    let token = world.token();
    world.attend_with(&mut Owner::new(4), Some(token));
    world.run(Span::from_millis(20));
    world.attend(&mut second, &[], &[]);
    world.run_secs(1);
    let token = world.token();
    world.attend_with(&mut Owner::new(5), Some(token));
    world.run_secs(1);
    moved.look(&world);
}

#[test]
fn every_counter_and_level_moves() {
    let limits = Limits {
        downlink_queue: 2,
        store_operations: 2,
        active_mailboxes: 2,
        ..Limits::default()
    };
    let quotas = StoreLimits {
        sets_per_mailbox: 1,
        ..StoreLimits::default()
    };
    let mut moved = Moved::default();
    tokens(&mut moved);
    let mut world = World::with_life(1, limits.clone(), quotas, Span::from_secs(500));
    clients(&mut world, &mut moved);
    mailboxes(&mut world, &mut moved);
    world.sleep(Span::from_secs(5));
    answers(&mut world, &mut moved);
    world.run_secs(600);
    moved.look(&world);
    let all = world.provider.counters().samples();
    let still: Vec<Series> = all
        .map(|sample| (sample.metric.name, sample.label))
        .filter(|series| !moved.0.contains(series))
        .collect();
    assert!(still.is_empty(), "{still:?}");
}
