//! Where frames come in: who they are from, whether a client sends too much, and the gate. Shared by
//! the threads that read links and those that unwrap.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rand::CryptoRng;
use shoal_mix::{Admitted, DropReason, Gate, Origin, Processed, UnwrapQueue};
use shoal_packet::{Batch, Frame};
use shoal_proto::{ClientHandle, NodeId, Span, Time};

/// How much faster than its profile a client may send before its frames are dropped. Poisson clocks of
/// that rate leave a bucket of [`BURST`] empty once in 10^11 frames.
const RATE_MARGIN: f64 = 1.25;
/// Frames that a client may send at once, after a pause of its machine or of a link.
const BURST: f64 = 64.0;
/// Those that it may send at once when it has just been attached: fewer, or who attaches again and
/// again would get room in the replay filter that others wait for. Its clocks alone send more than
/// that once in 10^6 attachments.
const FIRST_BURST: f64 = 32.0;
/// A client that sends too much for so long is not attached any more.
const PATIENCE: Span = Span::from_secs(30);
/// A client that has not sent too much for so long has stopped it.
const PAUSE: Span = Span::from_secs(10);

/// The way of frames into a node, from any thread.
///
/// A reader calls [`admit`](Self::admit) for each frame and puts what it gives into the
/// [`queue`](Self::queue), which the host keeps under a lock. Workers call [`unwrap`](Self::unwrap)
/// for what they take out of it and bring the results as
/// [`NodeInput::Processed`](super::NodeInput::Processed). Locks are held for a lookup.
pub struct Intake {
    gate: Arc<Gate>,
    attached: RwLock<Clients>,
    open: AtomicBool,
}

type Clients = BTreeMap<NodeId, Attached>;

struct Attached {
    handle: ClientHandle,
    /// Frames per second that it may send.
    rate: f64,
    budget: Mutex<Budget>,
}

impl Attached {
    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token bucket: no client can use more of this node than a few others do.
struct Budget {
    tokens: f64,
    at: Time,
    /// The first and the last frame that was too much, since it last stopped sending too much.
    excess: Option<(Time, Time)>,
}

impl Budget {
    fn take(&mut self, now: Time, rate: f64) -> bool {
        let since = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + since * rate).min(BURST);
        if self.tokens < 1.0 {
            let before = self.excess.filter(|(_, last)| now < *last + PAUSE);
            self.excess = Some((before.map_or(now, |(first, _)| first), now));
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Whether it has been exceeded for longer than is borne.
    fn is_overdone(&self) -> bool {
        self.excess
            .is_some_and(|(first, last)| last.since(first) >= PATIENCE)
    }
}

impl Intake {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            attached: RwLock::default(),
            open: AtomicBool::new(true),
        }
    }

    /// Takes a frame that came on the link with this peer. None if it was dropped, which is counted.
    pub fn admit(&self, now: Time, from: NodeId, frame: Frame) -> Option<Admitted> {
        if !self.open.load(Ordering::Relaxed) {
            self.drop_unseen(DropReason::Abandoned);
            return None;
        }
        let Some(origin) = self.origin(now, from) else {
            self.drop_unseen(DropReason::OverRate);
            return None;
        };
        self.gate.admit(now, origin, frame).ok()
    }

    /// Counts what was no frame: a link that ended in the middle of one.
    pub fn malformed(&self) {
        self.drop_unseen(DropReason::Malformed);
    }

    /// An empty queue for what this intake admits, which shares itself out among senders. `rng` picks what it
    /// drops.
    #[must_use]
    pub fn queue<R: CryptoRng>(&self, rng: R) -> UnwrapQueue<R> {
        self.gate.queue(rng)
    }

    /// Unwraps packets that are taken up together at `now`, and gives those that go on, in order; the
    /// rest is dropped and counted. A batch costs less than its packets one by one.
    pub fn unwrap(
        &self,
        now: Time,
        batch: Batch<Admitted>,
    ) -> impl Iterator<Item = Processed> + use<> {
        self.gate.unwrap_batch(now, batch).into_iter().flatten()
    }

    /// Takes no more frames.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// The connection's client is attached under this handle from now on, and sends at `rate` frames
    /// per second.
    pub(super) fn attach(&self, now: Time, peer: NodeId, handle: ClientHandle, rate: f64) {
        let budget = Budget {
            tokens: FIRST_BURST,
            at: now,
            excess: None,
        };
        let attached = Attached {
            handle,
            rate: rate * RATE_MARGIN,
            budget: Mutex::new(budget),
        };
        self.write().insert(peer, attached);
    }

    /// The connection is gone.
    pub(super) fn detach(&self, peer: &NodeId) -> Option<ClientHandle> {
        self.write().remove(peer).map(|old| old.handle)
    }

    /// Whether this node can carry clients that send at `rate` frames per second beside those that are
    /// attached. Who is attached keeps its rate, so who comes too late is told that it is full.
    pub(super) fn carries(&self, rate: f64) -> bool {
        let attached: f64 = self.read().values().map(|client| client.rate).sum();
        attached + rate * RATE_MARGIN <= self.gate.limits().client_rate()
    }

