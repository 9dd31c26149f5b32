use crate::accounting::Backlog;
use crate::replay::{ReplayFilter, Seen};
use crate::{Accounting, DropReason, Passage, RelayLimits, Stage};
use shoal_packet::command::Command;
use shoal_packet::{
    Engine, Frame, Packet, Payload, ReplayTag, SphinxSecret, UnwrapError, Unwrapped,
};
use shoal_proto::{ClientHandle, Epoch, NodeId, Span, SurbId, Time};
use shoal_topology::{Document, KeyRing, NetworkParameters, Role, View, delay};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use zeroize::Zeroizing;

/// Who handed a frame to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A peer, by the identity that its link proved.
    Member(NodeId),
    /// A client that is attached to this node at this moment; whoever reads the link knows.
    Client(ClientHandle),
}

/// A frame that passed admission. Let go, it counts as abandoned.
pub struct Admitted {
    origin: Origin,
    frame: Frame,
    arrival: Time,
    passage: Passage,
}

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
    pub(crate) passage: Passage,
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
    Final(Box<FinalHop>),
    /// It ends here and says that it is a loop of this node's own.
    Loop(SurbId),
}

/// What a packet's final hop finds.
pub struct FinalHop {
    /// Where to: a client's handle, if the payload is a reply.
    pub destination: [u8; 32],
    /// Which keys open the payload, if it is a reply.
    pub id: SurbId,
    /// The payload as it came out of the last layer.
    pub payload: Payload,
    /// The plaintext, if it can be recovered: then it is a command for the provider.
    pub plaintext: Option<Zeroizing<Vec<u8>>>,
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
    shed_after: Span,
    engine: Engine,
    accounting: Arc<Accounting>,
    state: RwLock<State>,
    /// How long the packet that a worker took last had waited, in microseconds.
    last_wait: AtomicU64,
}

struct State {
    view: Option<Arc<View>>,
    secrets: BTreeMap<Epoch, Arc<SphinxSecret>>,
    filters: BTreeMap<Epoch, Arc<Mutex<ReplayFilter>>>,
    /// Keys of epochs before this one were forgotten with their filters: they never come back.
    floor: Epoch,
}

/// What a frame's epoch byte stands for at this moment.
struct Context {
    document: Arc<Document>,
    secret: Arc<SphinxSecret>,
    filter: Arc<Mutex<ReplayFilter>>,
}

/// A packet that is being unwrapped, all but its bytes.
struct Taken {
    origin: Origin,
    arrival: Time,
    passage: Passage,
    context: Context,
    /// Its tag, and what the filter said of it.
    seen: Option<(ReplayTag, Seen)>,
}

impl Taken {
    fn remember(&mut self, tag: &ReplayTag, bound: usize) -> Seen {
        let filter = &self.context.filter;
        let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = filter.insert(tag, bound);
        self.seen = Some((*tag, verdict));
        verdict
    }
}

