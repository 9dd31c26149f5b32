//! A node's configuration.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use shoal_mix::RelayLimits;
use shoal_packet::Engine;
use shoal_proto::{FamilyId, NodeId, Span, Time};
use shoal_topology::{Address, Admission, FamilyProof, Invitation, NetworkParameters, Role};

use super::addresses::{advertised, definite, listened};
use super::error::{ConfigError, Problems};
use super::layers::{Layered, Origins, Override};
use super::log::LogConfig;
use super::mailboxes::{MailboxesConfig, TokenPolicy};
use super::ranges;
use super::read::read_own_text;
use super::store::{self, StoreEngine, StorePlace};
use super::units::ByteSize;

/// Name of a node's configuration file in its directory.
pub const DEFAULT_NODE_FILE: &str = "shoal.toml";
/// Name of a provider's database of mailboxes in its directory.
const MAILBOXES_FILE: &str = "mailboxes.db";

/// A node's configuration file: every key with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeFile {
    /// `mix` or `provider`.
    pub role: Role,
    /// The file with the network parameters, relative to this file.
    pub network: PathBuf,
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses that others dial; empty for those of `listen`.
    pub advertise: Vec<String>,
    /// Have the router of a home network forward the ports of `listen`.
    pub upnp: bool,
    /// The public key of the operator's family, and its signature for this node; empty for none.
    pub family: String,
    /// What a member has signed so that this node comes in, where members invite; empty for none.
    pub invitation: String,
    /// 0 is unknown; each further class is about twice the packets per second.
    pub capacity_class: u32,
    /// How long a node that is asked to stop serves on at most, until no document lists it; 0s for not at all.
    pub drain: Span,
    /// Threads.
    pub threads: Threads,
    /// Bounds on what the node holds at a time.
    pub queues: Queues,
    /// Bounds on who is connected at a time.
    pub connections: Connections,
    /// What a provider keeps for its mailboxes.
    pub storage: Storage,
    /// What a provider asks of who opens a mailbox.
    pub mailboxes: MailboxesConfig,
    /// The HTTP server for metrics.
    pub metrics: Metrics,
    /// The log.
    pub log: LogConfig,
}

/// The setting that leaves the choice of a back end to the machine.
const AUTO: &str = "auto";

/// `[threads]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threads {
    /// Threads that unwrap packets; 0 for one per core.
    pub unwrap: usize,
    /// What unwraps: `auto` for the fastest back end of the machine, or its name.
    pub backend: String,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            unwrap: 0,
            backend: AUTO.to_owned(),
        }
    }
}

/// `[queues]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queues {
    /// Packets that wait for an unwrap thread.
    pub unwrap_packets: usize,
    /// Packets in the delay pool.
    pub pool_packets: usize,
    /// Frames that wait for the writer of one peer.
    pub ring_frames: usize,
    /// Tags that wait for the replay log.
    pub log_tags: usize,
    /// Packets per second that the node is to carry when it is busiest.
    pub packets_per_second: u32,
    /// What the replay filters may take.
    pub replay_memory: ByteSize,
    /// Payloads that wait for one client's downlink clock.
    pub downlink_payloads: usize,
}

/// `[connections]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Nodes.
    pub nodes: u32,
    /// Clients of a provider.
    pub clients: u32,
    /// A connection that carries nothing for this long is closed.
    pub idle: Span,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// What the mailboxes are kept in.
    pub engine: StoreEngine,
    /// The PostgreSQL server: a connection string.
    pub postgres: String,
    /// The schema there.
    pub postgres_schema: String,
    /// The server may be on another machine, though nothing is encrypted on the way.
    pub postgres_plaintext: bool,
    /// Everything that all mailboxes hold.
    pub total: ByteSize,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in one mailbox, those delivered since the last full hour included.
    pub entries_per_mailbox: u64,
    /// The same under one drop id.
    pub entries_per_drop: u64,
    /// Sets of drop ids of one mailbox.
    pub sets_per_mailbox: u64,
    /// A mailbox that its owner has not served for this long is removed.
    pub mailbox_idle: Span,
    /// Free room on the disk below which deposits are refused.
    pub reserve: ByteSize,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address and port; empty for no server.
    pub listen: String,
    /// Listen on an address that others can reach.
    pub allow_public: bool,
}

