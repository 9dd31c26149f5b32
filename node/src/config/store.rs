//! Where a provider keeps its mailboxes.

use std::fmt;

use serde::{Deserialize, Serialize};
#[cfg(feature = "postgres")]
use shoal_provider::{PostgresOptions, StoreKey, StoreLimits};

use super::error::ConfigError;
use super::node::Storage;

/// What mailboxes are kept in, as a file names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreEngine {
    /// A file in the node's directory.
    #[default]
    Sqlite,
    /// A schema of a PostgreSQL server's database.
    Postgres,
}

/// Where mailboxes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// In a file of the node's directory.
    File,
    /// In a PostgreSQL database.
    Postgres(PostgresPlace),
}

/// Where in PostgreSQL mailboxes are.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresPlace {
    /// The connection string.
    pub connection: String,
    /// The schema.
    pub schema: String,
    /// Whether the server may be on another machine, though nothing is encrypted on the way.
    pub plaintext: bool,
}

#[cfg(feature = "postgres")]
impl PostgresPlace {
    /// What opens the mailboxes there, with this key and these quotas.
    #[must_use]
    pub fn options(&self, key: StoreKey, limits: StoreLimits) -> PostgresOptions {
        PostgresOptions {
            schema: self.schema.clone(),
            allow_plaintext: self.plaintext,
            ..PostgresOptions::new(&self.connection, key, limits)
        }
    }
}

/// Without the connection string, which may hold a password.
impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPlace")
            .field("schema", &self.schema)
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}

/// Where a file says that mailboxes are.
pub(super) fn place(storage: &Storage) -> Result<StorePlace, ConfigError> {
    if storage.engine == StoreEngine::Sqlite {
        return Ok(StorePlace::File);
    }
    if !cfg!(feature = "postgres") {
        return Err(ConfigError::invalid(
            "storage.engine",
            "this build has no PostgreSQL: make one by `cargo build --release -p shoal-node --features postgres`, \
             or set it to \"sqlite\"",
        ));
    }
    if storage.postgres.is_empty() {
        return Err(ConfigError::invalid(
            "storage.postgres",
            "is empty: say where the server is, as \"host=/var/run/postgresql user=shoal\"",
        ));
    }
    Ok(StorePlace::Postgres(PostgresPlace {
        connection: storage.postgres.clone(),
        schema: storage.postgres_schema.clone(),
        plaintext: storage.postgres_plaintext,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(connection: &str) -> Storage {
        Storage {
            engine: StoreEngine::Postgres,
            postgres: connection.to_owned(),
            ..Storage::default()
        }
    }

    #[test]
    fn a_build_without_postgresql_says_so() {
        assert_eq!(place(&Storage::default()).unwrap(), StorePlace::File);
        let told = place(&postgres("host=/tmp"));
        if cfg!(feature = "postgres") {
            assert!(matches!(told, Ok(StorePlace::Postgres(_))));
            let error = place(&postgres("")).unwrap_err().to_string();
            assert!(error.contains("storage.postgres"), "{error}");
        } else {
            let error = told.unwrap_err().to_string();
            assert!(error.contains("storage.engine"), "{error}");
            assert!(error.contains("--features postgres"), "{error}");
        }
    }

    #[test]
    fn debug_output_tells_no_password() {
        let place = PostgresPlace {
            connection: "host=/tmp password=secret".to_owned(),
            schema: "shoal".to_owned(),
            plaintext: false,
        };
        assert!(!format!("{place:?}").contains("secret"));
    }
}
