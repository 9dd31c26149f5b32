//! A mix or provider node: threads, sockets and disks around its composition.

mod disk;
mod host;
mod intake;
mod issuer;
mod jobs;
mod kept;
mod machine;
mod operator;
mod queue;
#[cfg(feature = "postgres")]
mod standby;
mod store;
mod successor;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::OptionFuture;
use shoal_proto::{NodeId, Span};
use shoal_provider::Issuer;
use shoal_roles::node::{Node, NodeInput, NodeSetup};
use shoal_topology::{
    Address, FamilyProof, Identity, Invitation, LocalNode, NetworkParameters, Role, Successor,
    TokenTerms,
};
use tokio::sync::{mpsc, oneshot, watch};

use self::disk::DiskThread;
use self::host::{Ended, Host, Inputs, Report, Threads};
use self::intake::Frames;
use self::jobs::JobThreads;
use self::kept::Kept;
use self::operator::Operator;
use self::store::StoreThread;
pub use self::successor::SUCCESSOR_FILE;
use self::successor::SuccessorFile;
use super::announce::{Announce, Announcer};
use super::clock::Clock;
use super::stop::Stops;
use super::{Outside, net_limits, seeded, serve_metrics};
use crate::Failure;
use crate::config::{ByteSize, NodeConfig};
use crate::control::{ControlServer, api};
use crate::http::Health;
use crate::metrics::{self, MachineFigures, Page};
use crate::net::{Mode, Names, NetConfig, NetLimits, spawn};
use crate::state::{
    DirectoryState, LoadedDirectory, ReplayWriter, StateDir, TagLog, load_identity, successors,
};
use crate::upnp::{Forwarding, Told};

/// Unwrapped packets, and what threads have done, that wait for the loop.
const INPUTS: usize = 4096;
/// How long connections may take to close in good order; networking's own deadline comes first.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Runs a node until a signal or the end of standard input asks it to stop. Then admission closes,
/// what is in the pool leaves at its moment, and everything is synced.
///
/// # Errors
/// What kept it from starting: each says what to do.
pub async fn run_node(config: NodeConfig, mut outside: Outside) -> Result<(), Failure> {
    let first = super::load_parameters(&config.network)?;
    let dir = StateDir::open(&config.dir)?;
    let identity = Arc::new(load_identity(dir.path()).map_err(Failure::usage)?);
    let mut stops = outside.stops().map_err(Failure::failed)?;
    let (mut leaves_in, mut accepted): (_, Option<Successor>) = (None, None);
    loop {
        let prepare = |told: &Outside, accepted: Option<&Successor>| {
            let told = told.addresses.as_ref();
            let told = told.map(|told| told.borrow().clone());
            let told = told.filter(|told| !told.is_empty());
            Starting::prepare(
                (&first, &config),
                &dir,
                &identity,
                (told, accepted, leaves_in),
            )
        };
        let starting = prepare(&outside, accepted.as_ref())?;
        // First of all: whoever waits for the mailboxes does nothing else.
        let outlets = (outside.announcer, &mut stops);
        let Some(kept) = Kept::open(&config, &dir, identity.id(), outlets).await? else {
            break;
        };
        // It may have waited for long, and what follows on the network's file have been told to another process.
        let starting = match kept.overtaken {
            Some(_) => prepare(&outside, accepted.as_ref())?,
            None => starting,
        };
        let told = (&mut stops, &mut outside.addresses);
        let ended;
        (ended, leaves_in, accepted) = starting.run(&dir, kept, outside.announcer, told).await?;
        match ended {
            Ended::Stopped => break,
            Ended::Succeeded => tracing::info!(
                "other values of the network count from now on: the node begins anew with them"
            ),
            Ended::Overtaken => tracing::warn!(
                "another process has taken over the mailboxes, keys and votes: the node ends what it does, and waits"
            ),
            Ended::ClockSet => tracing::warn!(
                "this machine's clock, which was off, has been set: the node begins anew by what it says now"
            ),
        }
    }
    outside.announcer.say(&Announce::Stopped);
    Ok(())
}

/// A first member does what its network's file says that it does: others send it just that.
pub(crate) fn check_role(
    params: &NetworkParameters,
    id: &NodeId,
    role: Role,
) -> Result<(), Failure> {
    let mut members = params.genesis_members.iter();
    match members.find(|member| member.id == *id) {
        Some(member) if member.role != role => Err(Failure::usage(anyhow::anyhow!(
            "the network's file lists this node as a {}, and it is to run as a {}: set `role`, or leave \
             --role out",
            member.role.as_str(),
            role.as_str()
        ))),
        _ => Ok(()),
    }
}

