//! The relay core: the delay pool, and the node's own loops.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::Command;
use shoal_packet::{Delivery, Frame, ReplayTag, build_forward};
use shoal_proto::{Epoch, NodeId, Span, SurbId, Time};
use shoal_topology::{NetworkParameters, PoissonClock, View, delay, path};

use rand::RngExt as _;

use crate::loops::LoopTracker;
use crate::pool::Pool;
use crate::{
    Accounting, DropReason, LoopReturns, LoopVerdict, OwnKind, Passage, Processed, ProcessedKind,
    RelayLimits, Stage,
};

/// What happens to a relay.
pub enum RelayInput {
    /// A packet came out of [`Gate::unwrap_batch`](crate::Gate::unwrap_batch).
    Processed(Processed),
    /// The replay log has every tag up to this sequence on disk.
    TagsDurable {
        /// The sequence of a [`RelayAction::LogTag`].
        upto: u64,
    },
    /// The replay log could not write. What waits for it is dropped, and so is what comes, but
    /// for one packet now and then that tries again, until tags are durable once more.
    TagsFailed,
    /// The documents that count from now on.
    View(Arc<View>),
}

/// What a relay wants done.
pub enum RelayAction {
    /// Write a frame to this member's link.
    Send {
        /// The member.
        to: NodeId,
        /// The frame.
        frame: Frame,
        /// Goes with the frame: [`Passage::sent`] once a link took it, or
        /// [`Passage::drop_as`].
        passage: Passage,
    },
    /// Write this tag to the replay log, in this order, and say when it is durable.
    LogTag {
        /// Starts at 1 and grows by 1.
        sequence: u64,
        /// The epoch that the tag belongs to: the log forgets it when the epoch's key goes.
        epoch: Epoch,
        /// The tag.
        tag: ReplayTag,
    },
    /// Give this to the provider role.
    Deliver(Box<Delivery>),
    /// Too few of the node's own loops come back.
    LoopAlarm(LoopReturns),
    /// Enough of them come back again.
    LoopRecovered(LoopReturns),
    /// Tags become durable so late that packets miss their moments, this long after they were given.
    LogSlow(Span),
    /// They have been durable in time for a while.
    LogQuick,
}

/// A packet in the pool.
struct Held {
    passage: Passage,
    exit: Exit,
    /// When it was to leave.
    moment: Time,
}

/// How it leaves the pool.
enum Exit {
    Forward { next: NodeId, frame: Frame },
    Deliver(Box<Delivery>),
}

enum Log {
    Working,
    Failed { retry_at: Time },
}

/// Whether tags are durable in time, as it is told.
struct SlowLog {
    /// When they last were not, if that has been told.
    last: Option<Time>,
}

impl SlowLog {
    /// For so long they have to be in time before that is told.
    const CALM: Span = Span::from_secs(60);

    const fn new() -> Self {
        Self { last: None }
    }

    /// The oldest tag has waited for so long: what is to be told.
    fn note(&mut self, now: Time, wait: Span, mean: Span) -> Option<RelayAction> {
        if wait > mean {
            let told = self.last.replace(now).is_some();
            return (!told).then_some(RelayAction::LogSlow(wait));
        }
        self.last.take_if(|last| now.since(*last) >= Self::CALM)?;
        Some(RelayAction::LogQuick)
    }
}

/// The relay core of a node, whatever its role: the delay pool and the node's own loops.
///
/// Call [`handle_input`](Self::handle_input) with what happens, do what
/// [`poll_action`](Self::poll_action) says until it says nothing more, and come back at
/// [`poll_deadline`](Self::poll_deadline) or with the next input.
///
/// A packet leaves at its arrival plus its delay if its replay tag is durable by then, or soon after
/// ([`RelayLimits::log_grace`](field@RelayLimits::log_grace)). What misses its moment by more would leave together with all else that the disk
/// was late with, in the order in which it came. So its delay is drawn anew, from when its tag is durable: with an
/// exponential delay that says nothing of when it came. If that was longer ago than [`RelayLimits::log_patience`](field@RelayLimits::log_patience), it
/// is dropped. The longer tags take, the fewer packets are taken: of those that come while the oldest tag has waited for
/// longer than a mean delay, only as large a share as the mean is of that wait, which chance picks. Memory: see
/// [`RelayLimits`].
pub struct Relay<R> {
    params: Arc<NetworkParameters>,
    local: NodeId,
    limits: RelayLimits,
    rng: R,
    accounting: Arc<Accounting>,
    view: Option<Arc<View>>,
    pool: Pool<Held>,
    log: Log,
    slow_log: SlowLog,
    loops: LoopTracker,
    loop_clock: PoissonClock,
    actions: VecDeque<RelayAction>,
}

