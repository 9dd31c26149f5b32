//! Seats in virtual time: whatever happens to their messages, their disks and their processes, there are
//! never two documents for an epoch, and nobody honest contradicts itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{DocumentHash, NetworkHash, Span, Time};
use shoal_topology::Identity;
use shoal_topology::agreement::{
    Agreement, AgreementAction, AgreementInput, Certificate, Evidence, Height, Judgement, Message,
    Seat, Seats, Seed, Timing, VoteKind,
};

const HEIGHT: Height = Height::new(7);

fn secs(seconds: u64) -> Span {
    Span::from_secs(seconds)
}

/// What a seat is in a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    /// Says nothing.
    Silent,
    /// Says one thing to the even seats and another to the odd ones.
    Splits,
    /// Proposes what is not valid, and is honest otherwise.
    Invalid,
}

struct Host {
    kind: Kind,
    /// Two for one that splits, each of which believes that it is the seat.
    agreements: Vec<Option<Agreement>>,
    log: Vec<u8>,
    evidence: Vec<Evidence>,
    decision: Option<Certificate>,
}

enum Happening {
    Arrives {
        to: usize,
        bytes: Arc<Vec<u8>>,
    },
    Saved {
        host: usize,
        face: usize,
        ticket: u64,
        records: Vec<u8>,
    },
    Judged {
        host: usize,
        face: usize,
        document: DocumentHash,
    },
    Proposes {
        host: usize,
        face: usize,
        round: u32,
    },
}

/// A document, if it is for one, and the round of its lock, if it has one.
type Word = (Option<DocumentHash>, Option<u32>);

struct World {
    seats: Seats,
    order: Vec<Seat>,
    identities: Vec<Arc<Identity>>,
    timing: Timing,
    hosts: Vec<Host>,
    now: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    next: u64,
    rng: ChaCha20Rng,
    loss: f64,
    most_delay: Span,
    /// Seats pass on what they hear for the first time.
    gossip: bool,
    heard: BTreeSet<(usize, Arc<Vec<u8>>)>,
    /// Which part of a partition each host is in.
    part: Vec<u8>,
    /// All that honest seats said, by what an honest seat says once.
    said: BTreeMap<(usize, u32, &'static str), BTreeSet<Word>>,
    proposals: u32,
    messages: u64,
    bytes: u64,
}

/// A document, by the round that it was made in and a number; one of [`INVALID`] is not valid.
fn document(kind: u8, round: u32, number: u32) -> DocumentHash {
    let mut bytes = [kind; 32];
    bytes[1..5].copy_from_slice(&round.to_be_bytes());
    bytes[5..9].copy_from_slice(&number.to_be_bytes());
    DocumentHash::new(bytes)
}

fn made_in(document: &DocumentHash) -> u32 {
    u32::from_be_bytes(document.as_bytes()[1..5].try_into().unwrap())
}

const VALID: u8 = 1;
const INVALID: u8 = 2;

impl World {
    fn new(seed: u64, kinds: &[Kind]) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut identities: Vec<Arc<Identity>> = kinds
            .iter()
            .map(|_| Arc::new(Identity::generate(&mut rng)))
            .collect();
        identities.sort_by_key(|identity| identity.id());
        let ids = identities.iter().map(|identity| identity.id());
        let seats = Seats::first(NetworkHash::new([1; 32]), ids).unwrap();
        let order = seats.proposers(&Seed::new([seed.to_le_bytes()[0]; 32]));
        let mut world = Self {
            seats,
            order,
            identities,
            timing: Timing::of_epoch(secs(3600)),
            hosts: Vec::new(),
            now: Time::from_micros(1_000_000),
            agenda: BTreeMap::new(),
            next: 0,
            rng,
            loss: 0.0,
            most_delay: Span::from_millis(500),
            gossip: false,
            heard: BTreeSet::new(),
            part: vec![0; kinds.len()],
            said: BTreeMap::new(),
            proposals: 0,
            messages: 0,
            bytes: 0,
        };
        for (place, kind) in kinds.iter().enumerate() {
            let faces = match kind {
                Kind::Silent => 0,
                Kind::Splits => 2,
                _ => 1,
            };
            let agreements = (0..faces).map(|_| Some(world.make(place, &[]))).collect();
            world.hosts.push(Host {
                kind: *kind,
                agreements,
                log: Vec::new(),
                evidence: Vec::new(),
                decision: None,
            });
        }
        for host in 0..kinds.len() {
            world.pump(host);
        }
        world
    }

    fn make(&self, host: usize, log: &[u8]) -> Agreement {
        let identity = Arc::clone(&self.identities[host]);
        let height = (self.seats.clone(), self.order.clone(), HEIGHT);
        let own = (identity.id(), identity);
        Agreement::new(height, Some(own), self.timing, log, self.now).unwrap()
    }