impl Default for NodeFile {
    fn default() -> Self {
        Self {
            role: Role::Mix,
            network: PathBuf::from("network.toml"),
            listen: ["/ip4/0.0.0.0/tcp/4140", "/ip4/0.0.0.0/udp/4140/quic-v1"]
                .map(str::to_owned)
                .to_vec(),
            advertise: Vec::new(),
            upnp: false,
            family: String::new(),
            invitation: String::new(),
            capacity_class: 0,
            drain: Span::from_secs(9_000),
            threads: Threads::default(),
            queues: Queues::default(),
            connections: Connections::default(),
            storage: Storage::default(),
            mailboxes: MailboxesConfig::default(),
            metrics: Metrics::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for Queues {
    fn default() -> Self {
        let (relay, provider) = (RelayLimits::default(), shoal_provider::Limits::default());
        Self {
            unwrap_packets: relay.queue,
            pool_packets: relay.pool,
            ring_frames: 256,
            log_tags: 65_536,
            packets_per_second: relay.packets_per_second,
            replay_memory: ByteSize::bytes(relay.replay_memory),
            downlink_payloads: provider.downlink_queue,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            nodes: 1024,
            clients: 1000,
            idle: Span::from_secs(60),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        let store = shoal_provider::StoreLimits::default();
        Self {
            engine: StoreEngine::Sqlite,
            postgres: String::new(),
            postgres_schema: "shoal".to_owned(),
            postgres_plaintext: false,
            total: ByteSize::bytes(store.bytes),
            mailboxes: store.mailboxes,
            entries_per_mailbox: store.entries_per_mailbox,
            entries_per_drop: store.entries_per_drop,
            sets_per_mailbox: store.sets_per_mailbox,
            mailbox_idle: store.mailbox_idle,
            reserve: ByteSize::mebibytes(64),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
            allow_public: false,
        }
    }
}

/// What flags say about a node's configuration.
#[derive(Clone, Debug, Default)]
pub struct NodeFlags {
    /// The node's directory.
    pub dir: PathBuf,
    /// The configuration file, if it is not `shoal.toml` in the directory.
    pub config: Option<PathBuf>,
    /// Values that replace those of the file and the environment.
    pub overrides: Vec<Override>,
}

/// A node's configuration, valid and complete.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The state directory: keys, replay log, directory, mailboxes.
    pub dir: PathBuf,
    /// What the node does.
    pub role: Role,
    /// The file with the network parameters.
    pub network: PathBuf,
    /// Where to listen; at least one, TCP or QUIC.
    pub listen: Vec<Multiaddr>,
    /// What others dial, as the user set it. Empty if the addresses that the node listens on are
    /// to be used.
    pub advertise: Vec<Address>,
    /// Whether the router is asked to forward the ports that the node listens on.
    pub upnp: bool,
    /// The operator's family, if the node is of one.
    pub family: Option<FamilyClaim>,
    /// By which it asks for a place in a network whose members invite, if it has one.
    pub invitation: Option<Invitation>,
    /// The capacity class for the descriptor.
    pub capacity_class: u32,
    /// How long it serves on at most when it is asked to stop.
    pub drain: Span,
    /// Unwrap threads.
    pub unwrap_threads: NonZeroUsize,
    /// What unwraps.
    pub engine: Engine,
    /// Bounds of the relay.
    pub relay: RelayLimits,
    /// Bounds of the provider role.
    pub provider: shoal_provider::Limits,
    /// Where the mailboxes are.
    pub store_place: StorePlace,
    /// Bounds of the mailbox store.
    pub store: shoal_provider::StoreLimits,
    /// Free bytes on its disk below which deposits are refused; 0 for none.
    pub store_reserve: u64,
    /// What it wants for tokens; none if it opens mailboxes for nothing.
    pub tokens: Option<TokenPolicy>,
    /// Bounds of links and of the replay log's queue.
    pub links: LinkLimits,
    /// Where `/metrics` is served; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// The log.
    pub log: LogConfig,
    /// Where the values came from.
    pub origins: Origins,
    /// Variables that look like ours and set nothing, each with the nearest that would.
    pub ignored_variables: Vec<(String, Option<String>)>,
}

/// What a configuration says of a node's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyClaim {
    /// Its public key alone: enough to make a network's file, whose hash the proof is for.
    Named(FamilyId),
    /// With the key's signature.
    Proven(FamilyProof),
}

impl FamilyClaim {
    /// The family.
    #[must_use]
    pub const fn id(&self) -> FamilyId {
        match self {
            Self::Named(family) => *family,
            Self::Proven(proof) => proof.family,
        }
    }
}

/// Bounds on connections and on the queues beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// Frames that wait for the writer of one peer.
    pub ring_frames: usize,
    /// Tags that wait for the replay log.
    pub log_tags: usize,
    /// Connected nodes.
    pub nodes: u32,
    /// Connected clients.
    pub clients: u32,
    /// A connection that carries nothing for this long is closed.
    pub idle: Span,
}

impl NodeConfig {
    /// Reads the file, lays environment and flags over it, and checks the whole.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(flags: &NodeFlags, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let path = flags
            .config
            .clone()
            .unwrap_or_else(|| flags.dir.join(DEFAULT_NODE_FILE));
        let text = read_own_text(&path).map_err(|error| ConfigError::Read {
            advice: match error.is_missing() {
                true => ": `shoal init` makes it",
                false => "",
            },
            path: path.clone(),
            error,
        })?;
        let layered =
            Layered::<NodeFile>::parse(Some((&path, &text)), environment, &flags.overrides)?;
        let base = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Self::validate(flags.dir.clone(), &base, layered)
    }

