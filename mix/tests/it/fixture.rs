//! A small network with real keys and documents, and packets for it.

use rand::Rng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_mix::{
    Accounting, Admitted, DropReason, Gate, Origin, Processed, Relay, RelayAction, RelayInput,
    RelayLimits, Snapshot,
};
use shoal_packet::{Frame, Hop, build_forward};
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, Time};
use shoal_topology::sample::Network;
use shoal_topology::{Document, NetworkParameters, Role, View};
use std::sync::Arc;

/// The epoch in which tests take place; the documents of its neighbours are known too.
pub(crate) const EPOCH: Epoch = Epoch::new(300);

pub(crate) struct Net {
    pub(crate) network: Network,
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) view: Arc<View>,
    pub(crate) rng: ChaCha20Rng,
}

/// One node's gate and books.
pub(crate) struct Door {
    pub(crate) gate: Gate,
    pub(crate) books: Arc<Accounting>,
}

impl Net {
    /// Two mixes for each layer, two providers, no loops of the nodes' own.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(
            seed,
            NetworkParameters {
                loop_rate: 0.0,
                ..NetworkParameters::example()
            },
        )
    }

    pub(crate) fn with(seed: u64, params: NetworkParameters) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut network = Network::new(&mut rng, params, 2, 2);
        let epochs = [EPOCH.previous().unwrap(), EPOCH, EPOCH.next()];
        let view = network.view(&mut rng, epochs).unwrap();
        let params = Arc::clone(&network.params);
        Self {
            network,
            params,
            view,
            rng,
        }
    }

    /// The middle of [`EPOCH`]: no other epoch counts.
    pub(crate) fn noon(&self) -> Time {
        self.params.start_of(EPOCH) + self.params.epoch.scale(1, 2)
    }

    /// Just after the switch to [`EPOCH`]: the one before counts too.
    pub(crate) fn dawn(&self) -> Time {
        self.params.start_of(EPOCH) + Span::from_secs(1)
    }

    pub(crate) fn document(&self, epoch: Epoch) -> &Arc<Document> {
        &self.view.documents[&epoch]
    }

    pub(crate) fn mix(&self, layer: u8, index: usize) -> NodeId {
        self.document(EPOCH).mixes(layer)[index]
    }

    pub(crate) fn provider(&self, index: usize) -> NodeId {
        self.document(EPOCH).providers()[index]
    }

    pub(crate) fn role(&self, id: &NodeId) -> Role {
        self.network.nodes[id].role
    }

    pub(crate) fn door(&self, id: NodeId) -> Door {
        self.door_with(id, RelayLimits::default())
    }

    pub(crate) fn door_with(&self, id: NodeId, limits: RelayLimits) -> Door {
        let books = Accounting::new();
        let params = Arc::clone(&self.params);
        let gate = Gate::new(params, id, self.role(&id), limits, Arc::clone(&books));
        gate.set_view(Arc::clone(&self.view));
        gate.set_keys(&self.network.nodes[&id].keys);
        Door { gate, books }
    }

    pub(crate) fn relay(
        &mut self,
        id: NodeId,
        limits: RelayLimits,
        books: &Arc<Accounting>,
        now: Time,
    ) -> Relay<ChaCha20Rng> {
        let rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let params = Arc::clone(&self.params);
        let mut relay = Relay::new(params, id, limits, Arc::clone(books), rng, now);
        relay.handle_input(now, RelayInput::View(Arc::clone(&self.view)));
        relay
    }

    /// A frame that takes this route in this epoch, held at each hop for as long.
    pub(crate) fn frame_in(
        &mut self,
        epoch: Epoch,
        route: &[NodeId],
        delay: Span,
        plaintext: &[u8],
    ) -> Frame {
        let document = Arc::clone(self.document(epoch));
        let hop = |id: &NodeId| Hop {
            node: *id,
            key: document.member(id).unwrap().key,
            delay,
        };
        let hops: Vec<_> = route.iter().map(hop).collect();
        Frame::new(
            epoch,
            build_forward(&mut self.rng, &hops, plaintext).unwrap(),
        )
    }

    /// A frame for the last mix of a route, then the provider.
    pub(crate) fn frame(&mut self, delay: Span) -> Frame {
        let route = [self.mix(3, 0), self.provider(0)];
        self.frame_in(EPOCH, &route, delay, b"to a provider")
    }
}

impl Door {
    pub(crate) fn pass(
        &self,
        now: Time,
        origin: Origin,
        frame: &Frame,
    ) -> Result<Processed, DropReason> {
        let admitted = self.gate.admit(now, origin, frame.clone())?;
        self.unwrap(now, admitted)
    }

    /// A batch of one.
    pub(crate) fn unwrap(&self, now: Time, admitted: Admitted) -> Result<Processed, DropReason> {
        let mut outcomes = self.gate.unwrap_batch(now, admitted.into()).into_iter();
        let outcome = outcomes.next().unwrap();
        assert!(outcomes.next().is_none());
        outcome
    }

    /// Bytes of any length, as a link gave them, and as hosts count them.
    pub(crate) fn admit_bytes(
        &self,
        now: Time,
        origin: Origin,
        bytes: &[u8],
    ) -> Result<Admitted, DropReason> {
        let Ok(frame) = Frame::from_bytes(bytes) else {
            self.books.receive().drop_as(DropReason::Malformed);
            return Err(DropReason::Malformed);
        };
        self.gate.admit(now, origin, frame)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let snapshot = self.books.snapshot();
        assert!(snapshot.balanced(), "{snapshot:?}");
        snapshot
    }
}

pub(crate) fn client() -> Origin {
    Origin::Client(ClientHandle::new([9; 32]))
}

/// Makes every tag durable at once, and returns what else the relay wants.
pub(crate) fn drain(relay: &mut Relay<ChaCha20Rng>, now: Time) -> Vec<RelayAction> {
    let mut actions = Vec::new();
    while let Some(action) = relay.poll_action(now) {
        if let RelayAction::LogTag { sequence, .. } = action {
            relay.handle_input(now, RelayInput::TagsDurable { upto: sequence });
        } else {
            actions.push(action);
        }
    }
    actions
}
