//! Whom members have invited that wait for a place: of each member one, however many it invites. So nobody fills
//! the memory of others by inviting nodes that it makes up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shoal_proto::{Epoch, NodeId, Time};

use super::pool::{pause, sooner};
use crate::{Invitation, NetworkParameters};

/// Of those that one member has invited, the one that waits: whose invitation counts longest, and of two alike the one
/// with the lower identity, so that it is the same one everywhere.
#[derive(Default)]
pub(super) struct Rivals(BTreeMap<NodeId, Waits>);

struct Waits {
    id: NodeId,
    last: Epoch,
    /// From when on another one takes its place.
    from: Time,
}

impl Waits {
    const fn rank(&self) -> (Epoch, Reverse<NodeId>) {
        (self.last, Reverse(self.id))
    }
}

/// What becomes of somebody who has been invited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rivalry {
    /// It waits, and this other one does not any more.
    Waits(Option<NodeId>),
    /// Another one waits.
    Loses,
    /// Too many have come in its place a moment ago.
    TooSoon,
}

impl Rivals {
    /// What becomes of who shows this invitation.
    pub(super) fn judge(
        &self,
        params: &NetworkParameters,
        now: Time,
        (id, shown): (NodeId, &Invitation),
    ) -> Rivalry {
        let Some(rival) = self.0.get(&shown.by).filter(|rival| rival.id != id) else {
            return Rivalry::Waits(None);
        };
        if rival.rank() > (shown.last, Reverse(id)) {
            Rivalry::Loses
        } else if rival.from > now + sooner(params) {
            Rivalry::TooSoon
        } else {
            Rivalry::Waits(Some(rival.id))
        }
    }

    /// It waits from now on.
    pub(super) fn note(
        &mut self,
        params: &NetworkParameters,
        now: Time,
        (id, shown): (NodeId, &Invitation),
    ) {
        let last = shown.last;
        let from = match self.0.get(&shown.by) {
            Some(same) if same.id == id => same.from,
            Some(rival) => rival.from.max(now) + pause(params),
            None => now,
        };
        self.0.insert(shown.by, Waits { id, last, from });
    }

    /// Forgets those that wait no more.
    pub(super) fn retain(&mut self, waits: impl Fn(&NodeId) -> bool) {
        self.0.retain(|_, it| waits(&it.id));
    }
}

#[cfg(test)]
mod tests {
    use shoal_proto::NetworkHash;

    use super::*;
    use crate::Identity;

    #[test]
    fn of_those_that_a_member_has_invited_the_same_one_waits_everywhere() {
        let params = NetworkParameters::example();
        let by = Identity::from_bytes(&[1; 32]);
        let node = |byte| NodeId::new([byte; 32]);
        let invite = |byte, last| {
            let network = NetworkHash::new([9; 32]);
            let shown = Invitation::sign(&by, &network, &node(byte), Epoch::new(last));
            (node(byte), shown)
        };
        let all = [invite(1, 5), invite(2, 7), invite(3, 7), invite(4, 6)];
        let (now, mut left) = (params.genesis, std::collections::BTreeSet::new());
        // Forwards, backwards and from the middle.
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut rivals = Rivals::default();
            for (id, shown) in order.map(|index: usize| all[index]) {
                if let Rivalry::Waits(_) = rivals.judge(&params, now, (id, &shown)) {
                    rivals.note(&params, now, (id, &shown));
                }
            }
            left.extend(rivals.0.values().map(|it| it.id));
        }
        assert_eq!(left, std::collections::BTreeSet::from([node(2)]));
    }

    #[test]
    fn who_invites_one_after_the_other_is_heard_a_few_times() {
        let params = NetworkParameters::example();
        let by = Identity::from_bytes(&[1; 32]);
        let (now, mut rivals) = (params.genesis, Rivals::default());
        let network = NetworkHash::new([9; 32]);
        let mut come = |now, number: u8| {
            let id = NodeId::new([number; 32]);
            let shown = Invitation::sign(&by, &network, &id, Epoch::new(number.into()));
            let judged = rivals.judge(&params, now, (id, &shown));
            if judged != Rivalry::TooSoon {
                rivals.note(&params, now, (id, &shown));
            }
            judged
        };
        let displaces = |number: u8| Rivalry::Waits(Some(NodeId::new([number; 32])));
        assert_eq!(come(now, 1), Rivalry::Waits(None));
        assert_eq!(come(now, 2), displaces(1));
        assert_eq!(come(now, 2), Rivalry::Waits(None), "it says more");
        assert_eq!(come(now, 3), displaces(2));
        assert_eq!(come(now, 4), displaces(3));
        assert_eq!(come(now, 5), Rivalry::TooSoon);
        assert_eq!(come(now + pause(&params), 5), displaces(4));
    }
}
