//! `shoal client passphrase`, and what of it the daemon takes.

use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::state::{ClientKeyFile, Passphrase, StateDir, StateError, is_held};
use shoal_node::{Failure, seeded};

use crate::cli::args::{ClientPassphrase, PassphraseFrom};
use crate::cli::launch::directory;
use crate::cli::{output, secret};

/// What `shoal client passphrase --json` prints.
#[derive(Serialize)]
struct Done {
    /// Whether keys and messages are under a passphrase now.
    sealed: bool,
}

pub(super) fn run(args: &ClientPassphrase, json: bool) -> Result<(), Failure> {
    let dir = StateDir::open(&directory(&args.place))?;
    let file = ClientKeyFile::open(&dir)?;
    let sealed = file.is_sealed();
    if args.remove && !sealed {
        return Err(Failure::Usage(anyhow!(
            "there is no passphrase to remove: keys and messages are under none"
        )));
    }
    let before = match sealed {
        true => secret::of_client(&file, &args.from)?,
        // A file that is named for all commands is for the time after this one.
        false => None,
    };
    let secrets = file.unlock(before.as_ref())?;
    let new = match (args.remove, &args.new_passphrase_file) {
        (true, _) => None,
        (false, Some(file)) => Some(secret::new(Some(file), "")?),
        // Of a client that was under none, the file that is given can only mean the new one.
        (false, None) if !sealed => Some(secret::new_or_given(&args.from)?),
        (false, None) => Some(secret::new(None, "of this client")?),
    };
    let with = new.as_ref().map(secret::at_usual_cost);
    secrets.change(&dir, with, &mut seeded()?)?;
    let done = Done {
        sealed: new.is_some(),
    };
    let words = match (sealed, done.sealed) {
        (_, false) => {
            "removed: keys and messages, those in message boxes too, are readable to whoever has the disk"
        }
        (false, true) => {
            "set: keys and messages, those in message boxes too, are under it. Without it they are lost; what was on the disk before may be found \
             there until it is written over"
        }
        (true, true) => "changed",
    };
    output::show(json, &done, words)
}

/// What the daemon of this directory is to open its keys with.
pub(super) fn of_daemon(dir: &Path, from: &PassphraseFrom) -> Result<Option<Passphrase>, Failure> {
    let file = match ClientKeyFile::read(dir) {
        // It says so itself, when it is its turn.
        Err(StateError::Missing { .. }) => return Ok(None),
        file => file?,
    };
    if is_held(dir) {
        // Another one runs, which the daemon says; nobody is asked for that.
        return secret::given(from);
    }
    secret::of_client(&file, from)
}
