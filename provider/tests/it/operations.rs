//! Operations on a store, short to write, and the answers to them.

use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Span, Time};
use shoal_provider::{
    Change, EntryId, Owner, SqliteOptions, SqliteStore, Store, StoreLimits, StoreOp, StoreOutcome,
};

pub const T0: Time = Time::from_micros(1_800_000_000_000_000);

pub fn blob(fill: u8) -> Box<Blob> {
    Box::new(Blob::from_bytes(&[fill; 1472]).unwrap())
}

pub fn mailbox(n: u8) -> MailboxId {
    MailboxId::new([n; 32])
}

pub fn drop_id(n: u8) -> DropId {
    DropId::new([n; 32])
}

pub fn message(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

pub fn after(secs: u64) -> Time {
    T0 + Span::from_secs(secs)
}

pub fn put(drop: u8, id: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(drop),
        message: message(id),
        owner: Owner::First,
        blob: blob(id),
        expires: after(1000),
    }
}

pub fn granted(drop: u8, id: u8, owner: u8) -> StoreOp {
    StoreOp::Put {
        drop: drop_id(drop),
        message: message(id),
        owner: Owner::Granted(mailbox(owner)),
        blob: blob(id),
        expires: after(1000),
    }
}

pub fn attend(owner: u8, counter: u64, acks: &[u64], changes: &[Change]) -> StoreOp {
    StoreOp::Attend {
        mailbox: mailbox(owner),
        generation: 1,
        counter,
        stream: 0,
        acks: acks.iter().copied().map(EntryId::new).collect(),
        changes: changes.to_vec(),
    }
}

pub fn register(drop: u8) -> Change {
    Change::Register(drop_id(drop))
}

pub fn revoke(drop: u8) -> Change {
    Change::Revoke(drop_id(drop))
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
        drop: drop_id(drop),
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
        ..SqliteOptions::new(path, limits)
    };
    SqliteStore::open(options).unwrap()
}
