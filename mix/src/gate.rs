//! From a frame to a packet that goes on or ends here.

use std::cell::Cell;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rand::CryptoRng;
use shoal_packet::command::Command;
use shoal_packet::{
    Batch, Delivery, Engine, Frame, Packet, ReplayTag, SphinxSecret, UnwrapError, Unwrapped,
};
use shoal_proto::{Epoch, NodeId, Span, SurbId, Time};
use shoal_topology::{Document, KeyRing, NetworkParameters, Role, View, delay};

use crate::admission::{Admitted, Origin, check};
use crate::hearing::Hearing;
use crate::keys::{EpochKey, EpochKeys};
use crate::replay::{Room, Seen};
use crate::{Accounting, DropReason, Passage, RelayLimits, Stage, UnwrapQueue};

/// A packet that was unwrapped, is no replay, and goes on or ends here.
pub struct Processed {
    /// The epoch whose key opened it.
    pub epoch: Epoch,
    /// Its replay tag, which has to be durable before the packet leaves.
    pub tag: ReplayTag,
    /// When its frame came in.
    pub arrival: Time,
    /// What becomes of it.
    pub kind: ProcessedKind,
    pub(crate) origin: Origin,
    pub(crate) passage: Passage,
}

impl Processed {
    /// Drops the packet before the relay had it.
    pub fn drop_as(self, reason: DropReason) {
        self.passage.drop_as(reason);
    }
}

/// What becomes of an unwrapped packet.
pub enum ProcessedKind {
    /// It goes on.
    Forward {
        /// To this member, in the position after this node's.
        next: NodeId,
        /// As this frame.
        frame: Frame,
        /// This long after its arrival.
        delay: Span,
    },
    /// It ends here.
    Final(Box<Delivery>),
    /// It ends here and says that it is a loop of this node's own.
    Loop(SurbId),
}

/// Admission and unwrapping, shared by the threads that read links and those that unwrap.
///
/// It holds the keys of the epochs that are accepted, with a replay filter each, which goes when
/// its key goes. Memory: see [`RelayLimits`]. Locks are held for a lookup or an insertion, never
/// during cryptography.
pub struct Gate {
    params: Arc<NetworkParameters>,
    local: NodeId,
    role: Role,
    limits: RelayLimits,
    engine: Engine,
    accounting: Arc<Accounting>,
    hearing: Hearing,
    state: RwLock<State>,
}

struct State {
    view: Option<Arc<View>>,
    keys: EpochKeys,
}

/// What a frame's epoch byte stands for at this moment.
struct Context {
    document: Arc<Document>,
    key: EpochKey,
}

/// A packet that is being unwrapped.
struct Taken {
    origin: Origin,
    arrival: Time,
    passage: Passage,
    context: Context,
    room: Room,
    /// Until the engine has it.
    packet: Option<Packet>,
    /// Its tag, and what the filter said of it.
    seen: Cell<Option<(ReplayTag, Seen)>>,
}

impl Taken {
    fn secret(&self) -> &SphinxSecret {
        &self.context.key.secret
    }

    /// Whether the tag is new; remembers it.
    fn remember(&self, tag: &ReplayTag) -> bool {
        let filter = &self.context.key.filter;
        let verdict = filter.insert(tag, &self.origin, &self.room);
        self.seen.set(Some((*tag, verdict)));
        verdict == Seen::Fresh
    }
}

