//! Tokens at one provider: asked for, answered, brought, spent.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::command::{TokenAnswer, TokenProof, TokenRefusal};
use shoal_packet::token::{PendingToken, TokenCode};
use shoal_proto::Span;
use shoal_provider::{DropReason, Limits, RefusedToken, StoreError, StoreLimits};
use shoal_topology::{TokenDemand, TokenWork, token_period};

use crate::world::{Owner, World};

fn world(seed: u64, demand: TokenDemand) -> World {
    World::issuing(seed, Limits::default(), StoreLimits::default(), demand)
}

fn refused(why: TokenRefusal) -> TokenAnswer {
    TokenAnswer::Refused(why)
}

fn pending(world: &mut World) -> (PendingToken, [u8; 32]) {
    PendingToken::blind(&mut world.rng).unwrap()
}

fn one_answer(world: &mut World) -> TokenAnswer {
    world.run_secs(3);
    let answers = world.token_answers();
    let [(_, answer)] = answers[..] else {
        panic!("{answers:?}")
    };
    answer
}

#[test]
fn a_token_that_was_asked_for_opens_one_mailbox() {
    let mut world = world(1, TokenDemand::Open);
    let now = world.now;
    let terms = world.provider.token_terms(now).unwrap();
    assert_eq!(terms.demand, TokenDemand::Open);
    let (pending, blinded) = pending(&mut world);
    world.ask(terms.key.number(), blinded, TokenProof::None);
    let TokenAnswer::Issued { number, evaluation } = one_answer(&mut world) else {
        panic!("refused")
    };
    assert_eq!(number, terms.key.number());
    let token = pending.finish(&terms.key, &evaluation).unwrap();
    // Not without it; with it, also after what was refused; and never again.
    let (mut owner, mut other) = (Owner::new(1), Owner::new(2));
    world.attend(&mut owner, &[], &[]);
    world.run_secs(1);
    assert_eq!(world.dropped, [DropReason::MailboxToken]);
    assert_eq!(world.store.usage().mailboxes, 0);
    world.attend_with(&mut owner, Some(token.clone()));
    // A second command of the owner, who does not know yet, is no second spending.
    world.attend_with(&mut owner, Some(token.clone()));
    world.run_secs(1);
    assert_eq!(world.store.usage().mailboxes, 1);
    assert_eq!(world.dropped.len(), 1);
    world.attend(&mut owner, &[], &[]);
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        world.dropped.clear();
        world.attend_with(&mut other, Some(token.clone()));
        world.run_secs(1);
        assert_eq!(world.dropped, [DropReason::TokenSpent]);
        assert_eq!(world.store.usage().mailboxes, 1);
    }
    // The owner needs no token after the restart.
    world.attend(&mut owner, &[], &[]);
    world.run_secs(1);
    assert_eq!(world.provider.counters().mailboxes.active, 1);
}

#[test]
fn counters_tell_what_was_issued_and_spent() {
    let mut world = world(2, TokenDemand::Open);
    let number = token_period(world.now);
    for _ in 0..3 {
        let (_, blinded) = pending(&mut world);
        world.ask(number, blinded, TokenProof::None);
    }
    world.run_secs(3);
    for n in 1..=2 {
        let token = world.token();
        world.attend_with(&mut Owner::new(n), Some(token));
    }
    world.run_secs(1);
    let counters = world.provider.counters();
    assert_eq!((counters.tokens.issued, counters.replies.token), (3, 3));
    assert_eq!(
        (counters.mailboxes.opened, counters.mailboxes.spent),
        (2, 2)
    );
    assert_eq!(counters.packets.token_requests, 3);
}

/// The same as an answer to a deposit: 20 ms and an exponential time after the question.
#[test]
fn answers_are_held_as_every_other() {
    let mut world = world(3, TokenDemand::Open);
    let number = token_period(world.now);
    let mut waits = Vec::new();
    for round in 0..60 {
        let (_, blinded) = pending(&mut world);
        // Whether there is a token makes no difference.
        world.ask(number + round % 2, blinded, TokenProof::None);
        let asked = world.now;
        world.run_secs(2);
        let answers = world.token_answers();
        waits.extend(answers.iter().map(|(at, _)| at.since(asked).as_secs_f64()));
    }
    assert_eq!(waits.len(), 60);
    assert!(waits.iter().all(|wait| *wait >= 0.02), "{waits:?}");
    let mean = waits.iter().sum::<f64>() / 60.0;
    assert!((0.08..0.16).contains(&mean), "{mean}");
}

