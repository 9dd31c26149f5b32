//! What goes wrong on a schedule or by chance, from the seed.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Exp1};
use shoal_proto::{Span, Time};

use crate::harness::link::LinkDelay;
use crate::harness::trace::Kind;
use crate::harness::world::{Connection, Event};
use crate::harness::{Network, Party, SimulationError};

/// How long it takes the two ends of a connection to see that nothing comes from the other any
/// more.
const SILENCE: Span = Span::from_secs(15);

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
struct Alternation {
    party: Party,
    trouble: Trouble,
    well: Span,
    ill: Span,
    is_ill: bool,
    rng: ChaCha20Rng,
}

enum Task {
    Begin(u64),
    /// Those whom a partition cuts off from each other take each other for gone.
    Silence(u64),
    End(u64),
    Alternate(usize),
}

/// What holds a party back; it works if nothing does.
#[derive(Clone, Copy, Default)]
struct Held {
    down: u32,
    offline: u32,
}

/// What is planned and in force.
#[derive(Default)]
pub(crate) struct Faults {
    agenda: BTreeMap<(Time, u64), Task>,
    faults: BTreeMap<u64, Fault>,
    alternations: Vec<Alternation>,
    held: BTreeMap<Party, Held>,
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

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn plan(&mut self, at: Time, task: Task) {
        let number = self.number();
        self.agenda.insert((at, number), task);
    }
}

impl Network {
    /// Has something go wrong from `at`, which may be now, for so long; until [`calm`](Self::calm)
    /// if that is `None`. Faults may overlap: a party is back when none holds it back any more.
    /// A process that a test ended by [`crash`](Self::crash) is started again at the end of a
    /// fault that would have ended it.
    ///
    /// # Errors
    /// [`SimulationError::Range`] if a loss is no probability.
    pub fn schedule(
        &mut self,
        fault: Fault,
        at: Time,
        lasting: Option<Span>,
    ) -> Result<(), SimulationError> {
        if let Fault::Link(LinkFault { loss, .. }) = &fault
            && !(0.0..=1.0).contains(loss)
        {
            return Err(SimulationError::Range { what: "the loss" });
        }
        let (at, number) = (at.max(self.world.now), self.faults.number());
        if matches!(fault, Fault::Partition(_)) {
            self.faults.plan(at + SILENCE, Task::Silence(number));
        }
        self.faults.faults.insert(number, fault);
        self.faults.plan(at, Task::Begin(number));
        if let Some(lasting) = lasting {
            self.faults.plan(at + lasting, Task::End(number));
        }
        Ok(())
    }

    /// Has a party fall into trouble again and again from now on: exponential times with these
    /// means without trouble and in trouble, drawn from a generator of its own.
    pub fn trouble(&mut self, party: Party, trouble: Trouble, well: Span, ill: Span) {
        let purpose = match trouble {
            Trouble::Crash => "crashes",
            Trouble::Offline => "churn",
        };
        let mut alternation = Alternation {
            party,
            trouble,
            well,
            ill,
            is_ill: false,
            rng: self.world.generator(purpose, u64::from(party.0), 0),
        };
        let first = self.world.now + alternation.gap();
        let index = self.faults.alternations.len();
        self.faults.alternations.push(alternation);
        self.faults.plan(first, Task::Alternate(index));
    }

    /// Ends every fault and forgets those that are planned: links are as they were built,
    /// processes are up and clients online.
    ///
    /// # Errors
    /// A fault of a core.
    pub fn calm(&mut self) -> Result<(), SimulationError> {
        self.faults.forget_plans();
        for number in self.faults.faults.keys().copied().collect::<Vec<_>>() {
            self.world.conditions.end(number);
        }
        self.faults.faults.clear();
        self.faults.alternations.clear();
        self.reunite();
        for (party, held) in std::mem::take(&mut self.faults.held) {
            if held.down > 0 {
                self.start(party)?;
            }
            if held.offline > 0 {
                self.world.note_own(party, Kind::Online, 0);
                self.set_online(party, true)?;
            }
        }
        Ok(())
    }

