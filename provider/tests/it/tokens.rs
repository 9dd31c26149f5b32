//! What opens a mailbox in a store, and which mailboxes nobody needs, engine by engine.

use shoal_proto::{Span, Time};
use shoal_provider::{Claim, Opening, SpentToken, StoreLimits, StoreOp, StoreOutcome, Usage};

use crate::engines::{Make, on_all_engines};
use crate::operations::{
    T0, after, attend, one, put, put_for, register, sqlite_store, stored, with_opening, with_token,
};

on_all_engines!(
    an_unknown_mailbox_is_refused_without_a_token,
    a_token_opens_once,
    what_is_claimed_is_given_once,
    what_is_replayed_or_known_spends_nothing,
    a_token_is_not_spent_on_a_mailbox_that_finds_no_room,
    what_would_not_count_any_more_is_forgotten,
    mailboxes_that_nobody_uses_are_given_up_after_a_day,
    a_command_tells_when_the_mailbox_was_opened_and_what_waits,
);

const HOUR: Span = Span::from_secs(3600);

fn open(owner: u8, counter: u64) -> StoreOp {
    attend(owner, counter, &[], &[register(1)])
}

fn closed(owner: u8, counter: u64) -> StoreOp {
    with_opening(open(owner, counter), Opening::Closed)
}

fn is_opened(outcome: &StoreOutcome) -> bool {
    matches!(outcome, StoreOutcome::Attended { opened: true, .. })
}

fn is_known(outcome: &StoreOutcome) -> bool {
    matches!(outcome, StoreOutcome::Attended { opened: false, .. })
}

fn an_unknown_mailbox_is_refused_without_a_token(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let outcome = one(&mut *store, T0, closed(1, 1));
    assert_eq!(outcome, StoreOutcome::Refused);
    assert_eq!(store.usage(), Usage::default());
    assert_eq!(one(&mut *store, T0, put(1, 1)), StoreOutcome::Refused);
    // A known one needs none, also with the counter that was refused.
    assert!(is_opened(&one(&mut *store, T0, with_token(open(1, 1), 1))));
    assert!(is_known(&one(&mut *store, T0, closed(1, 2))));
    assert_eq!(one(&mut *store, T0, put(1, 1)), stored(1, 1));
}

fn a_token_opens_once(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    assert!(is_opened(&one(&mut *store, T0, with_token(open(1, 1), 1))));
    let again = one(&mut *store, T0, with_token(open(2, 1), 1));
    assert_eq!(again, StoreOutcome::Spent);
    assert_eq!(store.usage().mailboxes, 1);
    assert!(is_opened(&one(&mut *store, T0, with_token(open(2, 1), 2))));
    // Also within one group, where the first counts.
    let group = vec![with_token(open(3, 1), 3), with_token(open(4, 1), 3)];
    let outcomes: Vec<_> = store
        .apply(T0, group)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(is_opened(&outcomes[0]));
    assert_eq!(outcomes[1], StoreOutcome::Spent);
    assert_eq!(store.usage().mailboxes, 3);
}

fn what_is_claimed_is_given_once(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let claim = |request: u8, rights: &[u8]| {
        StoreOp::Claim(Claim {
            request: [request; 32],
            rights: rights.iter().map(|right| [*right; 32]).collect(),
            expires: after(2000),
        })
    };
    let claimed = |again| StoreOutcome::Claimed { again };
    let two = [1, 2];
    assert_eq!(one(&mut *store, T0, claim(101, &two)), claimed(false));
    assert_eq!(one(&mut *store, T0, claim(101, &two)), claimed(true));
    // Also within one group.
    let group = [102, 103, 102, 104].map(|request| claim(request, &two));
    let outcomes = store.apply(T0, group.into()).into_iter();
    let outcomes: Vec<_> = outcomes.map(Result::unwrap).collect();
    let spent = StoreOutcome::Spent;
    assert_eq!(
        outcomes,
        [claimed(false), spent.clone(), claimed(true), spent.clone()]
    );
    assert_eq!(one(&mut *store, T0, claim(105, &[])), spent);
    assert_eq!(one(&mut *store, T0, claim(105, &[2, 3])), claimed(false));
    // What expired is there again.
    let rows = one(&mut *store, after(2000), StoreOp::Expire);
    let all = StoreOutcome::Expired {
        removed: 6,
        more: false,
    };
    assert_eq!(rows, all);
    assert_eq!(
        one(&mut *store, after(2000), claim(103, &two)),
        claimed(false)
    );
    assert_eq!(store.usage(), Usage::default());
}

fn what_is_replayed_or_known_spends_nothing(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let first = with_token(open(1, 1), 1);
    assert!(is_opened(&one(&mut *store, T0, first.clone())));
    let replayed = StoreOutcome::Replayed { generation: 1 };
    assert_eq!(one(&mut *store, T0, first), replayed);
    // The owner does not know yet that the mailbox is open: neither token is spent for it.
    assert!(is_known(&one(&mut *store, T0, with_token(open(1, 2), 1))));
    assert!(is_known(&one(&mut *store, T0, with_token(open(1, 3), 2))));
    assert!(is_opened(&one(&mut *store, T0, with_token(open(2, 1), 2))));
}