/// What a node is made of before it runs.
struct Starting {
    params: Arc<NetworkParameters>,
    config: NodeConfig,
    /// Where others dial it.
    addresses: Vec<Address>,
    family: Option<FamilyProof>,
    invitation: Option<Invitation>,
    identity: Arc<Identity>,
    clock: Clock,
    /// How long it has to leave, if it was asked to before it began anew.
    leaves_in: Option<Span>,
}

impl Starting {
    /// With what counts now.
    fn prepare(
        (first, config): (&Arc<NetworkParameters>, &NodeConfig),
        dir: &StateDir,
        identity: &Arc<Identity>,
        (told, accepted, leaves_in): (Option<Vec<Address>>, Option<&Successor>, Option<Span>),
    ) -> Result<Self, Failure> {
        let clock = Clock::start();
        let mut kept = successors(dir.path())?;
        // Also if the disk did not take it.
        kept.extend(accepted.cloned());
        let params = Arc::new((**first).clone().at(&kept, clock.now(), None));
        config.check(&params).map_err(Failure::usage)?;
        let addresses = config.dialled_in(&params).map_err(Failure::usage)?;
        check_role(&params, &identity.id(), config.role)?;
        let family = config.family_in(&params, &identity.id());
        let family = family.map_err(Failure::usage)?;
        let invitation = config.invitation_in(&params, &identity.id());
        let invitation = invitation.map_err(Failure::usage)?;
        // A member goes on without, so that this keeps nobody from starting.
        let over = config.invitation_over(&params, clock.now());
        if let Some(over) = over.filter(|_| invitation.is_some()) {
            tracing::warn!("{over}");
        }
        Ok(Self {
            params,
            config: config.clone(),
            addresses: told.unwrap_or(addresses),
            family,
            invitation,
            identity: Arc::clone(identity),
            clock,
            leaves_in,
        })
    }

    async fn run(
        self,
        dir: &StateDir,
        kept: Kept,
        announcer: Announcer,
        (stops, moved): (&mut Stops, &mut Option<watch::Receiver<Vec<Address>>>),
    ) -> Result<(Ended, Option<Span>, Option<Successor>), Failure> {
        let (done_in, done) = mpsc::channel(INPUTS);
        let (processed_in, processed) = mpsc::channel(INPUTS);
        let (reports_in, reports) = mpsc::channel(4);

        let relay = &self.config.relay;
        tracing::info!(
            backend = %self.config.engine.backend(),
            packets_per_second = relay.packets_per_second,
            replay_memory = %ByteSize::mebibytes(relay.replay_bytes(&self.params).div_ceil(1 << 20)),
            "unwrapping; the replay filters take at most so much"
        );
        let found = self.look_at_machine(dir)?;
        let store = kept
            .store
            .map(|store| StoreThread::spawn(store, self.clock, done_in.clone()));
        let store = store.transpose().map_err(Failure::failed)?;
        let loaded = kept.loaded;
        let (disk, replay) = self.keep(kept.state, kept.log, &loaded, &done_in)?;
        let jobs = JobThreads::spawn(&done_in).map_err(Failure::failed)?;
        let successor = SuccessorFile::new(dir, &self.params, done_in);
        successor.look();
        let mut issuer = self.issuer(dir)?;
        let now = self.clock.now();
        let tokens = issuer.as_mut().and_then(|issuer| issuer.terms(now));
        let setup = self.setup(loaded, tokens);
        let mut node = Node::new(setup, &mut seeded()?, now);
        if let Some(issuer) = issuer {
            node = node.with_issuer(now, issuer);
        }
        let frames = Frames::new(Arc::clone(node.intake()), self.clock, seeded()?);
        let (net, events) = spawn(self.net_config(), Arc::clone(&frames) as _)?;
        let workers = frames
            .spawn_workers(self.config.unwrap_threads, &processed_in)
            .map_err(|error| self.no_threads(&error))?;
        drop(processed_in);
        let exporter = match self.config.metrics {
            Some(address) => {
                let reports = reports_in.clone();
                Some(serve_metrics(address, reports, export, health).await?)
            }
            None => None,
        };
        let router = self.ask_router(moved.clone());
        let told = router.as_ref().map(Forwarding::told);
        let control = self.serve_operator(dir, reports_in, told);

        let threads = Threads {
            store,
            replay,
            disk,
            jobs,
        };
        let place = (Arc::clone(&self.params), self.config.engine.backend());
        let mut host = Host::new(self.clock, node, net.clone(), threads, announcer, place);
        host.machine = found;
        host.overtaken = kept.overtaken;
        host.go_on_leaving(self.leaves_in);
        let inputs = Inputs {
            net: events,
            processed,
            done,
            reports,
        };
        let asked = (stops, self.config.drain);
        let (ended, mut events) = host.run(inputs, asked, (moved, &successor)).await;
        let now = self.clock.now();
        let leaves_in = host.node.leaves_by().map(|by| by.since(now));
        let accepted = host.node.successor().cloned();
        drop(successor);
        frames.close();
        // What is in the rings leaves, and peers are told.
        net.shutdown();
        let closed = async { while events.recv().await.is_some() {} };
        let closed = tokio::time::timeout(CLOSE_PATIENCE, closed);
        let router = OptionFuture::from(router.map(Forwarding::stop));
        let (closed, _) = tokio::join!(closed, router);
        if closed.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        tokio::task::block_in_place(|| finish(host.threads, workers));
        for server in exporter.into_iter().chain(control) {
            server.abort();
            // It lets go of its socket.
            let _ = server.await;
        }
        Ok((ended, leaves_in, accepted))
    }