impl Gate {
    /// A gate that refuses everything until it has a view and keys. `accounting` are the same
    /// books that the node's [`Relay`](crate::Relay) writes to.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        role: Role,
        limits: RelayLimits,
        accounting: Arc<Accounting>,
    ) -> Self {
        Self {
            params,
            local,
            role,
            limits,
            engine: Engine::best(),
            accounting,
            hearing: Hearing::default(),
            state: RwLock::new(State {
                view: None,
                keys: EpochKeys::new(),
            }),
        }
    }

    /// The same gate, unwrapping with this engine instead of the machine's fastest.
    #[must_use]
    pub const fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// An empty queue for what this gate admits, with its bounds. `rng` picks what it drops.
    #[must_use]
    pub fn queue<R: CryptoRng>(&self, rng: R) -> UnwrapQueue<R> {
        UnwrapQueue::new(&self.params, &self.limits, rng)
    }

    /// The bounds of the relay.
    #[must_use]
    pub const fn limits(&self) -> &RelayLimits {
        &self.limits
    }

    /// The books that this gate writes to.
    #[must_use]
    pub const fn accounting(&self) -> &Arc<Accounting> {
        &self.accounting
    }

    /// Takes the documents that count from now on.
    pub fn set_view(&self, view: Arc<View>) {
        self.write().view = Some(view);
    }

    /// Takes the keys to accept from now on. A key that is not among them is forgotten with its
    /// replay filter, and no key of that epoch or one before is ever taken up again: without the
    /// filter, everything of it could be replayed.
    pub fn set_keys(&self, keys: &KeyRing) {
        self.write().keys.set(keys);
    }

    /// Remembers tags that the replay log kept over a restart. Call it before the first frame is
    /// admitted; before or after [`set_keys`](Self::set_keys).
    pub fn restore_tags(&self, epoch: Epoch, tags: impl IntoIterator<Item = ReplayTag>) {
        let filter = self.write().keys.filter(epoch);
        if let Some(filter) = filter {
            filter.restore(tags);
        }
    }

    /// Counts a frame as received and decides whether it is worth unwrapping: its epoch, and
    /// whether its sender may send to this node. Costs a few lookups. What is no frame never
    /// comes here: [`Accounting::receive`] counts it. What passes goes into an [`UnwrapQueue`].
    ///
    /// # Errors
    /// The reason, already counted.
    pub fn admit(&self, now: Time, origin: Origin, frame: Frame) -> Result<Admitted, DropReason> {
        let passage = self.accounting.receive();
        let who = (&self.local, self.role);
        let checked = self
            .context(now, frame.epoch_byte())
            .and_then(|context| check(&context.document, who, &origin));
        match checked {
            Ok(()) => Ok(Admitted {
                origin,
                frame,
                arrival: now,
                passage,
            }),
            Err(reason) => {
                if reason == DropReason::UnknownEpoch {
                    self.hear(now, &origin, Err(reason));
                }
                passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    /// Why next to nothing of what most neighbours send can be opened, if that is so:
    /// [`DropReason::UnknownEpoch`] or [`DropReason::Mac`]. Looks a minute back at most. One neighbour,
    /// one family of several, and strangers can't bring it about; who makes packets that travel by all
    /// neighbours can, so it says something only if no own loop has come back for a minute.
    #[must_use]
    pub fn why_deaf(&self, now: Time) -> Option<DropReason> {
        let state = self.read();
        let document = state.view.as_ref()?.current(&self.params, now)?;
        self.hearing.why_deaf(now, document, &self.local)
    }

    /// Counts whether a neighbour's packet could be opened.
    fn hear(&self, now: Time, origin: &Origin, outcome: Result<(), DropReason>) {
        let Origin::Member(from) = origin else { return };
        let state = self.read();
        let view = state.view.as_ref();
        if let Some(document) = view.and_then(|view| view.current(&self.params, now)) {
            let here = (&**document, &self.local);
            self.hearing.note(now, here, from, outcome);
        }
    }

    /// Unwraps packets together and decides for each whether it may go on. Gives every outcome,
    /// in the order of the packets; a drop is already counted under its reason. A batch costs less
    /// than its packets one by one, and a bad packet harms no other. `now` is when they are taken
    /// up.
    #[must_use]
    pub fn unwrap_batch(
        &self,
        now: Time,
        batch: Batch<Admitted>,
    ) -> Batch<Result<Processed, DropReason>> {
        let mut taken = batch.map(|admitted| self.take_up(now, admitted));
        let packets = Batch::fill(
            &mut taken
                .iter_mut()
                .flatten()
                .filter_map(|item| item.packet.take()),
        );
        let secrets = taken.iter().flatten().map(Taken::secret);
        let outcomes = self.engine.unwrap_batch(
            Batch::fill(&mut secrets.zip(packets)),
            // The filter is asked after the MAC.
            |index, tag| {
                let item = taken.iter().flatten().nth(index);
                item.is_some_and(|item| item.remember(tag))
            },
        );
        let mut outcomes = outcomes.into_iter();
        taken.map(|item| {
            let item = item?;
            let outcome = outcomes.next().unwrap_or(Err(UnwrapError::Malformed));
            self.conclude(now, item, outcome)
        })
    }

    /// What unwrapping needs, looked up again: the epoch may have ended while the frame waited.
    fn take_up(&self, now: Time, admitted: Admitted) -> Result<Taken, DropReason> {
        let Admitted {
            origin,
            frame,
            arrival,
            mut passage,
        } = admitted;
        passage.enter(Stage::Unwrapping);
        match self.context(now, frame.epoch_byte()) {
            Ok(context) => Ok(Taken {
                origin,
                arrival,
                passage,
                room: self.room(now, &context.document),
                context,
                packet: Some(frame.into_packet()),
                seen: Cell::new(None),
            }),
            Err(reason) => {
                if reason == DropReason::UnknownEpoch {
                    self.hear(now, &origin, Err(reason));
                }
                passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    fn room(&self, now: Time, document: &Document) -> Room {
        let who = (&self.local, self.role);
        Room::at(now, &self.limits, &self.params, document, who)
    }

    fn conclude(
        &self,
        now: Time,
        item: Taken,
        outcome: Result<Unwrapped, UnwrapError>,
    ) -> Result<Processed, DropReason> {
        let decided = match (outcome, item.seen.get()) {
            (Ok(unwrapped), Some((tag, Seen::Fresh))) => {
                self.decide(&item, unwrapped).map(|kind| (tag, kind))
            }
            (Err(_), Some((_, Seen::Full))) => Err(DropReason::FilterFull),
            (Err(error), _) => Err(reason_of(error)),
            // Unwrapped without asking the filter: that would be a fault of ours. Fail closed.
            (Ok(_), _) => Err(DropReason::Replayed),
        };
        if let Origin::Member(from) = &item.origin {
            let here = (&*item.context.document, &self.local);
            let outcome = match &decided {
                Err(DropReason::Mac) => Err(DropReason::Mac),
                _ => Ok(()),
            };
            self.hearing.note(now, here, from, outcome);
        }
        match decided {
            Ok((tag, kind)) => Ok(Processed {
                epoch: item.context.document.epoch(),
                tag,
                arrival: item.arrival,
                kind,
                origin: item.origin,
                passage: item.passage,
            }),
            Err(reason) => {
                item.passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    fn decide(&self, item: &Taken, unwrapped: Unwrapped) -> Result<ProcessedKind, DropReason> {
        let document = &item.context.document;
        match unwrapped {
            Unwrapped::Forward {
                next,
                delay,
                packet,
            } => {
                if !document.position_ok(&self.local, &next) {
                    return Err(DropReason::NextHop);
                }
                Ok(ProcessedKind::Forward {
                    next,
                    frame: Frame::new(document.epoch(), packet),
                    delay: delay::clamp(delay, self.params.mean_delay),
                })
            }
            Unwrapped::Final {
                destination,
                id,
                payload,
            } => {
                // No route has one hop: what a client sends passes the layers before it ends.
                if matches!(item.origin, Origin::Client(_)) {
                    return Err(DropReason::Routing);
                }
                self.classify(Delivery {
                    destination,
                    id,
                    plaintext: payload.plaintext(),
                    payload,
                    epoch: document.epoch(),
                    arrival: item.arrival,
                })
            }
        }
    }

    fn classify(&self, delivery: Delivery) -> Result<ProcessedKind, DropReason> {
        let text = delivery.plaintext.as_ref();
        if let Some(id) = text.and_then(|text| Command::node_loop(text)) {
            return Ok(ProcessedKind::Loop(id));
        }
        if self.role != Role::Provider {
            return Err(DropReason::FinalAtMix);
        }
        Ok(ProcessedKind::Final(Box::new(delivery)))
    }

    fn context(&self, now: Time, epoch_byte: u8) -> Result<Context, DropReason> {
        let state = self.read();
        let view = state
            .view
            .as_ref()
            .filter(|view| !view.documents.is_empty());
        let document = view
            .ok_or(DropReason::NoView)?
            .by_epoch_byte(&self.params, now, epoch_byte)
            .ok_or(DropReason::UnknownEpoch)?;
        let key = state.keys.of(document.epoch());
        Ok(Context {
            document: Arc::clone(document),
            key: key.ok_or(DropReason::UnknownEpoch)?,
        })
    }

    /// The state is whole after each statement that changes it, so what a panicked thread left
    /// can be used.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn reason_of(error: UnwrapError) -> DropReason {
    match error {
        UnwrapError::LowOrder => DropReason::LowOrder,
        UnwrapError::Mac => DropReason::Mac,
        UnwrapError::Replayed => DropReason::Replayed,
        UnwrapError::Version => DropReason::Version,
        UnwrapError::Routing => DropReason::Routing,
        _ => DropReason::Malformed,
    }
}
