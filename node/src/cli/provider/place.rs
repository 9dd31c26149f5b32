//! Which store a command is about, and what it means when that can't be opened.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use shoal_node::config::{NodeConfig, NodeFlags, Role};
#[cfg(feature = "postgres")]
use shoal_node::config::{PostgresPlace, StorePlace as StoreEngine};
use shoal_node::seeded;
use shoal_node::state::keys::{load_store_secret, store_secret};
use shoal_node::{Exit, Failure};
#[cfg(feature = "postgres")]
use shoal_provider::PostgresState;
use shoal_provider::{CopyError, OfflineStore, StoreAt, StoreError, StoreKey, StoreLimits};
use zeroize::Zeroizing;

use crate::cli::args::{Place, StorePlace};
use crate::cli::launch::{directory, environment};

/// A store, and what its node allows.
pub(super) struct Found {
    pub(super) at: StoreAt,
    /// What the store is called.
    pub(super) name: String,
    /// Its node's quotas; none if only the database was named.
    pub(super) limits: Option<StoreLimits>,
}

impl Found {
    /// A store that is there, and the key beside it.
    pub(super) fn of(place: &StorePlace) -> Result<Self, Failure> {
        // What is not there is said before what would open it.
        let there = |path: &Path| match exists(path) {
            true => Ok(()),
            false => Err(Failure::Usage(anyhow!(
                "{}: there is no mailbox database; a provider makes it when it starts for the first time",
                path.display()
            ))),
        };
        Self::with(place, |database, dir| {
            match database {
                Database::File(path) => there(path)?,
                // Its server says whether it is there.
                #[cfg(feature = "postgres")]
                Database::Schema(_) => {}
            }
            load_store_secret(dir).map_err(Failure::usage)
        })
    }

    /// A store that may be made, with a key if there is none.
    pub(super) fn or_new(place: &StorePlace) -> Result<Self, Failure> {
        let mut rng = seeded()?;
        Self::with(place, |database, dir| {
            // What was sealed with another key no new one opens.
            let is_there = match database {
                Database::File(path) => exists(path),
                #[cfg(feature = "postgres")]
                Database::Schema(place) => match load_store_secret(dir) {
                    Ok(secret) => return Ok(secret),
                    Err(_) => is_made(place)?,
                },
            };
            let secret = match is_there {
                true => load_store_secret(dir),
                false => store_secret(dir, &mut rng),
            };
            secret.map_err(Failure::usage)
        })
    }

    fn with(
        place: &StorePlace,
        secret: impl FnOnce(Database<'_>, &Path) -> Result<Zeroizing<[u8; 32]>, Failure>,
    ) -> Result<Self, Failure> {
        let key = |database: Database<'_>, dir: &Path| -> Result<StoreKey, Failure> {
            Ok(StoreKey::new(secret(database, dir)?, seeded()?))
        };
        let beside = |path: &Path| match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        if let Some(path) = &place.database {
            return Ok(Self {
                at: StoreAt::Sqlite(path.clone(), key(Database::File(path), &beside(path))?),
                name: path.display().to_string(),
                limits: None,
            });
        }
        let node = Place {
            dir: place.dir.clone(),
            config: place.config.clone(),
        };
        let flags = NodeFlags {
            dir: directory(&node),
            config: place.config.clone(),
            overrides: Vec::new(),
        };
        let config = NodeConfig::load(&flags, &environment()?).map_err(Failure::usage)?;
        if config.role != Role::Provider {
            return Err(Failure::Usage(anyhow!(
                "{}: this node is a mix, and keeps no mailboxes",
                config.dir.display()
            )));
        }
        // Without the feature, the configuration refuses the other engine.
        #[cfg(feature = "postgres")]
        if let StoreEngine::Postgres(place) = &config.store_place {
            let key = key(Database::Schema(place), &config.dir)?;
            return Ok(Self {
                name: format!("schema {} in PostgreSQL", place.schema),
                at: StoreAt::Postgres(place.options(key, StoreLimits::default())),
                limits: Some(config.store),
            });
        }
        let path = config.mailboxes();
        let key = key(Database::File(&path), &beside(&path))?;
        Ok(Self {
            name: path.display().to_string(),
            at: StoreAt::Sqlite(path, key),
            limits: Some(config.store),
        })
    }

    /// Whether it is a file, and not a server's.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self.at, StoreAt::Sqlite(..))
    }

    /// Opens it to be looked at.
    pub(super) fn look(&self) -> Result<Box<dyn OfflineStore>, Failure> {
        self.at.look().map_err(|error| self.failure(error))
    }

    /// What it means for a command that the store does not do it.
    pub(super) fn failure(&self, error: StoreError) -> Failure {
        let name = &self.name;
        match error {
            StoreError::Busy => Failure::other(
                Exit::Refused,
                anyhow!(
                    "{name}: another process has it open. A node that runs has its mailboxes to itself: stop it first \
                     (SIGINT takes seconds{}), and start it again afterwards; until then /metrics says how much it holds",
                    match self.is_file() {
                        true => "",
                        false => "; its standby too, or that takes its place",
                    }
                ),
            ),
            StoreError::Corrupt(_) => Failure::other(Exit::Damaged, anyhow!("{name}: {error}")),
            StoreError::Permission(_)
            | StoreError::Foreign(_)
            | StoreError::Key
            | StoreError::Setting(_)
            | StoreError::Rights(_)
            | StoreError::Version { .. } => Failure::Usage(anyhow!("{name}: {error}")),
            _ => Failure::Failed(anyhow!("{name}: {error}")),
        }
    }

    /// The same for a copy, which is this file.
    pub(super) fn copy_failure(&self, file: &Path, error: CopyError) -> Failure {
        match error {
            CopyError::Store(error) => self.failure(error),
            CopyError::NotEmpty => Failure::other(Exit::Exists, anyhow!("{}: {error}", self.name)),
            CopyError::Read(_) | CopyError::Write(_) => {
                Failure::Failed(anyhow!("{}: {error}", file.display()))
            }
            _ => Failure::Usage(anyhow!("{}: {error}", file.display())),
        }
    }
}

/// Where a database is whose key is looked for.
#[derive(Clone, Copy)]
enum Database<'a> {
    File(&'a Path),
    #[cfg(feature = "postgres")]
    Schema(&'a PostgresPlace),
}

/// Whether a schema has been made, with whatever key.
#[cfg(feature = "postgres")]
fn is_made(place: &PostgresPlace) -> Result<bool, Failure> {
    let any = StoreKey::new(Zeroizing::new([0; 32]), seeded()?);
    match PostgresState::peek(&place.options(any, StoreLimits::default()), "") {
        Ok(found) => Ok(found.is_some()),
        Err(StoreError::Key) => Ok(true),
        Err(error @ (StoreError::Setting(_) | StoreError::Rights(_))) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn exists(path: &Path) -> bool {
    // What can't be looked at is left to whoever opens it.
    path.try_exists().unwrap_or(true)
}
