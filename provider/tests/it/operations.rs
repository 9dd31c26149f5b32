//! Operations on a store, short to write, and the answers to them.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::command::{Blob, DropChange, DropSet, SetSize};
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MailboxId, MessageId, Span, Time};
use shoal_provider::{
    EntryId, Opening, SpentToken, SqliteOptions, SqliteStore, Store, StoreKey, StoreLimits,
    StoreOp, StoreOutcome,
};
use zeroize::Zeroizing;

pub const T0: Time = Time::from_micros(1_800_000_000_000_000);

pub fn blob(fill: u8) -> Box<Blob> {
    Box::new(Blob::from_bytes(&[fill; BLOB_BYTES]).unwrap())
}

pub fn mailbox(n: u8) -> MailboxId {
    MailboxId::new([n; 32])
}

/// A set that any mailbox may have; its ids differ with the mailbox.
pub fn set(n: u8) -> DropSet {
    DropSet::new([n; 32], SetSize::Small)
}

/// A mailbox's drop id of this set: the first.
pub fn drop_of(owner: u8, n: u8) -> DropId {
    set(n).id(&mailbox(owner), 0)
}

/// That of mailbox 1.
pub fn drop_id(n: u8) -> DropId {
    drop_of(1, n)
}

pub fn message(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

pub fn after(secs: u64) -> Time {
    T0 + Span::from_secs(secs)
}

/// Into mailbox 1.
pub fn put(drop: u8, id: u8) -> StoreOp {
    put_for(1, drop, id)
}

pub fn put_for(owner: u8, drop: u8, id: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_of(owner, drop),
        message: message(id),
        blob: blob(id),
        expires: after(1000),
    }
}

pub fn attend(owner: u8, counter: u64, acks: &[u64], changes: &[DropChange]) -> StoreOp {
    StoreOp::Attend {
        mailbox: mailbox(owner),
        generation: 1,
        counter,
        stream: 0,
        acks: acks.iter().copied().map(EntryId::new).collect(),
        changes: changes.to_vec(),
        opening: Opening::Free,
    }
}

/// The same with what is kept of a token, which counts until 2000 s.
pub fn with_token(op: StoreOp, token: u8) -> StoreOp {
    let (name, expires) = ([token; 32], after(2000));
    with_opening(op, Opening::Token(SpentToken { name, expires }))
}

pub fn with_opening(mut op: StoreOp, how: Opening) -> StoreOp {
    if let StoreOp::Attend { opening, .. } = &mut op {
        *opening = how;
    }
    op
}

pub fn register(drop: u8) -> DropChange {
    DropChange::Register(set(drop))
}

/// Of mailbox 1.
pub fn revoke(drop: u8) -> DropChange {
    DropChange::Revoke(drop_id(drop))
}

pub fn one(store: &mut dyn Store, now: Time, op: StoreOp) -> StoreOutcome {
    let mut results = store.apply(now, vec![op]);
    assert_eq!(results.len(), 1);
    results.pop().unwrap().unwrap()
}

pub fn stored(owner: u8, entry: u64) -> StoreOutcome {
    StoreOutcome::Stored {
        mailbox: mailbox(owner),
        entry: Some(EntryId::new(entry)),
    }
}

pub fn numbers(store: &mut dyn Store, now: Time, owner: u8, drop: u8, from: u64) -> Vec<u64> {
    let op = StoreOp::List {
        mailbox: mailbox(owner),
        drop: drop_of(owner, drop),
        after: EntryId::new(from),
        limit: 100,
    };
    let StoreOutcome::Entries(entries) = one(store, now, op) else {
        panic!("entries")
    };
    entries.iter().map(|entry| entry.entry.number()).collect()
}

pub fn sqlite_store(path: &std::path::Path, limits: StoreLimits) -> SqliteStore {
    let options = SqliteOptions {
        reserve: 0,
        ..SqliteOptions::new(path, key_of_store(), limits)
    };
    SqliteStore::open(options).unwrap()
}

/// What stores of the tests are sealed with.
pub fn key_of_store() -> StoreKey {
    store_key(0x21)
}

pub fn store_key(n: u8) -> StoreKey {
    let rng = ChaCha20Rng::seed_from_u64(n.into());
    StoreKey::new(Zeroizing::new([n; 32]), rng)
}
