//! A client's documents: whom it asks, what it takes from the answers, and when it asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::{NoticePiece, NoticePieces};
use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::agreement::CertifiedAmendment;
use shoal_topology::{
    Address, AdoptError, Amendments, Answers, ClientDirectory, Document, Kept, Looked,
    MAX_STALE_EPOCHS, NetworkParameters, Response, Role, Successor, View, chain_request,
};

use super::error::SessionError;
use super::io::ConnectionId;
use super::job::{SessionJob, Work};
use super::wait::Wait;

/// Nodes that are asked each time; their answers have to agree.
const ASKED: usize = 3;
/// How long to wait for all who are asked.
const PATIENCE: Span = Span::from_secs(8);
/// How long looking at the documents may take: then the job is lost.
const LOOKED_AT: Span = Span::from_secs(30);
/// How long the slower ones get once one has answered.
const STRAGGLERS: Span = Span::from_millis(1500);
/// Waits between tries to renew: the first, and the longest after doubling.
const RENEW_AGAIN: (Span, Span) = (Span::from_secs(2), Span::from_secs(60));

/// What is known, and what was asked.
pub(super) struct Documents {
    params: Arc<NetworkParameters>,
    /// The documents that are known, as they were agreed on.
    known: Arc<View>,
    /// The same with the amendment that holds.
    view: Arc<View>,
    amendments: Amendments,
    /// Whom that suspends.
    suspended: Arc<BTreeSet<NodeId>>,
    /// An amendment that the entry is showing.
    shown: NoticePieces,
    /// Whose signatures count, and the newest document that was seen to be signed, in earlier runs too; none if
    /// the network file names nobody who could sign.
    kept: Option<Kept>,
    /// The file that follows on the network's, which was fetched in this run or an earlier one.
    next: Option<Successor>,
    /// The epoch in which enough nodes said that there is no newer document than ours.
    confirmed: Option<Epoch>,
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
    answers: Vec<Response>,
    until: Time,
    verifying: Option<Arc<Answers>>,
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
    /// With what was kept in an earlier run.
    pub(super) fn new(
        params: Arc<NetworkParameters>,
        kept: Option<Kept>,
        next: Option<Successor>,
    ) -> Self {
        Self {
            kept: kept.or_else(|| Kept::first(&params).ok()),
            next,
            params,
            known: Arc::default(),
            view: Arc::default(),
            amendments: Amendments::default(),
            suspended: Arc::default(),
            shown: NoticePieces::default(),
            confirmed: None,
            fetch: None,
            fetches: 0,
            renew_at: None,
            renew_wait: Wait::new(RENEW_AGAIN.0, RENEW_AGAIN.1),
        }
    }

    pub(super) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// What is to be known in the next run.
    pub(super) const fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The file that follows on the network's.
    pub(super) const fn next(&self) -> Option<&Successor> {
        self.next.as_ref()
    }

    /// Who is asked now: mixes that are known or that the network began with, one of the latter at
    /// least, so that who once believed a made-up network hears of the real one. No provider, so that
    /// who is asked does not depend on where the mailbox is, and the mailbox's provider does not see
    /// from where its owner comes.
    pub(super) fn choose(&self, now: Time, rng: &mut ChaCha20Rng) -> Vec<(NodeId, Vec<Address>)> {
        let mut nodes: Vec<_> = self.sources(now).into_iter().collect();
        nodes.shuffle(rng);
        let first = nodes.iter().position(|(id, _)| self.params.is_genesis(id));
        if let Some(first) = first {
            nodes.swap(0, first);
        }
        nodes.truncate(ASKED);
        nodes
    }

    fn sources(&self, now: Time) -> BTreeMap<NodeId, Vec<Address>> {
        let genesis = self.params.genesis_members.iter();
        let first = genesis.filter(|member| member.role == Role::Mix);
        let mut sources: BTreeMap<NodeId, Vec<Address>> =
            first.map(|mix| (mix.id, mix.addresses.clone())).collect();
        if let Some(document) = self.view.current(&self.params, now) {
            let mixes = document.members().filter(|member| member.role == Role::Mix);
            sources.extend(mixes.map(|mix| (mix.id, mix.addresses.clone())));
        }
        sources
    }

    /// These are asked from now on.
    pub(super) fn begin(&mut self, now: Time, waiting: BTreeMap<ConnectionId, NodeId>) {
        self.fetches += 1;
        self.fetch = Some(Fetch {
            number: self.fetches,
            asked: waiting.len(),
            waiting,
            answers: Vec::new(),
            until: now + PATIENCE,
            verifying: None,
        });
    }

    /// What is asked: what leads from whose signatures are known to count, and from the newest document that
    /// is here, to those that count now. Of earlier runs no document is here: the newest is known by its hash
    /// alone, and nothing can be a change of that. It is as long whatever is known.
    pub(super) fn question(&self) -> Vec<u8> {
        let since = self.kept.as_ref().map(|kept| kept.trust.since());
        let newest = self.view.documents.values().next_back();
        let known = newest.map(|document| document.height());
        let file = self.next.as_ref().map(Successor::hash);
        let file = file.unwrap_or_else(|| self.params.hash());
        chain_request(since.unwrap_or_default(), known.unwrap_or_default(), file)
    }