    fn schedule(&mut self, after: Span, happening: Happening) {
        self.agenda.insert((self.now + after, self.next), happening);
        self.next += 1;
    }

    fn delay(&mut self) -> Span {
        Span::from_micros(self.rng.random_range(1..=self.most_delay.as_micros()))
    }

    /// The process dies: what it had not saved is gone.
    fn crash(&mut self, host: usize) {
        let of_host = |happening: &Happening| {
            matches!(happening, Happening::Saved { host: it, .. } | Happening::Judged { host: it, .. }
                | Happening::Proposes { host: it, .. } if *it == host)
        };
        self.agenda.retain(|_, happening| !of_host(happening));
        let log = self.hosts[host].log.clone();
        self.hosts[host].agreements = vec![Some(self.make(host, &log))];
        self.pump(host);
    }

    fn pump(&mut self, host: usize) {
        for face in 0..self.hosts[host].agreements.len() {
            loop {
                let agreement = self.hosts[host].agreements[face].as_mut().unwrap();
                let Some(action) = agreement.poll_action() else {
                    break;
                };
                self.act(host, face, action);
            }
        }
    }

    fn act(&mut self, host: usize, face: usize, action: AgreementAction) {
        let after = self.delay().scale(1, 10);
        match action {
            AgreementAction::Persist { ticket, records } => {
                let saved = Happening::Saved {
                    host,
                    face,
                    ticket,
                    records,
                };
                self.schedule(after, saved);
            }
            AgreementAction::Send(message) => self.send(host, face, &message),
            AgreementAction::Judge(document) => {
                let judged = Happening::Judged {
                    host,
                    face,
                    document,
                };
                self.schedule(after, judged);
            }
            AgreementAction::Turn { round } => {
                self.schedule(after, Happening::Proposes { host, face, round });
            }
            AgreementAction::Decided(certificate) => {
                let verified = Message::Certificate(certificate.clone()).verify(&self.seats);
                assert!(verified.is_ok(), "{verified:?}");
                self.hosts[host].decision = Some(certificate);
            }
            AgreementAction::Evidence(evidence) => {
                let read = Evidence::verify(&evidence.encode(), &self.seats).unwrap();
                assert_eq!(read, evidence);
                self.hosts[host].evidence.push(evidence);
            }
            _ => panic!("unknown action"),
        }
    }

    fn send(&mut self, host: usize, face: usize, message: &Message) {
        if self.hosts[host].kind != Kind::Splits {
            let said = match message {
                Message::Proposal(it) => Some((it.round, "proposal", Some(it.document), it.locked)),
                Message::Vote(it) if usize::from(self.place(it.seat)) == host => {
                    let kind = match it.kind {
                        VoteKind::Prevote => "prevote",
                        VoteKind::Precommit => "precommit",
                    };
                    Some((it.round, kind, it.document, None))
                }
                _ => None,
            };
            if let Some((round, kind, document, locked)) = said {
                let all = self.said.entry((host, round, kind)).or_default();
                all.insert((document, locked));
                assert_eq!(
                    all.len(),
                    1,
                    "host {host} said two things in round {round}: {kind}"
                );
            }
        }
        let splits = (self.hosts[host].kind == Kind::Splits).then_some(face);
        self.spread(host, splits, &Arc::new(message.encode()));
    }

    /// To all others, or to those of this parity.
    fn spread(&mut self, from: usize, parity: Option<usize>, bytes: &Arc<Vec<u8>>) {
        for to in 0..self.hosts.len() {
            let spared = parity.is_some_and(|parity| to % 2 != parity);
            let apart = self.part[to] != self.part[from];
            if to == from || spared || apart || self.rng.random_bool(self.loss) {
                continue;
            }
            self.messages += 1;
            self.bytes += bytes.len() as u64;
            let delay = self.delay();
            let bytes = Arc::clone(bytes);
            self.schedule(delay, Happening::Arrives { to, bytes });
        }
    }

