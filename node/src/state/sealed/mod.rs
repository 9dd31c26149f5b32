//! What is kept under a passphrase: a client's keys, its rows, and exports.
//!
//! * [`passphrase`]: the words themselves, and what makes a key of them: Argon2id.
//! * [`envelope`]: bytes that only who has the passphrase can read.
//! * [`guard`]: that memory stays memory.
//! * [`master`]: the random key that the passphrase opens, and what that seals: the key file and the rows.

pub(super) mod envelope;
mod guard;
pub(super) mod master;
mod passphrase;

pub use envelope::OpenError;
pub use guard::keep_memory_private;
pub use passphrase::{Cost, Passphrase, PassphraseError};
