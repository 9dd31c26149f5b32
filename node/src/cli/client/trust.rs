//! `shoal client trust`.

use serde::Serialize;
use shoal_node::config::{ClientConfig, load_network};
use shoal_node::runtime::Clock;
use shoal_node::state::StateDir;
use shoal_node::{Failure, seeded};
use shoal_roles::client::{forget_trust, kept_successors, kept_trust, newest_seen};
use shoal_topology::Kept;

use super::flags_of;
use crate::cli::args::ClientTrust;
use crate::cli::launch::environment;
use crate::cli::{output, secret};

/// What `shoal client trust --json` prints.
#[derive(Serialize)]
struct Trust {
    /// The height of the last handover that was followed; 0 for none, and none before it was online.
    since: Option<u64>,
    /// How many sit after that.
    seats: Option<usize>,
    /// The newest document that was seen to be signed.
    newest: Option<Newest>,
    /// It was forgotten just now.
    forgotten: bool,
}

#[derive(Serialize)]
struct Newest {
    height: u64,
    epoch: u64,
    document: String,
}

/// Reads the client's database, so no daemon may run. What is to be forgotten need not be readable.
pub(super) fn run(args: &ClientTrust, json: bool) -> Result<(), Failure> {
    let config =
        ClientConfig::load(&flags_of(&args.place), &environment()?).map_err(Failure::usage)?;
    let dir = StateDir::open(&config.dir)?;
    let mut db = secret::unlock(&dir, &args.from)?.open_db(dir.path(), &mut seeded()?)?;
    if args.forget {
        let all = forget_trust(&db.load()?);
        db.apply(&all)?;
        let trust = of(None, true);
        return output::show(json, &trust, &in_words(&trust));
    }
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let rows = db.load()?;
    let params = params.at(
        &kept_successors(&rows),
        Clock::start().now(),
        newest_seen(&rows),
    );
    let kept = kept_trust(&params, &rows).map_err(Failure::failed)?;
    let trust = of(kept.as_ref(), false);
    output::show(json, &trust, &in_words(&trust))
}

fn of(kept: Option<&Kept>, forgotten: bool) -> Trust {
    let newest = kept.and_then(|kept| kept.newest);
    Trust {
        since: kept.map(|kept| kept.trust.since().number()),
        seats: kept.map(|kept| kept.trust.seats().count()),
        newest: newest.map(|newest| Newest {
            height: newest.height.number(),
            epoch: newest.epoch.number(),
            document: newest.hash.to_string(),
        }),
        forgotten,
    }
}

fn in_words(trust: &Trust) -> String {
    if trust.forgotten {
        return "forgotten: it begins anew from the network's file".to_owned();
    }
    let (Some(since), Some(seats)) = (trust.since, trust.seats) else {
        return "nothing yet: it begins from the network's file".to_owned();
    };
    let seats = format!("{seats} seats since height {since}");
    match &trust.newest {
        Some(newest) => format!(
            "{seats}\nnewest document: {} (height {}, epoch {})",
            newest.document, newest.height, newest.epoch
        ),
        None => seats,
    }
}
