//! A mix or provider node.

mod core;
mod events;
mod files;
mod intake;
mod queue;
mod store;

use std::sync::Arc;
use std::time::Duration;

use shoal_mix::{Accounting, Gate, Relay};
use shoal_proto::NodeId;
use shoal_provider::{Provider, SqliteOptions, SqliteStore};
use shoal_topology::{Directory, Identity, LocalNode, NetworkParameters, Role};
use tokio::sync::mpsc;

use self::core::{Core, Desk, Durable, Figures, Inputs, ProviderSide};
use self::files::FilesThread;
use self::intake::{Attachments, Intake};
use self::store::{StoreDone, StoreThread};
use super::announce::Announce;
use super::clock::Clock;
use super::{Outside, seeded, serve_metrics};
use crate::cli::CliError;
use crate::config::NodeConfig;
use crate::net::{Mode, NetConfig, NetLimits, spawn};
use crate::state::{
    DirectoryFiles, LoadedDirectory, ReplayLog, ReplayWriter, StateDir, load_identity,
};

/// Unwrapped packets, durable tags and store results that wait for the loop.
const INPUTS: usize = 4096;
/// How long connections may take to close in good order; networking's own deadline comes first.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// The mailboxes' file.
const STORE_FILE: &str = "mailboxes.db";

/// Runs a node until a signal or the end of standard input asks it to stop. Then admission closes,
/// what is in the pool leaves at its moment, and everything is synced.
///
/// # Errors
/// What kept it from starting: each says what to do.
pub async fn run_node(config: NodeConfig, outside: Outside) -> Result<(), CliError> {
    let params = super::load_parameters(&config.network)?;
    let dir = StateDir::open(&config.dir).map_err(CliError::usage)?;
    let identity = Arc::new(load_identity(dir.path()).map_err(CliError::usage)?);
    let stop = outside.stop().map_err(CliError::failed)?;
    let starting = Starting {
        params,
        config,
        local: identity.id(),
        identity,
        clock: Clock::start(),
    };
    starting.run(&dir, outside, stop).await?;
    outside.announcer.say(&Announce::Stopped);
    Ok(())
}

/// What a node is made of before it runs.
struct Starting {
    params: Arc<NetworkParameters>,
    config: NodeConfig,
    identity: Arc<Identity>,
    local: NodeId,
    clock: Clock,
}

impl Starting {
    async fn run(
        self,
        dir: &StateDir,
        outside: Outside,
        stop: impl Future<Output = ()>,
    ) -> Result<(), CliError> {
        let (durable_in, durable) = mpsc::channel(INPUTS);
        let (store_in, store) = mpsc::channel(INPUTS);
        let (processed_in, processed) = mpsc::channel(INPUTS);
        let (figures_in, figures) = mpsc::channel(4);

        let accounting = Accounting::new();
        let gate = Gate::new(
            Arc::clone(&self.params),
            self.local,
            self.config.role,
            self.config.relay.clone(),
            Arc::clone(&accounting),
        );
        let gate = Arc::new(gate.with_engine(self.config.engine));
        tracing::info!(backend = %gate.engine().backend(), "unwrapping");
        let (files, replay, loaded) = self.open_files(dir, durable_in)?;
        for (epoch, tags) in loaded.tags {
            gate.restore_tags(epoch, tags);
        }
        let provider = self.provider(dir, store_in)?;
        let attachments = Arc::new(Attachments::default());
        let intake = Intake::new(
            Arc::clone(&gate),
            self.clock,
            Arc::clone(&attachments),
            self.config.relay.queue,
        );
        let (net, events) =
            spawn(self.net_config(), Arc::clone(&intake) as _).map_err(CliError::failed)?;
        net.set_peers(core::first_peers(&self.params, &self.local));
        let workers = intake
            .spawn_workers(self.config.unwrap_threads, &processed_in)
            .map_err(CliError::failed)?;
        drop(processed_in);
        let exporter = match self.config.metrics {
            Some(address) => Some(serve_metrics(address, figures_in, Figures::export).await?),
            None => None,
        };

        let now = self.clock.now();
        let mut core = Core {
            relay: Relay::new(
                Arc::clone(&self.params),
                self.local,
                self.config.relay.clone(),
                Arc::clone(&accounting),
                seeded()?,
                now,
            ),
            directory: Directory::new(
                Arc::clone(&self.params),
                Some(self.local_node()?),
                seeded()?,
                loaded.restored,
                now,
            ),
            params: self.params,
            local: self.local,
            clock: self.clock,
            net: net.clone(),
            gate,
            accounting,
            attachments,
            provider,
            replay,
            files,
            announcer: outside.announcer,
            desk: Desk::default(),
        };
        let inputs = Inputs {
            net: events,
            processed,
            durable,
            store,
            figures,
        };
        let mut events = core.run(inputs, stop, || intake.close()).await;
        // What is in the rings leaves, and peers are told.
        net.shutdown();
        let closed = async { while events.recv().await.is_some() {} };
        if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        tokio::task::block_in_place(|| finish(core, workers));
        if let Some(exporter) = exporter {
            exporter.abort();
        }
        Ok(())
    }

