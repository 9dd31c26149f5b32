//! What goes wrong in a network, on a schedule or by chance, from the seed.

use std::collections::BTreeSet;

use shoal_proto::{Span, Time};

use crate::client::ClientHost;
use crate::error::SimulationError;
use crate::event::{Connection, Event};
use crate::faults::{Alternation, Fault, FaultCounts, LinkFault, Task, Trouble};
use crate::network::Network;
use crate::node::NodeHost;
use crate::party::Party;
use crate::trace::Kind;

/// How long it takes the two ends of a connection to see that nothing comes from the other any
/// more.
const SILENCE: Span = Span::from_secs(15);

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

    /// Ends all connections of a client, as whoever sits on its link can: both ends see it at once.
    ///
    /// # Errors
    /// [`SimulationError::WrongParty`] for a node.
    pub fn cut(&mut self, client: Party) -> Result<(), SimulationError> {
        for connection in self.client(client)?.connections() {
            for party in [connection.client, connection.node] {
                self.world
                    .after(Span::ZERO, Event::Gone { party, connection });
            }
        }
        Ok(())
    }

    /// How much went wrong so far.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        FaultCounts {
            cut_frames: self.world.conditions.cut_frames,
            crashes: self.faults.crashes.len() as u64,
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
            Fault::Disk(whose) => self.world.conditions.break_disks(number, whose),
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
            Fault::Link(_) | Fault::Disk(_) => {}
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
        let Some(Fault::Partition(island)) = self.faults.faults.get(&number).cloned() else {
            return;
        };
        for party in island {
            let Some(node) = self.nodes.get(party.index()) else {
                continue;
            };
            let near: BTreeSet<Party> = node.neighbours().iter().copied().collect();
            let linked = self.world.mesh.allowed(party);
            for other in near.iter().copied().chain(linked) {
                if self.world.conditions.cuts(party, other)
                    && self.world.conditions.silence(party, other)
                {
                    if near.contains(&other) {
                        self.world.meet(party, other, false);
                        self.world.meet(other, party, false);
                    }
                    self.world.tell_links(party, other);
                }
            }
        }
        self.lose_connections();
    }

    /// Both ends of clients' connections that are cut see it.
    fn lose_connections(&mut self) {
        let connections = self.clients.iter().flat_map(ClientHost::connections);
        let nodes = self.nodes.iter().flat_map(NodeHost::connections);
        let cut = |c: &Connection| self.world.conditions.cuts(c.client, c.node);
        let clients: Vec<Connection> = connections.filter(cut).collect();
        let nodes: Vec<Connection> = nodes.filter(cut).collect();
        let ends = clients.into_iter().map(|c| (c.client, c));
        for (party, connection) in ends.chain(nodes.into_iter().map(|c| (c.node, c))) {
            self.world
                .after(Span::ZERO, Event::Gone { party, connection });
        }
    }

    /// Nodes that nothing separates any more find each other again.
    fn reunite(&mut self) {
        let silent = std::mem::take(&mut self.world.conditions.silent_pairs);
        for (a, b) in silent {
            if self.world.conditions.cuts(a, b) {
                self.world.conditions.silent_pairs.insert((a, b));
            } else if self.world.is_up(a) && self.world.is_up(b) {
                let near = self.nodes.get(a.index()).map(NodeHost::neighbours);
                if near.is_some_and(|near| near.contains(&b)) {
                    self.world.meet(a, b, true);
                    self.world.meet(b, a, true);
                }
                self.world.tell_links(a, b);
            }
        }
    }
}