    /// Checks values that parsed, and makes them into what the node works with.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for each key that can't be right.
    pub fn validate(
        dir: PathBuf,
        base: &Path,
        layered: Layered<NodeFile>,
    ) -> Result<Self, ConfigError> {
        let origins = layered.origins.clone();
        Self::checked(dir, base, layered).map_err(|error| error.located(&origins))
    }

    fn checked(dir: PathBuf, base: &Path, layered: Layered<NodeFile>) -> Result<Self, ConfigError> {
        let file = &layered.values;
        let mut wrong = Problems::default();
        let listen = listened(&file.listen, &mut wrong);
        let advertise = advertised(&file.advertise, &mut wrong);
        let family = wrong.keep(parse_family(&file.family));
        let invitation = wrong.keep(parse_invitation(&file.invitation));
        ranges::check(ranges::of_node(file), &mut wrong);
        check_log_tags(&file.queues, &mut wrong);
        let engine = wrong.keep(parse_engine(&file.threads.backend));
        let metrics = wrong.keep(file.metrics.address());
        let place = wrong.keep(store::place(&file.storage));
        let resolve = |path: &PathBuf| layered.resolve("mailboxes.codes", base, path);
        let tokens = wrong.keep(file.mailboxes.policy(resolve));
        let (Some(engine), Some(metrics), Some(family), Some(invitation), Some(store_place)) =
            (engine, metrics, family, invitation, place)
        else {
            return Err(wrong.into_error());
        };
        wrong.finish()?;
        let tokens = tokens.flatten();
        let relay = relay_limits(&file.queues)?;
        Ok(Self {
            dir,
            role: file.role,
            network: layered.resolve("network", base, &file.network),
            listen,
            advertise,
            upnp: file.upnp,
            family,
            invitation,
            capacity_class: file.capacity_class,
            drain: file.drain,
            unwrap_threads: threads(file.threads.unwrap),
            engine,
            relay,
            provider: provider_limits(file),
            store_place,
            store: store_limits(&file.storage),
            store_reserve: file.storage.reserve.as_bytes(),
            tokens,
            links: LinkLimits {
                ring_frames: file.queues.ring_frames,
                log_tags: file.queues.log_tags,
                nodes: file.connections.nodes,
                clients: file.connections.clients,
                idle: file.connections.idle,
            },
            metrics,
            log: file.log,
            origins: layered.origins,
            ignored_variables: layered.ignored,
        })
    }

    /// Checks that the node can hold, in this network, what it says it carries.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the replay filters could outgrow their memory; it says what to
    /// change.
    pub fn check(&self, params: &NetworkParameters) -> Result<(), ConfigError> {
        let checked = self.relay.check(params);
        checked.map_err(|error| {
            ConfigError::invalid("queues", error.to_string()).located(&self.origins)
        })
    }

