//! `shoal provider store stats`.

use std::collections::BTreeMap;

use serde::Serialize;
use shoal_node::Failure;
use shoal_node::runtime::Clock;
use shoal_proto::Time;
use shoal_provider::StoreStats;

use super::place::Found;
use crate::cli::args;
use crate::cli::output;

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
    files: BTreeMap<&'static str, u64>,
    free_within: u64,
    free_on_disk: Option<u64>,
    /// What the configuration allows; none with `--database`.
    allowed: Option<Allowed>,
}

#[derive(Serialize)]
struct Allowed {
    mailboxes: u64,
    bytes: u64,
}

pub(super) fn run(args: &args::StoreStats, json: bool) -> Result<(), Failure> {
    let found = Found::of(&args.place)?;
    let stats = found.look()?.stats();
    let stats = stats.map_err(|error| found.failure(error))?;
    let shown = shown(&found, &stats);
    output::show(json, &shown, &in_words(&shown, Clock::start().now()))
}

fn shown(found: &Found, stats: &StoreStats) -> Shown {
    Shown {
        database: found.name.clone(),
        engine: found.at.engine().as_str(),
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
    [
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
        format!(
            "bytes      {}{}, as the quota counts them",
            shown.bytes,
            of(allowed.map(|it| it.bytes))
        ),
        format!(
            "files      {}; {} in them are free",
            Vec::from_iter(files).join(", "),
            mebibytes(shown.free_within)
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
    ]
    .join("\n")
}

fn mebibytes(bytes: u64) -> String {
    match bytes {
        0..10_485_760 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes >> 20),
    }
}
