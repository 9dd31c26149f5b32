//! How this node asks for a place in an open network: by work that it does for the term, as long as it is no member.

use rand::{CryptoRng, RngExt as _};
use shoal_proto::{Span, Time};

use super::Directory;
use super::jobs::Task;
use super::pool::{Door, may_come, pause};
use crate::work::{Applicant, Salt, Work};
use crate::{Admission, newcomers};

/// After how long a piece of work counts as lost. It takes seconds, on a small machine a minute.
const PATIENCE: Span = Span::from_secs(600);

/// The work that this node has done, or does.
#[derive(Default)]
pub(super) struct Joining {
    proof: Option<Work>,
    /// For which term, by which nonce, and since when it is being tried.
    tries: Option<(Salt, u32, Option<Time>)>,
}

/// How a node that waits for a place stands: see [`Directory::waits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many wait for a place, this one among them, as far as is known here.
    pub waiting: usize,
    /// How many more may come in before the next term.
    pub room: usize,
    /// How many may come in a term.
    pub a_term: usize,
    /// It does the work that the network asks for first.
    pub works: bool,
}

impl<R: CryptoRng> Directory<R> {
    /// Has work done for as long as this node is no member and the network asks for it.
    pub(super) fn keep_joining(&mut self, now: Time) {
        let Some(applicant) = self.applicant().filter(|_| !self.own.is_held()) else {
            return;
        };
        let joining = &mut self.joining;
        if joining
            .proof
            .as_ref()
            .is_some_and(|it| it.salt == applicant.salt)
        {
            return;
        }
        let tried = joining.tries.filter(|(salt, ..)| *salt == applicant.salt);
        let (nonce, since) = match tried {
            Some((_, nonce, since)) => (nonce, since),
            // Not from the start again after each restart.
            None => (self.rng.random(), None),
        };
        if since.is_none_or(|since| now >= since + PATIENCE) {
            joining.tries = Some((applicant.salt, nonce, Some(now)));
            self.job(Task::Work(applicant, nonce));
        }
    }

    /// When a piece of work counts as lost.
    pub(super) fn joining_deadline(&self) -> Option<Time> {
        let (.., since) = self.joining.tries?;
        since.map(|since| since + PATIENCE)
    }

    /// As whom this node has to work; none if it does not.
    fn applicant(&self) -> Option<Applicant> {
        let params = &self.rules.params;
        let asked = params.admission == Admission::Open && params.work > 0;
        let id = self.own_id().filter(|_| asked)?;
        let tip = &self.archive.tip()?.document;
        let is_in = self.rules.is_genesis(&id) || tip.member(&id).is_some();
        let seats = self.archive.seats().filter(|_| !is_in)?;
        Some(Applicant {
            network: self.rules.network,
            id,
            salt: Salt::of(&seats.hash()),
        })
    }

    /// A nonce has been tried.
    pub(super) fn worked(
        &mut self,
        now: Time,
        applicant: &Applicant,
        nonce: u32,
        work: Option<Work>,
    ) {
        let tried = self.joining.tries;
        let tried = tried.filter(|(salt, of, _)| *salt == applicant.salt && *of == nonce);
        if tried.is_none() {
            return;
        }
        if work.is_none() {
            self.joining.tries = Some((applicant.salt, nonce.wrapping_add(1), None));
            return self.keep_joining(now);
        }
        self.joining.tries = None;
        self.joining.proof = work;
        self.own.issue_soon(now, pause(&self.rules.params));
    }

    /// What the own descriptor shows of it: nothing, once this node is a member.
    pub(super) fn admission(&self) -> Vec<u8> {
        let proof = self
            .joining
            .proof
            .as_ref()
            .filter(|_| self.applicant().is_some());
        proof.map_or_else(Vec::new, Work::encode)
    }

    /// How this node stands among those that wait for a place. None for a member, and while there is no document.
    #[must_use]
    pub fn waits(&self) -> Option<Waiting> {
        let (own, tip) = (self.own_id()?, &self.archive.tip()?.document);
        if tip.member(&own).is_some() || self.rules.is_genesis(&own) {
            return None;
        }
        let Door { salts, .. } = self.door(tip.epoch().next(), Some(tip));
        let params = &self.rules.params;
        let mut waiting = std::collections::BTreeSet::new();
        for signed in self.pool.iter() {
            let id = signed.id();
            let stranger = tip.member(&id).is_none() && !self.rules.is_genesis(&id);
            if stranger && (id == own || may_come(params, &salts, signed)) {
                waiting.insert(id);
            }
        }
        let (room, a_term) = newcomers::room(&self.rules, tip, tip.height().next());
        Some(Waiting {
            waiting: waiting.len(),
            room,
            a_term,
            works: self.applicant().is_some() && self.admission().is_empty(),
        })
    }
}
