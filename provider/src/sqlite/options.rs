//! Where a database is, and how it is opened.

use std::path::PathBuf;

use shoal_proto::Span;

use crate::{StoreKey, StoreLimits};

/// Where a database is, and how it is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; made if it does not exist, with mode 0600. Its `-wal` file lies beside it.
    pub path: PathBuf,
    /// What it is sealed with.
    pub key: StoreKey,
    /// The quotas.
    pub limits: StoreLimits,
    /// Deposits are refused while the disk has fewer free bytes than this, so that
    /// acknowledgements and expiry still have room to free some; then until 16 MiB more are free. 0
    /// for none: the disk decides.
    pub reserve: u64,
    /// How long to wait for another process that holds the database.
    pub patience: Span,
    /// Most pages of the file, 4096 bytes each; none for no limit of SQLite's own.
    pub max_pages: Option<u32>,
}

impl SqliteOptions {
    /// The defaults: 64 MiB in reserve, 2 s of patience.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, key: StoreKey, limits: StoreLimits) -> Self {
        Self {
            path: path.into(),
            key,
            limits,
            reserve: 64 << 20,
            patience: Span::from_secs(2),
            max_pages: None,
        }
    }
}