#[test]
fn what_is_asked_for_has_to_be_shown() {
    let mut code = world(4, TokenDemand::Code);
    let number = token_period(code.now);
    let (_, blinded) = pending(&mut code);
    let own = code.local;
    let elsewhere = code.entry;
    let of = |provider, text| TokenProof::Code(TokenCode::of(provider, text));
    for wrong in [
        TokenProof::None,
        TokenProof::Work(Box::new([0; 88])),
        of(&own, "letmeout"),
        of(&elsewhere, "letmein"),
    ] {
        code.ask(number, blinded, wrong);
        assert_eq!(one_answer(&mut code), refused(TokenRefusal::Proof));
    }
    for known in ["letmein", "friends"] {
        code.ask(number, blinded, of(&own, known));
        assert!(matches!(one_answer(&mut code), TokenAnswer::Issued { .. }));
    }

    let mut work = world(5, TokenDemand::Work { bits: 1 });
    let done = TokenWork {
        network: work.params.chain(),
        provider: work.local,
        number,
        blinded,
    };
    let proof = (0..).find_map(|nonce| done.seek(nonce, 1)).unwrap();
    let (_, other) = pending(&mut work);
    for (blinded, wrong) in [
        (blinded, TokenProof::None),
        (blinded, of(&own, "letmein")),
        (blinded, TokenProof::Work(Box::new([0; 88]))),
        (other, TokenProof::Work(proof.clone())),
    ] {
        work.ask(number, blinded, wrong);
        assert_eq!(one_answer(&mut work), refused(TokenRefusal::Proof));
    }
    work.ask(number, blinded, TokenProof::Work(proof));
    assert!(matches!(one_answer(&mut work), TokenAnswer::Issued { .. }));
}

