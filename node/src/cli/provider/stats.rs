//! `shoal provider store stats`.

use std::collections::BTreeMap;

use serde::Serialize;
use shoal_node::Failure;
use shoal_node::runtime::Clock;
use shoal_proto::Time;
use shoal_provider::{DueRow, StoreStats, by_day};

use super::place::Found;
use crate::cli::args;
use crate::cli::output;
use crate::cli::patient::interruptible;

/// What `shoal provider store stats --json` prints. Bytes, and seconds since 1970.
#[derive(Serialize)]
struct Shown {
    database: String,
    engine: &'static str,
    schema: i64,
    mailboxes: u64,
    closed_mailboxes: u64,
    sets: u64,
    drops: u64,
    revoked_drops: u64,
    entries: u64,
    remembered: u64,
    /// As the quota counts them.
    bytes: u64,
    /// When the oldest entry expires, if one waits.
    oldest_expires: Option<u64>,
    /// What expires when: what is over, then by days from this hour on, and all that comes later. Days without any are
    /// left out.
    expiring: Vec<Expiring>,
    files: BTreeMap<&'static str, u64>,
    /// None if only the server knows.
    free_within: Option<u64>,
    free_on_disk: Option<u64>,
    /// What the configuration allows; none with `--database`.
    allowed: Option<Allowed>,
}

#[derive(Serialize)]
struct Expiring {
    /// The hour that it begins with; none for what is over.
    from: Option<u64>,
    /// The hour that it ends before; none for all that comes later.
    until: Option<u64>,
    entries: u64,
    /// In so many mailboxes.
    mailboxes: u64,
    remembered: u64,
}

impl From<DueRow> for Expiring {
    fn from(row: DueRow) -> Self {
        Self {
            from: row.from.map(Time::as_secs),
            until: row.until.map(Time::as_secs),
            entries: row.due.entries,
            mailboxes: row.due.mailboxes,
            remembered: row.due.remembered,
        }
    }
}

#[derive(Serialize)]
struct Allowed {
    mailboxes: u64,
    bytes: u64,
}

pub(super) async fn run(args: args::StoreStats, json: bool) -> Result<(), Failure> {
    let now = Clock::start().now();
    let shown = interruptible(move || {
        let found = Found::of(&args.place)?;
        let store = found.look()?;
        let looked = store.stats().and_then(|stats| {
            let rows = by_day(now, |from, until| store.inventory(from, until))?;
            Ok((stats, rows))
        });
        let (stats, rows) = looked.map_err(|error| found.failure(error))?;
        Ok(shown(&found, &stats, rows))
    })
    .await?;
    output::show(json, &shown, &in_words(&shown, now))
}

fn shown(found: &Found, stats: &StoreStats, rows: Vec<DueRow>) -> Shown {
    Shown {
        database: found.name.clone(),
        engine: found.at.engine(),
        schema: stats.schema,
        mailboxes: stats.usage.mailboxes,
        closed_mailboxes: stats.closed,
        sets: stats.sets,
        drops: stats.drops,
        revoked_drops: stats.revoked,
        entries: stats.usage.entries,
        remembered: stats.usage.remembered,
        bytes: stats.usage.bytes(),
        oldest_expires: stats.oldest_expires.map(Time::as_secs),
        expiring: rows.into_iter().map(Expiring::from).collect(),
        files: stats.files.iter().copied().collect(),
        free_within: stats.free_within,
        free_on_disk: stats.free_on_disk,
        allowed: found.limits.as_ref().map(|limits| Allowed {
            mailboxes: limits.mailboxes,
            bytes: limits.bytes,
        }),
    }
}