impl<R: CryptoRng> Relay<R> {
    /// A relay with an empty pool. `accounting` are the same books that the node's
    /// [`Gate`](crate::Gate) writes to. The first loop is due one exponential gap after `now`.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        limits: RelayLimits,
        accounting: Arc<Accounting>,
        mut rng: R,
        now: Time,
    ) -> Self {
        let mut loop_clock = PoissonClock::new(&mut rng, params.loop_rate);
        loop_clock.start(now);
        Self {
            pool: Pool::new(limits.pool),
            loops: LoopTracker::new(params.mean_delay, &limits),
            log: Log::Working,
            slow_log: SlowLog::new(),
            view: None,
            loop_clock,
            actions: VecDeque::new(),
            params,
            local,
            limits,
            rng,
            accounting,
        }
    }

    /// How the node's own loops fared, as far as the window looks back.
    #[must_use]
    pub fn loop_returns(&self) -> LoopReturns {
        self.loops.returns()
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: RelayInput) {
        match input {
            RelayInput::Processed(packet) => self.take(now, packet),
            RelayInput::TagsDurable { upto } => {
                self.look_at_log(now);
                self.durable(now, upto);
                self.log = Log::Working;
            }
            RelayInput::TagsFailed => {
                for held in self.pool.take_undurable() {
                    held.passage.drop_as(DropReason::LogUnavailable);
                }
                self.log = Log::Failed {
                    retry_at: now + self.limits.log_retry,
                };
            }
            RelayInput::View(view) => self.view = Some(view),
        }
    }

    /// What to do next, if anything.
    pub fn poll_action(&mut self, now: Time) -> Option<RelayAction> {
        self.run_timers(now);
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let (_, held) = self.pool.pop(now)?;
        Some(self.leave(now, held))
    }

    /// When to call [`poll_action`](Self::poll_action) again if nothing happens before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        if !self.actions.is_empty() {
            return Some(Time::default());
        }
        let deadlines = [
            self.pool.next_due(),
            self.loop_clock.due(),
            self.loops.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn durable(&mut self, now: Time, upto: u64) {
        let (grace, patience) = (
            self.limits.log_grace(&self.params),
            self.limits.log_patience(&self.params),
        );
        let (rng, mean) = (&mut self.rng, self.params.mean_delay);
        let mut redrawn = 0;
        let over = self.pool.durable(upto, |(since, due), held| {
            // By the log alone: what came late from the workers did not wait for it before.
            let late = now.since(due.max(since));
            // What ends here is no departure.
            let at = match held.exit {
                Exit::Forward { .. } if late > patience => return None,
                Exit::Forward { .. } if late > grace => {
                    redrawn += 1;
                    now + delay::sample(rng, mean)
                }
                _ => due,
            };
            held.passage.enter(Stage::Pooled);
            Some(at)
        });
        for held in over {
            held.passage.drop_as(DropReason::LogSlow);
        }
        self.accounting.redrawn(redrawn);
    }

    /// Whether tags take so long that packets miss their moments.
    fn look_at_log(&mut self, now: Time) {
        let wait = self.pool.longest_wait(now);
        if let Some(change) = self.slow_log.note(now, wait, self.params.mean_delay) {
            self.actions.push_back(change);
        }
    }

    /// Whether one more packet is to wait for the log. The longer that takes, the fewer: chance picks them, so
    /// that nobody's packets have it better.
    fn log_keeps_up(&mut self, now: Time) -> bool {
        let (wait, mean) = (self.pool.longest_wait(now), self.params.mean_delay);
        wait <= mean || self.rng.random::<f64>() * wait.as_secs_f64() < mean.as_secs_f64()
    }

    fn take(&mut self, now: Time, packet: Processed) {
        let Processed {
            epoch,
            tag,
            arrival,
            kind,
            origin,
            mut passage,
        } = packet;
        let (due, exit) = match kind {
            ProcessedKind::Loop(id) => return self.take_loop(now, &id, passage),
            ProcessedKind::Forward { next, frame, delay } => {
                (arrival + delay, Exit::Forward { next, frame })
            }
            ProcessedKind::Final(delivery) => (arrival, Exit::Deliver(delivery)),
        };
        if !self.log_takes_one_more(now) {
            return passage.drop_as(DropReason::LogUnavailable);
        }
        if !self.log_keeps_up(now) {
            return passage.drop_as(DropReason::LogSlow);
        }
        passage.enter(Stage::AwaitingLog);
        let held = Held {
            passage,
            exit,
            moment: due,
        };
        match self.pool.insert(now, due, (origin, held)) {
            Ok(sequence) => self.actions.push_back(RelayAction::LogTag {
                sequence,
                epoch,
                tag,
            }),
            Err(held) => held.passage.drop_as(DropReason::PoolFull),
        }
    }

    /// A loop leaves nothing to be replayed: it is awaited once.
    fn take_loop(&mut self, now: Time, id: &SurbId, passage: Passage) {
        if self.loops.returned(now, id) {
            passage.loop_returned();
        } else {
            passage.drop_as(DropReason::LoopUnknown);
        }
    }

    /// While the log fails, one packet at a time tries whether it still does.
    fn log_takes_one_more(&mut self, now: Time) -> bool {
        match self.log {
            Log::Working => true,
            Log::Failed { retry_at } if now < retry_at || self.pool.awaiting_log() > 0 => false,
            Log::Failed { .. } => {
                self.log = Log::Failed {
                    retry_at: now + self.limits.log_retry,
                };
                true
            }
        }
    }

    fn leave(&mut self, now: Time, held: Held) -> RelayAction {
        let Held {
            mut passage,
            exit,
            moment,
        } = held;
        match exit {
            Exit::Forward { next, frame } => {
                self.accounting
                    .departed(now.since(moment), self.limits.late_after);
                passage.enter(Stage::Departing);
                RelayAction::Send {
                    to: next,
                    frame,
                    passage,
                }
            }
            Exit::Deliver(delivery) => {
                passage.delivered();
                RelayAction::Deliver(delivery)
            }
        }
    }

    fn run_timers(&mut self, now: Time) {
        let lost = self.loops.expire(now);
        if lost > 0 {
            self.accounting.loops_lost(lost);
        }
        while let Some(verdict) = self.loops.verdict() {
            self.actions.push_back(match verdict {
                LoopVerdict::Alarm(returns) => RelayAction::LoopAlarm(returns),
                LoopVerdict::Recovered(returns) => RelayAction::LoopRecovered(returns),
            });
        }
        while let Some(tick) = self.loop_clock.tick(now) {
            let action = (!tick.missed).then(|| self.make_loop(now)).flatten();
            if action.is_none() {
                self.accounting.loop_skipped();
            }
            self.actions.extend(action);
        }
    }

    /// None if this node is in no document, the network has no route, or too many loops are out.
    fn make_loop(&mut self, now: Time) -> Option<RelayAction> {
        let document = Arc::clone(self.view.as_ref()?.current(&self.params, now)?);
        if !self.loops.has_room() || document.member(&self.local).is_none() {
            return None;
        }
        let route = path::node_loop(&mut self.rng, &document, &self.params, &self.local).ok()?;
        let to = route.first()?.node;
        let mut id = [0; SurbId::BYTES];
        self.rng.fill_bytes(&mut id);
        let id = SurbId::new(id);
        let plaintext = Command::NodeLoop(id).encode(&mut self.rng);
        let packet = build_forward(&mut self.rng, &route, &plaintext).ok()?;
        self.loops.sent(now, id);
        Some(RelayAction::Send {
            to,
            frame: Frame::new(document.epoch(), packet),
            passage: self.accounting.originate(OwnKind::Loop),
        })
    }
}
