//! What a node or a client keeps on disk. Everything secret has mode 0600 in a directory of mode
//! 0700; everything that replaces something else is written beside it, flushed, and renamed over
//! it, so that a crash leaves the old or the new.
//!
//! * [`StateDir`]: the directory, locked: two processes never share one.
//! * [`keys`]: identity, epoch keys, client keys.
//! * [`replay`]: the replay log, one file for each epoch key, deleted with the key.
//! * [`DirectoryFiles`]: documents, descriptors and the own sequence number.
//! * [`DirectoryState`] and [`TagLog`]: what the two do, in files or, with the feature `postgres`, in a database.
//! * [`Export`]: what of a client is kept outside; [`phrase`]: its key as words.
//! * [`faults`], [`try_writing`], [`free_bytes`]: a directory looked at from outside.
//! * [`ClientDb`]: what the client role asks to be kept; [`ClientKeyFile`]: its keys, and the passphrase that both may
//!   be under; [`BoxRows`]: what the message box asks to be kept, under it too.

mod box_rows;
mod changes;
mod client_db;
mod client_keys;
mod dir;
mod directory;
mod error;
mod export;
mod files;
mod kept;
pub mod keys;
mod look;
mod moved;
pub mod phrase;
#[cfg(feature = "postgres")]
mod postgres;
pub mod replay;
mod rows;
mod sealed;
mod sealed_rows;

pub use box_rows::{BoxChange, BoxRows};
pub use client_db::{ClientDb, FILE as CLIENT_DB_FILE};
pub use client_keys::{ClientKeyFile, ClientSecrets, create_client_keys};
pub use dir::StateDir;
pub use directory::{DirectoryFiles, successors};
pub use error::StateError;
#[cfg(any(test, fuzzing))]
pub(crate) use export::try_any;
pub use export::{Export, SavedLine};
pub use files::{MAX_SECRET_BYTES, read_secret, write_atomic, write_new, write_secret};
pub use kept::{DirectoryState, LoadedDirectory, NotKept, Overtaken};
pub use keys::{create_identity, load_identity};
pub use look::{faults, free_bytes, is_held, missing_folders, try_writing};
pub use moved::check_is_in_files;
#[cfg(feature = "postgres")]
pub use postgres::{Opened, Owner, check_before, known_takeover, open_postgres};
pub use replay::{Durable, ReplayError, ReplayLog, ReplayWriter, TagLog};
pub use sealed::{Cost, OpenError, Passphrase, PassphraseError, keep_memory_private};
