//! Which store a command is about, and what it means when that can't be opened.

use std::path::Path;

use anyhow::anyhow;
use shoal_node::config::{NodeConfig, NodeFlags, Role};
use shoal_node::{Exit, Failure};
use shoal_provider::{CopyError, OfflineStore, StoreAt, StoreError, StoreLimits};

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
    pub(super) fn of(place: &StorePlace) -> Result<Self, Failure> {
        if let Some(path) = &place.database {
            return Ok(Self {
                at: StoreAt::Sqlite(path.clone()),
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
        let path = config.mailboxes();
        Ok(Self {
            name: path.display().to_string(),
            at: StoreAt::Sqlite(path),
            limits: Some(config.store),
        })
    }

    /// Opens it to be looked at.
    pub(super) fn look(&self) -> Result<Box<dyn OfflineStore>, Failure> {
        if let StoreAt::Sqlite(path) = &self.at
            && !exists(path)
        {
            return Err(Failure::Usage(anyhow!(
                "{}: there is no mailbox database; a provider makes it when it starts for the first time",
                self.name
            )));
        }
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
            StoreError::Permission(_) | StoreError::Foreign(_) | StoreError::Version { .. } => {
                Failure::Usage(anyhow!("{name}: {error}"))
            }
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
