//! What has to hold in the tables. Files and indexes are the server's own to check, which has `pg_amcheck` for that.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Row};

use super::super::failure::failure;
use super::super::load::{get, number, set};
use super::super::options::PostgresOptions;
use super::cursor::{each, one};
use super::structure;
use crate::offline::report::{Fault, Names, Report, Rule, Step, exceeded, keep};
use crate::store::Usage;
use crate::{StoreError, StoreKey, StoreLimits};

const RULES: &[Rule] = &[
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_columns",
        what: "a mailbox has a key of another length, a negative count, was used before it was opened, or has a window before \
               its owner's first command",
        sql: "SELECT count(*), min(id) FROM mailboxes WHERE length(key) <> 32 OR length(sealed) <> 96 OR created_us < 0 \
              OR used_us < created_us OR next_entry < 1 OR waiting < 0 OR remembered < 0 OR sets < 0 OR freed < 0 \
              OR (generation IS NULL AND (window_highest <> 0 OR window_bits <> 0 OR window_refused <> 0 OR stream <> 0))",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_hours",
        what: "a mailbox says more than the hour in which it was opened or used",
        sql: "SELECT count(*), min(id) FROM mailboxes WHERE created_us % 3600000000 <> 0 OR used_us % 3600000000 <> 0",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_waiting",
        what: "a mailbox counts other entries than it has",
        sql: "SELECT count(*), min(id) FROM mailboxes LEFT JOIN \
              (SELECT mailbox, count(*) AS rows FROM entries GROUP BY mailbox) AS has ON has.mailbox = id \
              WHERE waiting <> coalesce(rows, 0)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_remembered",
        what: "a mailbox counts other acknowledged entries than its drop ids do",
        sql: "SELECT count(*), min(id) FROM mailboxes LEFT JOIN \
              (SELECT mailbox, sum(remembered) AS rows FROM drops GROUP BY mailbox) AS has ON has.mailbox = id \
              WHERE remembered <> coalesce(rows, 0)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_sets",
        what: "a mailbox counts other sets of drop ids than it has",
        sql: "SELECT count(*), min(id) FROM mailboxes LEFT JOIN \
              (SELECT mailbox, count(*) AS rows FROM sets GROUP BY mailbox) AS has ON has.mailbox = id \
              WHERE sets <> coalesce(rows, 0)",
    },
    Rule {
        step: Step::Sets,
        kind: "set_columns",
        what: "a set has a secret of another length, or a size that there is none of",
        sql: "SELECT count(*), min(id) FROM sets WHERE length(secret) <> 48 OR size NOT IN (64, 256)",
    },
    Rule {
        step: Step::Sets,
        kind: "set_mailbox",
        what: "a set is of no mailbox",
        sql: "SELECT count(*), min(sets.id) FROM sets LEFT JOIN mailboxes ON mailboxes.id = mailbox \
              WHERE mailboxes.id IS NULL",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_columns",
        what: "a drop id has a negative count",
        sql: "SELECT count(*), min(id) FROM drops WHERE waiting < 0 OR remembered < 0 OR freed < 0",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_set",
        what: "a drop id is of no set of its mailbox, or has a number beyond it",
        sql: "SELECT count(*), min(drops.id) FROM drops LEFT JOIN sets ON sets.id = set_id \
              AND sets.mailbox = drops.mailbox AND number >= 0 AND number < size WHERE sets.id IS NULL",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_waiting",
        what: "a drop id counts other entries than it has",
        sql: "SELECT count(*), min(id) FROM drops LEFT JOIN \
              (SELECT drop_id, count(*) AS rows FROM entries GROUP BY drop_id) AS has ON has.drop_id = id \
              WHERE waiting <> coalesce(rows, 0)",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_remembered",
        what: "a drop id counts other acknowledged entries than it has",
        sql: "SELECT count(*), min(id) FROM drops LEFT JOIN \
              (SELECT drop_id, count(*) AS rows FROM remembered GROUP BY drop_id) AS has ON has.drop_id = id \
              WHERE remembered <> coalesce(rows, 0)",
    },
    Rule {
        step: Step::Entries,
        kind: "blob_columns",
        what: "a blob, or the message id with it, has another length",
        sql: "SELECT count(*), min(id) FROM entries WHERE length(message) <> 32 OR length(blob) <> 1572",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_columns",
        what: "an entry expires before all time, or has a number below all",
        sql: "SELECT count(*), min(id) FROM entries WHERE expires_us < 0 OR id < 1",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_place",
        what: "an entry is under no drop id of its mailbox",
        sql: "SELECT count(*), min(entries.id) FROM entries LEFT JOIN drops ON drops.id = drop_id \
              AND drops.mailbox = entries.mailbox WHERE drops.id IS NULL",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_number",
        what: "an entry has a number that its mailbox would give again",
        sql: "SELECT count(*), min(entries.id) FROM entries LEFT JOIN mailboxes ON mailboxes.id = mailbox \
              WHERE entry < 1 OR entry >= coalesce(next_entry, 0)",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_columns",
        what: "the name of an entry has another length, or expires before all time",
        sql: "SELECT count(*), min(id) FROM remembered WHERE length(message) <> 32 OR expires_us < 0 OR id < 1",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_place",
        what: "the name of an entry is under no drop id of its mailbox",
        sql: "SELECT count(*), min(remembered.id) FROM remembered LEFT JOIN drops ON drops.id = drop_id \
              AND drops.mailbox = remembered.mailbox WHERE drops.id IS NULL",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_number",
        what: "an acknowledged entry has a number that its mailbox would give again",
        sql: "SELECT count(*), min(remembered.id) FROM remembered LEFT JOIN mailboxes ON mailboxes.id = mailbox \
              WHERE entry < 1 OR entry >= coalesce(next_entry, 0)",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_waits",
        what: "an entry waits and was acknowledged",
        sql: "SELECT count(*), min(remembered.id) FROM remembered JOIN entries USING (drop_id, message)",
    },
    Rule {
        step: Step::Remembered,
        kind: "number_waits",
        what: "an entry that waits and one that was acknowledged have one number",
        sql: "SELECT count(*), min(remembered.id) FROM remembered JOIN entries USING (mailbox, entry)",
    },
    Rule {
        step: Step::Spent,
        kind: "spent_columns",
        what: "the name of a spent token has another length, or expires before all time",
        sql: "SELECT count(*), NULL::bigint FROM spent WHERE length(name) <> 32 OR expires_us < 0",
    },
];

