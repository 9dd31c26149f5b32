//! Which store a command is about, and what it means when that can't be opened.

use std::path::Path;

use anyhow::anyhow;
use shoal_node::config::{NodeConfig, NodeFlags, Role, StorePlace as StoreEngine};
use shoal_node::seeded;
use shoal_node::state::keys::{load_store_secret, store_secret};
use shoal_node::{Exit, Failure};
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
        Self::with(place, |path, dir| {
            there(path)?;
            load_store_secret(dir).map_err(Failure::usage)
        })
    }

    /// A store that may be made, with a key if there is none.
    pub(super) fn or_new(place: &StorePlace) -> Result<Self, Failure> {
        let mut rng = seeded()?;
        Self::with(place, |path, dir| {
            // What was sealed with another key no new one opens.
            let secret = match exists(path) {
                true => load_store_secret(dir),
                false => store_secret(dir, &mut rng),
            };
            secret.map_err(Failure::usage)
        })
    }

    fn with(
        place: &StorePlace,
        secret: impl FnOnce(&Path, &Path) -> Result<Zeroizing<[u8; 32]>, Failure>,
    ) -> Result<Self, Failure> {
        let key = |path: &Path| -> Result<StoreKey, Failure> {
            let dir = match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir,
                _ => Path::new("."),
            };
            Ok(StoreKey::new(secret(path, dir)?, seeded()?))
        };
        if let Some(path) = &place.database {
            return Ok(Self {
                at: StoreAt::Sqlite(path.clone(), key(path)?),
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
        if config.store_place != StoreEngine::File {
            return Err(Failure::Usage(anyhow!(
                "{}: this node's mailboxes are in PostgreSQL, and this is for those in a file; \
                 `pg_dump --schema=shoal` makes a copy of the database's (docs/operators.md), and /metrics says how much \
                 they hold",
                config.dir.display()
            )));
        }
        let path = config.mailboxes();
        Ok(Self {
            name: path.display().to_string(),
            at: StoreAt::Sqlite(path.clone(), key(&path)?),
            limits: Some(config.store),
        })
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
                     (SIGINT takes seconds), and start it again afterwards; until then /metrics says how much it holds"
                ),
            ),
            StoreError::Corrupt(_) => Failure::other(Exit::Damaged, anyhow!("{name}: {error}")),
            StoreError::Permission(_)
            | StoreError::Foreign(_)
            | StoreError::Key
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

fn exists(path: &Path) -> bool {
    // What can't be looked at is left to whoever opens it.
    path.try_exists().unwrap_or(true)
}
