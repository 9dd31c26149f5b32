//! Schemas that nobody has: what looking at one finds, and what it leaves as it was.

use shoal_proto::Span;
use shoal_provider::{
    CopyError, PostgresOptions, PostgresStore, StoreAt, StoreError, StoreLimits, export, import,
};

use super::{Server, server};
use crate::offline::filled;
use crate::operations::{T0, attend, one, put, register, stored};

/// Each lie, and what finds it.
const LIES: [(&str, &str); 31] = [
    (
        "UPDATE mailboxes SET created_us = -3600000000 WHERE id = 1",
        "mailbox_columns",
    ),
    (
        "UPDATE mailboxes SET window_bits = 1, generation = NULL",
        "mailbox_columns",
    ),
    (
        "UPDATE mailboxes SET used_us = used_us + 1 WHERE id = 1",
        "mailbox_hours",
    ),
    (
        "UPDATE mailboxes SET waiting = waiting + 1 WHERE id = 1",
        "mailbox_waiting",
    ),
    (
        "UPDATE mailboxes SET remembered = remembered + 1 WHERE id = 1",
        "mailbox_remembered",
    ),
    ("UPDATE mailboxes SET sets = 7 WHERE id = 1", "mailbox_sets"),
    (
        "UPDATE mailboxes SET next_entry = 2 WHERE waiting > 0",
        "entry_number",
    ),
    (
        "UPDATE mailboxes SET next_entry = 2 WHERE remembered > 0",
        "name_number",
    ),
    (
        "UPDATE mailboxes SET key = key || 'x' WHERE id = 1",
        "mailbox_sealed",
    ),
    (
        "UPDATE mailboxes SET sealed = set_byte(sealed, 3, 255 - get_byte(sealed, 3)) WHERE id = 1",
        "mailbox_sealed",
    ),
    (
        "UPDATE sets SET secret = set_byte(secret, 3, 255 - get_byte(secret, 3)) WHERE mailbox = 1",
        "set_sealed",
    ),
    ("UPDATE sets SET size = 65 WHERE mailbox = 1", "set_columns"),
    (
        "UPDATE sets SET mailbox = 7777 WHERE mailbox = 1",
        "set_mailbox",
    ),
    ("DELETE FROM sets WHERE mailbox = 1", "drop_set"),
    (
        "UPDATE drops SET number = 64 WHERE id = (SELECT min(id) FROM drops)",
        "drop_set",
    ),
    ("UPDATE drops SET freed = -1", "drop_columns"),
    ("UPDATE drops SET waiting = waiting + 1", "drop_waiting"),
    (
        "UPDATE drops SET remembered = remembered + 1",
        "drop_remembered",
    ),
    ("DELETE FROM drops WHERE mailbox = 1", "entry_place"),
    ("DELETE FROM drops WHERE remembered > 0", "name_place"),
    (
        "UPDATE entries SET blob = 'short' WHERE id = (SELECT min(id) FROM entries)",
        "blob_columns",
    ),
    (
        "UPDATE entries SET message = set_byte(message, 3, 255 - get_byte(message, 3))",
        "entry_sealed",
    ),
    (
        "UPDATE entries SET expires_us = -1 WHERE id = (SELECT min(id) FROM entries)",
        "entry_columns",
    ),
    (
        "UPDATE remembered SET expires_us = -1 WHERE id = (SELECT min(id) FROM remembered)",
        "name_columns",
    ),
    (
        "UPDATE remembered SET message = set_byte(message, 3, 255 - get_byte(message, 3))",
        "name_sealed",
    ),
    (
        "INSERT INTO remembered SELECT id, mailbox, entry, drop_id, message, expires_us FROM entries LIMIT 1",
        "name_waits",
    ),
    (
        "UPDATE remembered SET entry = (SELECT max(entry) FROM entries WHERE entries.mailbox = remembered.mailbox) \
         WHERE id = (SELECT min(id) FROM remembered)",
        "number_waits",
    ),
    ("DELETE FROM names WHERE number = 7", "name_missing"),
    (
        "UPDATE names SET number = number + 1 WHERE tag = (SELECT min(tag) FROM names)",
        "name_strange",
    ),
    ("UPDATE spent SET name = 'short'", "spent_columns"),
    ("DROP INDEX entries_expiry", "structure"),
];