    fn place(&self, seat: Seat) -> u16 {
        let member = &self.seats.holder(seat).unwrap().id;
        let place = self.identities.iter().position(|it| it.id() == *member);
        u16::try_from(place.unwrap()).unwrap()
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        let (host, input) = match happening {
            Happening::Arrives { to, bytes } => {
                if self.gossip && self.heard.insert((to, Arc::clone(&bytes))) {
                    self.spread(to, None, &bytes);
                }
                let message = Message::decode(&bytes)
                    .unwrap()
                    .verify(&self.seats)
                    .unwrap();
                for agreement in self.hosts[to].agreements.iter_mut().flatten() {
                    agreement.handle_input(now, AgreementInput::Message(message.clone()));
                }
                return self.pump(to);
            }
            Happening::Saved {
                host,
                face,
                ticket,
                records,
            } => {
                // Who splits keeps no log.
                if self.hosts[host].kind != Kind::Splits {
                    self.hosts[host].log.extend(records);
                }
                ((host, face), AgreementInput::Persisted { ticket })
            }
            Happening::Judged {
                host,
                face,
                document,
            } => {
                // Who splits is for it here and against it there.
                let judgement = match document.as_bytes()[0] == VALID && face == 0 {
                    true => Judgement::Valid,
                    false => Judgement::Invalid,
                };
                let judged = AgreementInput::Judged {
                    document,
                    judgement,
                    made_in: Some(made_in(&document)),
                };
                ((host, face), judged)
            }
            Happening::Proposes { host, face, round } => {
                // Each time something else: who forgets what it proposed contradicts itself.
                self.proposals += 1;
                let kind = match self.hosts[host].kind {
                    Kind::Invalid => INVALID,
                    _ => VALID,
                };
                let document = document(kind, round, self.proposals);
                ((host, face), AgreementInput::Propose { round, document })
            }
        };
        let (host, face) = host;
        self.hosts[host].agreements[face]
            .as_mut()
            .unwrap()
            .handle_input(now, input);
        self.pump(host);
    }

