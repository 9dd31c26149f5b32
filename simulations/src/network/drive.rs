//! Runs a scenario: builds the network, lets clients send, plays the faults, and waits for the end.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Exp1};
use shoal_client::Invitation;
use shoal_harness::{Fault, FaultCounts, LinkFault, Network, Party, SimulationError, Trouble};
use shoal_proto::{Epoch, Span, Time};

use super::judge::{Judge, Message};
use super::scenario::{FaultKind, PlannedFault, Receivers, Scenario};
use super::summary::{Facts, Summary};
use super::who::all_of;
use crate::network::NetworkError;

/// How long the network may take to come up.
const START: Span = Span::from_secs(300);
/// How often everything is checked.
const CHECK: Span = Span::from_secs(1);
/// How much longer than its last message a network runs, for what comes twice to come twice.
const AFTERMATH: Span = Span::from_secs(30);

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which one.
    pub what: String,
    /// When it was seen, since the start of the simulation.
    pub after: Span,
    /// In which epoch.
    pub epoch: Epoch,
}

/// Messages that the end of a run left open: it ended before it could be said whether they arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsettled {
    /// Which.
    pub what: String,
    /// How long the network had for them, as the scenario says.
    pub settle: Span,
    /// How long it should have: see [`Scenario::patience`].
    pub needed: Span,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The network comes up; nothing is told until it is.
    Starting,
    /// Clients send, and faults happen.
    Sending,
    /// What was accepted is waited for.
    Settling,
    /// What comes twice is waited for.
    Ending,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// Virtual time that has passed since the network was up.
    pub done: Span,
    /// Of which clients send for this long.
    pub duration: Span,
    /// Messages sent so far.
    pub sent: u64,
    /// Messages received so far.
    pub received: u64,
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The numbers.
    pub summary: Summary,
    /// Every message, in the order of sending.
    pub messages: Vec<Message>,
    /// When the network was built: what the messages' times count from.
    pub start: Time,
    /// The first promise that was not kept.
    pub failure: Option<Failure>,
    /// What can't be told, because the run ended too early.
    pub unsettled: Option<Unsettled>,
}

/// Simulates a scenario from a seed, and tells how far it is every virtual second.
///
/// # Errors
/// When the network can't be built. That it breaks a promise is no error: see
/// [`Report::failure`].
pub fn run(
    scenario: &Scenario,
    seed: u64,
    progress: impl FnMut(Progress),
) -> Result<Report, NetworkError> {
    let network = build(scenario, seed)?;
    let start = network.now();
    let mut run = Run {
        phase: Phase::Starting,
        unsettled: None,
        faults: None,
        judge: Judge::new(scenario.workload.bytes, scenario.time_to_live),
        scenario,
        up: start,
        checked: start,
        network,
        progress,
        documents: BTreeMap::new(),
        unsent: 0,
        checks: 0,
    };
    let failure = run.drive().err().map(|broken| Failure {
        what: broken.0,
        after: run.checked.since(start),
        epoch: run.network.params().epoch_at(run.checked),
    });
    let forked = |hashes: &&BTreeSet<_>| hashes.len() > 1;
    let summary = Summary::of(Facts {
        seed,
        network: &run.network,
        judge: &run.judge,
        start,
        up: run.up,
        checked: run.checked,
        checks: run.checks,
        unsent: run.unsent,
        documents: run.documents.len(),
        forks: run.documents.values().filter(forked).count(),
        failure: failure.as_ref().map(|failure| failure.what.clone()),
        unsettled: run.unsettled.clone(),
        faults: run.faults.unwrap_or_else(|| run.network.fault_counts()),
    });
    let unsettled = run.unsettled.map(|what| Unsettled {
        what,
        settle: scenario.settle,
        needed: scenario.patience(),
    });
    Ok(Report {
        summary,
        messages: run.judge.messages().to_vec(),
        start,
        failure,
        unsettled,
    })
}

