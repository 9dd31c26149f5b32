//! What can go wrong on a schedule or by chance, and what is planned.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Exp1};
use shoal_proto::{Span, Time};

use crate::link::LinkDelay;
use crate::party::Party;

/// Delay and loss on top of what links have by themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFault {
    /// Links with one end among these are concerned, in both directions.
    pub who: BTreeSet<Party>,
    /// And the other end among these; any other end if `None`.
    pub with: Option<BTreeSet<Party>>,
    /// What comes on top of the delay.
    pub delay: LinkDelay,
    /// The probability that a frame is lost that the link itself would not have lost, 0 to 1.
    pub loss: f64,
}

impl LinkFault {
    pub(crate) fn is_on(&self, from: Party, to: Party) -> bool {
        let far = |party| self.with.as_ref().is_none_or(|with| with.contains(&party));
        (self.who.contains(&from) && far(to)) || (self.who.contains(&to) && far(from))
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing passes between these and all others. Both ends take each other for gone after 15 s.
    Partition(BTreeSet<Party>),
    /// The processes of these end without warning, and start again at the end.
    Crash(BTreeSet<Party>),
    /// These clients detach, and attach again at the end.
    Offline(BTreeSet<Party>),
    /// Some links get slower or lose more.
    Link(LinkFault),
    /// Nothing can be written on the disks of these.
    Disk(BTreeSet<Party>),
}

/// What happens to a party again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Its process ends without warning.
    Crash,
    /// It goes offline; clients only.
    Offline,
}

/// How much went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Faults that began on schedule.
    pub scheduled: u64,
    /// Processes that ended without warning.
    pub crashes: u64,
    /// Times that a client went offline.
    pub offline: u64,
    /// Frames that were put on a link that was cut; among those that links lost.
    pub cut_frames: u64,
}

/// An alternating renewal process of one party: exponential times without trouble and in trouble.
pub(crate) struct Alternation {
    pub(crate) party: Party,
    pub(crate) trouble: Trouble,
    pub(crate) well: Span,
    pub(crate) ill: Span,
    pub(crate) is_ill: bool,
    pub(crate) rng: ChaCha20Rng,
}

/// Something on the agenda.
pub(crate) enum Task {
    Begin(u64),
    /// Those whom a partition cuts off from each other take each other for gone.
    Silence(u64),
    End(u64),
    Alternate(usize),
}

/// What holds a party back; it works if nothing does.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) down: u32,
    pub(crate) offline: u32,
}

/// What is planned and in force.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) agenda: BTreeMap<(Time, u64), Task>,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) alternations: Vec<Alternation>,
    pub(crate) held: BTreeMap<Party, Held>,
    next: u64,
    pub(crate) counts: FaultCounts,
    pub(crate) crashes: Vec<(Time, Party)>,
}

impl Faults {
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn forget_plans(&mut self) {
        self.agenda.clear();
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn plan(&mut self, at: Time, task: Task) {
        let number = self.number();
        self.agenda.insert((at, number), task);
    }
}

impl Alternation {
    /// The time to the next change.
    pub(crate) fn gap(&mut self) -> Span {
        let unit: f64 = Exp1.sample(&mut self.rng);
        let mean = if self.is_ill { self.ill } else { self.well };
        Span::from_secs_f64(unit * mean.as_secs_f64()).max(Span::from_micros(1))
    }
}

impl Fault {
    /// Whom the trace names.
    pub(crate) fn first(&self) -> Party {
        let who = match self {
            Self::Partition(who) | Self::Crash(who) | Self::Offline(who) | Self::Disk(who) => who,
            Self::Link(fault) => &fault.who,
        };
        who.first().copied().unwrap_or(Party(0))
    }
}

impl Held {
    pub(crate) fn count(&mut self, trouble: Trouble) -> &mut u32 {
        match trouble {
            Trouble::Crash => &mut self.down,
            Trouble::Offline => &mut self.offline,
        }
    }
}