impl Gate {
    /// A gate that refuses everything until it has a view and keys.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        role: Role,
        limits: RelayLimits,
        accounting: Arc<Accounting>,
    ) -> Self {
        let shed_after = limits.shed_after.unwrap_or(params.mean_delay);
        Self {
            params,
            local,
            role,
            limits,
            shed_after,
            engine: Engine::best(),
            accounting,
            state: RwLock::new(State {
                view: None,
                secrets: BTreeMap::new(),
                filters: BTreeMap::new(),
                floor: Epoch::new(0),
            }),
            last_wait: AtomicU64::new(0),
        }
    }

    /// The same gate, unwrapping with this engine instead of the machine's fastest.
    #[must_use]
    pub const fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// What it unwraps with.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
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
        let mut state = self.write();
        let State {
            secrets,
            filters,
            floor,
            ..
        } = &mut *state;
        let forgotten = secrets
            .keys()
            .rev()
            .find(|epoch| keys.secret(**epoch).is_none());
        if let Some(last) = forgotten {
            *floor = (*floor).max(last.next());
        }
        let mut taken = BTreeMap::new();
        for (epoch, _) in keys.iter() {
            if epoch >= *floor || secrets.contains_key(&epoch) {
                filters.entry(epoch).or_default();
                taken.extend(keys.shared(epoch).map(|secret| (epoch, secret)));
            }
        }
        *secrets = taken;
        filters.retain(|epoch, _| *epoch >= *floor || secrets.contains_key(epoch));
    }

    /// Remembers tags that the replay log kept over a restart. Call it before the first frame is
    /// admitted; before or after [`set_keys`](Self::set_keys).
    pub fn restore_tags(&self, epoch: Epoch, tags: impl IntoIterator<Item = ReplayTag>) {
        let filter = {
            let mut state = self.write();
            if epoch < state.floor && !state.secrets.contains_key(&epoch) {
                return;
            }
            Arc::clone(state.filters.entry(epoch).or_default())
        };
        filter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .restore(tags);
    }

    /// Counts a frame as received and decides whether it is worth unwrapping: bounds, epoch, and
    /// whether its sender may send to this node. Costs a few lookups.
    ///
    /// # Errors
    /// The reason, already counted.
    pub fn admit(&self, now: Time, origin: Origin, frame: Frame) -> Result<Admitted, DropReason> {
        let (passage, backlog) = self.accounting.receive_after();
        match self.check(now, &origin, frame.epoch_byte(), &backlog) {
            Ok(()) => Ok(Admitted {
                origin,
                frame,
                arrival: now,
                passage,
            }),
            Err(reason) => {
                passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    /// The same for bytes of any length, as a link gave them.
    ///
    /// # Errors
    /// The reason, already counted; [`DropReason::Malformed`] for another length than a frame's.
    pub fn admit_bytes(
        &self,
        now: Time,
        origin: Origin,
        bytes: &[u8],
    ) -> Result<Admitted, DropReason> {
        match Frame::from_bytes(bytes) {
            Ok(frame) => self.admit(now, origin, frame),
            Err(_) => {
                self.accounting.receive().drop_as(DropReason::Malformed);
                Err(DropReason::Malformed)
            }
        }
    }

    /// Unwraps a packet and decides whether it may go on.
    ///
    /// # Errors
    /// The reason, already counted.
    pub fn unwrap(&self, now: Time, admitted: Admitted) -> Result<Processed, DropReason> {
        let mut outcome = Err(DropReason::Abandoned);
        self.unwrap_batch(|| now, [admitted], |result| outcome = result);
        outcome
    }

    /// Unwraps packets together and decides for each whether it may go on; `done` gets every
    /// outcome, drops already counted. A batch costs less than its packets one by one, up to
    /// [`Engine::BATCH`]; a bad packet harms no other. `clock` is asked as packets are taken up.
    pub fn unwrap_batch(
        &self,
        clock: impl Fn() -> Time,
        batch: impl IntoIterator<Item = Admitted>,
        mut done: impl FnMut(Result<Processed, DropReason>),
    ) {
        let mut batch = batch.into_iter();
        loop {
            let mut taken: [Option<Taken>; Engine::BATCH] = [const { None }; Engine::BATCH];
            let mut packets: [Option<Packet>; Engine::BATCH] = [const { None }; Engine::BATCH];
            let mut count = 0;
            for admitted in batch.by_ref() {
                match self.take_up(clock(), admitted) {
                    Ok((item, packet)) => {
                        (taken[count], packets[count]) = (Some(item), Some(packet));
                        count += 1;
                    }
                    Err(reason) => done(Err(reason)),
                }
                if count == Engine::BATCH {
                    break;
                }
            }
            self.open(&mut taken, packets, &mut done);
            if count < Engine::BATCH {
                return;
            }
        }
    }

    /// What unwrapping needs, looked up again: the epoch may have ended while the frame waited.
    fn take_up(&self, now: Time, admitted: Admitted) -> Result<(Taken, Packet), DropReason> {
        let Admitted {
            origin,
            frame,
            arrival,
            mut passage,
        } = admitted;
        passage.enter(Stage::Unwrapping);
        self.last_wait
            .store(now.since(arrival).as_micros(), Ordering::Relaxed);
        match self.context(now, frame.epoch_byte()) {
            Ok(context) => {
                let item = Taken {
                    origin,
                    arrival,
                    passage,
                    context,
                    seen: None,
                };
                Ok((item, frame.into_packet()))
            }
            Err(reason) => {
                passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    /// The cryptography, with the replay filter asked after the MAC, and what follows from it.
    fn open(
        &self,
        taken: &mut [Option<Taken>; Engine::BATCH],
        packets: [Option<Packet>; Engine::BATCH],
        done: &mut impl FnMut(Result<Processed, DropReason>),
    ) {
        let secrets: [Option<Arc<SphinxSecret>>; Engine::BATCH] = std::array::from_fn(|index| {
            let item = taken[index].as_ref()?;
            Some(Arc::clone(&item.context.secret))
        });
        let jobs = secrets.iter().map(Option::as_deref).zip(packets);
        let jobs = jobs.filter_map(|(secret, packet)| Some((secret?, packet?)));
        let taken = std::cell::RefCell::new(taken);
        self.engine.unwrap_batch(
            jobs,
            |index, tag| {
                let mut taken = taken.borrow_mut();
                let Some(item) = &mut taken[index] else {
                    return false;
                };
                let verdict = item.remember(tag, self.limits.replay_tags);
                verdict == Seen::Fresh
            },
            |index, outcome| {
                let item = taken.borrow_mut()[index].take();
                if let Some(item) = item {
                    done(self.conclude(item, outcome));
                }
            },
        );
    }

    fn conclude(
        &self,
        item: Taken,
        outcome: Result<Unwrapped, UnwrapError>,
    ) -> Result<Processed, DropReason> {
        let Taken {
            origin,
            arrival,
            passage,
            context,
            seen,
        } = item;
        let decided = match (outcome, seen) {
            (Ok(unwrapped), Some((tag, Seen::Fresh))) => self
                .decide(&context.document, origin, unwrapped)
                .map(|kind| (tag, kind)),
            (Err(_), Some((_, Seen::Full))) => Err(DropReason::FilterFull),
            (Err(error), _) => Err(reason_of(error)),
            // Unwrapped without asking the filter: that would be a fault of ours. Fail closed.
            (Ok(_), _) => Err(DropReason::Replayed),
        };
        match decided {
            Ok((tag, kind)) => Ok(Processed {
                epoch: context.document.epoch(),
                tag,
                arrival,
                kind,
                passage,
            }),
            Err(reason) => {
                passage.drop_as(reason);
                Err(reason)
            }
        }
    }

    fn check(
        &self,
        now: Time,
        origin: &Origin,
        epoch_byte: u8,
        backlog: &Backlog,
    ) -> Result<(), DropReason> {
        let Context { document, .. } = self.context(now, epoch_byte)?;
        if document.member(&self.local).is_none() {
            return Err(DropReason::NotListed);
        }
        match origin {
            Origin::Client(_) if self.role != Role::Provider => Err(DropReason::NotAttached),
            Origin::Client(_) => Ok(()),
            Origin::Member(id) if document.member(id).is_none() => Err(DropReason::NotAMember),
            Origin::Member(id) if !document.position_ok(id, &self.local) => {
                Err(DropReason::WrongLayer)
            }
            Origin::Member(_) => Ok(()),
        }?;
        self.check_load(backlog)
    }

    fn check_load(&self, backlog: &Backlog) -> Result<(), DropReason> {
        let waiting = backlog.queued.saturating_add(backlog.unwrapping);
        if waiting >= u64::try_from(self.limits.queue).unwrap_or(u64::MAX) {
            return Err(DropReason::QueueFull);
        }
        // With an empty queue the last wait says nothing about the next one.
        let last_wait = Span::from_micros(self.last_wait.load(Ordering::Relaxed));
        if backlog.queued > 0 && last_wait > self.shed_after {
            return Err(DropReason::Overload);
        }
        Ok(())
    }

    fn decide(
        &self,
        document: &Document,
        origin: Origin,
        unwrapped: Unwrapped,
    ) -> Result<ProcessedKind, DropReason> {
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
            } => self.classify(origin, destination, id, payload),
        }
    }

    fn classify(
        &self,
        origin: Origin,
        destination: [u8; 32],
        id: SurbId,
        payload: Payload,
    ) -> Result<ProcessedKind, DropReason> {
        // No route has one hop: what a client sends passes the layers before it ends.
        if matches!(origin, Origin::Client(_)) {
            return Err(DropReason::Routing);
        }
        let plaintext = payload.plaintext();
        if let Some(text) = &plaintext
            && let Ok(Command::NodeLoop(id)) = Command::decode(text)
        {
            return Ok(ProcessedKind::Loop(id));
        }
        if self.role != Role::Provider {
            return Err(DropReason::FinalAtMix);
        }
        Ok(ProcessedKind::Final(Box::new(FinalHop {
            destination,
            id,
            payload,
            plaintext,
        })))
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
        let epoch = document.epoch();
        match (state.secrets.get(&epoch), state.filters.get(&epoch)) {
            (Some(secret), Some(filter)) => Ok(Context {
                document: Arc::clone(document),
                secret: Arc::clone(secret),
                filter: Arc::clone(filter),
            }),
            _ => Err(DropReason::UnknownEpoch),
        }
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

impl Admitted {
    /// When the frame came in.
    #[must_use]
    pub const fn arrival(&self) -> Time {
        self.arrival
    }

    /// Drops the frame before it was unwrapped.
    pub fn drop_as(self, reason: DropReason) {
        self.passage.drop_as(reason);
    }
}

impl Processed {
    /// Drops the packet before the relay had it.
    pub fn drop_as(self, reason: DropReason) {
        self.passage.drop_as(reason);
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