    /// How much went wrong so far.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        FaultCounts {
            cut_frames: self.world.conditions.cut_frames,
            ..self.faults.counts
        }
    }

    /// When processes ended without warning, oldest first.
    #[must_use]
    pub fn crashes(&self) -> &[(Time, Party)] {
        &self.faults.crashes
    }

    /// Does what is next on the agenda.
    pub(crate) fn step_fault(&mut self) -> Result<(), SimulationError> {
        let Some(((at, _), task)) = self.faults.agenda.pop_first() else {
            return Ok(());
        };
        self.world.now = self.world.now.max(at);
        match task {
            Task::Begin(number) => self.begin(number),
            Task::Silence(number) => {
                self.fall_silent(number);
                Ok(())
            }
            Task::End(number) => self.end(number),
            Task::Alternate(index) => self.alternate(index),
        }
    }

    fn begin(&mut self, number: u64) -> Result<(), SimulationError> {
        let Some(fault) = self.faults.faults.get(&number).cloned() else {
            return Ok(());
        };
        self.faults.counts.scheduled += 1;
        self.world.note_own(fault.first(), Kind::FaultBegan, number);
        match fault {
            Fault::Partition(island) => self.world.conditions.cut_off(number, island),
            Fault::Link(fault) => self.world.conditions.disturb(number, fault),
            Fault::Crash(who) => {
                for party in who {
                    self.hold(party, Trouble::Crash)?;
                }
            }
            Fault::Offline(who) => {
                for party in who {
                    self.hold(party, Trouble::Offline)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, number: u64) -> Result<(), SimulationError> {
        let Some(fault) = self.faults.faults.remove(&number) else {
            return Ok(());
        };
        self.world.note_own(fault.first(), Kind::FaultEnded, number);
        self.world.conditions.end(number);
        match fault {
            Fault::Partition(_) => self.reunite(),
            Fault::Link(_) => {}
            Fault::Crash(who) => {
                for party in who {
                    self.release(party, Trouble::Crash)?;
                }
            }
            Fault::Offline(who) => {
                for party in who {
                    self.release(party, Trouble::Offline)?;
                }
            }
        }
        Ok(())
    }

    fn alternate(&mut self, index: usize) -> Result<(), SimulationError> {
        let Some(alternation) = self.faults.alternations.get_mut(index) else {
            return Ok(());
        };
        alternation.is_ill = !alternation.is_ill;
        let (party, trouble) = (alternation.party, alternation.trouble);
        let (is_ill, gap) = (alternation.is_ill, alternation.gap());
        self.faults
            .plan(self.world.now + gap, Task::Alternate(index));
        if is_ill {
            self.hold(party, trouble)
        } else {
            self.release(party, trouble)
        }
    }
}

impl Alternation {
    /// The time to the next change.
    fn gap(&mut self) -> Span {
        let unit: f64 = Exp1.sample(&mut self.rng);
        let mean = if self.is_ill { self.ill } else { self.well };
        Span::from_secs_f64(unit * mean.as_secs_f64()).max(Span::from_micros(1))
    }
}

impl Fault {
    /// Whom the trace names.
    fn first(&self) -> Party {
        let who = match self {
            Self::Partition(who) | Self::Crash(who) | Self::Offline(who) => who,
            Self::Link(fault) => &fault.who,
        };
        who.first().copied().unwrap_or(Party(0))
    }
}

impl Network {
    fn hold(&mut self, party: Party, trouble: Trouble) -> Result<(), SimulationError> {
        let held = self.faults.held.entry(party).or_default();
        let count = held.count(trouble);
        *count += 1;
        if *count > 1 {
            return Ok(());
        }
        match trouble {
            Trouble::Crash => self.crash(party),
            Trouble::Offline => {
                self.faults.counts.offline += 1;
                self.world.note_own(party, Kind::Offline, 0);
                self.set_online(party, false)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, party: Party, trouble: Trouble) -> Result<(), SimulationError> {
        let held = self.faults.held.entry(party).or_default();
        let count = held.count(trouble);
        let was = std::mem::replace(count, count.saturating_sub(1));
        if was != 1 {
            return Ok(());
        }
        match trouble {
            Trouble::Crash => self.start(party),
            Trouble::Offline => {
                self.world.note_own(party, Kind::Online, 0);
                self.set_online(party, true)
            }
        }
    }

    /// Those whom this partition cuts off from each other see it.
    fn fall_silent(&mut self, number: u64) {
        if !self.faults.faults.contains_key(&number) {
            return;
        }
        for node in &self.nodes {
            for other in node.neighbours() {
                let pair = (node.party.min(*other), node.party.max(*other));
                if self.world.conditions.cuts(pair.0, pair.1)
                    && self.world.conditions.silent.insert(pair)
                {
                    self.world.meet(pair.0, pair.1, false);
                    self.world.meet(pair.1, pair.0, false);
                }
            }
        }
        for client in &self.clients {
            let connection = client.connection().copied();
            let cut = |c: &Connection| self.world.conditions.cuts(c.client, c.entry);
            let Some(connection) = connection.filter(cut) else {
                continue;
            };
            for party in [connection.client, connection.entry] {
                self.world
                    .after(Span::ZERO, Event::Gone { party, connection });
            }
        }
    }

    /// Neighbours that nothing separates any more find each other again.
    fn reunite(&mut self) {
        let silent = std::mem::take(&mut self.world.conditions.silent);
        for (a, b) in silent {
            if self.world.conditions.cuts(a, b) {
                self.world.conditions.silent.insert((a, b));
            } else if self.world.is_up(a) && self.world.is_up(b) {
                self.world.meet(a, b, true);
                self.world.meet(b, a, true);
            }
        }
    }
}

impl Held {
    fn count(&mut self, trouble: Trouble) -> &mut u32 {
        match trouble {
            Trouble::Crash => &mut self.down,
            Trouble::Offline => &mut self.offline,
        }
    }
}
