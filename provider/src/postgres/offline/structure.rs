//! Whether the tables and indexes are those that this release makes.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::super::failure::failure;
use super::super::load::get;
use super::super::schema::TABLES;
use crate::StoreError;
use crate::offline::report::{Fault, Step};

/// Columns and indexes of a schema, each in words that do not name it.
const FOUND: &str = "
SELECT relname || '.' || attname, format_type(atttypid, atttypmod) || ' ' || attnotnull FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = $1::bigint::oid AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT index.relname, indisvalid || ' ' || regexp_replace(pg_get_indexdef(index.oid), ' ON [^ ]+ USING ', ' ON ' || tables.relname || ' ')
FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_class AS tables ON tables.oid = indrelid
WHERE index.relnamespace = $1::bigint::oid";

/// They are compared with those of a model among the connection's temporary tables, which is given up at once.
pub(super) async fn tables(client: &Client, schema: &str) -> Result<Vec<Fault>, StoreError> {
    let sql = "SELECT $1::text::regnamespace::oid::bigint";
    let ours = all(client, sql, &[&schema]).await?;
    // Tables are made there, also those that a schema of this name would have.
    let begin = format!("BEGIN; SET LOCAL search_path TO pg_temp; {TABLES}");
    let made = client.batch_execute(&begin).await.map_err(failure);
    let model = async {
        made?;
        all(client, "SELECT pg_my_temp_schema()::bigint", &[]).await
    };
    let model = model.await;
    let end = client.batch_execute("ROLLBACK").await.map_err(failure);
    let model = model?;
    end?;
    let names = |found: &BTreeSet<(String, String)>| -> BTreeSet<String> {
        found.iter().map(|(name, _)| name.clone()).collect()
    };
    let known = names(&model);
    let missing = model.difference(&ours).map(|(name, _)| name.clone());
    let strange = names(&ours).difference(&known).cloned().collect::<Vec<_>>();
    Ok(missing.chain(strange).map(other).collect())
}

fn other(name: String) -> Fault {
    Fault {
        step: Step::Structure,
        kind: "structure",
        what: format!("{name} is not as this release makes it"),
        rows: 0,
        first: None,
    }
}

async fn all(
    client: &Client,
    namespace: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<BTreeSet<(String, String)>, StoreError> {
    let row = client.query_one(namespace, params).await.map_err(failure)?;
    let namespace: i64 = get(&row, 0)?;
    let rows = client.query(FOUND, &[&namespace]).await.map_err(failure)?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect()
}
