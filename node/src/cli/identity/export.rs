//! `shoal identity export` and `import`.

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use shoal_client::{restored_rows, saved_contacts};
use shoal_node::config::{ClientConfig, DEFAULT_CLIENT_FILE, load_network};
use shoal_node::runtime::Clock;
use shoal_node::state::{BoxRows, Export, SavedLine, StateDir};
use shoal_node::{Failure, seeded};

use super::{INVITE, Restored};
use crate::cli::args::{IdentityExport, IdentityImport};
use crate::cli::client::init::{self, Parts};
use crate::cli::launch::{directory, environment};
use crate::cli::{output, secret};

/// What `shoal identity export --json` prints.
#[derive(Serialize)]
struct Exported {
    file: String,
    key: String,
    contacts: usize,
    lines: usize,
    /// The client has message boxes, which are not in it.
    message_boxes_left_out: bool,
}

pub(super) fn export(args: &IdentityExport, json: bool) -> Result<(), Failure> {
    let path = args.place.config.clone();
    let path = path.unwrap_or_else(|| directory(&args.place).join(DEFAULT_CLIENT_FILE));
    let flags = crate::cli::client::flags_of(&args.place);
    let config = ClientConfig::load(&flags, &environment()?).map_err(Failure::usage)?;
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let dir = StateDir::open(&config.dir)?;
    let secrets = secret::unlock(&dir, &args.from)?;
    let rng = &mut seeded()?;
    let db = secrets.open_db(dir.path(), rng)?;
    let rows = db.load()?;
    let contacts = saved_contacts(&rows).map_err(Failure::failed)?;
    let mut history = Vec::new();
    for contact in contacts.iter().filter(|_| !args.no_history) {
        history.extend(db.said_with(&contact.key, &rows)?);
    }
    if history.iter().map(SavedLine::bytes).sum::<usize>() > Export::MOST_SAID {
        return Err(Failure::usage(anyhow!(
            "more was said than an export holds: leave it out with --no-history, or forget some of it first \
             (`shoal client history CONTACT --clear`)"
        )));
    }
    let text = std::fs::read_to_string(&path);
    let export = Export {
        keys: secrets.keys(),
        network: params.chain().to_string(),
        config: text
            .context("can't read the configuration")
            .map_err(Failure::usage)?,
        made: Clock::start().now(),
        contacts,
        history,
    };
    let passphrase = secret::new(args.export_passphrase_file.as_deref(), "of the export")?;
    export.write(&args.out, secret::at_usual_cost(&passphrase), rng)?;
    let exported = Exported {
        file: args.out.display().to_string(),
        key: export.keys.public().to_string(),
        contacts: export.contacts.len(),
        lines: export.history.len(),
        message_boxes_left_out: BoxRows::are_in(dir.path()),
    };
    if exported.message_boxes_left_out {
        output::note(
            "message boxes are not in it: programs are to take and acknowledge what is in their boxes before this client \
             goes. The new one begins with empty boxes, another identity key of the daemon's, and nobody allowed: `shoal \
             messagebox list` and `status` show what to say again with `map` and `allow`",
        );
    }
    let words = format!(
        "exported the key, {} contacts and {} lines of what was said with them into {}: no unread messages, no files, and no \
         sessions, so that who restores it invites each contact again",
        exported.contacts, exported.lines, exported.file
    );
    output::show(json, &exported, &words)
}

pub(super) fn import(args: &IdentityImport, json: bool) -> Result<(), Failure> {
    super::not_running(&args.new.made.dir)?;
    let params = load_network(&args.new.network).map_err(Failure::usage)?;
    let prompt = "Passphrase of the export: ";
    let passphrase = secret::existing(args.export_passphrase_file.as_deref(), prompt)?;
    let export = Export::read(&args.file, &passphrase)?;
    if export.network != params.chain().to_string() {
        return Err(Failure::Usage(anyhow!(
            "{} is of another network than {}: name the file of the network that it is of (hash {})",
            args.file.display(),
            args.new.network.display(),
            export.network
        )));
    }
    let mut rows = restored_rows(Clock::start().now(), &export.contacts, &mut seeded()?);
    let lines = export.history.len();
    rows.extend(export.history.into_iter().flat_map(SavedLine::rows));
    let parts = Parts {
        keys: export.keys,
        config: here(&export.config),
        rows,
    };
    let made = init::make(&args.new, &parts)?;
    let contacts = export.contacts.len();
    let words = format!(
        "{}\n\n{lines} lines of what was said, and {contacts} contacts: {INVITE}",
        made.in_words("Restored a client")
    );
    output::show(json, &Restored { made, contacts }, &words)
}

/// The same configuration, with the network's file where it is put here.
fn here(config: &str) -> String {
    let named = |line: &str| {
        let rest = line.trim_start().strip_prefix("network");
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let mut text = String::with_capacity(config.len());
    for line in config.lines() {
        if named(line) {
            text.push_str("# Where it was before: ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}
