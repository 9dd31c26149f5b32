//! How this node asks for a place, as long as it is no member: in an open network by work that it does for the term, or
//! by the invitation of a member.

use std::collections::BTreeSet;

use rand::{CryptoRng, RngExt as _};
use shoal_proto::{Epoch, NodeId, Span, Time};

use super::Directory;
use super::jobs::Task;
use super::pool::pause;
use crate::inviters::Inviters;
use crate::work::{Applicant, Salt, Work};
use crate::{Admission, Document, Invitation, newcomers};

/// After how long a piece of work counts as lost. It takes seconds, on a small machine a minute.
const PATIENCE: Span = Span::from_secs(600);

/// How often it is counted who else waits.
const COUNTED: Span = Span::from_secs(1);

/// The work that this node has done, or does.
#[derive(Default)]
pub(super) struct Joining {
    proof: Option<Work>,
    /// For which term, by which nonce, and since when it is being tried.
    tries: Option<(Salt, u32, Option<Time>)>,
    /// How this node stood when it was last looked, and when that was.
    stood: Option<(Time, Waiting)>,
    /// In which epoch it was last looked whether the invitation is shown.
    shown_in: Option<Epoch>,
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
    /// How its invitation stands; none in a network that asks for none.
    pub invited: Option<Invited>,
}

/// How the invitation of a node that waits for a place stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invited {
    /// It has none.
    No,
    /// It counts no more: it did up to this epoch.
    Over {
        /// Who has signed it.
        by: NodeId,
        /// The last epoch in which it counted.
        last: Epoch,
    },
    /// Who has signed it is no member.
    ByNoMember {
        /// Who has signed it.
        by: NodeId,
        /// The last epoch in which it counts.
        last: Epoch,
    },
    /// Who has signed it has been a member for too short a time, or has brought in somebody.
    Later {
        /// Who has signed it.
        by: NodeId,
        /// The last epoch in which it counts.
        last: Epoch,
        /// The epoch of the first document that can list a node on its word.
        from: Epoch,
    },
    /// It counts.
    Yes {
        /// Who has signed it.
        by: NodeId,
        /// The last epoch in which it counts.
        last: Epoch,
    },
}

impl<R: CryptoRng> Directory<R> {
    /// Has work done for as long as this node is no member and the network asks for it.
    pub(super) fn keep_joining(&mut self, now: Time) {
        if self.joining.stood.is_none_or(|(at, _)| now >= at + COUNTED) {
            self.joining.stood = self.stands().map(|stands| (now, stands));
        }
        self.show_invitation(now);
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

    /// Says soon what was not shown before this node knew that it is no member any more: once in an epoch.
    fn show_invitation(&mut self, now: Time) {
        let newest = self.own_id().and_then(|own| self.pool.of(&own).last());
        let silent = newest.is_some_and(|it| it.descriptor().admission.is_empty());
        if !silent || self.joining.shown_in == Some(self.epoch) || self.invitation().is_none() {
            return;
        }
        self.joining.shown_in = Some(self.epoch);
        self.own.issue_soon(now, pause(&self.rules.params));
    }

    /// The invitation by which this node asks for a place; none if it has one, or the network asks for none.
    fn invitation(&self) -> Option<Invitation> {
        let (local, params) = (self.local.as_ref()?, &self.rules.params);
        let asked = params.admission == Admission::Invitation;
        let shown = local.invitation.filter(|_| asked)?;
        let id = local.identity.id();
        let tip = self.archive.tip().map(|tip| &tip.document);
        let is_in = self.rules.is_genesis(&id) || tip.is_some_and(|it| it.member(&id).is_some());
        (!is_in && shown.lasts(self.epoch.next())).then_some(shown)
    }

    /// What the own descriptor shows of either: nothing, once this node is a member.
    pub(super) fn admission(&self) -> Vec<u8> {
        if let Some(shown) = self.invitation() {
            return shown.encode();
        }
        let proof = self
            .joining
            .proof
            .as_ref()
            .filter(|_| self.applicant().is_some());
        proof.map_or_else(Vec::new, Work::encode)
    }

    /// How this node stood a moment ago among those that wait for a place. None for a member, and while there is
    /// no document.
    #[must_use]
    pub fn waits(&self) -> Option<Waiting> {
        self.joining.stood.map(|(_, stood)| stood)
    }

    fn stands(&self) -> Option<Waiting> {
        let (own, tip) = (self.own_id()?, &self.archive.tip()?.document);
        if tip.member(&own).is_some() || self.rules.is_genesis(&own) {
            return None;
        }
        let door = self.door(tip.epoch().next(), Some(tip));
        let mut waiting = BTreeSet::new();
        for signed in self.pool.iter() {
            let id = signed.id();
            let stranger = tip.member(&id).is_none() && !self.rules.is_genesis(&id);
            if stranger && (id == own || door.may_come(signed)) {
                waiting.insert(id);
            }
        }
        let (room, a_term) = newcomers::room(&self.rules, tip, tip.height().next());
        Some(Waiting {
            waiting: waiting.len(),
            room,
            a_term,
            works: self.applicant().is_some() && self.admission().is_empty(),
            invited: self.invited_to_follow(tip),
        })
    }

    /// How the own invitation stands for the document that follows this one.
    fn invited_to_follow(&self, tip: &Document) -> Option<Invited> {
        let asked = self.rules.params.admission == Admission::Invitation;
        let local = self.local.as_ref().filter(|_| asked)?;
        let Some(Invitation { by, last, .. }) = local.invitation else {
            return Some(Invited::No);
        };
        let next = tip.height().next();
        Some(match Inviters::of(&self.rules, tip).from(&by) {
            _ if self.epoch > last => Invited::Over { by, last },
            None => Invited::ByNoMember { by, last },
            Some(from) if from > next => {
                // A height an epoch, if none is without a document.
                let ahead = from.number() - tip.height().number();
                let from = Epoch::new(tip.epoch().number().saturating_add(ahead));
                Invited::Later { by, last, from }
            }
            Some(_) => Invited::Yes { by, last },
        })
    }
}
