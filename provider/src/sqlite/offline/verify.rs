//! What has to hold in the tables, beside what SQLite checks by itself.

use rusqlite::Connection;

use super::super::database::{CELLS, SCHEMA, failure};
use super::super::drops::{named, own};
use super::number;
use crate::offline::report::{Fault, Names, Report, Rule, Step, exceeded, keep};
use crate::store::Usage;
use crate::{StoreError, StoreKey, StoreLimits};

/// Most faults of SQLite's own structure that are told.
const STRUCTURE_FAULTS: i64 = 20;

const RULES: &[Rule] = &[
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_columns",
        what: "a mailbox has a key of another length, a negative count, was used before it was opened, is closed neither way, \
               has a window before its owner's first command, or what only others have",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE id & 4294967295 = 0 AND (coalesce(length(sealed), 0) <> 96 \
              OR coalesce(created_us, -1) < 0 OR coalesce(used_us, -1) < created_us OR coalesce(next_entry, 0) < 1 \
              OR min(coalesce(waiting, -1), coalesce(remembered, -1), coalesce(sets, -1), coalesce(freed, -1)) < 0 \
              OR freed_step IS NULL OR coalesce(closed, 2) NOT IN (0, 1) \
              OR window_highest IS NULL OR window_bits IS NULL OR window_refused IS NULL OR stream IS NULL \
              OR (generation IS NULL AND (window_highest <> 0 OR window_bits <> 0 OR window_refused <> 0 OR stream <> 0)) \
              OR coalesce(revoked, drop_id, name_id, expires_us) IS NOT NULL)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_hours",
        what: "a mailbox says more than the hour in which it was opened or used",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE created_us % 3600000000 <> 0 OR used_us % 3600000000 <> 0",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_owner",
        what: "an owner has no mailbox, or is found by what has another length",
        sql: "SELECT count(*), min(mailbox) >> 32 FROM owners WHERE length(key) <> 32 OR NOT EXISTS \
              (SELECT 1 FROM cells WHERE cells.id = owners.mailbox AND created_us IS NOT NULL)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_nobody",
        what: "there are not as many owners as mailboxes",
        sql: "SELECT (SELECT count(*) FROM cells WHERE id & 4294967295 = 0) - (SELECT count(*) FROM owners), NULL",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_waiting",
        what: "a mailbox counts other entries than it has",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE created_us IS NOT NULL AND waiting <> (SELECT count(*) FROM cells AS waits \
              WHERE waits.id > cells.id + 16777216 AND waits.id < cells.id + 4294967296)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_remembered",
        what: "a mailbox counts other acknowledged entries than its drop ids do",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE created_us IS NOT NULL AND remembered <> \
              (SELECT coalesce(sum(drops.remembered), 0) FROM cells AS drops \
              WHERE drops.id > cells.id AND drops.id < cells.id + 16777216)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "mailbox_sets",
        what: "a mailbox counts other sets of drop ids than it has",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE created_us IS NOT NULL AND sets <> \
              (SELECT count(*) FROM sets WHERE sets.mailbox = cells.id)",
    },
    Rule {
        step: Step::Mailboxes,
        kind: "totals",
        what: "all mailboxes together count otherwise than each",
        sql: "SELECT count(*), NULL FROM totals WHERE (mailboxes, entries, remembered) <> (SELECT count(*), coalesce(sum(waiting), 0), \
              coalesce(sum(remembered), 0) FROM cells WHERE created_us IS NOT NULL) OR freed < 0",
    },
    Rule {
        step: Step::Sets,
        kind: "set_columns",
        what: "a set has a secret of another length, a size that there is none of, or a number that is none of its mailbox",
        sql: "SELECT count(*), min(id) >> 9 FROM sets WHERE length(secret) <> 48 OR size NOT IN (64, 256) OR id & 511 = 0 \
              OR id >> 9 <> mailbox >> 32",
    },
    Rule {
        step: Step::Sets,
        kind: "set_mailbox",
        what: "a set is of no mailbox",
        sql: "SELECT count(*), min(id) >> 9 FROM sets WHERE NOT EXISTS \
              (SELECT 1 FROM cells WHERE cells.id = sets.mailbox AND created_us IS NOT NULL)",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_columns",
        what: "a drop id is revoked neither way, has a negative count, or what only others have",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE id & 4294967295 BETWEEN 1 AND 16777216 AND (coalesce(revoked, 2) NOT IN (0, 1) \
              OR min(coalesce(waiting, -1), coalesce(remembered, -1), coalesce(freed, -1)) < 0 OR freed_step IS NULL \
              OR coalesce(created_us, used_us, next_entry, sets, closed, drop_id, name_id, expires_us, sealed) \
              IS NOT NULL)",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_set",
        what: "a drop id is of no set, or has a number beyond it",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE id & 4294967295 BETWEEN 1 AND 16777216 AND NOT EXISTS (SELECT 1 FROM sets \
              WHERE sets.id = ((cells.id >> 32) << 9) | ((cells.id >> 8) & 511) AND (cells.id & 16777215) >> 8 < 512 \
              AND (cells.id & 255) < sets.size)",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_waiting",
        what: "a drop id counts other entries than it has",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE revoked IS NOT NULL AND waiting <> \
              (SELECT count(*) FROM messages WHERE messages.drop_id = cells.id AND EXISTS (SELECT 1 FROM cells AS waits \
              WHERE waits.id = messages.mailbox + 16777216 + messages.entry))",
    },
    Rule {
        step: Step::Drops,
        kind: "drop_remembered",
        what: "a drop id counts other acknowledged entries than it has",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE revoked IS NOT NULL AND remembered <> \
              (SELECT count(*) FROM messages WHERE messages.drop_id = cells.id AND NOT EXISTS (SELECT 1 FROM cells AS waits \
              WHERE waits.id = messages.mailbox + 16777216 + messages.entry))",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_columns",
        what: "an entry has no drop id, no blob or no time, or what only others have",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE id & 4294967295 > 16777216 AND (drop_id IS NULL OR name_id IS NULL \
              OR coalesce(expires_us, -1) < 0 \
              OR coalesce(revoked, waiting, remembered, freed, freed_step, created_us, used_us, next_entry, sets, closed, sealed) \
              IS NOT NULL)",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_place",
        what: "an entry is under no drop id of its mailbox",
        sql: "SELECT count(*), min(id) >> 32 FROM cells WHERE id & 4294967295 > 16777216 AND (drop_id >> 32 <> id >> 32 OR NOT EXISTS \
              (SELECT 1 FROM cells AS drops WHERE drops.id = cells.drop_id AND drops.revoked IS NOT NULL))",
    },
    Rule {
        step: Step::Entries,
        kind: "entry_name",
        what: "an entry has no name, or one that says something else",
        sql: "SELECT count(*), min(cells.id) >> 32 FROM cells LEFT JOIN blobs ON blobs.id = name_id \
              WHERE cells.id & 4294967295 > 16777216 AND NOT EXISTS (SELECT 1 FROM messages \
              WHERE messages.drop_id = cells.drop_id AND messages.message = blobs.message \
              AND messages.mailbox + 16777216 + messages.entry = cells.id AND messages.mailbox & 4294967295 = 0 \
              AND messages.expires_us = cells.expires_us AND messages.id = name_id)",
    },
    Rule {
        step: Step::Entries,
        kind: "blob_columns",
        what: "a blob, or the message id with it, has another length",
        sql: "SELECT count(*), min(id) FROM blobs WHERE length(message) <> 32 OR length(blob) <> 1572",
    },
    Rule {
        step: Step::Entries,
        kind: "blob_entry",
        what: "there are not as many blobs as entries",
        sql: "SELECT (SELECT count(*) FROM blobs) - (SELECT count(*) FROM cells WHERE name_id IS NOT NULL), NULL",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_columns",
        what: "the name of an entry has another length, or expires before all time",
        sql: "SELECT count(*), min(id) FROM messages WHERE length(message) <> 32 OR expires_us < 0 OR id < 1",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_place",
        what: "the name of an entry is under no drop id, or under one of another mailbox or entry",
        sql: "SELECT count(*), min(id) FROM messages WHERE drop_id >> 32 <> mailbox >> 32 OR mailbox & 4294967295 <> 0 \
              OR NOT EXISTS (SELECT 1 FROM cells WHERE cells.id = messages.drop_id AND revoked IS NOT NULL) \
              OR EXISTS (SELECT 1 FROM cells WHERE cells.id = messages.mailbox + 16777216 + messages.entry \
              AND cells.drop_id <> messages.drop_id)",
    },
    Rule {
        step: Step::Remembered,
        kind: "name_number",
        what: "an entry has a number that its mailbox would give again",
        sql: "SELECT count(*), min(id) FROM messages WHERE entry < 1 OR entry >= \
              coalesce((SELECT next_entry FROM cells WHERE cells.id = messages.mailbox), 0)",
    },
    Rule {
        step: Step::Remembered,
        kind: "numbers_again",
        what: "the number of a name would be given again",
        sql: "SELECT max(count, 0), NULL FROM (SELECT coalesce((SELECT max(id) FROM messages), 0) \
              - coalesce((SELECT last_id FROM totals), 0) AS count)",
    },
    Rule {
        step: Step::Spent,
        kind: "spent_columns",
        what: "the name of a spent token has another length, or expires before all time",
        sql: "SELECT count(*), NULL FROM spent WHERE length(name) <> 32 OR expires_us < 0",
    },
];