#[test]
fn each_lie_in_the_rows_is_found() {
    let Some(server) = server() else { return };
    let at = filled(StoreAt::Postgres(server.named("lies")));
    let schema = server.named("lies").schema;
    let kinds = || -> Vec<&'static str> {
        let looked = at.look().unwrap();
        let report = looked.verify(&StoreLimits::default(), &mut |_| {}).unwrap();
        report.faults.iter().map(|fault| fault.kind).collect()
    };
    assert_eq!(kinds(), Vec::<&str>::new());
    let kept = server.named("kept").schema;
    server.execute_in(&schema, &format!("CREATE SCHEMA {kept}"));
    let each = |sql: &dyn Fn(&str) -> String| {
        let tables = "mailboxes sets names drops entries remembered spent";
        let all: Vec<String> = tables.split(' ').map(sql).collect();
        server.execute_in(&schema, &all.join("; "));
    };
    each(&|table| format!("CREATE TABLE {kept}.{table} AS TABLE {table}"));
    for (lie, found) in LIES {
        server.execute_in(&schema, lie);
        let told = kinds();
        assert!(told.contains(&found), "{lie}: {told:?}");
        each(&|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE {kept}.{table}"));
    }
    // What the last one did, no row mends.
    assert_eq!(kinds(), ["structure"]);
}

fn counts(server: &Server) -> (i64, i64) {
    let mut found = (0, 0);
    let schema = server.named("one").schema;
    super::ask(&server.connection, async |client| {
        let sql = format!(
            "SELECT fence, (SELECT sum(writer)::bigint FROM {schema}.turns) FROM {schema}.meta"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        found = (row.get(0), row.get(1));
    });
    found
}

/// A node that looks away for a while goes on with what it has: neither looking nor an import that is refused takes it over.
#[test]
fn only_an_import_that_counts_takes_over() {
    let Some(server) = server() else { return };
    let at = filled(StoreAt::Postgres(server.named("one")));
    let before = counts(&server);
    let mut copy = Vec::new();
    export(&*at.look().unwrap(), &mut copy, &mut |_| {}).unwrap();
    at.look()
        .unwrap()
        .verify(&StoreLimits::default(), &mut |_| {})
        .unwrap();
    let error = import(&mut *at.to_fill().unwrap(), &mut &copy[..], &mut |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::NotEmpty), "{error:?}");
    assert_eq!(counts(&server), before);
    server.execute_in(
        &server.named("one").schema,
        "TRUNCATE mailboxes, sets, names, drops, entries, remembered, spent",
    );
    import(&mut *at.to_fill().unwrap(), &mut &copy[..], &mut |_| {}).unwrap();
    assert_eq!(counts(&server), (before.0 + 1, before.1 + 2));
}

#[test]
fn a_schema_that_is_not_there_is_told_and_not_made() {
    let Some(server) = server() else { return };
    let at = StoreAt::Postgres(server.named("nowhere"));
    let error = at.look().err().unwrap();
    assert!(
        matches!(&error, StoreError::Foreign(text) if text.contains("nowhere")),
        "{error:?}"
    );
    let error = at.look().err().unwrap();
    assert!(matches!(error, StoreError::Foreign(_)), "it was made");
}

/// A node whose connection broke while its mailboxes were looked at goes on afterwards.
#[test]
fn who_was_cut_off_while_it_was_looked_at_goes_on() {
    let Some(server) = server() else { return };
    let mut store: PostgresStore = server.store(StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let impatient = PostgresOptions {
        patience: Span::from_millis(100),
        ..server.options(StoreLimits::default())
    };
    let at = StoreAt::Postgres(impatient);
    assert!(matches!(at.look(), Err(StoreError::Busy)));
    server.cut();
    drop(at.look().unwrap());
    assert_eq!(one(&mut store, T0, put(1, 1)), stored(1, 1));
}