/// A provider's statements find a few rows by an index each; these read all, and join.
pub(super) async fn may_join(client: &Client) -> Result<(), StoreError> {
    let all = "SET enable_seqscan = on; SET enable_hashjoin = on; SET enable_mergejoin = on; \
        SET enable_bitmapscan = on; SET enable_sort = on; SET cursor_tuple_fraction = 1";
    client.batch_execute(all).await.map_err(failure)
}

/// And those that go through a table in its order, again.
async fn may_not_join(client: &Client) -> Result<(), StoreError> {
    let all = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
        SET enable_bitmapscan = off; SET enable_sort = off; SET cursor_tuple_fraction = 0.1";
    client.batch_execute(all).await.map_err(failure)
}

/// Everything. What the server does not let be read is an error, and what can't be read for damage a fault.
pub(super) async fn whole(
    client: &Client,
    options: &PostgresOptions,
    limits: &StoreLimits,
    step: &mut dyn FnMut(Step),
) -> Result<Report, StoreError> {
    let key = &options.key;
    let mut report = Report::default();
    step(Step::Structure);
    let found = structure::tables(client, &options.schema).await;
    keep(&mut report.faults, Step::Structure, found)?;
    may_join(client).await?;
    let mut at = Step::Structure;
    for rule in RULES {
        if rule.step != at {
            at = rule.step;
            step(at);
        }
        let found = broken(rule, client).await;
        keep(&mut report.faults, rule.step, found.map(Vec::from_iter))?;
    }
    let found = names(client, key).await;
    may_not_join(client).await?;
    keep(&mut report.faults, Step::Sets, found)?;
    let found = sealed(client, key).await;
    keep(&mut report.faults, Step::Mailboxes, found)?;
    let counted = counted(client).await.map(|(usage, most)| {
        report.exceeded = exceeded(limits, &usage, most);
        report.counted = usage;
        Vec::new()
    });
    keep(&mut report.faults, Step::Mailboxes, counted)?;
    Ok(report)
}

/// What has to hold of the rows: the first of a kind stands for all of it. What only the key tells is left out: whoever
/// takes rows seals them himself.
pub(super) async fn rows(client: &Client) -> Result<Vec<Fault>, StoreError> {
    let mut faults = Vec::new();
    for rule in RULES {
        faults.extend(broken(rule, client).await?);
    }
    Ok(faults)
}

async fn broken(rule: &Rule, client: &Client) -> Result<Option<Fault>, StoreError> {
    let row = one(client, rule.sql, &[]).await?;
    Ok(rule.broken(get(&row, 0)?, get(&row, 1)?))
}

const NAMES: &str = "SELECT mailboxes.sealed, secret, size, number, tag FROM names LEFT JOIN sets ON sets.id = set_id \
    LEFT JOIN mailboxes ON mailboxes.id = sets.mailbox";

