//! `shoal identity`: the key by which contacts know a client, kept and brought back.

mod export;

use anyhow::anyhow;
use serde::Serialize;
use shoal_client::restored_rows;
use shoal_node::runtime::Clock;
use shoal_node::state::{ClientKeyFile, StateError, is_held, phrase};
use shoal_node::{Failure, seeded};

use super::args::{Identity, IdentityBackup, IdentityRestore};
use super::client::init::{self, Made, Parts};
use super::launch::directory;
use super::{output, secret};

/// What the words are not.
const NOT_INCLUDED: [&str; 6] = [
    "contacts",
    "sessions",
    "invitations",
    "messages",
    "settings",
    "message boxes",
];

const INVITE: &str = "your contacts know this key, and write where it can't be read any more: invite each of them again \
                      (`shoal contact invite`). Stop the client of before for good, and wipe it";

pub(super) fn run(command: &Identity, json: bool) -> Result<(), Failure> {
    match command {
        Identity::Backup(args) => backup(args, json),
        Identity::Restore(args) => restore(args, json),
        Identity::Export(args) => export::export(args, json),
        Identity::Import(args) => export::import(args, json),
    }
}

/// What `shoal identity backup --json` prints.
#[derive(Serialize)]
struct Backup<'a> {
    version: u32,
    key: String,
    words: &'a [&'static str],
    not_included: [&'static str; 6],
}

fn backup(args: &IdentityBackup, json: bool) -> Result<(), Failure> {
    let dir = directory(&args.place);
    let file = ClientKeyFile::read(&dir)?;
    let passphrase = secret::of_client(&file, &args.from)?;
    let keys = file.unlock(passphrase.as_ref())?.keys();
    let words =
        phrase::of(&keys).ok_or_else(|| Failure::Failed(anyhow!("the key has no words")))?;
    if json {
        let backup = Backup {
            version: 1,
            key: keys.public().to_string(),
            words: &words,
            not_included: NOT_INCLUDED,
        };
        return output::show(true, &backup, "");
    }
    output::note(
        "These words are the key by which your contacts know you, and nothing else: they do not bring back contacts, \
         sessions, invitations, settings, message boxes or messages, unread ones neither. Whoever has them is you. Write them on paper, in \
         this order, and not into a file.",
    );
    for line in words.chunks(6) {
        output::print(&line.join(" "))?;
    }
    Ok(())
}

/// What `shoal identity restore --json` and `import --json` print.
#[derive(Serialize)]
struct Restored {
    #[serde(flatten)]
    made: Made,
    /// How many contacts it has, each of which needs a new invitation.
    contacts: usize,
}

fn restore(args: &IdentityRestore, json: bool) -> Result<(), Failure> {
    let config = init::config(&args.new, &args.choice)?;
    not_running(&args.new.made.dir)?;
    let typed = secret::read_unseen("The 24 words: ")?;
    let keys = phrase::read(&typed).map_err(Failure::usage)?;
    let rows = restored_rows(Clock::start().now(), &[], &mut seeded()?);
    let made = init::make(&args.new, &Parts { keys, config, rows })?;
    let words = format!("{}\n\n{INVITE}", made.in_words("Restored a client"));
    output::show(json, &Restored { made, contacts: 0 }, &words)
}

/// Refuses early what can't be, before anybody types 24 words.
fn not_running(dir: &std::path::Path) -> Result<(), Failure> {
    match is_held(dir) {
        true => Err(StateError::Exists(dir.to_owned()).into()),
        false => Ok(()),
    }
}