    /// Measures what the machine can do, and says what it can't.
    fn look_at_machine(&self, dir: &StateDir) -> Result<MachineFigures, Failure> {
        let (engine, threads) = (self.config.engine, self.config.unwrap_threads);
        let mut rng = seeded()?;
        let found = tokio::task::block_in_place(|| {
            machine::measure(self.clock, &mut rng, (engine, threads), dir.path())
        })?;
        tracing::info!(
            backend = %engine.backend(),
            packets_per_second = found.unwrappable,
            flush = %Span::from_micros(1_000_000 / found.flushable.max(1)),
            free_memory = %ByteSize::mebibytes(found.free >> 20),
            "this machine can unwrap so many packets, and flush its disk in so long"
        );
        for line in machine::too_much(&found, &self.config.relay, &self.params) {
            tracing::warn!("{line}");
        }
        Ok(found)
    }

    /// Tells the operator how the node is, on the socket in its directory, until the task is aborted. It is no reason
    /// to carry no packets that the socket can't be made.
    fn serve_operator(
        &self,
        dir: &StateDir,
        reports: mpsc::Sender<oneshot::Sender<Report>>,
        router: Option<watch::Receiver<Told>>,
    ) -> Option<tokio::task::JoinHandle<()>> {
        let server = match ControlServer::bind(dir.path()) {
            Ok(server) => server,
            Err(error) => {
                tracing::warn!(%error, "no control socket: `shoal node status` can't ask this node");
                return None;
            }
        };
        let operator = Operator {
            node: self.identity.id(),
            params: Arc::clone(&self.params),
            dir: dir.path().to_owned(),
            clock: self.clock,
            started: self.clock.now(),
            replay_most: self.config.relay.replay_bytes(&self.params),
            router,
            reports,
        };
        let router = api::node(Arc::new(operator));
        Some(tokio::spawn(
            server.serve_until(router, std::future::pending()),
        ))
    }

    /// Has the router forward the node's ports, if it is to. Who can't be asked keeps no node from its work.
    fn ask_router(&self, moved: Option<watch::Receiver<Vec<Address>>>) -> Option<Forwarding> {
        if !self.config.upnp {
            return None;
        }
        let first = self.addresses.clone();
        let advertised = move || {
            let told = moved.as_ref().map(|moved| moved.borrow().clone());
            let told = told.filter(|addresses| !addresses.is_empty());
            told.unwrap_or_else(|| first.clone())
        };
        let forwarding = Forwarding::start(&self.config.listen, advertised);
        forwarding
            .inspect_err(|error| tracing::warn!(%error, "the router is not asked for ports (upnp)"))
            .ok()
    }

    /// The system lets the process have fewer threads.
    fn no_threads(&self, error: &std::io::Error) -> Failure {
        let (wanted, origin) = (self.config.unwrap_threads, &self.config.origins);
        let origin = origin.of("threads.unwrap").unwrap_or("the default");
        Failure::failed(anyhow::anyhow!(
            "threads.unwrap ({origin}): the system refuses to start {wanted} threads ({error}); set fewer, \
             or allow the process more"
        ))
    }

