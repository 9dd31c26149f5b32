//! What a group reads: as much as it is about, however much there is.

use std::time::Duration;

use shoal_proto::MessageId;
use shoal_provider::{EntryId, Store, StoreLimits, StoreOp};

use super::{Server, server};
use crate::operations::{T0, after, attend, blob, drop_id, mailbox, one, register};

fn limits() -> StoreLimits {
    StoreLimits {
        entries_per_drop: 1 << 20,
        entries_per_mailbox: 1 << 20,
        remembered_per_drop: 10,
        ..StoreLimits::default()
    }
}

fn put(number: u32) -> StoreOp {
    let mut message = [0; 16];
    message[..4].copy_from_slice(&number.to_be_bytes());
    StoreOp::Put {
        drop: drop_id(1),
        message: MessageId::new(message),
        blob: blob(1),
        expires: after(1000),
    }
}

/// A deposit, a duplicate of it, an acknowledgement, and what an owner asks.
fn group(n: u32) -> Vec<StoreOp> {
    let acks = [u64::from(n) + 1];
    vec![
        put(n),
        put(n),
        attend(1, 100 + u64::from(n), &acks, &[]),
        StoreOp::Waiting {
            mailbox: mailbox(1),
        },
        StoreOp::List {
            mailbox: mailbox(1),
            drop: drop_id(1),
            after: EntryId::new(u64::from(n)),
            limit: 2,
        },
    ]
}

/// Rows that were read from tables and from indexes so far.
fn read(server: &Server) -> i64 {
    let schema = server.options(limits()).schema;
    let mut found = 0;
    super::ask(&server.connection, async |client| {
        let sql = "SELECT (SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE schemaname = $1 \
             AND relname <> 'meta') + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes \
             WHERE schemaname = $1)";
        found = client.query_one(sql, &[&schema]).await.unwrap().get(0);
    });
    found
}

#[test]
fn what_a_group_reads_does_not_grow_with_what_there_is() {
    let Some(server) = server() else { return };
    let mut store = server.store(limits());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let mut next = 0;
    let mut groups = |store: &mut dyn Store| {
        let before = read(&server);
        for n in next..next + 20 {
            assert!(store.apply(T0, group(n)).iter().all(Result::is_ok));
        }
        next += 20;
        // A connection reports what it has read with a transaction, a second after the last report.
        std::thread::sleep(Duration::from_millis(1200));
        one(store, T0, StoreOp::Check);
        read(&server) - before
    };
    // The server plans a statement for good when it has seen it a few times: here with empty tables.
    groups(&mut store);
    let few = groups(&mut store);
    let many = (0..3000).map(|n| put(1_000_000 + n)).collect();
    assert!(store.apply(T0, many).iter().all(Result::is_ok));
    groups(&mut store);
    let many = groups(&mut store);
    assert!(few > 20, "{few} rows were read");
    assert!(
        many < few * 2,
        "{few} rows with few entries, {many} with many"
    );
}
