//! Whose state a database has, and which directory may use it.

use std::path::{Path, PathBuf};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use shoal_proto::NodeId;
use shoal_provider::{PostgresOptions, PostgresState, StateChange, StateLane, StateRow, Takeover};

use super::super::moved::{NOTE_FILE, Note, has_files, remove_files};
use super::import::import;
use super::{Change, META, PostgresDirectory, PostgresTags, SUCCESSOR_DIR, Value};
use crate::state::error::StateError;
use crate::state::kept::{DirectoryState, LoadedDirectory, Overtaken};
use crate::state::keys::{TOKENS_FILE, load_token_seed};
use crate::state::replay::TagLog;

/// The row with the node's identity.
pub(super) const NODE: &[u8] = b"node";
/// The row that tells its seed for tokens from others.
pub(super) const TOKENS: &[u8] = b"tokens";

/// The node that opens a database, and where its files are.
pub struct Owner {
    /// Its identity.
    pub node: NodeId,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether it issues tokens, so that it needs the seed for them.
    pub issues_tokens: bool,
}

/// What [`open_postgres`] gives.
pub struct Opened {
    /// For the directory's changes.
    pub state: Box<dyn DirectoryState>,
    /// For replay tags.
    pub log: Box<dyn TagLog>,
    /// What was kept.
    pub loaded: LoadedDirectory,
    /// Becomes true when another process has taken over.
    pub overtaken: Overtaken,
}

/// The number of the last takeover that a directory knows of: for [`PostgresOptions::known_takeover`].
///
/// # Errors
/// [`StateError`], if its note of that can't be read.
pub fn known_takeover(dir: &Path) -> Result<i64, StateError> {
    let note = Note::read(dir)?;
    Ok(note.and_then(|note| note.takeover).unwrap_or(0))
}

/// What the database says of its owner.
#[derive(Default)]
struct Told {
    node: Option<Vec<u8>>,
    tokens: Option<Vec<u8>>,
}

impl Told {
    fn by(rows: &[StateRow]) -> Self {
        let find = |key: &[u8]| {
            let row = rows.iter().find(|row| row.kind == META && row.key == key)?;
            row.value.as_ref().map(|value| value.to_vec())
        };
        Self {
            node: find(NODE),
            tokens: find(TOKENS),
        }
    }
}

/// Which state counts for a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// The database's.
    Database,
    /// That of the directory's files, which is to be brought to the database.
    Files,
    /// There is none yet.
    None,
}

/// Whether a node that waits for its turn will be able to take over, as far as that shows before. Whether the schema has
/// been made. Asks the server, and may not be called where tokio runs.
///
/// # Errors
/// [`StateError`]: each says what to do.
pub fn check_before(options: &PostgresOptions, owner: &Owner) -> Result<bool, StateError> {
    let rows = PostgresState::peek(options, META)?;
    let told = Told::by(rows.as_deref().unwrap_or_default());
    check(&told, options, owner)?;
    Ok(rows.is_some())
}

/// Opens the state of whoever has just taken over the mailboxes.
///
/// # Errors
/// [`StateError::Overtaken`] if somebody else has meanwhile; else each says what to do.
pub fn open_postgres(
    options: &PostgresOptions,
    takeover: Takeover,
    owner: &Owner,
) -> Result<Opened, StateError> {
    let overtaken = Overtaken::default();
    let lane = |lane| PostgresState::open(options.clone(), takeover, lane);
    let mut state = lane(StateLane::Rows)?;
    let mut tags = PostgresTags::new(lane(StateLane::Tags)?, overtaken.clone());
    let told = Told::by(&state.rows()?);
    let counts = check(&told, options, owner)?;
    let mut mine = Vec::new();
    if told.node.is_none() {
        mine.push(meta(NODE, owner.node.as_bytes()));
    }
    if told.tokens.is_none()
        && let Some(seed) = token_check(owner)?
    {
        mine.push(meta(TOKENS, &seed));
    }
    let mut directory = PostgresDirectory {
        state,
        successors: owner.dir.join(SUCCESSOR_DIR),
        unsure: Vec::new(),
        overtaken: overtaken.clone(),
    };
    let note = |takeover| Note {
        schema: options.schema.clone(),
        takeover,
    };
    if counts == Counts::Files {
        note(None).write(&owner.dir)?;
        tracing::info!("what this node kept in files is brought to PostgreSQL");
        import(&owner.dir, &mut directory, &mut tags, mine)?;
    } else if !mine.is_empty() {
        directory.write(&mine)?;
    }
    note(Some(takeover.number())).write(&owner.dir)?;
    // They count no more.
    remove_files(&owner.dir)?;
    let loaded = DirectoryState::load(&mut directory, &mut tags)?;
    Ok(Opened {
        state: Box::new(directory),
        log: Box::new(tags),
        loaded,
        overtaken,
    })
}