fn build(scenario: &Scenario, seed: u64) -> Result<Network, SimulationError> {
    let mut builder = Network::builder(seed)
        .mixes(scenario.layers, scenario.width)
        .providers(scenario.providers)
        .epoch(scenario.epoch)
        .loop_rate(scenario.loop_rate)
        .link_delay(scenario.delay)
        .loss(scenario.loss)
        .parameters(|params| params.mean_delay = scenario.mean_delay)
        .client_config(|config| {
            config.retry_max = scenario.retry_max;
            config.time_to_live = scenario.time_to_live;
        });
    for (name, profile) in &scenario.profiles {
        builder = builder.profile(name, *profile);
    }
    for (count, profile) in &scenario.clients {
        builder = builder.clients(*count, profile);
    }
    builder.build()
}

/// What was not kept, in words.
struct Broken(String);

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self(what)
    }
}

impl From<SimulationError> for Broken {
    fn from(error: SimulationError) -> Self {
        let mut what = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            what = format!("{what}: {error}");
            source = error.source();
        }
        Self(what)
    }
}

/// A client's process of sending.
struct Sender {
    party: Party,
    rng: ChaCha20Rng,
    next: Time,
}

struct Run<'a, P> {
    scenario: &'a Scenario,
    network: Network,
    judge: Judge,
    progress: P,
    up: Time,
    /// When the last check was.
    checked: Time,
    /// The documents that nodes had, by epoch.
    documents: BTreeMap<Epoch, BTreeSet<[u8; 32]>>,
    /// Messages that nobody was there to take: their senders' processes were down.
    unsent: u64,
    checks: u64,
    phase: Phase,
    /// The messages that are open because the scenario gave them too little time, in words.
    unsettled: Option<String>,
    /// What went wrong until everything was ended: that ends every process, which is no crash.
    faults: Option<FaultCounts>,
}

