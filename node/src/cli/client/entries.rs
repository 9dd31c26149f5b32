//! `shoal client entries`.

use serde::Serialize;
use shoal_node::config::ClientConfig;
use shoal_node::runtime::Clock;
use shoal_node::state::StateDir;
use shoal_node::{Failure, seeded};
use shoal_roles::client::{forget_entries, kept_entries};

use super::flags_of;
use crate::cli::args::ClientEntries;
use crate::cli::launch::environment;
use crate::cli::{output, secret};

const DAY_MICROS: u64 = 86_400_000_000;

/// What `shoal client entries --json` prints.
#[derive(Serialize)]
struct Entries {
    /// What the configuration names; then none are drawn.
    named: Option<String>,
    /// The first serves, unless it fails.
    entries: Vec<String>,
    /// Whole days until others are drawn.
    days_left: Option<u64>,
    /// They were forgotten just now.
    forgotten: bool,
}

/// Reads the client's database, so no daemon may run.
pub(super) fn run(args: &ClientEntries, json: bool) -> Result<(), Failure> {
    let config =
        ClientConfig::load(&flags_of(&args.place), &environment()?).map_err(Failure::usage)?;
    let dir = StateDir::open(&config.dir)?;
    let mut db = secret::unlock(&dir, &args.from)?.open_db(dir.path(), &mut seeded()?)?;
    let rows = db.load()?;
    let kept = kept_entries(&rows);
    if args.draw_again {
        db.apply(&[forget_entries()])?;
    }
    let (nodes, until) = kept.unzip();
    let now = Clock::start().now();
    let entries = Entries {
        named: config.core.entry.map(|id| id.to_string()),
        entries: nodes.iter().flatten().map(ToString::to_string).collect(),
        days_left: until.map(|until| until.since(now).as_micros() / DAY_MICROS),
        forgotten: args.draw_again,
    };
    output::show(json, &entries, &in_words(&entries))
}

fn in_words(entries: &Entries) -> String {
    if let Some(named) = &entries.named {
        return format!("{named}, as the configuration says");
    }
    let list = entries.entries.join("\n");
    match (list.is_empty(), entries.forgotten, entries.days_left) {
        (true, ..) => "none yet: they are drawn at the first connection".to_owned(),
        (false, true, _) => format!("{list}\nforgotten: others are drawn at the next connection"),
        (false, false, days) => format!("{list}\nkept for {} days more", days.unwrap_or(0)),
    }
}