/// Everything. What the system does not let be read is an error, and what can't be read for damage a fault.
pub(super) fn whole(
    connection: &Connection,
    key: &StoreKey,
    limits: &StoreLimits,
    step: &mut dyn FnMut(Step),
) -> Result<Report, StoreError> {
    step(Step::Structure);
    let mut report = Report::default();
    keep(&mut report.faults, Step::Structure, structure(connection))?;
    keep(&mut report.faults, Step::Structure, tables(connection))?;
    let mut at = Step::Structure;
    for rule in RULES {
        if rule.step != at {
            at = rule.step;
            step(at);
        }
        let found = broken(rule, connection).map(Vec::from_iter);
        keep(&mut report.faults, rule.step, found)?;
    }
    keep(&mut report.faults, Step::Mailboxes, owners(connection, key))?;
    keep(&mut report.faults, Step::Sets, names(connection, key))?;
    let counted = counted(connection).map(|usage| {
        report.counted = usage;
        Vec::new()
    });
    keep(&mut report.faults, Step::Mailboxes, counted)?;
    let exceeded = most(connection).map(|most| {
        report.exceeded = exceeded(limits, &report.counted, most);
        Vec::new()
    });
    keep(&mut report.faults, Step::Mailboxes, exceeded)?;
    Ok(report)
}

