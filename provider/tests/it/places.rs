//! Places of stores that nobody has open, whatever keeps them.

use shoal_provider::{StoreAt, StoreEngine};
use tempfile::TempDir;

use crate::operations::key_of_store;

/// What keeps stores for a test, each by a name; removed after it.
pub enum Places {
    /// Files of a directory.
    Files(StoreEngine, TempDir),
    /// Schemas of the tests' server.
    #[cfg(feature = "postgres")]
    Postgres(crate::postgres::Server),
}

impl Places {
    /// For each engine that there is here.
    pub fn all() -> Vec<Self> {
        let files = |engine| Self::Files(engine, tempfile::tempdir().unwrap());
        #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "no server"))]
        let mut all = Vec::from_iter(StoreEngine::ALL.map(files));
        #[cfg(feature = "postgres")]
        all.extend(crate::postgres::server().map(Self::Postgres));
        all
    }

    /// Where the store of a name is.
    pub fn at(&self, name: &str) -> StoreAt {
        match self {
            Self::Files(engine, directory) => {
                engine.within(directory.path(), name, &key_of_store())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => StoreAt::Postgres(server.named(name)),
        }
    }
}