    /// Where a provider keeps its mailboxes.
    #[must_use]
    pub fn mailboxes(&self) -> PathBuf {
        self.dir.join(MAILBOXES_FILE)
    }

    /// The proof that this node is of its family, if it is of one.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the family's key has not signed for this node in this network: all others
    /// would refuse its descriptor.
    pub fn family_in(
        &self,
        params: &NetworkParameters,
        node: &NodeId,
    ) -> Result<Option<FamilyProof>, ConfigError> {
        let Some(claim) = self.family else {
            return Ok(None);
        };
        let cause = match claim {
            FamilyClaim::Proven(proof) if proof.proves(&params.chain(), node) => {
                return Ok(Some(proof));
            }
            FamilyClaim::Proven(_) => "is signed for another node or another network",
            FamilyClaim::Named(_) => "is a public key without its signature for this node",
        };
        let message = format!(
            "{cause}; set it to what `shoal family sign --key FILE --network {} {node}` prints where the \
             family's key is",
            self.network.display()
        );
        Err(ConfigError::invalid("family", message).located(&self.origins))
    }

    /// The invitation by which this node asks for a place, if it has one and the network asks for it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if it is for another node or network, or nobody has signed it: all others
    /// would refuse the node's descriptor.
    pub fn invitation_in(
        &self,
        params: &NetworkParameters,
        node: &NodeId,
    ) -> Result<Option<Invitation>, ConfigError> {
        let asked = params.admission == Admission::Invitation && !params.is_genesis(node);
        let Some(shown) = self.invitation.filter(|_| asked) else {
            return Ok(None);
        };
        if shown.proves(&params.chain(), node) {
            return Ok(Some(shown));
        }
        let message = format!(
            "is for another node or another network; set it to what `shoal node invite {node} --dir DIR` prints where \
             a member runs, or leave it empty"
        );
        Err(ConfigError::invalid("invitation", message).located(&self.origins))
    }

    /// What there is to say of an invitation whose time is over: a member needs it no more, and who waits for a
    /// place needs another.
    #[must_use]
    pub fn invitation_over(&self, params: &NetworkParameters, now: Time) -> Option<String> {
        let asked = params.admission == Admission::Invitation;
        let shown = self.invitation.filter(|_| asked)?;
        (!shown.lasts(params.epoch_at(now))).then(|| {
            format!(
                "the invitation counted up to epoch {}, which is over: a member needs it no more, and who waits for a \
                 place asks for another (`shoal node invite`)",
                shown.last
            )
        })
    }

    /// Where others dial this node: what it advertises, or else what it listens on.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if it advertises nothing and what it listens on is every address of
    /// the machine, or any port.
    pub fn dialled(&self) -> Result<Vec<Address>, ConfigError> {
        if !self.advertise.is_empty() {
            return Ok(self.advertise.clone());
        }
        let dialled = |listened: &Multiaddr| {
            definite(listened).ok_or_else(|| {
                let message =
                    format!("is empty, and {listened} is nothing that others can dial: set it");
                ConfigError::invalid("advertise", message).located(&self.origins)
            })
        };
        self.listen.iter().map(dialled).collect()
    }

    /// As [`dialled`](Self::dialled), for this network, whose other members must be willing to dial it.
    ///
    /// # Errors
    /// Those of [`dialled`](Self::dialled), and [`ConfigError::Invalid`] for an address that is not of the
    /// network's kind, and where a family of addresses is missing that the network asks for.
    pub fn dialled_in(&self, params: &NetworkParameters) -> Result<Vec<Address>, ConfigError> {
        let (addresses, reach) = (self.dialled()?, params.reach());
        let key = match self.advertise.is_empty() {
            true => "listen",
            false => "advertise",
        };
        for address in &addresses {
            reach.check(address.ip()).map_err(|why| {
                let message = format!("{address} {why}: nobody would dial it");
                ConfigError::invalid(key, message).located(&self.origins)
            })?;
        }
        if let Some(missing) = params.families.missing(&addresses) {
            let message = format!(
                "has no {missing} address among the first that fit into a document (96 bytes), and this network asks \
                 for both families (IPv4 and IPv6): add one, before further ones of the other family"
            );
            return Err(ConfigError::invalid(key, message).located(&self.origins));
        }
        Ok(addresses)
    }
}

