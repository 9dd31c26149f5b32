//! The client daemon: keys, cover traffic, and the local API.

mod conversations;
mod daemon;
mod database;
mod files;
mod inbox;
mod keyed;
mod links;
mod local;
mod people;
mod programs;
mod sending;
mod status;

use std::sync::Arc;

use rand::Rng as _;
use shoal_client::{Row, SendError};
use shoal_proto::Time;
use shoal_roles::client::{Session, SessionInput, kept_successors, newest_seen};
use shoal_topology::{NetworkParameters, Successor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::conversations::Talks;
use self::daemon::{Daemon, Desk, Ended, Inputs, Report};
use self::database::Database;
use self::files::FileDesk;
use self::inbox::Inbox;
use self::keyed::Keyed;
use self::links::Links;
use self::local::Local;
use self::programs::Programs;
pub(crate) use self::programs::{Arrived, Unsent, Wish};
use self::sending::Sending;
use super::announce::{Announce, Announcer};
use super::clock::Clock;
use super::{Outside, seeded};
use crate::config::ClientConfig;
use crate::control::{ControlServer, Events, SOCKET_FILE, TOKEN_FILE, Token, api};
use crate::conversations::Conversations;
use crate::files::Now;
use crate::http::Health;
use crate::messagebox::MessageBox;
use crate::metrics::{self, Page};
use crate::net::Names;
use crate::state::{ClientKeyFile, ClientSecrets, Passphrase, StateDir, keep_memory_private};
use crate::{Exit, Failure};

/// Local requests, writes and session events that wait for the loop.
const INPUTS: usize = 256;

/// Runs the client daemon until a signal, a request or the end of standard input asks it to stop; its keys and rows are
/// under this passphrase, or under none.
///
/// # Errors
/// What kept it from starting: each says what to do.
pub async fn run_client(
    config: ClientConfig,
    passphrase: Option<Passphrase>,
    outside: Outside,
) -> Result<(), Failure> {
    keep_memory_private();
    let first = super::load_parameters(&config.network)?;
    let dir = StateDir::open(&config.dir)?;
    // It takes half a second and much memory, by intent.
    let file = ClientKeyFile::open(&dir)?;
    let secrets = tokio::task::block_in_place(|| file.unlock(passphrase.as_ref()))?;
    drop(passphrase);
    let mut stop = Box::pin(outside.stop().map_err(Failure::failed)?);

    let (asked_in, asked) = mpsc::channel(INPUTS);
    let (figures_in, figures) = mpsc::channel(4);
    let events = Events::new(seeded()?.next_u64());
    let (unread, unread_seen) = watch::channel(0);
    let (wishes_in, wishes) = mpsc::channel(INPUTS);
    let (arrived_in, arrived) = mpsc::channel(programs::ARRIVED);
    let mut inputs = Inputs {
        asked,
        figures,
        wishes,
    };
    let own = (dir.path(), &secrets);
    let boxes = MessageBox::start(own, config.messagebox, wishes_in, arrived).await?;
    if let Some(address) = boxes.as_ref().and_then(MessageBox::address) {
        let http = format!("http://{address}");
        outside.announcer.say(&Announce::MessageBox { http });
    }

    let local = Local {
        asked: asked_in,
        events: Arc::clone(&events),
        unread: unread_seen,
        boxes: boxes.as_ref().map(MessageBox::manager),
    };
    let api = Api::start(&config, &dir, local, outside.announcer).await?;
    let exporter = match config.metrics {
        Some(address) => Some(super::serve_metrics(address, figures_in, export, health).await?),
        None => None,
    };

    let (mut inbox, mut reached) = (Inbox::default(), Time::default());
    let mut accepted = None;
    let superseded = loop {
        let (session_in, mut session) = mpsc::channel(INPUTS);
        let (written_in, mut written) = mpsc::channel(database::OUTSTANDING);
        let mut daemon = Start {
            first: Arc::clone(&first),
            secrets: &secrets,
            inbox,
            accepted,
            reached,
            clock: Clock::start(),
            events: Arc::clone(&events),
            unread: unread.clone(),
            arrived: arrived_in.clone(),
            announcer: outside.announcer,
        }
        .daemon(&config, dir.path(), written_in, session_in)?;
        let own = (&mut session, &mut written);
        let ended = daemon.run(own, &mut inputs, &mut stop).await;
        let superseded = daemon.is_superseded();
        let Daemon {
            links,
            database,
            inbox: unread,
            session: before,
            ..
        } = daemon;
        inbox = unread;
        accepted = before.successor().cloned();
        // What was accepted is on disk before the process ends.
        tokio::task::block_in_place(|| finish(database, &mut written));
        // Tasks of connections end when nobody hears them any more.
        drop(session);
        links.finish().await;
        match ended {
            Ended::Stopped => break superseded,
            Ended::Succeeded(begun) => {
                reached = begun;
                tracing::info!(
                    "other values of the network count from now on: the client begins anew with them"
                );
            }
        }
    };
    // Who follows or waits is told that it is over.
    events.close();
    drop((inputs, unread));
    api.stop().await;
    if let Some(boxes) = boxes {
        boxes.stop().await;
    }
    if let Some(exporter) = exporter {
        exporter.abort();
    }
    outside.announcer.say(&Announce::Stopped);
    match superseded {
        true => Err(Failure::other(Exit::Superseded, SendError::Superseded)),
        false => Ok(()),
    }
}

/// The local API that answers.
struct Api {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Api {
    /// Listens, and says where.
    async fn start(
        config: &ClientConfig,
        dir: &StateDir,
        local: Local,
        announcer: Announcer,
    ) -> Result<Self, Failure> {
        let mut server = ControlServer::bind(dir.path()).map_err(Failure::failed)?;
        let mut at = None;
        if let Some(address) = config.api {
            let token = Token::of(dir.path(), &mut seeded()?).map_err(Failure::usage)?;
            let address = server.also_at(address, token).await.map_err(|error| {
                Failure::failed(anyhow::anyhow!(
                    "can't serve the API on {address}: {error}; set api.listen to another port, or to \"none\""
                ))
            })?;
            at = Some(address);
        }
        let http = at.map(|address| format!("http://{address}"));
        announcer.say(&Announce::Api {
            socket: dir.path().join(SOCKET_FILE).display().to_string(),
            token_file: http
                .is_some()
                .then(|| dir.path().join(TOKEN_FILE).display().to_string()),
            http,
        });
        let events = Arc::clone(&local.events);
        let router = api::client(Arc::new(local), events).merge(api::pages(server.door()));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.serve_until(router, async {
            // Also if the daemon ends otherwise.
            let _ = stopped.await;
        });
        Ok(Self {
            stop,
            serving: tokio::spawn(serving),
        })
    }

    /// Ends what is being answered. Its socket's file goes before the directory's lock does, or it would be the next
    /// daemon's that goes.
    async fn stop(self) {
        // It may have ended.
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }
}

fn check_profile(params: &NetworkParameters, config: &ClientConfig) -> Result<(), Failure> {
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
    Err(Failure::usage(anyhow::anyhow!(
        "the network {} has no profile `{name}`; it has: {known}",
        params.name
    )))
}

/// What is kept is not as it was written.
fn damaged(what: &str) -> Failure {
    let error = anyhow::anyhow!("the client's database is damaged: {what}");
    Failure::failed(error.context("restore it from a backup, or move it away"))
}

/// Lets the database's thread write what is queued.
fn finish(database: Database, written: &mut mpsc::Receiver<database::Written>) {
    // What the thread says from now on is said to nobody, so that it waits for nobody.
    written.close();
    if database.finish().is_none() {
        tracing::error!("the database's thread panicked");
    }
}

/// What a daemon starts from.
struct Start<'a> {
    /// Of the network's file, before those that follow on it.
    first: Arc<NetworkParameters>,
    secrets: &'a ClientSecrets,
    /// What is unread, with the cursors by which programs know it.
    inbox: Inbox,
    /// A file that follows on the one before, also if the disk did not take it.
    accepted: Option<Successor>,
    /// The network's time is past this, whatever the machine's clock says.
    reached: Time,
    clock: Clock,
    events: Arc<Events>,
    unread: watch::Sender<u64>,
    /// Where data for the message box goes.
    arrived: mpsc::Sender<Arrived>,
    announcer: Announcer,
}

impl Start<'_> {
    fn daemon(
        self,
        config: &ClientConfig,
        dir: &std::path::Path,
        written: mpsc::Sender<database::Written>,
        inputs: mpsc::Sender<SessionInput>,
    ) -> Result<Daemon, Failure> {
        let db = self.secrets.open_db(dir, &mut seeded()?)?;
        let rows: Vec<Row> = db.load()?;
        let now = self.clock.now();
        let reached = now.max(self.reached);
        let params = (*self.first).clone();
        let mut files = kept_successors(&rows);
        files.extend(self.accepted);
        let params = params.at(&files, reached, newest_seen(&rows));
        let params = Arc::new(params);
        check_profile(&params, config)?;
        let keyed = Keyed::restore(&rows).map_err(damaged)?;
        let sending = Sending::new(keyed);
        let talks = Talks::new(Conversations::restore(&rows, config.history).map_err(damaged)?);
        let core = config.core.clone();
        let profile = core.profile.clone();
        let net = Arc::clone(&params);
        let keys = self.secrets.keys();
        let session =
            Session::new(net, core, keys, &mut seeded()?, &rows, now).map_err(Failure::failed)?;
        let times = Now {
            steady: now,
            network: session.network_time(now),
        };
        let config = (&*params, &config.core);
        let files = FileDesk::restore((&db, &rows), config, &mut seeded()?, times)?;
        self.announcer.say(&Announce::Serving);
        Ok(Daemon {
            links: Links::new(&params, Names::of(&params, reached), inputs.clone()),
            params,
            profile,
            clock: self.clock,
            started: now,
            session,
            inputs,
            database: Database::spawn(db, written).map_err(Failure::failed)?,
            inbox: self.inbox,
            events: self.events,
            unread: self.unread,
            announcer: self.announcer,
            sending,
            programs: Programs::new(self.arrived),
            files,
            talks,
            desk: Desk::default(),
            succeeded: false,
            open: false,
        })
    }
}

/// Hands everything to the metrics page.
fn export(report: &Report, page: &mut Page) {
    metrics::export_client(page, &report.status, &report.counters);
}

/// How a client is.
fn health(report: &Report) -> Health {
    Health::of(report.status.troubles())
}
