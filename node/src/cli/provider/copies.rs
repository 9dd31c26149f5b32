//! `shoal provider store export` and `import`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;
use shoal_node::{Exit, Failure};
use shoal_provider::{Copied, CopyError, export as write_copy, import as read_copy};

use super::place::Found;
use crate::cli::args::{StoreExport, StoreImport};
use crate::cli::output;
use crate::cli::patient::interruptible;

/// How far it is, is said after so many rows.
const TELL_EVERY: u64 = 200_000;
const BUFFER: usize = 1 << 20;

/// What `shoal provider store export --json` and `import --json` print.
#[derive(Serialize)]
struct Moved {
    database: String,
    file: String,
    mailboxes: u64,
    sets: u64,
    drops: u64,
    entries: u64,
    remembered: u64,
    spent_tokens: u64,
}

pub(super) async fn export(args: &StoreExport, json: bool) -> Result<(), Failure> {
    let found = Found::of(&args.place)?;
    let file = args.file.clone();
    if file.try_exists().unwrap_or(true) {
        return Err(taken(&file));
    }
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // Mode 0600, and gone unless it becomes the copy.
    let made = tempfile::Builder::new()
        .prefix(".shoal-export-")
        .tempfile_in(dir)
        .with_context(|| format!("can't make a file in {}", dir.display()))
        .map_err(Failure::Usage)?;
    let out = made.reopen().map_err(Failure::failed)?;
    let (found, copied) = interruptible({
        let file = file.clone();
        move || {
            let copied = written(&found, &file, out)?;
            Ok((found, copied))
        }
    })
    .await?;
    let kept = made.persist_noclobber(&file);
    kept.map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(&file),
        _ => Failure::Failed(anyhow!("{}: {}", file.display(), error.error)),
    })?;
    // The name is on the disk too.
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("can't sync {}", dir.display()))
        .map_err(Failure::Failed)?;
    told(&found, &file, copied, json, |copied| {
        format!(
            "wrote {}: {copied}. Keep it as secret as the store, and delete it after use",
            file.display()
        )
    })
}

fn taken(file: &Path) -> Failure {
    let error = anyhow!(
        "{} exists already, and stays: name another file",
        file.display()
    );
    Failure::other(Exit::Exists, error)
}

fn written(found: &Found, file: &Path, out: File) -> Result<Copied, Failure> {
    let store = found.look()?;
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let copied = write_copy(&*store, &mut out, &mut progress("exported"));
    let copied = copied.map_err(|error| found.copy_failure(file, error))?;
    let synced = out.flush().and_then(|()| out.get_ref().sync_all());
    synced.map_err(|error| found.copy_failure(file, CopyError::Write(error)))?;
    Ok(copied)
}

pub(super) async fn import(args: &StoreImport, json: bool) -> Result<(), Failure> {
    let file = args.file.clone();
    let from = File::open(&file)
        .with_context(|| format!("can't open {}", file.display()))
        .map_err(Failure::Usage)?;
    let (found, copied) = interruptible({
        let (file, place) = (file.clone(), args.place.clone());
        move || {
            // On this thread: it may ask a server.
            let found = Found::or_new(&place)?;
            let mut store = found.at.to_fill().map_err(|error| found.failure(error))?;
            let mut from = BufReader::with_capacity(BUFFER, from);
            let copied = read_copy(&mut *store, &mut from, &mut progress("read"));
            let copied = copied.map_err(|error| found.copy_failure(&file, error))?;
            drop(store);
            Ok((found, copied))
        }
    })
    .await?;
    let name = found.name.clone();
    told(&found, &file, copied, json, |copied| {
        format!(
            "filled {name}: {copied}. Delete {} now, and the store that it came from before this one serves",
            file.display()
        )
    })
}

fn progress(done: &'static str) -> impl FnMut(u64) {
    move |rows| {
        if rows % TELL_EVERY == 0 && rows > 0 {
            output::note(&format!("{done} {rows} rows"));
        }
    }
}

fn told(
    found: &Found,
    file: &Path,
    copied: Copied,
    json: bool,
    words: impl Fn(Copied) -> String,
) -> Result<(), Failure> {
    let moved = Moved {
        database: found.name.clone(),
        file: file.display().to_string(),
        mailboxes: copied.mailboxes,
        sets: copied.sets,
        drops: copied.drops,
        entries: copied.entries,
        remembered: copied.remembered,
        spent_tokens: copied.spent,
    };
    output::show(json, &moved, &words(copied))
}