/// They are read as they lie there, since in the order of their index each would be on another page.
async fn names(client: &Client, key: &StoreKey) -> Result<Vec<Fault>, StoreError> {
    let mut names = Names::default();
    each(client, [NAMES], |_, row| {
        let found: i64 = get(row, 4)?;
        names.saw(found, is_own_name(key, row, found).unwrap_or(false));
        Ok::<_, StoreError>(())
    })
    .await?;
    let all = "SELECT coalesce(sum(size), 0)::bigint FROM sets";
    Ok(names.faults(get(&one(client, all, &[]).await?, 0)?))
}

/// What is of no set, or in no state to tell, has no name either, and is an error here.
fn is_own_name(key: &StoreKey, row: &Row, found: i64) -> Result<bool, StoreError> {
    let own = key.open(get(row, 0)?)?;
    let (set, number) = (set(&own, row, 1)?, number(row, 3)?);
    Ok(number < set.size().count() && key.tag(&set.id(own.owner(), number)) == found)
}

/// What is sealed, each with its number and what it should be found by.
const SEALED: [(&str, &str); 4] = [
    (
        "mailbox_sealed",
        "SELECT id, sealed, key, NULL::bytea, NULL::bytea FROM mailboxes ORDER BY id",
    ),
    (
        "set_sealed",
        "SELECT sets.id, sealed, key, secret, NULL::bytea FROM sets JOIN mailboxes ON mailboxes.id = mailbox ORDER BY sets.id",
    ),
    (
        "entry_sealed",
        "SELECT entries.id, sealed, key, NULL::bytea, message FROM entries JOIN mailboxes ON mailboxes.id = mailbox \
         ORDER BY entries.id",
    ),
    (
        "name_sealed",
        "SELECT remembered.id, sealed, key, NULL::bytea, message FROM remembered JOIN mailboxes ON mailboxes.id = mailbox \
         ORDER BY remembered.id",
    ),
];

/// What can't be opened with the key, or says that it is another's.
async fn sealed(client: &Client, key: &StoreKey) -> Result<Vec<Fault>, StoreError> {
    let mut broken: BTreeMap<usize, (u64, i64)> = BTreeMap::new();
    each(client, SEALED.map(|(_, sql)| sql), |place, row| {
        if opens(key, row).is_err() {
            let (rows, _) = broken.entry(place).or_insert((0, get(row, 0)?));
            *rows += 1;
        }
        Ok::<_, StoreError>(())
    })
    .await?;
    let fault = |(place, (rows, first)): (usize, (u64, i64))| {
        let (kind, _) = SEALED.get(place)?;
        Some(Fault {
            step: match *kind {
                "set_sealed" => Step::Sets,
                "entry_sealed" => Step::Entries,
                "name_sealed" => Step::Remembered,
                _ => Step::Mailboxes,
            },
            kind,
            what: "what is sealed can't be opened with the store's key, or is another's".to_owned(),
            rows,
            first: Some(first),
        })
    };
    Ok(broken.into_iter().filter_map(fault).collect())
}

fn opens(key: &StoreKey, row: &Row) -> Result<(), StoreError> {
    let own = key.open(get(row, 1)?)?;
    if key.mailbox(own.owner()) != *get::<&[u8]>(row, 2)? {
        return Err(StoreError::Corrupt("a key of another mailbox".to_owned()));
    }
    if let Some(secret) = get::<Option<&[u8]>>(row, 3)? {
        own.open_secret(secret)?;
    }
    if let Some(message) = get::<Option<&[u8]>>(row, 4)? {
        own.open_message(message)?;
    }
    Ok(())
}

/// How much there is, counted one by one, and the most of what quotas are about.
async fn counted(client: &Client) -> Result<(Usage, [u64; 4]), StoreError> {
    let sql = "SELECT (SELECT count(*) FROM mailboxes), (SELECT count(*) FROM entries), \
        (SELECT count(*) FROM remembered), (SELECT max(waiting) FROM mailboxes), (SELECT max(sets) FROM mailboxes), \
        (SELECT max(waiting) FROM drops), (SELECT max(remembered) FROM drops)";
    let row = one(client, sql, &[]).await?;
    let number = |column| {
        let found = get::<Option<i64>>(&row, column)?;
        Ok::<_, StoreError>(found.unwrap_or(0).max(0).cast_unsigned())
    };
    let usage = Usage {
        mailboxes: number(0)?,
        entries: number(1)?,
        remembered: number(2)?,
    };
    Ok((usage, [number(3)?, number(4)?, number(5)?, number(6)?]))
}
