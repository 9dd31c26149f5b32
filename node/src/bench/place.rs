//! The network of one run: a mix alone in its layer, and around it providers, which the benching process is.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use shoal_packet::SphinxSecret;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::sample::Network;
use shoal_topology::{
    Address, Admission, DirectoryChange, Document, Identity, NetworkParameters, Role,
};

use super::MixPlan;
use crate::Failure;
use crate::config::DEFAULT_NODE_FILE;
use crate::demo::ports::Ports;
use crate::seed::seeded;
use crate::state::{
    DirectoryFiles, ReplayLog, ReplayWriter, StateDir, create_identity, load_identity, write_new,
};

/// So long that no run sees the next one.
const EPOCH: Span = Span::from_secs(6 * 3600);
/// Packets a second that the mix is told to be ready for: far above what one machine unwraps, because what
/// the replay filter refuses says nothing of the machine.
const RATE: u32 = 200_000;

/// The mix's directory, made as if the network had agreed on a document.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) params: Arc<NetworkParameters>,
    pub(super) document: Arc<Document>,
    pub(super) mix: NodeId,
    /// By which it is known what the mix makes of a packet.
    pub(super) secret: Arc<SphinxSecret>,
    pub(super) address: Address,
    /// The port of its metrics.
    pub(super) metrics: u16,
    pub(super) peers: Vec<Peer>,
    _ports: Ports,
}

/// One that sends to the mix, and that the mix sends to.
pub(super) struct Peer {
    pub(super) identity: Identity,
    pub(super) address: Address,
}

impl Place {
    /// Makes it in this directory, for a run that begins now.
    pub(super) fn make(within: &Path, plan: &MixPlan, now: Time) -> Result<Self, Failure> {
        let mut rng = seeded()?;
        let mut ports = Ports::reserve(std::process::id()).map_err(Failure::failed)?;
        let mut next = || {
            let port = ports.next().and_then(NonZeroU16::new);
            port.ok_or_else(|| Failure::failed(anyhow!("too few ports on loopback")))
        };
        let params = NetworkParameters {
            name: "bench".to_owned(),
            // The middle of an epoch.
            genesis: Time::from_micros(now.as_secs() * 1_000_000) - EPOCH.scale(3, 2),
            epoch: EPOCH,
            layers: 1,
            mean_delay: plan.mean_delay,
            loop_rate: 0.0,
            admission: Admission::List,
            ..NetworkParameters::example()
        };
        let dir = within.join("mix");
        StateDir::create(&dir)?;
        let mix = create_identity(&dir, &mut rng)?.id();
        let mut network = Network::new(&mut rng, params, 1, plan.peers);
        for member in &mut Arc::make_mut(&mut network.params).genesis_members {
            member.addresses = vec![address(plan.quic, next()?)?];
            if member.role == Role::Mix
                && let Some(mut node) = network.nodes.remove(&member.id)
            {
                member.id = mix;
                node.identity = load_identity(&dir)?;
                network.nodes.insert(mix, node);
            }
        }
        let metrics = next()?.get();
        let epoch = network.params.epoch_at(now);
        let document = network.document(&mut rng, epoch, None);
        let document = document.map_err(Failure::failed)?;
        keep(&network, &document, (&dir, &mix))?;
        let members = &network.params.genesis_members;
        let addresses = members.iter().filter_map(|member| {
            let address = member.addresses.first()?.clone();
            Some((member.id, address))
        });
        let (mut own, mut peers) = (None, Vec::new());
        for (id, address) in addresses {
            let Some(node) = network.nodes.remove(&id) else {
                continue;
            };
            if id == mix {
                own = node.keys.shared(epoch).map(|secret| (secret, address));
            } else {
                let identity = node.identity;
                peers.push(Peer { identity, address });
            }
        }
        let (secret, address) =
            own.ok_or_else(|| Failure::failed(anyhow!("the mix has no key")))?;
        let place = Self {
            dir,
            params: network.params,
            document,
            mix,
            secret,
            address,
            metrics,
            peers,
            _ports: ports,
        };
        place.write_configuration(plan)?;
        Ok(place)
    }

    fn write_configuration(&self, plan: &MixPlan) -> Result<(), Failure> {
        let network = self.params.to_toml();
        write_new(&self.dir.join("network.toml"), network.as_bytes(), 0o644)?;
        let (address, metrics) = (&self.address, self.metrics);
        // A share of the places stays free for senders that are not there.
        let pool = plan.pool;
        let text = format!(
            "role = \"mix\"\nnetwork = \"network.toml\"\nlisten = [\"{address}\"]\n\n[queues]\n\
             pool_packets = {pool}\nlog_tags = {pool}\npackets_per_second = {RATE}\n\
             replay_memory = \"1 TiB\"\n\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n"
        );
        write_new(&self.dir.join(DEFAULT_NODE_FILE), text.as_bytes(), 0o600)?;
        Ok(())
    }
}

fn address(quic: bool, port: NonZeroU16) -> Result<Address, Failure> {
    if !quic {
        return Ok(Address::tcp(Ipv4Addr::LOCALHOST.into(), port));
    }
    let text = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
    text.parse().map_err(Failure::failed)
}

/// Keeps in the mix's directory what it would have kept of the document, and its key.
fn keep(
    network: &Network,
    document: &Arc<Document>,
    (dir, mix): (&Path, &NodeId),
) -> Result<(), Failure> {
    let writer = ReplayWriter::spawn(ReplayLog::open(dir)?, 1, |_| {}).map_err(Failure::failed)?;
    let epoch = document.epoch();
    let (handovers, documents) = network.answer(&[Arc::clone(document)]);
    let keys = network.nodes.get(mix).map(|node| node.keys.rows());
    let keys = keys.into_iter().flatten();
    let mut changes: Vec<_> = keys
        .map(|(epoch, secret)| DirectoryChange::Key { epoch, secret })
        .collect();
    let height = document.height();
    changes.extend(
        handovers
            .into_iter()
            .map(|bytes| DirectoryChange::Handover {
                height,
                bytes: bytes.into(),
            }),
    );
    changes.extend(
        documents
            .into_iter()
            .map(|bytes| DirectoryChange::Document {
                epoch,
                bytes: bytes.into(),
            }),
    );
    let mut files = DirectoryFiles::open(dir)?;
    let kept = files.apply(changes, &writer);
    kept.map_err(|error| Failure::failed(error.why))
}