    /// The connections of clients that have sent too much for too long.
    pub(super) fn overdone(&self) -> Vec<NodeId> {
        let map = self.read();
        let overdone = map
            .iter()
            .filter(|(_, client)| client.budget().is_overdone());
        overdone.map(|(peer, _)| *peer).collect()
    }

    /// Where a frame of this connection comes from; none if it is a client's that sends too much.
    fn origin(&self, now: Time, peer: NodeId) -> Option<Origin> {
        let map = self.read();
        let Some(client) = map.get(&peer) else {
            return Some(Origin::Member(peer));
        };
        let fits = client.budget().take(now, client.rate);
        fits.then_some(Origin::Client(client.handle))
    }

    fn read(&self) -> RwLockReadGuard<'_, Clients> {
        self.attached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Clients> {
        self.attached
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_unseen(&self, reason: DropReason) {
        self.gate.accounting().receive().drop_as(reason);
    }
}

#[cfg(test)]
mod tests {
    use shoal_mix::{Accounting, RelayLimits};
    use shoal_packet::Engine;
    use shoal_proto::Span;
    use shoal_topology::{NetworkParameters, Role};

    use super::*;

    fn intake() -> Intake {
        let params = Arc::new(NetworkParameters::example());
        let (local, limits) = (NodeId::new([9; 32]), RelayLimits::default());
        let gate = Gate::new(params, local, Role::Provider, limits, Accounting::new());
        Intake::new(Arc::new(gate.with_engine(Engine::best())))
    }

    #[test]
    fn a_client_that_sends_too_much_is_cut_to_its_budget_and_no_other() {
        let (greedy, member) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        let intake = intake();
        let start = Time::from_micros(1_000_000);
        intake.attach(start, greedy, ClientHandle::new([3; 32]), 4.0);
        let mut passed = 0;
        for millis in 0..10_000 {
            let now = start + Span::from_millis(millis);
            passed += usize::from(intake.origin(now, greedy).is_some());
            assert!(intake.origin(now, member).is_some());
        }
        // 10 s at the rate and a quarter, and the first burst.
        assert!((80..=84).contains(&passed), "{passed}");
    }

    #[test]
    fn a_client_at_its_rate_loses_nothing() {
        let peer = NodeId::new([1; 32]);
        let intake = intake();
        let mut now = Time::from_micros(1_000_000);
        intake.attach(now, peer, ClientHandle::new([3; 32]), 4.0);
        for frame in 0..1_000 {
            // After a pause, what waited comes at once.
            let gap = if frame % 40 == 0 { 10_000 } else { 250 };
            now += Span::from_millis(if frame % 40 < 20 { gap } else { 0 });
            assert!(intake.origin(now, peer).is_some(), "frame {frame}");
        }
    }

    #[test]
    fn clients_are_attached_as_long_as_their_rates_fit() {
        let intake = intake();
        let now = Time::from_micros(1_000_000);
        // Half of 1,500 a second are for clients; each counts for a quarter more than its rate.
        let mut attached = 0;
        while intake.carries(4.0) {
            let (peer, handle) = ([attached; 32], ClientHandle::new([attached; 32]));
            intake.attach(now, NodeId::new(peer), handle, 4.0);
            attached += 1;
        }
        assert_eq!(attached, 150);
        intake.detach(&NodeId::new([7; 32]));
        assert!(intake.carries(4.0));
    }

    #[test]
    fn sending_too_much_is_borne_for_a_while_and_pauses_end_it() {
        let (steady, now_and_then) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        let intake = intake();
        let start = Time::from_micros(1_000_000);
        for (peer, handle) in [(steady, 3), (now_and_then, 4)] {
            intake.attach(start, peer, ClientHandle::new([handle; 32]), 4.0);
        }
        let mut ended = Vec::new();
        for second in 0..120 {
            let now = start + Span::from_secs(second);
            for _ in 0..60 {
                intake.origin(now, steady);
                // 20 s of it, then a pause.
                if second % 40 < 20 {
                    intake.origin(now, now_and_then);
                }
            }
            ended.extend(intake.overdone().into_iter().map(|peer| (second, peer)));
        }
        assert_eq!(
            ended.first(),
            Some(&(30, steady)),
            "a burst of less than a second, then half a minute"
        );
        assert!(ended.iter().all(|(_, peer)| *peer == steady));
    }

    #[test]
    fn what_never_reaches_the_gate_is_counted_too() {
        let intake = intake();
        intake.malformed();
        intake.close();
        let frame = Frame::filler(&mut rand_chacha::ChaCha20Rng::from_seed([1; 32]), 0);
        assert!(
            intake
                .admit(Time::default(), NodeId::new([1; 32]), frame)
                .is_none()
        );
        let books = intake.gate.accounting().snapshot();
        assert_eq!(books.counters.received, 2);
        assert_eq!(books.dropped(DropReason::Malformed), 1);
        assert_eq!(books.dropped(DropReason::Abandoned), 1);
        assert!(books.balanced());
    }

    use rand::SeedableRng as _;
}
