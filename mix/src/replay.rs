//! The replay filter of one epoch key, and how its memory is shared out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_packet::ReplayTag;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::{Document, NetworkParameters, Role};

use crate::share::may_take;
use crate::{Origin, RelayLimits};

/// Packets that a member may send at once beyond those of a second.
const BURST: u64 = 64;

/// What the filter says about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never before; it is remembered from now on.
    Fresh,
    /// Before.
    Replayed,
    /// Unknown, but its sender has no room left to remember another one.
    Full,
}

/// How many tags of one epoch may be remembered at a moment, and among how many that is shared out.
///
/// Room comes with time, at [`RelayLimits::packets_per_second`]: so a flood costs its sender what it
/// has now and never the rest of the epoch, and no filter outgrows the time for which a key is held.
/// What was saved up is spent no faster than at the whole of that rate: else one member could fill with
/// it, all at once, the rings and queues behind the filter, which are there for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Tags, those from before a restart included.
    tags: usize,
    /// Members in the position before this node's.
    neighbours: usize,
    /// Whether half of it is for attached clients.
    clients: bool,
    now: Time,
    /// The time that each of a member's packets takes of it.
    pace: Span,
}

impl Room {
    /// The room of a document's epoch at this moment, at a node of this document.
    pub(crate) fn at(
        now: Time,
        limits: &RelayLimits,
        params: &NetworkParameters,
        document: &Document,
        (local, role): (&NodeId, Role),
    ) -> Self {
        Self {
            tags: limits.replay_tags(params, document.epoch(), now),
            neighbours: document.before(local).len(),
            clients: role == Role::Provider,
            now,
            pace: Span::from_secs(1).scale(1, limits.packets_per_second.into()),
        }
    }

    /// How far ahead of now a member's packets may take its time.
    fn patience(&self) -> Span {
        Span::from_secs(1) + self.pace.scale(BURST, 1)
    }
}

/// The tags of one epoch key. Nothing is forgotten before the key is. A tree, so that no choice of
/// tags makes it slow, and nothing depends on a hash seed. Locked for a lookup or an insertion.
///
/// Of a tag it keeps the first 64 bits: what was seen is always known again, and a new packet is taken
/// for a replay with a chance of one in 10^12 where ten million tags are kept. To bring that about
/// on purpose, somebody would have to know the tag of a packet that is not theirs.
#[derive(Default)]
pub(crate) struct ReplayFilter {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tags: BTreeSet<u64>,
    used: Used,
}

/// Who had how many tags remembered.
#[derive(Default)]
struct Used {
    /// From before a restart: nobody knows of whom.
    restored: usize,
    clients: usize,
    members: BTreeMap<NodeId, Parts>,
    /// Of what members have in common.
    common: usize,
}

/// What a member took of its own part, and of what all have in common.
#[derive(Clone, Copy, Default)]
struct Parts {
    own: usize,
    common: usize,
    /// Until when its packets have taken its time.
    busy_until: Time,
}

/// What a tag is charged to.
enum Account {
    Clients,
    Own(NodeId),
    Common(NodeId),
}

impl Used {
    /// What a sender's next tag is charged to; none if it has no room left. Clients have half of a
    /// provider's room together: each is held to its rate before, and attached only if there is room
    /// for that. Members have the rest: half of it in equal parts, each of which is that member's
    /// whatever the others do, and half for who needs more, of which nobody gets more than is left.
    fn account(&self, from: &Origin, room: &Room) -> Option<Account> {
        let tags = room.tags.saturating_sub(self.restored);
        let side = if room.clients { tags / 2 } else { tags };
        match from {
            Origin::Client(_) => (self.clients < side).then_some(Account::Clients),
            Origin::Member(id) => {
                let used = self.members.get(id).copied().unwrap_or_default();
                if used.busy_until > room.now + room.patience() {
                    return None;
                }
                if used.own < side / 2 / room.neighbours.max(1) {
                    return Some(Account::Own(*id));
                }
                let left = (side / 2).saturating_sub(self.common);
                may_take(used.common, left).then_some(Account::Common(*id))
            }
        }
    }

    fn charge(&mut self, account: &Account, room: &Room) {
        let (id, own) = match account {
            Account::Clients => {
                self.clients += 1;
                return;
            }
            Account::Own(id) => (id, true),
            Account::Common(id) => (id, false),
        };
        let parts = self.members.entry(*id).or_default();
        parts.busy_until = parts.busy_until.max(room.now) + room.pace;
        parts.own += usize::from(own);
        parts.common += usize::from(!own);
        self.common += usize::from(!own);
    }
}

impl ReplayFilter {
    /// Looks a tag up and remembers it, unless its sender has no room left.
    pub(crate) fn insert(&self, tag: &ReplayTag, from: &Origin, room: &Room) -> Seen {
        let mut state = self.lock();
        let State { tags, used } = &mut *state;
        let mark = mark(tag);
        match used.account(from, room) {
            Some(account) if tags.insert(mark) => {
                used.charge(&account, room);
                Seen::Fresh
            }
            None if !tags.contains(&mark) => Seen::Full,
            _ => Seen::Replayed,
        }
    }

