//! A client's documents: whom it asks, what it takes from the answers, and when it asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::{Address, Answers, ClientDirectory, NetworkParameters, Role, View};

use super::error::SessionError;
use super::io::ConnectionId;
use super::job::{SessionDone, SessionJob};
use super::wait::Wait;

/// Nodes that are asked each time; their answers have to agree.
const ASKED: usize = 3;
/// How long to wait for all who are asked.
const PATIENCE: Span = Span::from_secs(8);
/// How long the slower ones get once one has answered.
const STRAGGLERS: Span = Span::from_millis(1500);
/// Waits between tries to renew: the first, and the longest after doubling.
const RENEW_AGAIN: (Span, Span) = (Span::from_secs(2), Span::from_secs(60));

/// What is known, and what was asked.
pub(super) struct Documents {
    params: Arc<NetworkParameters>,
    view: Arc<View>,
    fetch: Option<Fetch>,
    fetches: u64,
    /// When to ask again, while attached.
    renew_at: Option<Time>,
    renew_wait: Wait,
}

/// Questions under way, and their answers.
struct Fetch {
    number: u64,
    waiting: BTreeMap<ConnectionId, NodeId>,
    asked: usize,
    answered: BTreeSet<NodeId>,
    answers: Vec<(Time, Vec<u8>)>,
    until: Time,
    verifying: Option<Answers>,
}

/// How far a fetch has come.
pub(super) enum Progress {
    /// Others are still awaited.
    Waits,
    /// All answers that count are here: this job is to be done.
    Verify(SessionJob),
    /// It failed.
    Failed(SessionError),
}

impl Documents {
    pub(super) fn new(params: Arc<NetworkParameters>) -> Self {
        Self {
            params,
            view: Arc::default(),
            fetch: None,
            fetches: 0,
            renew_at: None,
            renew_wait: Wait::new(RENEW_AGAIN.0, RENEW_AGAIN.1),
        }
    }

    pub(super) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Who is asked now: some mixes that are known, or of those among the genesis members. No
    /// provider, so that who is asked does not depend on where the mailbox is, and the mailbox's
    /// provider does not see from where its owner comes.
    pub(super) fn choose(&self, now: Time, rng: &mut ChaCha20Rng) -> Vec<(NodeId, Vec<Address>)> {
        let mut nodes = self.sources(now);
        nodes.shuffle(rng);
        nodes.truncate(ASKED);
        nodes
    }

    fn sources(&self, now: Time) -> Vec<(NodeId, Vec<Address>)> {
        if let Some(document) = self.view.current(&self.params, now) {
            let mixes = document.members().filter(|member| member.role == Role::Mix);
            return mixes.map(|mix| (mix.id, mix.addresses.clone())).collect();
        }
        let genesis = self.params.genesis_members.iter();
        let mixes = genesis.filter(|member| member.role == Role::Mix);
        mixes.map(|mix| (mix.id, mix.addresses.clone())).collect()
    }

    /// These are asked from now on.
    pub(super) fn begin(&mut self, now: Time, waiting: BTreeMap<ConnectionId, NodeId>) {
        self.fetches += 1;
        self.fetch = Some(Fetch {
            number: self.fetches,
            asked: waiting.len(),
            waiting,
            answered: BTreeSet::new(),
            answers: Vec::new(),
            until: now + PATIENCE,
            verifying: None,
        });
    }

