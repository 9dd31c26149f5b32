//! Frames that wait for an unwrap worker, shared out among those who sent them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use rand::{CryptoRng, RngExt as _};
use shoal_packet::{Batch, Engine};
use shoal_proto::{Span, Time};
use shoal_topology::NetworkParameters;

use crate::share::may_take;
use crate::{Admitted, DropReason, Origin, RelayLimits};

/// Emptied lines that are kept to be filled again, so that a packet costs no allocation.
const SPARE_LINES: usize = 64;
/// A line that grew beyond this is not kept.
const SPARE_FRAMES: usize = 64;

/// The frames that wait for an unwrap worker: a line for each sender. The host keeps it under a lock
/// of its own, between the threads that read links and those that unwrap.
///
/// Nobody's flood costs another: a sender may have as many frames in line as there are places left,
/// so one alone gets half of them and the others still find room, and workers take one frame of each
/// sender in turn. Whoever sends more than its turn gives it waits longer. Once its frames have waited
/// longer than [`RelayLimits::shed_after`](field@RelayLimits::shed_after) for a mean delay on end, its line is held to that as long as too much
/// comes: chance picks what is dropped, as large a share as was too much during the last mean delay. So of what a sender passes on for others, all has the same chance to get through, whether it came
/// in a burst or alone, and nothing waits until the mix is a first-in-first-out queue.
///
/// Few frames wait a moment for others, [`RelayLimits::gather`](field@RelayLimits::gather) at most, because together they cost less;
/// [`due`](Self::due) says until when. Their delays run from when they came all the same.
///
/// Memory: [`RelayLimits::queue`] frames of 2.6 kB.
///
/// Sources: J. Nagle, RFC 970, 1985 (a line for each sender, served in turn); A. Choudhury and
/// E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998 (a bound that
/// is what is left); R. Pan et al., RFC 8033, 2017 (what comes is dropped with one probability, by how long
/// frames wait, and only once that lasts).
pub struct UnwrapQueue<R> {
    rng: R,
    bound: usize,
    shed_after: Span,
    /// The network's mean delay: for so long a wait has to last before anything is shed, and so far back it is
    /// looked what was too much.
    mean: Span,
    gather: Span,
    waiting: usize,
    /// By sender; none is empty.
    lines: BTreeMap<Origin, Line>,
    /// Whose frame was taken last.
    served: Option<Origin>,
    /// Of senders that have sent too much lately and have none in line now.
    flows: BTreeMap<Origin, Flow>,
    spare: Vec<VecDeque<Admitted>>,
}

struct Line {
    frames: VecDeque<Admitted>,
    /// Since when frames that were taken have waited too long.
    slow_since: Option<Time>,
    sheds: bool,
    flow: Flow,
}

/// What came to a line and what was taken of it, lately.
#[derive(Default)]
struct Flow {
    /// Since when it is counted anew.
    since: Time,
    came: u32,
    taken: u32,
    /// The same of a mean delay before that, the older the less.
    before: (f64, f64),
    /// The share of what comes that is let in while the line sheds.
    lets_in: f64,
}

impl Flow {
    /// How long a frame that comes now waits, in mean delays, at the pace at which the line is served.
    fn wait(&self, held: usize) -> f64 {
        let (_, served) = self.before;
        if served > 0.0 {
            held as f64 / served
        } else {
            0.0
        }
    }

    /// Looks anew at what is too much, if it is time: every quarter of a mean delay. What waits longer than `target`,
    /// in mean delays, is made up for within one.
    fn look(&mut self, now: Time, held: usize, (target, mean): (f64, Span)) {
        let quarter = mean.scale(1, 4).as_micros().max(1);
        let quarters = now.since(self.since).as_micros() / quarter;
        if quarters == 0 {
            return;
        }
        let each = |count: u32| f64::from(count) / quarters as f64;
        let (came, taken) = (each(self.came), each(self.taken));
        for _ in 0..quarters.min(Self::LOOKS_BACK) {
            self.before.0 = self.before.0.mul_add(0.75, came);
            self.before.1 = self.before.1.mul_add(0.75, taken);
        }
        (self.came, self.taken, self.since) = (0, 0, now);
        let waits = self.wait(held);
        // What was taken says how much can be only while something waits.
        let makes_up = if waits < target / 2.0 {
            1.25
        } else {
            (1.0 - (waits - target)).max(0.25)
        };
        let (came, taken) = self.before;
        // Something is let in always, or it would never be seen that there is room again.
        self.lets_in = (taken / came.max(1.0) * makes_up).clamp(0.01, 1.0);
    }

    /// Quarters after which nothing of before is left.
    const LOOKS_BACK: u64 = 32;
}

impl Line {
    /// Whether chance picks what comes, while too much does.
    fn refuses(&mut self, rng: &mut impl CryptoRng) -> bool {
        if self.flow.lets_in >= 1.0 {
            (self.sheds, self.slow_since) = (false, None);
            return false;
        }
        self.flow.wait(self.frames.len()) > 1.0 || rng.random::<f64>() >= self.flow.lets_in
    }
}

