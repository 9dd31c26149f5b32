//! The client daemon: keys, cover traffic, and the local API.

mod daemon;
mod database;
mod inbox;
mod local;
mod session;
mod status;

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use shoal_client::{Client, Row};
use shoal_proto::NodeId;
use shoal_topology::{ClientDirectory, NetworkParameters};
use tokio::sync::{broadcast, mpsc, watch};

use self::daemon::{Daemon, Desk, Ended, Inputs};
use self::database::Database;
use self::local::Local;
use self::session::{Session, SessionEvent};
use super::announce::{Announce, Announcer};
use super::clock::Clock;
use super::{Outside, seeded};
use crate::Failure as CliError;
use crate::config::ClientConfig;
use crate::control::ControlServer;
use crate::control::protocol::Status;
use crate::http::Health;
use crate::metrics;
use crate::state::{ClientDb, StateDir, load_client_keys};

/// Events that a slow follower may fall behind.
const EVENTS: usize = 1024;
/// How long the session may take to close its connections.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Local requests, writes and session events that wait for the loop.
const INPUTS: usize = 256;

/// Runs the client daemon until a signal, a request or the end of standard input asks it to stop.
///
/// # Errors
/// What kept it from starting: each says what to do.
pub async fn run_client(config: ClientConfig, outside: Outside) -> Result<(), CliError> {
    let params = super::load_parameters(&config.network)?;
    check_profile(&params, &config)?;
    let dir = StateDir::open(&config.dir).map_err(CliError::usage)?;
    load_client_keys(dir.path()).map_err(CliError::usage)?;
    let mut stop = Box::pin(outside.stop().map_err(CliError::failed)?);

    let (asked_in, asked) = mpsc::channel(INPUTS);
    let (written_in, written) = mpsc::channel(database::OUTSTANDING);
    let (session_in, session) = mpsc::channel(INPUTS);
    let (figures_in, figures) = mpsc::channel(4);
    let (events, _) = broadcast::channel(EVENTS);
    let (unread, unread_seen) = watch::channel(0);
    let mut inputs = Inputs {
        session,
        asked,
        written,
        figures,
    };

    let server = ControlServer::bind(dir.path()).map_err(CliError::failed)?;
    let local = Local {
        asked: asked_in,
        events: events.clone(),
        unread: unread_seen,
    };
    let serving = tokio::spawn(server.serve(Arc::new(local)));
    let exporter = match config.metrics {
        Some(address) => {
            Some(super::serve_metrics(address, figures_in, metrics::export_client, health).await?)
        }
        None => None,
    };

    let clock = Clock::start();
    let mut start = Start {
        params,
        clock,
        local_clock: clock,
        directory: None,
        inbox: inbox::Inbox::default(),
        events,
        unread,
        announcer: outside.announcer,
    };
    let connecting = tokio::spawn(start.session(&config, session_in)?.run());
    loop {
        let mut daemon = start.daemon(&config, dir.path(), &written_in)?;
        let ended = daemon.run(&mut inputs, &mut stop).await;
        start.inbox = std::mem::take(&mut daemon.inbox);
        // What was accepted is on disk before the process ends.
        tokio::task::block_in_place(|| finish(daemon.database, &mut inputs.written));
        match ended {
            Ended::Stopped => break,
            Ended::ClockMoved(clock, directory) => {
                start.clock = clock;
                start.directory = Some(directory);
            }
        }
    }
    // The session ends when nobody hears it any more, and closes its connections.
    drop(inputs);
    let _ = tokio::time::timeout(CLOSE_PATIENCE, connecting).await;
    serving.abort();
    if let Some(exporter) = exporter {
        exporter.abort();
    }
    outside.announcer.say(&Announce::Stopped);
    Ok(())
}

fn check_profile(params: &NetworkParameters, config: &ClientConfig) -> Result<(), CliError> {
    let name = &config.core.profile;
    if params.profile(name).is_some() {
        return Ok(());
    }
    let known = params
        .profiles
        .keys()
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    Err(CliError::usage(anyhow::anyhow!(
        "the network {} has no profile `{name}`; it has: {known}",
        params.name
    )))
}

/// Lets the database's thread write what is queued. Its words have nobody to go to any more; the
/// channel holds as many as there can be, so the thread never waits for us.
fn finish(database: Database, written: &mut mpsc::Receiver<database::Written>) {
    if database.finish().is_none() {
        tracing::error!("the database's thread panicked");
    }
    while written.try_recv().is_ok() {}
}

/// What a daemon starts from; it may start more than once, when the clock moves.
struct Start {
    params: Arc<NetworkParameters>,
    clock: Clock,
    local_clock: Clock,
    directory: Option<ClientDirectory>,
    /// Kept over a restart of the core, so that cursors go on counting.
    inbox: inbox::Inbox,
    events: broadcast::Sender<crate::control::protocol::Event>,
    unread: watch::Sender<u64>,
    announcer: Announcer,
}

impl Start {
    fn session(
        &self,
        config: &ClientConfig,
        events: mpsc::Sender<SessionEvent>,
    ) -> Result<Session, CliError> {
        Ok(Session {
            params: Arc::clone(&self.params),
            clock: self.clock,
            entry: config.core.entry,
            mailbox: config.core.mailbox_provider,
            profile: config.core.profile.clone(),
            rng: seeded()?,
            events,
        })
    }

    fn daemon(
        &mut self,
        config: &ClientConfig,
        dir: &std::path::Path,
        written: &mpsc::Sender<database::Written>,
    ) -> Result<Daemon, CliError> {
        let db = ClientDb::open(dir).map_err(CliError::failed)?;
        let rows: Vec<Row> = db.load().map_err(CliError::failed)?;
        let core = self.core(config, dir, &rows)?;
        let now = self.clock.now();
        let address = core.address(now).to_string();
        self.announcer.say(&Announce::Serving { address });
        let mailbox: NodeId = config.core.mailbox_provider;
        let mut daemon = Daemon {
            params: Arc::clone(&self.params),
            mailbox,
            profile: config.core.profile.clone(),
            clock: self.clock,
            started: now,
            core,
            database: Database::spawn(db, written.clone()).map_err(CliError::failed)?,
            inbox: std::mem::take(&mut self.inbox),
            events: self.events.clone(),
            unread: self.unread.clone(),
            announcer: self.announcer,
            link: None,
            local_clock: self.local_clock,
            desk: Desk::default(),
        };
        if let Some(directory) = &self.directory {
            daemon.adopt(directory);
        }
        Ok(daemon)
    }

    fn core(
        &self,
        config: &ClientConfig,
        dir: &std::path::Path,
        rows: &[Row],
    ) -> Result<Client<ChaCha20Rng>, CliError> {
        let keys = load_client_keys(dir).map_err(CliError::usage)?;
        let params = Arc::clone(&self.params);
        let now = self.clock.now();
        Client::new(params, config.core.clone(), keys, seeded()?, rows, now)
            .map_err(CliError::failed)
    }
}

/// How a client is.
fn health(status: &Status) -> Health {
    Health::of((!status.online).then_some("no entry provider has this client attached"))
}