fn a_token_is_not_spent_on_a_mailbox_that_finds_no_room(make: Make<'_>) {
    let limits = StoreLimits {
        mailboxes: 1,
        mailbox_idle: Span::from_secs(50),
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    one(&mut *store, T0, with_token(open(1, 1), 1));
    let full = one(&mut *store, T0, with_token(open(2, 1), 2));
    assert_eq!(full, StoreOutcome::Refused);
    let spent = one(&mut *store, T0, with_token(open(2, 1), 1));
    assert_eq!(spent, StoreOutcome::Spent);
    let over = after(3600 + 50);
    one(&mut *store, over, StoreOp::Expire);
    let opened = one(&mut *store, over, with_token(open(2, 1), 2));
    assert!(is_opened(&opened));
}

fn what_would_not_count_any_more_is_forgotten(make: Make<'_>) {
    let limits = StoreLimits {
        expire_batch: 2,
        ..StoreLimits::default()
    };
    let mut store = make(limits);
    let token = |n: u8, expires| {
        let (name, expires) = ([n; 32], after(expires));
        Opening::Token(SpentToken { name, expires })
    };
    for n in 1..=3 {
        one(&mut *store, T0, with_opening(open(n, 1), token(n, 1000)));
    }
    one(&mut *store, T0, with_opening(open(4, 1), token(4, 1001)));
    let mut expire = |now: Time| match one(&mut *store, now, StoreOp::Expire) {
        StoreOutcome::Expired { removed, more } => (removed, more),
        other => panic!("{other:?}"),
    };
    assert_eq!(expire(after(999)), (0, false));
    assert_eq!(expire(after(1000)), (2, true));
    assert_eq!(expire(after(1000)), (1, false));
    let now = after(1000);
    let still = one(&mut *store, now, with_opening(open(9, 1), token(4, 1001)));
    assert_eq!(still, StoreOutcome::Spent);
    // No core lets such a token through: it is of a key that it has no more.
    let gone = one(&mut *store, now, with_opening(open(9, 1), token(1, 1000)));
    assert!(is_opened(&gone));
}

fn mailboxes_that_nobody_uses_are_given_up_after_a_day(make: Make<'_>) {
    let limits = StoreLimits::default();
    let (trial, idle) = (limits.mailbox_trial, limits.mailbox_idle);
    let mut store = make(limits);
    // One that is left alone, one that is used until the end of the hour after that in which it was opened, one whose
    // owner comes back after that, and one that somebody has written to.
    for owner in 1..=4 {
        one(&mut *store, T0, open(owner, 1));
    }
    one(&mut *store, after(7199), attend(2, 2, &[], &[]));
    one(&mut *store, after(7200), attend(3, 2, &[], &[]));
    one(&mut *store, T0, put_for(4, 1, 1));
    // Only the hour of the last time is known.
    let last = T0 + trial + HOUR;
    let left = |store: &mut dyn shoal_provider::Store, now| {
        one(store, now, StoreOp::Expire);
        store.usage().mailboxes
    };
    assert_eq!(left(&mut *store, last - Span::from_secs(1)), 4);
    assert_eq!(left(&mut *store, last), 3);
    assert!(is_opened(&one(&mut *store, last, open(1, 2))));
    assert_eq!(left(&mut *store, last + Span::from_secs(3599)), 4);
    assert_eq!(left(&mut *store, last + HOUR), 3);
    // Its drop ids are gone with it.
    let later = last + HOUR;
    assert_eq!(
        one(&mut *store, later, put_for(2, 1, 1)),
        StoreOutcome::Refused
    );
    // The others stay as long as any, but for the one that was opened again.
    let end = T0 + idle + HOUR - Span::from_secs(1);
    assert_eq!(left(&mut *store, end), 2);
    assert_eq!(left(&mut *store, end + Span::from_secs(7201)), 0);
}

fn a_command_tells_when_the_mailbox_was_opened_and_what_waits(make: Make<'_>) {
    let mut store = make(StoreLimits::default());
    let mut told = |now, op| match one(&mut *store, now, op) {
        StoreOutcome::Attended {
            created, waiting, ..
        } => (created, waiting),
        StoreOutcome::Stored { .. } => (now, 0),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(T0, open(1, 1)), (T0, 0));
    told(after(10), put(1, 1));
    told(after(10), put(1, 2));
    assert_eq!(told(after(20), attend(1, 2, &[], &[])), (T0, 2));
    // After what is acknowledged by it.
    assert_eq!(told(after(30), attend(1, 3, &[2], &[])), (T0, 1));
    // The hour and no more.
    assert_eq!(told(after(7199), open(2, 1)), (after(3600), 0));
    assert_eq!(told(after(7201), attend(2, 2, &[], &[])), (after(3600), 0));
}

/// What was spent is so after the store was opened again.
#[test]
fn no_restart_makes_a_token_good_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut store = sqlite_store(&path, StoreLimits::default());
    assert!(is_opened(&one(&mut store, T0, with_token(open(1, 1), 1))));
    drop(store);
    let mut store = sqlite_store(&path, StoreLimits::default());
    let again = one(&mut store, T0, with_token(open(2, 1), 1));
    assert_eq!(again, StoreOutcome::Spent);
    assert!(is_known(&one(&mut store, T0, closed(1, 2))));
}

#[cfg(feature = "postgres")]
#[test]
fn no_restart_makes_a_token_good_again_in_postgres() {
    let Some(server) = crate::postgres::server() else {
        return;
    };
    let mut store = server.store(StoreLimits::default());
    assert!(is_opened(&one(&mut store, T0, with_token(open(1, 1), 1))));
    drop(store);
    let mut store = server.open(StoreLimits::default());
    let again = one(&mut store, T0, with_token(open(2, 1), 1));
    assert_eq!(again, StoreOutcome::Spent);
    assert!(is_known(&one(&mut store, T0, closed(1, 2))));
}
