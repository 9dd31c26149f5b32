//! What a node keeps while it runs, opened: files of its directory, or a provider's database.

use shoal_proto::NodeId;
use shoal_provider::{SqliteOptions, SqliteStore, Store, StoreKey};
use shoal_topology::Role;

use crate::config::{NodeConfig, StorePlace};
use crate::runtime::announce::Announcer;
use crate::runtime::stop::Stops;
use crate::state::keys::{load_store_secret, store_secret};
use crate::state::{
    DirectoryFiles, DirectoryState, LoadedDirectory, Overtaken, ReplayLog, StateDir, TagLog,
    check_is_in_files,
};
use crate::{Failure, seeded};

/// All of it. Of a mix there is no store.
pub(super) struct Kept {
    pub(super) store: Option<Box<dyn Store>>,
    pub(super) state: Box<dyn DirectoryState>,
    pub(super) log: Box<dyn TagLog>,
    pub(super) loaded: LoadedDirectory,
    /// If another process may take it over: whether one has.
    pub(super) overtaken: Option<Overtaken>,
}

impl Kept {
    /// Opens it, once it is this process's. None if it was asked to stop while it waited.
    ///
    /// # Errors
    /// What keeps it from that; what to do stands in each.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(clippy::unused_async, reason = "only PostgreSQL is waited for")
    )]
    pub(super) async fn open(
        config: &NodeConfig,
        dir: &StateDir,
        node: NodeId,
        (announcer, stops): (Announcer, &mut Stops),
    ) -> Result<Option<Self>, Failure> {
        match &config.store_place {
            #[cfg(feature = "postgres")]
            StorePlace::Postgres(place) if config.role == Role::Provider => {
                let wanted = super::standby::Wanted {
                    place,
                    limits: config.store.clone(),
                    dir: dir.path(),
                    node,
                    issues_tokens: config.tokens.is_some(),
                };
                let opened = super::standby::open(&wanted, announcer, stops).await?;
                Ok(opened.map(|(store, opened)| Self {
                    store: Some(Box::new(store)),
                    state: opened.state,
                    log: opened.log,
                    loaded: opened.loaded,
                    overtaken: Some(opened.overtaken),
                }))
            }
            #[cfg(not(feature = "postgres"))]
            StorePlace::Postgres(_) if config.role == Role::Provider => {
                let _ = (announcer, stops, node);
                let error = anyhow::anyhow!("storage.engine: this build has no PostgreSQL");
                Err(Failure::usage(error))
            }
            _ => Self::in_files(config, dir).map(Some),
        }
    }

    fn in_files(config: &NodeConfig, dir: &StateDir) -> Result<Self, Failure> {
        check_is_in_files(dir.path()).map_err(Failure::usage)?;
        let store = match config.role {
            Role::Provider => Some(sqlite(config, dir)?),
            Role::Mix => None,
        };
        let mut log = ReplayLog::open(dir.path())?;
        let files = DirectoryFiles::open(dir.path())?;
        let loaded = files.load(&mut log)?;
        Ok(Self {
            store,
            state: Box::new(files),
            log: Box::new(log),
            loaded,
            overtaken: None,
        })
    }
}

fn sqlite(config: &NodeConfig, dir: &StateDir) -> Result<Box<dyn Store>, Failure> {
    // What was sealed with another key no new one opens.
    let secret = match config.mailboxes().exists() {
        true => load_store_secret(dir.path()),
        false => store_secret(dir.path(), &mut seeded()?),
    };
    let key = StoreKey::new(secret.map_err(Failure::usage)?, seeded()?);
    let options = SqliteOptions {
        reserve: config.store_reserve,
        ..SqliteOptions::new(config.mailboxes(), key, config.store.clone())
    };
    Ok(Box::new(
        SqliteStore::open(options).map_err(Failure::failed)?,
    ))
}