fn meta(key: &[u8], value: &[u8]) -> Change {
    Change {
        kind: META,
        key: key.to_vec(),
        value: Some(Value::Open(value.into())),
    }
}

/// What tells the seed for tokens from others, if there is one and it is of use.
fn token_check(owner: &Owner) -> Result<Option<[u8; 32]>, StateError> {
    if !owner.issues_tokens {
        return Ok(None);
    }
    let Some(seed) = load_token_seed(&owner.dir)? else {
        return Ok(None);
    };
    let mut hash = Blake2b::<U32>::new();
    hash.update(b"shoal tokens check 1");
    hash.update(*seed);
    Ok(Some(hash.finalize().into()))
}

/// Which state counts.
fn check(told: &Told, options: &PostgresOptions, owner: &Owner) -> Result<Counts, StateError> {
    let (dir, schema) = (owner.dir.display(), &options.schema);
    let refuse = |text: String| Err(StateError::Place(text));
    if let Some(node) = &told.node
        && *node != owner.node.as_bytes()
    {
        return refuse(format!(
            "the schema {schema} has the mailboxes and the state of another node: name another (storage.postgres_schema), or \
             copy the identity.key of that node to {dir} if this is to be its standby"
        ));
    }
    if owner.issues_tokens
        && told.tokens.is_some()
        && told.tokens.as_deref() != token_check(owner)?.as_ref().map(|it| &it[..])
    {
        return refuse(format!(
            "{dir}/{TOKENS_FILE} is not the one that this node issues tokens with, or is missing: copy it from the directory \
             of the process that had the schema {schema} before; tokens of another one nobody could spend"
        ));
    }
    let note = Note::read(&owner.dir)?;
    let files = has_files(&owner.dir)?;
    let note_file = owner.dir.join(NOTE_FILE);
    let note_file = note_file.display();
    if let Some(note) = &note
        && note.schema != *schema
    {
        return refuse(format!(
            "{note_file} says that the state of this node is in the schema {}, and storage.postgres_schema names {schema}: \
             name the former again. If it was renamed, write the new name into that file",
            note.schema
        ));
    }
    let last = note.as_ref().and_then(|note| note.takeover);
    match (&told.node, last, files) {
        (Some(_), None, true) if note.is_none() => refuse(format!(
            "{dir} has state of its own (directory.db, epoch-keys, replay), and the schema {schema} has state of the same \
             node: only one can be true. If this directory is to be a standby's, remove directory.db*, epoch-keys, seat-keys \
             and replay from it; if it has run since, the schema is of no use any more: rename it"
        )),
        (Some(_), _, _) => Ok(Counts::Database),
        (None, Some(_), _) => refuse(format!(
            "{note_file} says that the state of this node is in the schema {schema}, and nothing of it is there: is this the \
             right server and database? If it is lost, see docs/operators.md, Mailboxes in PostgreSQL, what to do after that"
        )),
        (None, None, true) => Ok(Counts::Files),
        (None, None, false) => Ok(Counts::None),
    }
}

impl PostgresDirectory {
    /// Rows as they were in a file, together with changes: all or none.
    pub(super) fn import_rows(
        &mut self,
        changes: &[Change],
        rows: &[(String, Vec<u8>, Vec<u8>)],
    ) -> Result<(), StateError> {
        let rows = rows.iter().map(|(kind, key, value)| StateChange {
            kind,
            key,
            value: Some(value),
            secret: false,
        });
        let all: Vec<_> = rows.chain(changes.iter().map(Change::borrowed)).collect();
        Ok(self.state.change(&all)?)
    }
}