    /// Whether this connection is one of the questions under way.
    pub(super) fn awaits(&self, connection: ConnectionId) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.waiting.contains_key(&connection))
    }

    /// Somebody answered.
    pub(super) fn answered(&mut self, now: Time, connection: ConnectionId, bytes: Vec<u8>) {
        if let Some(fetch) = &mut self.fetch
            && let Some(from) = fetch.waiting.remove(&connection)
        {
            let came = now;
            fetch.answers.push(Response { from, came, bytes });
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
            let answered = fetch.verifying.is_none() && fetch.waiting.is_empty();
            answered || now >= fetch.until
        }) else {
            return (Vec::new(), Progress::Waits);
        };
        if fetch.verifying.is_some() {
            self.fetch = None;
            return (Vec::new(), Progress::Failed(SessionError::NotLookedAt));
        }
        let late = std::mem::take(&mut fetch.waiting).into_keys().collect();
        let outcome = match (fetch.answers.len(), fetch.asked) {
            (_, 0) => Err(SessionError::NobodyToAsk),
            (0, _) => Err(SessionError::NobodyAnswered),
            (1, asked) if asked > 1 => Err(SessionError::OneAnswer),
            _ => Answers::read(&fetch.answers).map_err(SessionError::Adopt),
        };
        let kept = self.kept.as_ref();
        let kept = kept.ok_or(SessionError::Adopt(AdoptError::Seats));
        match outcome.and_then(|answers| Ok((Arc::new(answers), kept?))) {
            Ok((answers, kept)) => {
                let job = SessionJob {
                    params: Arc::clone(&self.params),
                    number: fetch.number,
                    work: Work::Answers {
                        answers: Arc::clone(&answers),
                        trust: kept.trust.clone(),
                        known: Arc::clone(&self.known),
                        next: self.next.clone().map(Box::new),
                    },
                };
                fetch.verifying = Some(answers);
                fetch.until = now + LOOKED_AT;
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
        number: u64,
        looked: &Looked,
    ) -> Option<Result<i64, SessionError>> {
        let fetch = self.fetch.take_if(|fetch| fetch.number == number)?;
        let answers = fetch.verifying?;
        let newest = self.kept.as_ref().and_then(|kept| kept.newest);
        let adopted = answers.adopt(&self.params, looked, &self.known, newest, now);
        // What was followed is followed, whatever it led to: who was away for long asks again from there. Of
        // what contradicts itself nothing is.
        let contradicts = adopted.as_ref().is_err_and(AdoptError::is_contradiction);
        // One that counts already is asked of more than one: of two that were signed, others may go by the other.
        let shown = looked.successor().filter(|(file, by)| {
            let (asked, ahead) = (*by >= 2, file.begins() > now);
            !contradicts && (asked || ahead)
        });
        if self.next.is_none() {
            self.next = shown.map(|(file, _)| file.clone());
        }
        if let Some(trust) = looked.furthest().filter(|_| !contradicts) {
            self.kept = Some(Kept {
                trust: trust.clone(),
                newest: looked.newest(newest),
            });
        }
        let outcome = adopted.map_err(SessionError::Adopt).map(|directory| {
            let ahead = directory.clock_offset_us;
            self.take(directory, now.shifted(ahead));
            ahead
        });
        Some(outcome)
    }

    /// Puts what was agreed on beside what is known: an answer that lags takes nothing away.
    fn take(&mut self, directory: ClientDirectory, now: Time) {
        let epoch = self.params.epoch_at(now);
        let oldest = epoch.number().saturating_sub(MAX_STALE_EPOCHS);
        let mut documents = self.known.documents.clone();
        documents.extend(directory.documents);
        documents.retain(|known, _| (oldest..=epoch.next().number()).contains(&known.number()));
        let view = View { documents };
        let current = view.in_force(epoch);
        let confirmed = current.is_some_and(|document| {
            let mixes = document.members().filter(|member| member.role == Role::Mix);
            let all: BTreeSet<_> = mixes.map(|mix| document.family(&mix.id)).collect();
            let named = directory.named_by.iter();
            let named: BTreeSet<_> = named.map(|id| document.family(id)).collect();
            let needed = all.len().min(Answers::NEEDED);
            document.epoch() == directory.in_force && named.len() >= needed
        });
        if confirmed {
            self.confirmed = Some(epoch);
        }
        self.known = Arc::new(view);
        for certified in &directory.amendments {
            self.amended(now, certified);
        }
        self.suspended = self.amendments.suspended(&self.params, now);
        self.view = Arc::new(self.known.without(&self.suspended));
    }

    /// The entry has shown a piece of what all its clients are told. An amendment that could matter is to be verified.
    pub(super) fn shown(&mut self, now: Time, piece: NoticePiece) -> Option<SessionJob> {
        let shown = self.shown.take(piece)?;
        let certified = CertifiedAmendment::decode(&shown).ok()?;
        let slot = certified.amendment().slot;
        let seats = self.kept.as_ref()?.trust.seats_named(certified.seats())?;
        let lacks = self.amendments.lacks(&self.params, now, slot);
        lacks.then(|| SessionJob {
            params: Arc::clone(&self.params),
            number: 0,
            work: Work::Amendment {
                certified,
                seats: seats.clone(),
            },
        })
    }

    /// Takes an amendment whose signatures are right.
    pub(super) fn amended(&mut self, now: Time, certified: &CertifiedAmendment) {
        let documents = self.known.documents.values();
        self.amendments
            .take(&self.params, now, certified, documents);
    }

    /// Whether another amendment holds, or none any more, than when this was last asked. Then the documents are
    /// others.
    pub(super) fn amend(&mut self, now: Time) -> bool {
        let suspended = self.amendments.suspended(&self.params, now);
        if suspended == self.suspended {
            return false;
        }
        self.view = Arc::new(self.known.without(&suspended));
        self.suspended = suspended;
        true
    }

    /// When another amendment takes effect, or one ends.
    pub(super) fn amendment_deadline(&self, now: Time) -> Option<Time> {
        self.amendments.next_change(&self.params, now)
    }

    /// The document to go by.
    ///
    /// # Errors
    /// When there is none, or one for a past epoch only, and not enough nodes of different families
    /// have said that there is none newer. Who went on with such a document while others have the next
    /// would be the only one to do so.
    pub(super) fn current(&self, now: Time) -> Result<&Arc<Document>, SessionError> {
        let epoch = self.params.epoch_at(now);
        let known = self.view.in_force(epoch);
        let confirmed = self.confirmed == Some(epoch);
        let current = known.filter(|document| document.epoch() == epoch || confirmed);
        let epoch = epoch.number();
        current.ok_or(SessionError::Stale { epoch })
    }

    /// Nobody waits for answers any more. Gives the connections to be closed.
    pub(super) fn give_up(&mut self) -> Vec<ConnectionId> {
        self.renew_at = None;
        let fetch = self.fetch.take();
        fetch.map_or_else(Vec::new, |fetch| fetch.waiting.into_keys().collect())
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

    /// Documents were renewed: the next time as [`plan`](Self::plan) says, but again soon if the next
    /// one should have been there.
    pub(super) fn renewed(&mut self, now: Time, rng: &mut ChaCha20Rng) {
        let next = self.params.epoch_at(now).next();
        let known = self.view.documents.contains_key(&next);
        if !known && now >= self.params.freeze_time(next) {
            self.plan_again(now, rng);
        } else {
            self.plan(now, rng);
        }
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
        let patience = self.fetch.as_ref().map(|fetch| fetch.until);
        patience.into_iter().chain(self.renew_at).min()
    }

    /// The clock moved: what waits waits as long as before.
    pub(super) fn shift(&mut self, shift: impl Fn(Time) -> Time) {
        self.renew_at = self.renew_at.map(&shift);
        if let Some(fetch) = &mut self.fetch {
            fetch.until = shift(fetch.until);
            for answer in &mut fetch.answers {
                answer.came = shift(answer.came);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use shoal_topology::sample::Network;

    use super::*;

    /// A network of nine nodes.
    fn network() -> (Network, Documents, ClientDirectory, Time) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut network = Network::new(&mut rng, NetworkParameters::example(), 2, 3);
        let view = network.view(&mut rng, [Epoch::new(0)]).expect("view");
        let params = Arc::clone(&network.params);
        let now = params.genesis + Span::from_secs(1);
        let directory = ClientDirectory {
            documents: view.documents.clone(),
            in_force: Epoch::new(0),
            named_by: BTreeSet::new(),
            trust: shoal_topology::Trust::first(&params).expect("first members"),
            clock_offset_us: 0,
            amendments: Vec::new(),
        };
        (network, Documents::new(params, None, None), directory, now)
    }

    #[test]
    fn who_is_asked_says_nothing_of_where_the_mailbox_is() {
        let (network, mut documents, directory, now) = network();
        let mixes: Vec<NodeId> = network.ids(Role::Mix).collect();
        for known in [Arc::default(), directory.view()] {
            documents.view = known;
            let asked: Vec<NodeId> = documents.sources(now).into_keys().collect();
            assert_eq!(asked, mixes);
        }
    }

    #[test]
    fn one_of_those_that_the_network_began_with_is_always_asked() {
        let (_, mut documents, directory, now) = network();
        let mut params = (*documents.params).clone();
        let mut mixes = params
            .genesis_members
            .iter()
            .filter(|m| m.role == Role::Mix);
        let first = mixes.next_back().expect("a mix").id;
        params.genesis_members.retain(|member| member.id == first);
        documents.params = Arc::new(params);
        documents.view = directory.view();
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        for _ in 0..50 {
            let asked = documents.choose(now, &mut rng);
            assert_eq!(asked.len(), ASKED);
            assert!(asked.iter().any(|(id, _)| *id == first));
        }
    }

    #[test]
    fn documents_are_renewed_after_the_freeze_and_before_the_switch_whenever_one_connects() {
        let (_, mut documents, directory, _) = network();
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