/// For one person: what was lost on the way is given again, what was given to another is not.
#[test]
fn a_code_for_so_many_gives_no_more_in_a_period() {
    let mut world = world(9, TokenDemand::Code);
    let number = token_period(world.now);
    let code = TokenCode::of(&world.local, "myfriend");
    let ask = |world: &mut World, number, blinded| {
        world.ask(number, blinded, TokenProof::Code(code.clone()));
        one_answer(world)
    };
    let now = world.now;
    let key = world.provider.token_terms(now).unwrap().key;
    let (asked, first) = pending(&mut world);
    let [second, third] = [(); 2].map(|()| pending(&mut world).1);
    // An answer may be lost: the same is given again.
    let tokens = [(); 3].map(|()| {
        let TokenAnswer::Issued { evaluation, .. } = ask(&mut world, number, first) else {
            panic!("refused")
        };
        asked.finish(&key, &evaluation).unwrap().spent()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        let last = ask(&mut world, number, second);
        assert!(matches!(last, TokenAnswer::Issued { .. }));
        assert_eq!(
            ask(&mut world, number, third),
            refused(TokenRefusal::NotNow)
        );
    }
    let counters = world.provider.counters();
    assert_eq!(
        counters.refused_tokens.of(RefusedToken::UsedUp),
        1,
        "since it was started"
    );
    assert_eq!(counters.tokens.issued, 0, "the same again is no other");
    // Of another period it gives as many.
    let before = ask(&mut world, number - 1, third);
    assert!(matches!(before, TokenAnswer::Issued { .. }));
    // A store that does not answer gives nothing, and takes nothing.
    world.store_fails = Some(StoreError::Io("full of sand".to_owned()));
    let (_, fourth) = pending(&mut world);
    world.ask(number - 1, fourth, TokenProof::Code(code.clone()));
    world.run_secs(3);
    assert_eq!(world.token_answers(), []);
    world.store_fails = None;
    let given = ask(&mut world, number - 1, fourth);
    assert!(matches!(given, TokenAnswer::Issued { .. }));
}

#[test]
fn keys_of_this_period_and_the_one_before_count_and_no_others() {
    let mut world = world(6, TokenDemand::Open);
    let period = token_period(world.now);
    let (_, blinded) = pending(&mut world);
    for (number, is_known) in [
        (period - 2, false),
        (period - 1, true),
        (period, true),
        (period + 1, false),
    ] {
        world.ask(number, blinded, TokenProof::None);
        let answer = one_answer(&mut world);
        assert_eq!(matches!(answer, TokenAnswer::Issued { .. }), is_known);
        assert!(is_known || answer == refused(TokenRefusal::UnknownKey));
        let before = world.store.usage().mailboxes;
        let token = world.token_of(number);
        let owner = u8::try_from(number + 2 - period).unwrap();
        world.attend_with(&mut Owner::new(1 + owner), Some(token));
        world.run_secs(1);
        let opened = world.store.usage().mailboxes - before;
        assert_eq!(opened == 1, is_known, "{number}");
    }
    assert_eq!(world.dropped, [DropReason::MailboxToken; 2]);
}

#[test]
fn no_more_are_issued_in_an_hour_than_may_be() {
    let limits = Limits {
        tokens_per_hour: 2,
        ..Limits::default()
    };
    let mut world = World::issuing(7, limits, StoreLimits::default(), TokenDemand::Open);
    let number = token_period(world.now);
    let (_, blinded) = pending(&mut world);
    // What is wrong takes none away.
    world.ask(number + 1, blinded, TokenProof::None);
    world.ask(number, [0; 32], TokenProof::None);
    assert_eq!(one_answer(&mut world), refused(TokenRefusal::UnknownKey));
    assert_eq!(world.dropped, [DropReason::BadCommand]);
    for is_issued in [true, true, false, false] {
        world.ask(number, blinded, TokenProof::None);
        let answer = one_answer(&mut world);
        assert_eq!(matches!(answer, TokenAnswer::Issued { .. }), is_issued);
        assert!(is_issued || answer == refused(TokenRefusal::NotNow));
    }
}

#[test]
fn who_issues_none_opens_for_nothing() {
    let mut world = World::new(8);
    let now = world.now;
    assert!(world.provider.token_terms(now).is_none());
    let (_, blinded) = pending(&mut world);
    world.ask(token_period(now), blinded, TokenProof::None);
    assert_eq!(one_answer(&mut world), refused(TokenRefusal::UnknownKey));
    // With a token, which stays unspent, and without.
    let token = world.token();
    world.attend_with(&mut Owner::new(1), Some(token.clone()));
    world.attend_with(&mut Owner::new(2), Some(token));
    world.attend(&mut Owner::new(3), &[], &[]);
    world.run_secs(1);
    assert_eq!(world.store.usage().mailboxes, 3);
    let mailboxes = world.provider.counters().mailboxes;
    assert_eq!((mailboxes.opened, mailboxes.spent), (3, 0));
}

#[test]
fn a_token_that_comes_when_no_more_may_be_opened_stays_good() {
    let limits = Limits {
        openings_per_hour: 1,
        ..Limits::default()
    };
    let mut world = World::issuing(9, limits, StoreLimits::default(), TokenDemand::Open);
    let (first, second) = (world.token(), world.token());
    let (mut one, mut other) = (Owner::new(1), Owner::new(2));
    // At once: the first is still on its way to the store.
    world.attend_with(&mut one, Some(first));
    world.attend_with(&mut other, Some(second.clone()));
    world.run_secs(1);
    assert_eq!(world.dropped, [DropReason::MailboxOpenings]);
    world.attend_with(&mut other, Some(second.clone()));
    // Who is known is not kept out.
    world.attend(&mut one, &[], &[]);
    world.run_secs(1);
    assert_eq!(world.dropped, [DropReason::MailboxOpenings; 2]);
    world.run(Span::from_secs(3600));
    world.attend_with(&mut other, Some(second));
    world.run_secs(1);
    assert_eq!(world.store.usage().mailboxes, 2);
}

#[test]
fn a_token_of_another_issuer_is_none() {
    let mut world = world(10, TokenDemand::Open);
    let number = token_period(world.now);
    let other = shoal_packet::token::IssuerSecret::derive(&[8; 32], number).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (pending, blinded) = PendingToken::blind(&mut rng).unwrap();
    let answer = other.evaluate(&mut rng, &blinded).unwrap();
    let token = pending.finish(&other.public(), &answer).unwrap();
    world.attend_with(&mut Owner::new(1), Some(token));
    world.run_secs(1);
    assert_eq!(world.dropped, [DropReason::MailboxToken]);
    assert_eq!(world.store.usage().mailboxes, 0);
}