    /// Has threads keep what changes from now on.
    fn keep(
        &self,
        state: Box<dyn DirectoryState>,
        log: Box<dyn TagLog>,
        loaded: &LoadedDirectory,
        done: &mpsc::Sender<NodeInput>,
    ) -> Result<(DiskThread, Arc<ReplayWriter>), Failure> {
        loaded.restored.check(&self.params).map_err(|error| {
            let file = self.config.network.display();
            Failure::usage(anyhow::anyhow!(
                "the recovery in {file} does not fit this node's state: {error}"
            ))
        })?;
        for (epoch, why) in &loaded.forgotten {
            tracing::warn!(%epoch, %why, "the key of this epoch is given up: it can't be used safely");
        }
        let durable = done.clone();
        let notify = move |told| {
            let told = match told {
                crate::state::Durable::UpTo(upto) => NodeInput::TagsDurable { upto },
                // The composition tells the operator, once.
                crate::state::Durable::Failed { error, .. } => NodeInput::TagsFailed {
                    why: error.to_string(),
                },
            };
            // The loop is gone while the node stops.
            let _ = durable.blocking_send(told);
        };
        let replay = ReplayWriter::spawn(log, self.config.links.log_tags, notify)
            .map(Arc::new)
            .map_err(Failure::failed)?;
        let disk =
            DiskThread::spawn(state, Arc::clone(&replay), done.clone()).map_err(Failure::failed)?;
        Ok((disk, replay))
    }

    /// What a provider issues tokens with, if it asks for some.
    fn issuer(&self, dir: &StateDir) -> Result<Option<Issuer>, Failure> {
        let policy = self.config.tokens.as_ref();
        let policy = policy.filter(|_| self.config.role == Role::Provider);
        let Some(policy) = policy else {
            return Ok(None);
        };
        issuer::issuer(dir.path(), &self.identity.id(), policy, &mut seeded()?).map(Some)
    }

    fn setup(&self, loaded: LoadedDirectory, tokens: Option<TokenTerms>) -> NodeSetup {
        let local = LocalNode {
            identity: Arc::clone(&self.identity),
            role: self.config.role,
            addresses: self.addresses.clone(),
            family: self.family,
            invitation: self.invitation,
            capacity_class: self.config.capacity_class,
            storage_mib: self.config.store.bytes >> 20,
            tokens,
        };
        NodeSetup {
            params: Arc::clone(&self.params),
            local,
            relay: self.config.relay.clone(),
            provider: self.config.provider.clone(),
            engine: self.config.engine,
            restored: loaded.restored,
            tags: loaded.tags,
        }
    }

    fn net_config(&self) -> NetConfig {
        let links = &self.config.links;
        NetConfig {
            secret: self.identity.to_bytes(),
            names: Names::of(&self.params, self.clock.now()),
            reach: self.params.reach(),
            clock: self.clock,
            mode: Mode::Node,
            listen: self.config.listen.clone(),
            limits: NetLimits {
                ring_frames: links.ring_frames,
                connections: links.nodes.saturating_add(links.clients),
                idle_deadline: links.idle.into(),
                ..net_limits()
            },
        }
    }
}

/// Hands everything to the metrics page.
fn export(report: &Report, page: &mut Page) {
    page.add(report.figures.samples());
    metrics::export_excess(page, &report.figures.books.excess);
    metrics::export_loop_ratio(page, report.figures.loop_ratio);
    page.add(report.net.samples());
    page.add(report.open.samples());
    page.add(report.placed.samples());
    page.add(report.epoch.samples());
    page.add(report.machine.samples());
    metrics::export_node_process(page, report.backend);
}

/// Whether the node does its work; if not, why.
fn health(report: &Report) -> Health {
    Health::of(report.troubles.iter().map(|(_, text)| text))
}

/// Ends the threads, in the order in which they feed each other.
fn finish(threads: Threads, workers: Vec<JoinHandle<()>>) {
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("an unwrap worker panicked");
        }
    }
    threads.jobs.stop();
    if let Some(store) = threads.store {
        store.stop();
    }
    threads.disk.stop();
    // The last handle to the replay log: its thread writes what waits, and ends.
    drop(threads.replay);
}
