//! State that was in files, brought into an empty database.

use std::path::Path;

use shoal_packet::SphinxSecret;
use shoal_topology::DirectoryChange;
use zeroize::Zeroizing;

use super::tags::PostgresTags;
use super::{Change, KEY, PostgresDirectory, SEAT, Value};
use crate::state::changes::epoch_key;
use crate::state::directory::DirectoryFiles;
use crate::state::error::StateError;
use crate::state::replay::{MAX_BATCH_TAGS, ReplayError, ReplayLog, TagLog};

/// Tags first, then all rows with one commit, the owner's among them: by that it shows that everything is there.
pub(super) fn import(
    dir: &Path,
    directory: &mut PostgresDirectory,
    tags: &mut PostgresTags,
    owner: Vec<Change>,
) -> Result<(), StateError> {
    // Of another time that did not come to its end.
    for epoch in tags.epochs()? {
        tags.remove(epoch)?;
    }
    let files = DirectoryFiles::open(dir)?;
    let loaded = files.load(&mut ReplayLog::open(dir)?)?;
    for (epoch, why) in &loaded.forgotten {
        tracing::warn!(%epoch, %why, "the key of this epoch is given up: it can't be used safely");
    }
    for ((epoch, secret), (_, of_epoch)) in loaded.restored.keys.iter().zip(&loaded.tags) {
        let public = SphinxSecret::from_bytes(**secret).public();
        tags.create(*epoch, &public).map_err(|error| match error {
            ReplayError::Io(error) => error,
            other => StateError::Rows(other.to_string()),
        })?;
        for part in of_epoch.chunks(MAX_BATCH_TAGS) {
            let part: Vec<_> = part.iter().map(|tag| (*epoch, *tag, 0)).collect();
            let path = dir.join("replay");
            tags.append_batch(&part)
                .map_err(StateError::io("bring to PostgreSQL what is in", &path))?;
        }
    }
    let mut changes = owner;
    for (epoch, secret) in &loaded.restored.keys {
        changes.push(Change {
            kind: KEY,
            key: epoch_key(*epoch).to_vec(),
            value: Some(Value::Secret(Zeroizing::new(secret.to_vec()))),
        });
    }
    if let Some(kept) = loaded.restored.seat_keys {
        changes.push(Change {
            kind: SEAT,
            key: Vec::new(),
            value: Some(Value::Secret(kept)),
        });
    }
    for text in &loaded.restored.successors {
        if let Ok(successor) = shoal_topology::Successor::parse(text) {
            let change = DirectoryChange::Successor {
                hash: successor.hash(),
                text: text.clone(),
            };
            changes.push(Change::of(&change));
        }
    }
    let mut rows = Vec::new();
    files.each_row(|kind, key, value| {
        rows.push((kind.to_owned(), key, value));
        Ok(())
    })?;
    directory.import_rows(&changes, &rows)?;
    Ok(())
}