impl<P: FnMut(Progress)> Run<'_, P> {
    fn drive(&mut self) -> Result<(), Broken> {
        self.tell();
        if !self.network.bring_up(START)? {
            let limit = START.as_micros() / 1_000_000;
            return Err(Broken(format!("the network is not up after {limit} s")));
        }
        let invitations = self.invite()?;
        self.up = self.network.now();
        self.plan_faults()?;
        self.phase = Phase::Sending;
        self.send_messages(&invitations)?;
        self.network.calm()?;
        self.phase = Phase::Settling;
        let limit = self.network.now() + self.scenario.settle;
        while !self.judge.is_done(self.network.now()) && self.network.now() < limit {
            self.pass(limit)?;
        }
        if let Err(open) = self.judge.settle(self.network.now()) {
            if self.scenario.settle >= self.scenario.patience() {
                return Err(Broken(open));
            }
            self.unsettled = Some(open);
        }
        self.phase = Phase::Ending;
        let end = self.network.now() + AFTERMATH;
        while self.network.now() < end {
            self.pass(end)?;
        }
        if self.unsettled.is_some() {
            // What has arrived since is not open any more.
            self.unsettled = self.judge.settle(self.network.now()).err();
        }
        self.faults = Some(self.network.fault_counts());
        self.network.stop()?;
        let audit = self.network.check().map_err(SimulationError::from)?;
        let (in_flight, inside) = (audit.frames().in_flight, audit.inside);
        if in_flight + inside > 0 {
            let what = format!("{in_flight} frames on links and {inside} in nodes after the end");
            return Err(Broken(what));
        }
        Ok(())
    }

    /// Runs on for a second, or to `until` if that is sooner, and checks everything.
    fn pass(&mut self, until: Time) -> Result<(), Broken> {
        self.network
            .run_until((self.network.now() + CHECK).min(until))?;
        self.check()
    }

    fn check(&mut self) -> Result<(), Broken> {
        self.checks += 1;
        self.checked = self.network.now();
        self.network.check().map_err(SimulationError::from)?;
        let happenings = self.network.take_happenings();
        self.judge.hear(happenings, self.network.crashes())?;
        for node in self.network.nodes() {
            let documents = self.network.view(node).map(|view| view.documents.values());
            for document in documents.into_iter().flatten() {
                let hashes = self.documents.entry(document.epoch()).or_default();
                hashes.insert(*document.hash().as_bytes());
            }
        }
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        let messages = self.judge.messages();
        let received = messages.iter().filter(|m| m.received.is_some()).count();
        (self.progress)(Progress {
            phase: self.phase,
            done: self.network.now().since(self.up),
            duration: self.scenario.duration,
            sent: messages.len() as u64,
            received: received as u64,
        });
    }

    /// Has everybody invite everybody.
    fn invite(&mut self) -> Result<Vec<(Party, Invitation)>, SimulationError> {
        let clients: Vec<Party> = self.network.clients().collect();
        let mut all = Vec::new();
        for client in clients {
            all.push((client, self.network.invite(client)?));
        }
        // Before they are on the disks they are not handed out.
        self.network.run_for(CHECK)?;
        Ok(all)
    }

    fn plan_faults(&mut self) -> Result<(), SimulationError> {
        let scenario = self.scenario;
        for PlannedFault {
            kind,
            who,
            at,
            lasting,
        } in &scenario.faults
        {
            let who = all_of(who, &self.network);
            let fault = match kind {
                FaultKind::Partition => Fault::Partition(who),
                FaultKind::Crash => Fault::Crash(who),
                FaultKind::Offline => Fault::Offline(who),
                FaultKind::Link { with, delay, loss } => Fault::Link(LinkFault {
                    who,
                    with: (!with.is_empty()).then(|| all_of(with, &self.network)),
                    delay: *delay,
                    loss: *loss,
                }),
            };
            self.network.schedule(fault, self.up + *at, *lasting)?;
        }
        let (mixes, providers): (Vec<Party>, Vec<Party>) = (
            self.network.mixes().collect(),
            self.network.providers().collect(),
        );
        let clients: Vec<Party> = self.network.clients().collect();
        for (parties, trouble, times) in [
            (&mixes, Trouble::Crash, scenario.crashes.mixes),
            (&providers, Trouble::Crash, scenario.crashes.providers),
            (&clients, Trouble::Crash, scenario.crashes.clients),
            (&clients, Trouble::Offline, scenario.churn),
        ] {
            let Some((well, ill)) = times else { continue };
            for party in parties {
                self.network.trouble(*party, trouble, well, ill);
            }
        }
        Ok(())
    }

    /// Has clients send for as long as the scenario says.
    fn send_messages(&mut self, invitations: &[(Party, Invitation)]) -> Result<(), Broken> {
        let end = self.up + self.scenario.duration;
        let rate = self.scenario.workload.messages_per_minute / 60.0;
        let mut senders: Vec<Sender> = Vec::new();
        for (party, _) in invitations.iter().filter(|_| rate > 0.0) {
            let mut rng = self.network.generator("workload", *party);
            let next = self.up + gap(&mut rng, rate);
            senders.push(Sender {
                party: *party,
                rng,
                next,
            });
        }
        while self.network.now() < end {
            let stop = (self.network.now() + CHECK).min(end);
            while let Some(sender) = senders
                .iter_mut()
                .min_by_key(|sender| (sender.next, sender.party))
                && sender.next < stop
            {
                self.network.run_until(sender.next)?;
                let to = receiver(sender, invitations, self.scenario.workload.to);
                if let Some((to, invitation)) = to {
                    self.send(sender.party, *to, invitation)?;
                }
                sender.next += gap(&mut sender.rng, rate);
            }
            self.network.run_until(stop)?;
            self.check()?;
        }
        Ok(())
    }

    fn send(&mut self, from: Party, to: Party, by: &Invitation) -> Result<(), SimulationError> {
        if !self.network.is_up(from) {
            self.unsent += 1;
            return Ok(());
        }
        let text = self.judge.next_text();
        let request = self.network.send_by(from, by, text)?;
        self.judge.sent(request, (from, to), self.network.now());
        Ok(())
    }
}

fn gap(rng: &mut ChaCha20Rng, rate: f64) -> Span {
    let unit: f64 = Exp1.sample(rng);
    Span::from_secs_f64(unit / rate).max(Span::from_micros(1))
}

/// To whom a sender's next message goes.
fn receiver<'a>(
    sender: &mut Sender,
    invitations: &'a [(Party, Invitation)],
    to: Receivers,
) -> Option<&'a (Party, Invitation)> {
    let mut parties = invitations.iter();
    let own = parties.position(|(party, _)| *party == sender.party)?;
    let step = match to {
        Receivers::Next => 1,
        Receivers::Anyone => sender.rng.random_range(1..invitations.len().max(2)),
    };
    invitations.get((own + step) % invitations.len().max(1))
}