impl<R: CryptoRng> UnwrapQueue<R> {
    /// As many frames as are worth unwrapping at once: more than that cost as much each.
    pub const GROUP: usize = Engine::LANES;

    /// An empty queue with these bounds. `rng` picks what is dropped.
    #[must_use]
    pub fn new(params: &NetworkParameters, limits: &RelayLimits, rng: R) -> Self {
        Self {
            rng,
            bound: limits.queue,
            shed_after: limits.shed_after(params),
            mean: params.mean_delay.max(Span::from_micros(1)),
            gather: limits.gather(params),
            waiting: 0,
            lines: BTreeMap::new(),
            served: None,
            flows: BTreeMap::new(),
            spare: Vec::new(),
        }
    }

    /// Frames that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether no frame waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// When what waits is to be taken up: at once if it is a [`GROUP`](Self::GROUP), else when the oldest has
    /// waited for others as long as it may. None if nothing waits.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        if self.waiting >= Self::GROUP {
            return Some(Time::default());
        }
        // Only the first of a line can be its oldest.
        let first = self.lines.values().filter_map(|line| line.frames.front());
        let oldest = first.map(|frame| frame.arrival).min()?;
        Some(oldest + self.gather)
    }

    /// Puts a frame at the end of its sender's line.
    ///
    /// # Errors
    /// [`DropReason::QueueFull`] if its sender has as many frames in line as places are left, and
    /// [`DropReason::Overload`] if they have waited too long for a while and chance picks it, or they wait for longer
    /// than a mean delay; already counted.
    pub fn push(&mut self, admitted: Admitted) -> Result<(), DropReason> {
        let left = self.bound.saturating_sub(self.waiting);
        let (now, origin) = (admitted.arrival, admitted.origin);
        let line = match self.lines.entry(origin) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(_) if left == 0 => {
                admitted.drop_as(DropReason::QueueFull);
                return Err(DropReason::QueueFull);
            }
            Entry::Vacant(place) => {
                let flow = self.flows.remove(&origin);
                place.insert(Line {
                    frames: self.spare.pop().unwrap_or_default(),
                    slow_since: None,
                    sheds: flow.is_some(),
                    flow: flow.unwrap_or_else(|| Flow {
                        since: now,
                        ..Flow::default()
                    }),
                })
            }
        };
        let held = line.frames.len();
        let target = self.shed_after.as_secs_f64() / self.mean.as_secs_f64();
        line.flow.look(now, held, (target, self.mean));
        line.flow.came = line.flow.came.saturating_add(1);
        // Who has none in line does not wait.
        let refused = if !may_take(held, left) {
            Some(DropReason::QueueFull)
        } else if held > 0 && line.sheds && line.refuses(&mut self.rng) {
            Some(DropReason::Overload)
        } else {
            None
        };
        if let Some(reason) = refused {
            admitted.drop_as(reason);
            return Err(reason);
        }
        line.frames.push_back(admitted);
        self.waiting += 1;
        Ok(())
    }

    /// What is there for a worker: at most a batch, one frame of each sender in turn. What is more than whole
    /// groups stays, to be one with what comes.
    pub fn take(&mut self, now: Time) -> Batch<Admitted> {
        let whole = self.waiting - self.waiting % Self::GROUP;
        let most = if whole == 0 { self.waiting } else { whole };
        Batch::fill(&mut std::iter::from_fn(|| self.next(now)).take(most))
    }

    fn next(&mut self, now: Time) -> Option<Admitted> {
        let origin = self.turn()?;
        let line = self.lines.get_mut(&origin)?;
        let admitted = line.frames.pop_front()?;
        line.flow.taken = line.flow.taken.saturating_add(1);
        if now.since(admitted.arrival) <= self.shed_after {
            line.slow_since = None;
        } else {
            let since = *line.slow_since.get_or_insert(now);
            line.sheds |= now.since(since) >= self.mean;
        }
        if line.frames.is_empty()
            && let Some(line) = self.lines.remove(&origin)
        {
            self.close(now, origin, line);
        }
        self.served = Some(origin);
        self.waiting -= 1;
        Some(admitted)
    }

    /// A line is empty: what is known of a sender that sends too much is kept for a moment.
    fn close(&mut self, now: Time, origin: Origin, line: Line) {
        if line.sheds {
            let kept = self.mean.scale(10, 1);
            self.flows.retain(|_, flow| now.since(flow.since) < kept);
            self.flows.insert(origin, line.flow);
        }
        if self.spare.len() < SPARE_LINES && line.frames.capacity() <= SPARE_FRAMES {
            self.spare.push(line.frames);
        }
    }

    /// The sender after the one that was served last, in a circle.
    fn turn(&self) -> Option<Origin> {
        let served = self.served.as_ref();
        let after = served.and_then(|last| self.lines.range((Excluded(last), Unbounded)).next());
        let next = after.or_else(|| self.lines.first_key_value());
        next.map(|(origin, _)| *origin)
    }
}