    /// Runs for so long, or until all honest seats have decided.
    fn run(&mut self, span: Span) -> bool {
        let end = self.now + span;
        while !self.all_decided() {
            let agreements = self
                .hosts
                .iter()
                .flat_map(|host| &host.agreements)
                .flatten();
            let due = agreements.filter_map(Agreement::poll_deadline).min();
            let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = due.into_iter().chain(agenda).min().filter(|at| *at < end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            let ready = self
                .agenda
                .first_entry()
                .filter(|it| it.key().0 <= self.now);
            if let Some(ready) = ready {
                let happening = ready.remove();
                self.happen(happening);
                continue;
            }
            for host in 0..self.hosts.len() {
                for agreement in self.hosts[host].agreements.iter_mut().flatten() {
                    if agreement.poll_deadline().is_some_and(|at| at <= self.now) {
                        agreement.handle_timeout(self.now);
                    }
                }
                self.pump(host);
            }
        }
        true
    }

    fn honest(&self) -> impl Iterator<Item = &Host> {
        let honest = |host: &&Host| matches!(host.kind, Kind::Honest | Kind::Invalid);
        self.hosts.iter().filter(honest)
    }

    fn all_decided(&self) -> bool {
        self.honest().all(|host| host.decision.is_some())
    }

    /// What was decided, which is one document at most, whoever has decided.
    fn decided(&self) -> Option<DocumentHash> {
        let decided = self.honest().filter_map(|host| host.decision.as_ref());
        let documents = BTreeSet::from_iter(decided.map(|certificate| certificate.document));
        assert!(documents.len() <= 1, "two documents: {documents:?}");
        let document = documents.first().copied();
        assert!(document.is_none_or(|document| document.as_bytes()[0] < INVALID));
        document
    }

    fn rounds(&self) -> u32 {
        let decided = self.honest().filter_map(|host| host.decision.as_ref());
        decided
            .map(|certificate| certificate.round)
            .max()
            .unwrap_or(0)
    }
}

fn kinds(count: usize, bad: usize, kind: Kind) -> Vec<Kind> {
    let kind_of = |place: usize| {
        if place % 3 == 1 && place / 3 < bad {
            kind
        } else {
            Kind::Honest
        }
    };
    (0..count).map(kind_of).collect()
}

#[test]
fn seats_that_hear_each_other_decide_in_the_first_round() {
    for count in [1, 2, 3, 4, 9, 31] {
        let mut world = World::new(1, &kinds(count, 0, Kind::Honest));
        assert!(world.run(secs(30)), "{count} seats");
        assert!(world.decided().is_some());
        assert_eq!(world.rounds(), 0, "{count} seats");
    }
}

#[test]
fn a_third_that_is_silent_lies_or_splits_costs_rounds_and_no_agreement() {
    for kind in [Kind::Silent, Kind::Splits, Kind::Invalid] {
        for seed in 0..12 {
            let mut world = World::new(seed, &kinds(10, 3, kind));
            world.loss = 0.1;
            assert!(
                world.run(secs(900)),
                "seed {seed}: no decision in a quarter of an hour"
            );
            assert!(world.decided().is_some());
            assert!(world.rounds() < 8, "{}", world.rounds());
        }
    }
}

#[test]
fn who_splits_is_found_out_by_all_who_pass_on_what_they_hear() {
    for seed in 0..6 {
        let mut world = World::new(seed, &kinds(10, 3, Kind::Splits));
        world.gossip = true;
        assert!(world.run(secs(900)));
        // A certificate may come before the last vote.
        let found: BTreeSet<usize> = world
            .honest()
            .flat_map(|host| &host.evidence)
            .map(|evidence| usize::from(world.place(evidence.seat())))
            .collect();
        assert!(
            found
                .iter()
                .all(|host| world.hosts[*host].kind == Kind::Splits)
        );
        assert!(found.len() >= 2, "{} of 3 found out", found.len());
    }
}

#[test]
fn without_a_quorum_nothing_is_decided_and_after_it_is_back_something_is() {
    let mut world = World::new(3, &kinds(9, 0, Kind::Honest));
    world.part = vec![0, 0, 0, 0, 0, 1, 1, 1, 1];
    assert!(!world.run(secs(600)));
    assert_eq!(
        world.decided(),
        None,
        "neither part has more than two thirds"
    );
    world.part = vec![0; 9];
    assert!(world.run(secs(300)));
    assert!(world.decided().is_some());
}

#[test]
fn who_was_away_catches_up_with_a_decision() {
    let mut world = World::new(4, &kinds(9, 0, Kind::Honest));
    world.part[8] = 1;
    assert!(!world.run(secs(300)), "one can't hear of it");
    let document = world.decided();
    assert!(document.is_some());
    world.part[8] = 0;
    assert!(world.run(secs(60)));
    assert_eq!(world.decided(), document);
}

#[test]
fn most_messages_lost_only_costs_time() {
    let mut world = World::new(5, &kinds(7, 0, Kind::Honest));
    world.loss = 0.6;
    assert!(world.run(secs(3600)));
    assert!(world.decided().is_some());
}

/// Killed at any moment, with what was on disk by then: it says nothing else than before.
#[test]
fn who_crashes_again_and_again_never_contradicts_itself() {
    for seed in 0..40 {
        let mut world = World::new(seed, &kinds(4, 0, Kind::Honest));
        world.loss = 0.2;
        world.most_delay = secs(4);
        for _ in 0..60 {
            if world.run(Span::from_millis(700)) {
                break;
            }
            let host = world.rng.random_range(0..4);
            if world.hosts[host].decision.is_none() {
                world.crash(host);
            }
        }
        world.most_delay = Span::from_millis(500);
        assert!(world.run(secs(3600)), "seed {seed}");
        assert!(world.decided().is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Any schedule of losses, partitions and crashes, with one of four that splits: one document at most.
    #[test]
    fn no_order_of_messages_yields_two_certificates(
        seed in any::<u64>(),
        steps in proptest::collection::vec((0u8..4, 0usize..4, 1u64..8_000), 1..25),
    ) {
        let mut world = World::new(seed, &kinds(4, 1, Kind::Splits));
        world.most_delay = secs(6);
        for (step, host, millis) in steps {
            match step {
                0 => world.part[host] ^= 1,
                1 => world.loss = (host as f64) * 0.2,
                2 if world.hosts[host].kind == Kind::Honest && world.hosts[host].decision.is_none() => {
                    world.crash(host);
                }
                _ => {}
            }
            if world.run(Span::from_millis(millis)) {
                break;
            }
            world.decided();
        }
        world.part = vec![0; 4];
        world.loss = 0.0;
        world.most_delay = Span::from_millis(500);
        prop_assert!(world.run(secs(3600)), "it agrees once it can");
        prop_assert!(world.decided().is_some());
    }
}

#[test]
fn a_log_that_is_torn_is_read_up_to_there_and_one_that_is_damaged_is_refused() {
    let mut world = World::new(8, &kinds(4, 0, Kind::Honest));
    assert!(world.run(secs(30)));
    let log = world.hosts[0].log.clone();
    let height = || (world.seats.clone(), world.order.clone(), HEIGHT);
    let open = |log: &[u8]| {
        let key = Arc::clone(&world.identities[0]);
        Agreement::new(
            height(),
            Some((key.id(), key)),
            world.timing,
            log,
            world.now,
        )
    };
    for end in 0..log.len() {
        assert!(open(&log[..end]).is_ok(), "cut at {end}");
    }
    let mut damaged = log;
    damaged[2] = 99;
    assert!(open(&damaged).is_err());
}

#[test]
fn what_a_height_costs() {
    let mut world = World::new(9, &kinds(100, 0, Kind::Honest));
    assert!(world.run(secs(60)));
    let seats = world.hosts.len() as u64;
    println!(
        "100 seats: {} messages and {} kB sent by each, {} kB of log",
        world.messages / seats,
        world.bytes / seats / 1000,
        world.hosts[0].log.len() / 1000
    );
}