    /// Whether this connection is one of the questions under way.
    pub(super) fn awaits(&self, connection: ConnectionId) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.waiting.contains_key(&connection))
    }

    /// Somebody answered.
    pub(super) fn answered(&mut self, now: Time, connection: ConnectionId, answer: Vec<u8>) {
        if let Some(fetch) = &mut self.fetch
            && let Some(from) = fetch.waiting.remove(&connection)
            && fetch.answered.insert(from)
        {
            fetch.answers.push((now, answer));
            fetch.until = fetch.until.min(now + STRAGGLERS);
        }
    }

    /// Somebody will not answer.
    pub(super) fn failed(&mut self, connection: ConnectionId) {
        if let Some(fetch) = &mut self.fetch {
            fetch.waiting.remove(&connection);
        }
    }

    /// Connections whose answers do not matter any more, if the fetch is over.
    pub(super) fn progress(&mut self, now: Time) -> (Vec<ConnectionId>, Progress) {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| {
            fetch.verifying.is_none() && (fetch.waiting.is_empty() || now >= fetch.until)
        }) else {
            return (Vec::new(), Progress::Waits);
        };
        let late = std::mem::take(&mut fetch.waiting).into_keys().collect();
        let outcome = match (fetch.answers.len(), fetch.asked) {
            (_, 0) => Err(SessionError::NobodyToAsk),
            (0, _) => Err(SessionError::NobodyAnswered),
            (1, asked) if asked > 1 => Err(SessionError::OneAnswer),
            _ => Answers::read(&fetch.answers).map_err(SessionError::Adopt),
        };
        match outcome {
            Ok(answers) => {
                let job = SessionJob {
                    params: Arc::clone(&self.params),
                    number: fetch.number,
                    documents: answers.documents(),
                };
                fetch.verifying = Some(answers);
                fetch.answers.clear();
                (late, Progress::Verify(job))
            }
            Err(error) => {
                self.fetch = None;
                (late, Progress::Failed(error))
            }
        }
    }

    /// The documents of the answers were looked at. None if nobody waits for that any more; else
    /// how many microseconds the network's clock is ahead of `now`.
    pub(super) fn verified(
        &mut self,
        now: Time,
        done: &SessionDone,
    ) -> Option<Result<i64, SessionError>> {
        let fetch = self.fetch.take_if(|fetch| fetch.number == done.number)?;
        let answers = fetch.verifying?;
        let documents = answers.documents();
        let verified = documents
            .iter()
            .map(Vec::as_slice)
            .zip(&done.verified)
            .collect();
        let adopted = answers.adopt(&self.params, &verified, now);
        let outcome = adopted.map_err(SessionError::Adopt).and_then(|directory| {
            self.check_members(now, &directory)?;
            let ahead = directory.clock_offset_us;
            self.view = directory.view();
            Ok(ahead)
        });
        Some(outcome)
    }

    /// Nobody waits for answers any more. Gives the connections to be closed.
    pub(super) fn give_up(&mut self) -> Vec<ConnectionId> {
        self.renew_at = None;
        let fetch = self.fetch.take();
        fetch.map_or_else(Vec::new, |fetch| fetch.waiting.into_keys().collect())
    }

    /// The document in force has most of the members that the network file names, or follows from
    /// one that was checked before. Without this, whoever answered could make up a network.
    fn check_members(&self, now: Time, directory: &ClientDirectory) -> Result<(), SessionError> {
        let view = directory.view();
        let now = now.shifted(directory.clock_offset_us);
        let Some(document) = view.current(&self.params, now) else {
            return Ok(());
        };
        let mut known = self.view.documents.values().map(|known| known.hash());
        let follows = known.any(|hash| hash == document.hash() || hash == document.previous());
        let genesis = &self.params.genesis_members;
        let listed = |id: &NodeId| document.member(id).is_some();
        let found = genesis.iter().filter(|member| listed(&member.id)).count();
        if follows || found * 2 > genesis.len() {
            return Ok(());
        }
        Err(SessionError::Strangers {
            epoch: document.epoch().number(),
            found,
            all: genesis.len(),
        })
    }

    /// Attached: documents are renewed at some random moment after the next one that is missing is
    /// complete, on a schedule that depends on nothing that the user does.
    pub(super) fn plan(&mut self, now: Time, rng: &mut ChaCha20Rng) {
        let epoch = self.params.epoch_at(now);
        let known = &self.view.documents;
        let has_next = known.contains_key(&epoch.next());
        if !known.is_empty() && !known.contains_key(&epoch) {
            // An old document is in force: the right one may be formed late.
            return self.plan_again(now, rng);
        }
        self.renew_wait.reset();
        let window = self.params.epoch.scale(1, 8);
        let share = rng.random_range(1_000..=10_000);
        let missing = if has_next {
            epoch.next().next()
        } else {
            epoch.next()
        };
        let regular = self.params.freeze_time(missing) + window.scale(share, 10_000);
        // Who is late for that has a part of what is left until the switch.
        let left = self.params.start_of(missing).since(now);
        let late = now + left.min(window).scale(share, 20_000);
        self.renew_at = Some(if regular > now { regular } else { late });
    }

    /// Renewing failed: again, later each time, and not everybody at once.
    pub(super) fn plan_again(&mut self, now: Time, rng: &mut ChaCha20Rng) {
        self.renew_at = Some(now + self.renew_wait.draw(rng));
    }

    /// Whether it is time to ask again. Then it is not any more.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        self.renew_at.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let patience = self.fetch.as_ref();
        let patience = patience.filter(|fetch| fetch.verifying.is_none());
        let patience = patience.map(|fetch| fetch.until);
        patience.into_iter().chain(self.renew_at).min()
    }

    /// The clock moved: what waits waits as long as before.
    pub(super) fn shift(&mut self, shift: impl Fn(Time) -> Time) {
        self.renew_at = self.renew_at.map(&shift);
        if let Some(fetch) = &mut self.fetch {
            fetch.until = shift(fetch.until);
            for (came, _) in &mut fetch.answers {
                *came = shift(*came);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use shoal_proto::Epoch;
    use shoal_topology::sample::Network;

    use super::*;

    /// A network of nine nodes with so many first members more that nobody has heard of.
    fn network(strangers: u8) -> (Network, Documents, ClientDirectory, Time) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut network = Network::new(&mut rng, NetworkParameters::example(), 2, 3);
        let view = network.view(&mut rng, [Epoch::new(0)]).expect("view");
        let mut params = (*network.params).clone();
        for index in 0..strangers {
            let mut member = params.genesis_members[0].clone();
            member.id = NodeId::new([index; 32]);
            params.genesis_members.push(member);
        }
        let now = params.genesis + Span::from_secs(1);
        let directory = ClientDirectory {
            documents: view.documents.clone(),
            clock_offset_us: 0,
        };
        (network, Documents::new(Arc::new(params)), directory, now)
    }

    #[test]
    fn a_network_of_strangers_is_refused_unless_it_follows_from_a_known_one() {
        let (_, documents, directory, now) = network(8);
        assert_eq!(documents.check_members(now, &directory), Ok(()));
        let (_, mut documents, directory, now) = network(9);
        let refused = SessionError::Strangers {
            epoch: 0,
            found: 9,
            all: 18,
        };
        assert_eq!(documents.check_members(now, &directory), Err(refused));
        documents.view = directory.view();
        assert_eq!(documents.check_members(now, &directory), Ok(()));
    }

    #[test]
    fn who_is_asked_says_nothing_of_where_the_mailbox_is() {
        let (network, mut documents, directory, now) = network(0);
        let mixes: Vec<NodeId> = network.ids(Role::Mix).collect();
        for known in [Arc::default(), directory.view()] {
            documents.view = known;
            let sources = documents.sources(now);
            let mut asked: Vec<NodeId> = sources.into_iter().map(|(id, _)| id).collect();
            asked.sort();
            assert_eq!(asked, mixes);
        }
    }

    #[test]
    fn documents_are_renewed_after_the_freeze_and_before_the_switch_whenever_one_connects() {
        let (_, mut documents, directory, _) = network(0);
        documents.view = directory.view();
        let params = Arc::clone(&documents.params);
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (freeze, switch) = (
            params.freeze_time(Epoch::new(1)),
            params.start_of(Epoch::new(1)),
        );
        for step in 0..100 {
            let now = params.genesis + params.epoch.scale(step, 100);
            documents.plan(now, &mut rng);
            let at = documents.renew_at.expect("planned");
            assert!(at > freeze && at > now && at < switch, "{step}");
            if now < freeze {
                assert!(at.since(freeze) <= params.epoch.scale(1, 8));
            }
        }
    }
}