    fn open_files(
        &self,
        dir: &StateDir,
        durable: mpsc::Sender<Durable>,
    ) -> Result<(FilesThread, Arc<ReplayWriter>, LoadedDirectory), CliError> {
        let mut log = ReplayLog::open(dir.path()).map_err(CliError::failed)?;
        let files = DirectoryFiles::open(dir.path()).map_err(CliError::failed)?;
        let loaded = files.load(&mut log).map_err(CliError::failed)?;
        for (epoch, why) in &loaded.forgotten {
            tracing::warn!(%epoch, %why, "the key of this epoch is given up: it can't be used safely");
        }
        let notify = move |told| {
            let told = match told {
                crate::state::Durable::UpTo(upto) => Durable::Upto(upto),
                crate::state::Durable::Failed { .. } => Durable::Failed,
            };
            // The loop is gone while the node stops.
            let _ = durable.blocking_send(told);
        };
        let replay = ReplayWriter::spawn(log, self.config.links.log_tags, notify)
            .map(Arc::new)
            .map_err(CliError::failed)?;
        let files = FilesThread::spawn(files, Arc::clone(&replay)).map_err(CliError::failed)?;
        Ok((files, replay, loaded))
    }

    fn provider(
        &self,
        dir: &StateDir,
        done: mpsc::Sender<StoreDone>,
    ) -> Result<Option<ProviderSide>, CliError> {
        if self.config.role != Role::Provider {
            return Ok(None);
        }
        let now = self.clock.now();
        let options = SqliteOptions::new(dir.file(STORE_FILE), self.config.store.clone());
        let store = SqliteStore::open(options).map_err(CliError::failed)?;
        let store =
            StoreThread::spawn(Box::new(store), self.clock, done).map_err(CliError::failed)?;
        let limits = self.config.provider.clone();
        let core = Provider::new(Arc::clone(&self.params), self.local, limits, seeded()?, now);
        Ok(Some(ProviderSide { core, store }))
    }

    fn net_config(&self) -> NetConfig {
        let links = &self.config.links;
        NetConfig {
            secret: self.identity.to_bytes(),
            network: self.params.hash(),
            mode: Mode::Node,
            listen: self.config.listen.clone(),
            limits: NetLimits {
                ring_frames: links.ring_frames,
                connections: links.nodes.saturating_add(links.clients),
                idle_deadline: links.idle.into(),
                ..super::net_limits()
            },
        }
    }

    fn local_node(&self) -> Result<LocalNode, CliError> {
        Ok(LocalNode {
            identity: Arc::clone(&self.identity),
            role: self.config.role,
            addresses: {
                let dialled = self.config.dialled().map_err(CliError::usage)?;
                dialled.iter().map(ToString::to_string).collect()
            },
            family: self.config.family.clone(),
            capacity_class: self.config.capacity_class,
            storage_mib: self.config.store.bytes >> 20,
        })
    }
}

/// Ends the threads, in the order in which they feed each other.
fn finish(core: Core, workers: Vec<std::thread::JoinHandle<()>>) {
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("an unwrap worker panicked");
        }
    }
    if let Some(side) = core.provider {
        side.store.stop();
    }
    core.files.stop();
    // The last handle to the replay log: its thread writes what waits, and ends.
    drop(core.replay);
}