fn in_words(shown: &Shown, now: Time) -> String {
    let of = |most: Option<u64>| most.map_or(String::new(), |most| format!(" of {most} allowed"));
    let allowed = shown.allowed.as_ref();
    let files = shown.files.iter();
    let files = files.map(|(name, bytes)| format!("{name} {}", mebibytes(*bytes)));
    let oldest = match shown.oldest_expires {
        None => "nothing waits".to_owned(),
        Some(at) => match at.checked_sub(now.as_secs()) {
            Some(secs) => format!("expires in {}", shoal_proto::Span::from_secs(secs).human()),
            None => "expired; the node removes it when it runs".to_owned(),
        },
    };
    let mut lines = vec![
        format!(
            "store      {} ({}, schema version {})",
            shown.database, shown.engine, shown.schema
        ),
        format!(
            "mailboxes  {}{}, of which {} closed",
            shown.mailboxes,
            of(allowed.map(|it| it.mailboxes)),
            shown.closed_mailboxes
        ),
        format!(
            "drop ids   {} in {} sets, of which {} revoked",
            shown.drops, shown.sets, shown.revoked_drops
        ),
        format!(
            "entries    {} wait, and {} acknowledged ones are remembered",
            shown.entries, shown.remembered
        ),
        format!("oldest     {oldest}"),
    ];
    lines.extend(expiring(&shown.expiring, now));
    lines.extend([
        format!(
            "bytes      {}{}, as the quota counts them",
            shown.bytes,
            of(allowed.map(|it| it.bytes))
        ),
        format!(
            "files      {}{}",
            Vec::from_iter(files).join(", "),
            shown.free_within.map_or(String::new(), |free| format!(
                "; {} in them are free",
                mebibytes(free)
            ))
        ),
        format!(
            "disk       {}",
            shown
                .free_on_disk
                .map_or("free space not known".to_owned(), |free| format!(
                    "{} free",
                    mebibytes(free)
                ))
        ),
    ]);
    lines.join("\n")
}

/// A line for each day on which something expires; for a store that keeps nothing, none.
fn expiring(rows: &[Expiring], now: Time) -> Vec<String> {
    let days = |at: u64| at.saturating_sub(now.as_secs()).div_ceil(24 * 3600);
    let line = |row: &Expiring| {
        let when = match (row.from, row.until) {
            (None, _) => "over".to_owned(),
            (_, Some(until)) => format!("day {}", days(until)),
            (Some(_), None) => "later".to_owned(),
        };
        format!(
            "expiring   {when:<7} {:>9} wait in {:>7} mailboxes, {:>9} remembered",
            row.entries, row.mailboxes, row.remembered
        )
    };
    rows.iter().map(line).collect()
}

fn mebibytes(bytes: u64) -> String {
    match bytes {
        0..10_485_760 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use shoal_provider::Due;

    use super::*;

    #[test]
    fn what_expires_has_a_line_for_each_day() {
        const HOUR: u64 = 3600;
        let begin = 500_000 * HOUR;
        let row = |from: Option<u64>, until: Option<u64>, entries| {
            let at = |hours: u64| Time::from_micros((begin + hours * HOUR) * 1_000_000);
            Expiring::from(DueRow {
                from: from.map(at),
                until: until.map(at),
                due: Due {
                    entries,
                    remembered: 7,
                    mailboxes: 2,
                    next: None,
                },
            })
        };
        let rows = [
            row(None, Some(0), 3),
            row(Some(0), Some(24), 4),
            row(Some(312), Some(336), 5),
            row(Some(744), None, 6),
        ];
        for since in [0, 1, HOUR - 1] {
            let now = Time::from_micros((begin + since) * 1_000_000);
            let lines = expiring(&rows, now);
            let expected = [("over", 3), ("day 1 ", 4), ("day 14 ", 5), ("later", 6)];
            assert_eq!(lines.len(), expected.len());
            for (line, (when, entries)) in lines.iter().zip(expected) {
                assert!(line.contains(when), "{line}");
                let told = format!(" {entries} wait in       2 mailboxes");
                assert!(line.contains(&told), "{line}");
            }
        }
        assert!(expiring(&[], Time::default()).is_empty());
    }
}