impl Metrics {
    /// The address to serve on, which must be this machine's own unless the file says otherwise.
    pub(super) fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let address: SocketAddr = self.listen.parse().map_err(|_| {
            let message = format!(
                "`{}` is not an address and a port, as in 127.0.0.1:9464 or [::1]:9464",
                self.listen
            );
            ConfigError::invalid("metrics.listen", message)
        })?;
        if !address.ip().is_loopback() && !self.allow_public {
            let message = format!(
                "{address} can be reached by others, who would see when this node is used; \
                 listen on 127.0.0.1, or set metrics.allow_public = true"
            );
            return Err(ConfigError::invalid("metrics.listen", message));
        }
        Ok(Some(address))
    }
}

/// The engine of a setting; one that this machine has not got is an error, not a slower one.
fn parse_engine(name: &str) -> Result<Engine, ConfigError> {
    if name == AUTO {
        return Ok(Engine::best());
    }
    let invalid = |message: String| ConfigError::invalid("threads.backend", message);
    let backend = name
        .parse()
        .map_err(|error| invalid(format!("{error}, or `{AUTO}`")))?;
    Engine::with(backend).map_err(|error| invalid(format!("{error}; `{AUTO}` takes the fastest")))
}

fn threads(wanted: usize) -> NonZeroUsize {
    NonZeroUsize::new(wanted)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

fn parse_family(text: &str) -> Result<Option<FamilyClaim>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let proof = || text.parse::<FamilyProof>().map(FamilyClaim::Proven);
    let claim = text.parse().map(FamilyClaim::Named).or_else(|_| proof());
    claim.map(Some).map_err(|()| {
        let message = "is no family's public key, which `shoal family create` prints, nor one with its \
                       signature, which `shoal family sign` prints";
        ConfigError::invalid("family", message.to_owned())
    })
}

fn parse_invitation(text: &str) -> Result<Option<Invitation>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|()| {
        let message = "is no invitation, which `shoal node invite` prints where a member runs";
        ConfigError::invalid("invitation", message.to_owned())
    })
}

fn check_log_tags(queues: &Queues, wrong: &mut Problems) {
    // Else a disk that is slow for a moment would cost packets of all, and not of who sends too much.
    if queues.log_tags > 0 && queues.log_tags < queues.pool_packets {
        let message = format!(
            "is {}; it must be at least queues.pool_packets, which is {}",
            queues.log_tags, queues.pool_packets
        );
        wrong.push(ConfigError::invalid("queues.log_tags", message));
    }
}

fn relay_limits(queues: &Queues) -> Result<RelayLimits, ConfigError> {
    let limits = RelayLimits {
        queue: queues.unwrap_packets,
        pool: queues.pool_packets,
        packets_per_second: queues.packets_per_second,
        replay_memory: queues.replay_memory.as_bytes(),
        ..RelayLimits::default()
    };
    let checked = limits.validate();
    checked.map_err(|error| ConfigError::invalid("queues", error.to_string()))?;
    Ok(limits)
}

fn provider_limits(file: &NodeFile) -> shoal_provider::Limits {
    shoal_provider::Limits {
        clients: usize::try_from(file.connections.clients).unwrap_or(usize::MAX),
        downlink_queue: file.queues.downlink_payloads,
        tokens_per_hour: file.mailboxes.tokens_per_hour,
        openings_per_hour: file.mailboxes.openings_per_hour,
        ..shoal_provider::Limits::default()
    }
}

fn store_limits(storage: &Storage) -> shoal_provider::StoreLimits {
    shoal_provider::StoreLimits {
        bytes: storage.total.as_bytes(),
        mailboxes: storage.mailboxes,
        entries_per_mailbox: storage.entries_per_mailbox,
        entries_per_drop: storage.entries_per_drop,
        sets_per_mailbox: storage.sets_per_mailbox,
        mailbox_idle: storage.mailbox_idle,
        ..shoal_provider::StoreLimits::default()
    }
}