/// What has to hold of the rows: the first of a kind stands for all of it. The names of drop ids are left out: whoever
/// takes rows makes them himself.
pub(super) fn rows(connection: &Connection) -> Result<Vec<Fault>, StoreError> {
    let faults = RULES
        .iter()
        .filter_map(|rule| broken(rule, connection).transpose());
    faults.collect()
}

/// Each mailbox is found by its owner.
fn owners(connection: &Connection, key: &StoreKey) -> Result<Vec<Fault>, StoreError> {
    let mut strange = Fault {
        step: Step::Mailboxes,
        kind: "mailbox_sealed",
        what:
            "a mailbox can't be opened with the store's key, or is found by what is not its owner's"
                .to_owned(),
        rows: 0,
        first: None,
    };
    let mut all = connection
        .prepare("SELECT sealed, key, mailbox FROM owners JOIN cells ON cells.id = mailbox")
        .map_err(failure)?;
    let mut rows = all.query([]).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let found: Vec<u8> = row.get(1).map_err(failure)?;
        if !own(key, row, 0).is_ok_and(|own| key.mailbox(own.owner()) == *found) {
            strange.rows += 1;
            let mailbox: i64 = row.get(2).map_err(failure)?;
            strange.first = strange.first.or(Some(mailbox / CELLS));
        }
    }
    Ok(Vec::from_iter((strange.rows > 0).then_some(strange)))
}

