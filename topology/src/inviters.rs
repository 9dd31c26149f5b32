//! Who may bring a newcomer in, in a network whose members invite: each member one in so many terms, and none
//! before it has been a member for as long. So whoever has some of the members has twice as many after that time
//! at most, however many it invites.
//!
//! All of this can be told from the document before: it says of each newcomer of that time who has brought it in.

use std::collections::BTreeMap;

use shoal_proto::NodeId;

use crate::agreement::Height;
use crate::invitation::Invitation;
use crate::rules::Rules;
use crate::{Admission, Descriptor, Document, Member, NetworkParameters};

/// Most terms in which a member brings in one.
const MOST_TERMS: f64 = 1000.0;

impl NetworkParameters {
    /// In how many terms a member of a network of invitations brings in one newcomer at most, and for how many it has to
    /// be a member first: as many as the inverse of `newcomers` says, 1 to 1000. So all that all may bring in is
    /// what may come in.
    #[must_use]
    pub fn invitation_terms(&self) -> u32 {
        let terms = (1.0 / self.newcomers).ceil().clamp(1.0, MOST_TERMS);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 1000"
        )]
        let terms = terms as u32;
        terms
    }
}

/// The height after that of somebody who came at this one at which who brought it in is free again.
fn free_after(rules: &Rules, came: Height) -> Height {
    let params = &rules.params;
    let heights = u64::from(params.invitation_terms()) * u64::from(params.term);
    Height::new(came.number().saturating_add(heights))
}

/// Whether newcomers are invited.
fn invites(rules: &Rules) -> bool {
    rules.params.admission == Admission::Invitation
}

/// Who has invited the node that says this of itself. None where that is not asked for.
pub(crate) fn named(rules: &Rules, descriptor: &Descriptor) -> Option<NodeId> {
    let shown = Some(&descriptor.admission).filter(|_| invites(rules));
    shown.and_then(|it| Invitation::read(it)).map(|it| it.by)
}

/// What the document of a height says of who has brought a member in. `before` is what the one before says of it.
pub(crate) fn recorded(
    rules: &Rules,
    height: Height,
    before: Option<&Member>,
    member: &Member,
) -> Option<NodeId> {
    let by = before.map_or(member.invited_by, |before| before.invited_by);
    // First members come by themselves, and what keeps nobody from anything is not worth its bytes.
    let counts = invites(rules) && !rules.is_genesis(&member.id);
    by.filter(|_| counts && free_after(rules, member.since) > height)
}

/// From which height on each member may bring in somebody, by the document before.
pub(crate) struct Inviters<'a> {
    rules: &'a Rules,
    base: &'a Document,
    /// When each came whom a member has brought in last.
    brought: BTreeMap<NodeId, Height>,
}

impl<'a> Inviters<'a> {
    pub(crate) fn of(rules: &'a Rules, base: &'a Document) -> Self {
        let mut brought = BTreeMap::new();
        for member in base.members().filter(|_| invites(rules)) {
            if let Some(by) = member.invited_by {
                let came = brought.entry(by).or_insert(member.since);
                *came = member.since.max(*came);
            }
        }
        Self {
            rules,
            base,
            brought,
        }
    }

    /// From which height on a node may bring in somebody. None for who is no member.
    pub(crate) fn from(&self, id: &NodeId) -> Option<Height> {
        let member = self.base.member(id)?;
        let came = Some(member.since).filter(|_| !self.rules.is_genesis(id));
        let brought = self.brought.get(id).copied();
        let last = came.max(brought);
        Some(last.map_or(Height::FIRST, |last| free_after(self.rules, last)))
    }

    /// Whether a newcomer of the document of this height may come in, as far as it has to be invited.
    pub(crate) fn admits(&self, member: &Member, height: Height) -> bool {
        let free = |by: NodeId| self.from(&by).is_some_and(|from| from <= height);
        !invites(self.rules) || member.invited_by.is_some_and(free)
    }

    /// A newcomer comes in with the document of this height: who has invited it brings in nobody else.
    pub(crate) fn come(&mut self, member: &Member, height: Height) {
        self.brought
            .extend(member.invited_by.map(|by| (by, height)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_brings_in_one_in_as_many_terms_as_the_share_says() {
        let terms = |newcomers| {
            let params = NetworkParameters {
                newcomers,
                ..NetworkParameters::example()
            };
            params.invitation_terms()
        };
        let all = [1.0, 0.7, 0.5, 0.1, 0.02, 0.001, 0.0001, 0.0].map(terms);
        assert_eq!(all, [1, 2, 2, 10, 50, 1000, 1000, 1000]);
    }
}
