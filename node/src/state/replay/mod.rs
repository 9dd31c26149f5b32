//! The replay log: which packets an epoch key has unwrapped, on disk before they leave, so that a
//! crash opens no window in which they would be taken again.
//!
//! One file for each epoch key. It starts with a header (magic, epoch, the public key, check) and
//! then only grows, by batches (magic, count, number, check, tags of 32 bytes). A batch is flushed
//! before the next begins, so a crash can tear the last one only: a torn tail is cut off when the
//! file is loaded, because nobody was told that its tags are durable. Damage anywhere else means
//! that tags are lost, and then the key must not be used any more.

mod format;
mod log;
mod tags;
mod writer;

pub(super) use format::crc32;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use format::decode;
#[cfg(any(test, fuzzing))]
pub(crate) use format::encode_header as header;
pub use format::{KEY_ID_BYTES, MAX_BATCH_TAGS};
pub(super) use log::LOG_DIR;
pub use log::{Loaded, ReplayError, ReplayLog};
pub use tags::TagLog;
pub use writer::{Durable, ReplayWriter};