fn names(connection: &Connection, key: &StoreKey) -> Result<Vec<Fault>, StoreError> {
    let mut names = Names::default();
    // As many rows as there are drop ids: nothing is sorted, and nothing is held.
    let mut all = connection
        .prepare(
            "SELECT mailboxes.sealed, secret, size, number, tag FROM names LEFT JOIN sets ON sets.id = set_id \
             LEFT JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox",
        )
        .map_err(failure)?;
    let mut rows = all.query([]).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let found: i64 = row.get(4).map_err(failure)?;
        // What is of no set, or in no state to tell, has no name either.
        let within = |number, size| (0..size).contains(&number);
        let own = || -> rusqlite::Result<bool> {
            let known = row.get::<_, Option<i64>>(2)?;
            let number: i64 = row.get(3)?;
            Ok(known.is_some_and(|size| within(number, size))
                && key.tag(&named(key, row)?) == found)
        };
        names.saw(found, own().unwrap_or(false));
    }
    let all = number(connection, "SELECT coalesce(sum(size), 0) FROM sets")?;
    Ok(names.faults(all))
}

fn broken(rule: &Rule, connection: &Connection) -> Result<Option<Fault>, StoreError> {
    let found = connection.query_row(rule.sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (rows, first) = found.map_err(failure)?;
    Ok(rule.broken(rows, first))
}

fn structure(connection: &Connection) -> Result<Vec<Fault>, StoreError> {
    let mut check = connection
        .prepare(&format!("PRAGMA integrity_check({STRUCTURE_FAULTS})"))
        .map_err(failure)?;
    let told = check
        .query_map([], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(failure)?;
    let faults = told.into_iter().filter(|what| what != "ok");
    Ok(faults.map(of_structure).collect())
}

fn of_structure(what: String) -> Fault {
    Fault {
        step: Step::Structure,
        kind: "structure",
        what,
        rows: 0,
        first: None,
    }
}

/// Whether the tables and indexes are those that this release makes.
fn tables(connection: &Connection) -> Result<Vec<Fault>, StoreError> {
    let model = Connection::open_in_memory().map_err(failure)?;
    model.execute_batch(SCHEMA).map_err(failure)?;
    let all = |connection: &Connection| -> Result<Vec<(String, Option<String>)>, StoreError> {
        let mut list = connection
            .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
            .map_err(failure)?;
        list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failure)
    };
    let (found, expected) = (all(connection)?, all(&model)?);
    let other = |name: &str| of_structure(format!("{name} is not as this release makes it"));
    let missing = expected.iter().filter(|one| !found.contains(one));
    let strange = found
        .iter()
        .filter(|(name, _)| !expected.iter().any(|(known, _)| known == name));
    Ok(missing
        .chain(strange)
        .map(|(name, _)| other(name))
        .collect())
}

fn counted(connection: &Connection) -> Result<Usage, StoreError> {
    let count = |of: &str| {
        let counted = number(connection, &format!("SELECT count(*) FROM {of}"));
        counted.map(i64::cast_unsigned)
    };
    let entries = count("cells WHERE name_id IS NOT NULL")?;
    Ok(Usage {
        mailboxes: count("owners")?,
        entries,
        remembered: count("messages")?.saturating_sub(entries),
    })
}

/// The most that there is of what quotas are about.
fn most(connection: &Connection) -> Result<[u64; 4], StoreError> {
    let most = |sql: &str| -> Result<u64, StoreError> {
        let found: Option<i64> = connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(failure)?;
        Ok(found.unwrap_or(0).max(0).cast_unsigned())
    };
    Ok([
        most("SELECT max(waiting) FROM cells WHERE created_us IS NOT NULL")?,
        most("SELECT max(sets) FROM cells")?,
        most("SELECT max(waiting) FROM cells WHERE revoked IS NOT NULL")?,
        most("SELECT max(remembered) FROM cells WHERE revoked IS NOT NULL")?,
    ])
}