    /// Remembers tags of packets that left before a restart: all of them, beyond any bound,
    /// because a forgotten one could be replayed.
    pub(crate) fn restore(&self, tags: impl IntoIterator<Item = ReplayTag>) {
        let mut state = self.lock();
        let before = state.tags.len();
        state.tags.extend(tags.into_iter().map(|tag| mark(&tag)));
        state.used.restored += state.tags.len() - before;
    }

    /// The set and its accounts are whole after each change, so what a panicked thread left can be
    /// used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a tag.
fn mark(tag: &ReplayTag) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *tag.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use shoal_proto::ClientHandle;

    use super::*;

    /// A filter, and tags that never repeat.
    #[derive(Default)]
    struct Tags {
        filter: ReplayFilter,
        next: u64,
    }

    impl Tags {
        fn tag(&mut self) -> ReplayTag {
            self.next += 1;
            let mut bytes = [0; ReplayTag::BYTES];
            bytes[..8].copy_from_slice(&self.next.to_le_bytes());
            ReplayTag::new(bytes)
        }

        /// How many of so many new tags it takes.
        fn takes(&mut self, count: usize, from: Origin, room: &Room) -> usize {
            let fresh = (0..count).filter(|_| {
                let tag = self.tag();
                self.filter.insert(&tag, &from, room) == Seen::Fresh
            });
            fresh.count()
        }
    }

    fn member(number: u8) -> Origin {
        Origin::Member(NodeId::new([number; 32]))
    }

    fn client(number: u8) -> Origin {
        Origin::Client(ClientHandle::new([number; 32]))
    }

    const fn room(tags: usize, clients: bool) -> Room {
        Room {
            tags,
            neighbours: 5,
            clients,
            now: Time::from_micros(1_000_000),
            pace: Span::ZERO,
        }
    }

    #[test]
    fn whatever_all_others_send_a_member_has_its_part() {
        let mut tags = Tags::default();
        // 5,000 in equal parts of 1,000, and 5,000 for who needs more.
        let room = room(10_000, false);
        assert_eq!(tags.takes(20_000, member(1), &room), 1_000 + 2_500);
        assert_eq!(tags.takes(20_000, member(2), &room), 1_000 + 1_250);
        assert_eq!(tags.takes(20_000, member(3), &room), 1_000 + 625);
        assert_eq!(tags.takes(20_000, member(4), &room), 1_000 + 313);
        assert_eq!(tags.takes(1_000, member(5), &room), 1_000);
        // What was seen is still told from what there is no room for.
        let last = Tags { next: 0, ..tags }.tag();
        let again = Tags::default();
        assert_eq!(again.filter.insert(&last, &member(1), &room), Seen::Fresh);
        assert_eq!(
            again.filter.insert(&last, &member(1), &room),
            Seen::Replayed
        );
    }

    #[test]
    fn room_comes_with_time() {
        let mut tags = Tags::default();
        assert_eq!(tags.takes(20_000, member(1), &room(10_000, false)), 3_500);
        assert_eq!(tags.takes(10, member(1), &room(10_000, false)), 0);
        assert_eq!(tags.takes(20_000, member(1), &room(20_000, false)), 3_500);
    }

    #[test]
    fn what_was_saved_up_is_not_spent_at_once() {
        let mut tags = Tags::default();
        let mut room = Room {
            pace: Span::from_millis(10),
            ..room(10_000, false)
        };
        // A second's, the burst, and the one that goes beyond them.
        assert_eq!(tags.takes(1_000, member(1), &room), 100 + 64 + 1);
        assert_eq!(tags.takes(1_000, member(2), &room), 100 + 64 + 1);
        room.now += Span::from_millis(500);
        assert_eq!(tags.takes(1_000, member(1), &room), 50);
        room.now += Span::from_secs(3600);
        assert_eq!(tags.takes(1_000, member(1), &room), 100 + 64 + 1);
    }

    #[test]
    fn clients_and_members_do_not_use_up_each_others() {
        let room = room(10_000, true);
        let mut tags = Tags::default();
        assert_eq!(tags.takes(20_000, client(1), &room), 5_000);
        assert_eq!(tags.takes(1_000, member(1), &room), 1_000);
        let mut tags = Tags::default();
        assert_eq!(tags.takes(20_000, member(1), &room), 500 + 1_250);
        assert_eq!(tags.takes(20_000, client(1), &room), 5_000);
    }

    #[test]
    fn a_restart_gives_nobody_the_same_room_twice() {
        let mut tags = Tags::default();
        let before: Vec<ReplayTag> = (0..6_000).map(|_| tags.tag()).collect();
        let copies = before.iter().chain(&before).copied();
        tags.filter.restore(copies);
        let room = room(10_000, false);
        assert_eq!(
            tags.filter.insert(&before[7], &member(1), &room),
            Seen::Replayed
        );
        assert_eq!(tags.takes(20_000, member(1), &room), 400 + 1_000);
    }
}
