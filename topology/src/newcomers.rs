//! Who comes in: few in a term, drawn from those that wait by a seed that nobody knew when they came; and where members
//! invite, of each member one in so many terms.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::NodeId;

use crate::agreement::{Height, Seed};
use crate::apart::Holders;
use crate::document::Place;
use crate::inviters::Inviters;
use crate::rules::Rules;
use crate::ties::{Tie, TieKind};
use crate::{Document, Member};

/// How many may come in a term after a document: the share of its members that the network allows, one at
/// least.
fn allowed(rules: &Rules, base: &Document) -> usize {
    let members = base.members().len();
    let share = rules.params.newcomers.clamp(0.0, 1.0);
    // At most as many as there are members.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the number of members"
    )]
    let share = (share * members as f64).floor() as usize;
    share.max(1)
}

/// Who has come in the term of this height.
fn came<'a>(
    rules: &'a Rules,
    base: &'a Document,
    height: Height,
) -> impl Iterator<Item = &'a Member> {
    let begun = rules.terms.since(height);
    let members = base.members().filter(move |member| member.since > begun);
    members.filter(|member| !rules.is_genesis(&member.id))
}

/// How many may come in with the document of a height, and how many in a term.
pub(crate) fn room(rules: &Rules, base: &Document, height: Height) -> (usize, usize) {
    let allowed = allowed(rules, base);
    let came = came(rules, base, height).count();
    (allowed.saturating_sub(came), allowed)
}

fn prefixes(member: &Member) -> impl Iterator<Item = Tie> {
    let ties = member.ties();
    let prefixes = ties.iter().filter(|tie| tie.kind() == TieKind::Prefix);
    prefixes.copied().collect::<Vec<_>>().into_iter()
}

/// Leaves out of those that could come in who has an address of another, and in a network that limits how many come
/// those that have not been drawn: at most a share of the members come in a term, and one of each address prefix. Where
/// members invite, who is not brought in by one that may is left out too.
/// First members come whenever they are there.
pub(crate) fn draw<D: AsRef<Document>>(
    rules: &Rules,
    place: &Place<D>,
    seed: &Seed,
    members: &mut BTreeMap<NodeId, Member>,
) {
    let Some(base) = place.base() else {
        return;
    };
    let comes = |id: &NodeId| base.member(id).is_none() && !rules.is_genesis(id);
    let mut waiting: Vec<NodeId> = members.keys().filter(|id| comes(id)).copied().collect();
    if waiting.is_empty() {
        return;
    }
    let mut holders = Holders::of(members.values().filter(|member| !comes(&member.id)));
    let is_limited = rules.params.newcomers < 1.0;
    let mut inviters = Inviters::of(rules, base);
    let (mut room, _) = room(rules, base, place.height());
    let came = came(rules, base, place.height());
    let mut taken: BTreeSet<Tie> = came.flat_map(prefixes).collect();
    waiting.sort_by_cached_key(|id| seed.rank("newcomer", id.as_bytes()));
    for id in waiting {
        let Some(member) = members.get(&id) else {
            continue;
        };
        let own = Vec::from_iter(prefixes(member));
        let is_beside = || own.iter().any(|prefix| taken.contains(prefix));
        let is_full = is_limited && (room == 0 || is_beside());
        if is_full || !inviters.admits(member, place.height()) || !holders.admit(member) {
            members.remove(&id);
        } else {
            inviters.come(member, place.height());
            room = room.saturating_sub(1);
            taken.extend(own);
        }
    }
}

/// Whether a member of a document has been one for long enough to sit in the term after a height: first members
/// always have.
pub(crate) fn is_of_age(rules: &Rules, member: &Member, height: Height) -> bool {
    let age = u64::from(rules.params.seat_age) * u64::from(rules.params.term);
    rules.is_genesis(&member.id) || member.since.number().saturating_add(age) <= height.number()
}
