//! What has to hold of the rows in PostgreSQL: the rules of `shoal provider store verify` that need no key.

use std::cell::RefCell;

use super::{Server, ask};
use shoal_provider::StoreLimits;

/// What is wrong, and how many rows are.
const RULES: [(&str, &str); 9] = [
    (
        "a mailbox counts other entries than it has",
        "SELECT count(*) FROM mailboxes m WHERE waiting <> (SELECT count(*) FROM entries WHERE mailbox = m.id) \
         OR remembered <> (SELECT count(*) FROM remembered WHERE mailbox = m.id) \
         OR sets <> (SELECT count(*) FROM sets WHERE mailbox = m.id) OR freed < 0",
    ),
    (
        "a drop id counts other entries than it has",
        "SELECT count(*) FROM drops d WHERE waiting <> (SELECT count(*) FROM entries WHERE drop_id = d.id) \
         OR remembered <> (SELECT count(*) FROM remembered WHERE drop_id = d.id) OR freed < 0",
    ),
    (
        "an entry is of no mailbox, or under a drop id of another",
        "SELECT count(*) FROM entries e WHERE NOT EXISTS (SELECT 1 FROM drops d \
         WHERE d.id = e.drop_id AND d.mailbox = e.mailbox)",
    ),
    (
        "a name is of no mailbox, or under a drop id of another",
        "SELECT count(*) FROM remembered r WHERE NOT EXISTS (SELECT 1 FROM drops d \
         WHERE d.id = r.drop_id AND d.mailbox = r.mailbox)",
    ),
    (
        "an entry waits and was acknowledged",
        "SELECT count(*) FROM entries e JOIN remembered r ON r.id = e.id \
         OR (r.drop_id = e.drop_id AND r.message = e.message)",
    ),
    (
        "a number would be given again",
        "SELECT count(*) FROM entries e JOIN mailboxes m ON m.id = e.mailbox \
         WHERE e.entry < 1 OR e.entry >= m.next_entry",
    ),
    (
        "bytes are missing",
        "SELECT count(*) FROM entries WHERE length(blob) <> 1572 OR length(message) <> 32 OR expires_us < 0",
    ),
    (
        "a set has other names than ids",
        "SELECT count(*) FROM sets s WHERE size <> (SELECT count(*) FROM names WHERE set_id = s.id)",
    ),
    (
        "a row is of no mailbox",
        "SELECT (SELECT count(*) FROM sets WHERE mailbox NOT IN (SELECT id FROM mailboxes)) \
         + (SELECT count(*) FROM drops WHERE set_id NOT IN (SELECT id FROM sets)) \
         + (SELECT count(*) FROM names WHERE set_id NOT IN (SELECT id FROM sets))",
    ),
];

impl Server {
    /// What is wrong with the last schema; none if it is sound.
    pub fn damage(&self) -> Option<String> {
        let schema = self.options(StoreLimits::default()).schema;
        let found = RefCell::new(Vec::new());
        ask(&self.connection, async |client| {
            let path = format!("SET search_path TO {schema}");
            client.batch_execute(&path).await.unwrap();
            for (what, sql) in RULES {
                let rows: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
                if rows != 0 {
                    found.borrow_mut().push(format!("{what} ({rows})"));
                }
            }
        });
        let found = found.into_inner();
        (!found.is_empty()).then(|| found.join("; "))
    }

    /// Whether the last schema was made.
    pub fn has_tables(&self) -> bool {
        let schema = self.options(StoreLimits::default()).schema;
        let found = RefCell::new(false);
        ask(&self.connection, async |client| {
            let sql = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1)";
            let row = client.query_one(sql, &[&schema]).await.unwrap();
            *found.borrow_mut() = row.get(0);
        });
        found.into_inner()
    }
}

/// The rules find what they are for.
#[test]
fn damage_is_found() {
    use crate::operations::{T0, attend, one, put, register};

    let Some(server) = super::server() else {
        return;
    };
    assert!(!server.has_tables());
    let mut store = server.store(StoreLimits::default());
    assert!(server.has_tables());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    for id in 1..=4 {
        one(&mut store, T0, put(1, id));
    }
    one(&mut store, T0, attend(1, 2, &[1], &[]));
    drop(store);
    assert_eq!(server.damage(), None);
    for (harm, found) in [
        ("DELETE FROM entries WHERE entry = 2", "counts other"),
        ("UPDATE entries SET blob = 'short' WHERE entry = 3", "bytes"),
        ("UPDATE mailboxes SET next_entry = 4", "given again"),
        ("DELETE FROM names WHERE number = 7", "other names"),
        ("UPDATE drops SET mailbox = 77", "of another"),
        (
            "INSERT INTO remembered SELECT id, mailbox, drop_id, message, expires_us FROM entries WHERE entry = 4",
            "waits and was",
        ),
    ] {
        server.execute(harm);
        let told = server.damage().expect(harm);
        assert!(told.contains(found), "{harm}: {told}");
    }
}
