//! The descriptors that are known, and which of them count.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::{Epoch, NodeId, Span, Time};

use super::MAX_DESCRIPTORS;
use crate::agreement::Seats;
use crate::inviters::Inviters;
use crate::rules::Rules;
use crate::work::{Salt, Work};
use crate::{
    Admission, Document, Invitation, MAX_STALE_EPOCHS, NetworkParameters, SignedDescriptor,
};

/// The descriptors that are known. For each identity at most two are kept: the latest, and the
/// latest of those that count for the epoch whose document is formed next, for a node that
/// issues another after the deadline is still a member by the one before.
#[derive(Default)]
pub(super) struct Pool {
    entries: BTreeMap<NodeId, Entry>,
}

/// What is known of one identity.
#[derive(Default)]
struct Entry {
    kept: Vec<SignedDescriptor>,
    /// From when on another one is taken, newer than all that are kept or not.
    newest_from: Time,
    older_from: Time,
}

impl Entry {
    fn is_newest(&self, sequence: u64) -> bool {
        self.kept
            .last()
            .is_none_or(|last| last.sequence() < sequence)
    }

    fn from(&mut self, sequence: u64) -> &mut Time {
        match self.is_newest(sequence) {
            true => &mut self.newest_from,
            false => &mut self.older_from,
        }
    }
}

/// How much time there is between two descriptors of one identity that are taken, in the long run: a twentieth of
/// an epoch. An issuer that keeps it is never refused, even if the first came late.
pub(super) fn pause(params: &NetworkParameters) -> Span {
    params.epoch.scale(1, 20)
}

/// How much sooner one is taken: three at once, for a node that moves or leaves does not wait.
pub(super) fn sooner(params: &NetworkParameters) -> Span {
    pause(params).scale(2, 1)
}

/// What became of a descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It was taken.
    New,
    /// It is known, or of no use beside what is known.
    Known,
    /// Another one with its sequence number is known. The first one is kept.
    Equivocation,
    /// Its identity has had another one taken a moment ago.
    TooSoon,
    /// There are too many identities.
    NoRoom,
    /// A stranger has not done the work that the network asks for, or for a term that is long over; or it is not
    /// invited by a member that may, or that has invited another one that waits.
    Unproven,
}

/// A descriptor that is no longer kept, by identity and sequence number.
pub(super) type Removed = (NodeId, u64);

impl Pool {
    /// Takes a verified descriptor, and says which ones it displaced.
    pub(super) fn insert(
        &mut self,
        rules: &Rules,
        (now, target): (Time, Epoch),
        signed: SignedDescriptor,
    ) -> (Inserted, Vec<Removed>) {
        let (id, sequence) = (signed.id(), signed.sequence());
        let issued_at = signed.descriptor().issued_at;
        let mut removed = Vec::new();
        if !self.entries.contains_key(&id) && self.entries.len() >= MAX_DESCRIPTORS {
            // The genesis members' places can't be taken by whoever comes first.
            let stranger = |id: &&NodeId| !rules.is_genesis(id);
            let victim = self.entries.keys().rfind(stranger).copied();
            let Some(victim) = victim.filter(|_| rules.is_genesis(&id)) else {
                return (Inserted::NoRoom, removed);
            };
            let displaced = self.entries.remove(&victim).unwrap_or_default();
            removed.extend(displaced.kept.iter().map(|old| (victim, old.sequence())));
        }
        let entry = self.entries.entry(id).or_default();
        if let Some(same) = entry.kept.iter().find(|old| old.sequence() == sequence) {
            let same = same.encode() == signed.encode();
            return (
                if same {
                    Inserted::Known
                } else {
                    Inserted::Equivocation
                },
                removed,
            );
        }
        if *entry.from(sequence) > now + sooner(&rules.params) {
            return (Inserted::TooSoon, removed);
        }
        // From when it was issued, as far as that is worth believing: it may have come late.
        let pause = pause(&rules.params);
        let issued_at = issued_at.max(now - pause).min(now);
        let from = entry.from(sequence);
        *from = issued_at.max(*from) + pause;
        let kept = &mut entry.kept;
        kept.push(signed);
        kept.sort_by_key(SignedDescriptor::sequence);
        let trimmed = trim(&rules.params, target, kept);
        removed.extend(trimmed.into_iter().map(|old| (id, old)));
        // What was trimmed at once was of no use and never kept.
        let useless = removed.iter().position(|gone| *gone == (id, sequence));
        if let Some(index) = useless {
            removed.swap_remove(index);
            return (Inserted::Known, removed);
        }
        (Inserted::New, removed)
    }

    /// Forgets what has expired or no longer counts.
    pub(super) fn prune(
        &mut self,
        params: &NetworkParameters,
        target: Epoch,
        now: Time,
    ) -> Vec<Removed> {
        let mut removed = Vec::new();
        self.entries.retain(|id, entry| {
            let kept = &mut entry.kept;
            kept.retain(|signed| {
                let valid = signed.descriptor().expires_at > now;
                if !valid {
                    removed.push((*id, signed.sequence()));
                }
                valid
            });
            removed.extend(trim(params, target, kept).into_iter().map(|old| (*id, old)));
            !kept.is_empty()
        });
        removed
    }

    /// Forgets an identity.
    pub(super) fn remove(&mut self, id: &NodeId) -> Vec<Removed> {
        let gone = self.entries.remove(id).unwrap_or_default();
        let gone = gone.kept.iter().map(|old| (*id, old.sequence()));
        gone.collect()
    }

    /// Every descriptor, ascending by identity and sequence number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedDescriptor> {
        self.entries.values().flat_map(|entry| &entry.kept)
    }

    /// The descriptors of an identity, ascending by sequence number.
    pub(super) fn of(&self, id: &NodeId) -> &[SignedDescriptor] {
        let entry = self.entries.get(id);
        entry.map_or(&[], |entry| entry.kept.as_slice())
    }

    /// Whether a descriptor of this identity covers the epoch.
    pub(super) fn covers(&self, params: &NetworkParameters, epoch: Epoch, id: &NodeId) -> bool {
        let mut known = self.of(id).iter();
        known.any(|signed| covers(params, epoch, signed))
    }

    /// Whatever this identity says next is taken, however soon.
    pub(super) fn allow(&mut self, id: &NodeId) {
        if let Some(entry) = self.entries.get_mut(id) {
            (entry.newest_from, entry.older_from) = (Time::default(), Time::default());
        }
    }

    /// Whether one of this identity with this sequence number would be taken now, as far as can be told
    /// without verifying it.
    pub(super) fn takes(
        &self,
        params: &NetworkParameters,
        now: Time,
        (id, sequence): (&NodeId, u64),
    ) -> bool {
        self.entries.get(id).is_none_or(|entry| {
            let from = match entry.is_newest(sequence) {
                true => entry.newest_from,
                false => entry.older_from,
            };
            from <= now + sooner(params) || entry.kept.iter().any(|old| old.sequence() == sequence)
        })
    }

    /// Whether the newest that a node has said is that it leaves.
    pub(super) fn leaves(&self, id: &NodeId) -> bool {
        let newest = self.of(id).last();
        newest.is_some_and(|signed| signed.descriptor().leaving)
    }

    /// The nodes of which that is so.
    pub(super) fn leaving(&self) -> BTreeSet<NodeId> {
        let ids = self.entries.keys().filter(|id| self.leaves(id));
        ids.copied().collect()
    }

    /// Whether these very bytes are known.
    pub(super) fn contains(&self, id: &NodeId, bytes: &[u8]) -> bool {
        self.of(id).iter().any(|signed| signed.encode() == bytes)
    }

    /// How many identities there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Leaves the latest, and the latest that counts for the target epoch.
fn trim(params: &NetworkParameters, target: Epoch, kept: &mut Vec<SignedDescriptor>) -> Vec<u64> {
    if kept.len() < 2 {
        return Vec::new();
    }
    let latest = kept.last().map(SignedDescriptor::sequence);
    let stays = |signed: &&SignedDescriptor| !signed.descriptor().leaving;
    let mut counted = kept.iter().filter(stays);
    let counted = counted.rfind(|signed| in_time(params, target, signed));
    let counted = counted.map(SignedDescriptor::sequence);
    let mut removed = Vec::new();
    kept.retain(|signed| {
        let keep = [latest, counted].contains(&Some(signed.sequence()));
        if !keep {
            removed.push(signed.sequence());
        }
        keep
    });
    removed
}

/// Whether a descriptor has a key for the epoch and lasts to its end.
fn covers(params: &NetworkParameters, epoch: Epoch, signed: &SignedDescriptor) -> bool {
    signed.descriptor().key_for(epoch).is_some()
        && signed.descriptor().expires_at >= params.start_of(epoch.next())
}

/// Whether a descriptor covers the epoch and was issued before the deadline for it.
fn in_time(params: &NetworkParameters, epoch: Epoch, signed: &SignedDescriptor) -> bool {
    covers(params, epoch, signed) && signed.descriptor().issued_at < params.issue_deadline(epoch)
}

/// The terms whose seats the work of newcomers may rest on: that of the next height, and the one before.
pub(super) type Salts = [Option<Salt>; 2];

/// Those of the terms that these seats decide.
pub(super) fn salts(seats: Option<&Seats>, before: Option<&Seats>) -> Salts {
    [seats, before].map(|seats| seats.map(|seats| Salt::of(&seats.hash())))
}

/// What decides which descriptors a document can be made of.
pub(super) struct Door<'a> {
    pub(super) rules: &'a Rules,
    pub(super) epoch: Epoch,
    /// The document before.
    pub(super) base: Option<&'a Document>,
    pub(super) salts: Salts,
    /// Looked up when somebody is at the door who has to be invited.
    inviters: OnceCell<Inviters<'a>>,
}

impl<'a> Door<'a> {
    pub(super) const fn new(
        rules: &'a Rules,
        epoch: Epoch,
        base: Option<&'a Document>,
        salts: Salts,
    ) -> Self {
        Self {
            rules,
            epoch,
            base,
            salts,
            inviters: OnceCell::new(),
        }
    }

    /// Whether a descriptor counts for the document that follows `base`: it was issued in time, or
    /// `base` itself lists it, as it does when the first document was formed late in an epoch. In the first
    /// document those of the first members count, and after a time without a document all do: nobody could
    /// issue one in time for it. Of a stranger it counts if the network takes strangers, and it has done the work or is
    /// invited.
    pub(super) fn admits(&self, signed: &SignedDescriptor) -> bool {
        let (rules, epoch, params) = (self.rules, self.epoch, &self.rules.params);
        let begun = signed.descriptor().issued_at < params.start_of(epoch.next());
        if signed.descriptor().leaving || !begun || !covers(params, epoch, signed) {
            return false;
        }
        let is_genesis = rules.is_genesis(&signed.id());
        let Some(base) = self.base else {
            return is_genesis;
        };
        let listed = base.member(&signed.id());
        if listed.is_none() && !is_genesis && !self.may_come(signed) {
            return false;
        }
        is_lapsed(base.epoch(), epoch)
            || in_time(params, epoch, signed)
            || listed.is_some_and(|listed| listed.sequence == signed.sequence())
    }

    /// Whether a stranger may ask for a place: the work that it shows rests on the seats of one of these terms, or
    /// the invitation counts. That it has been done, or is signed, was seen with the signature.
    pub(super) fn may_come(&self, signed: &SignedDescriptor) -> bool {
        let (params, shown) = (&self.rules.params, &signed.descriptor().admission);
        let rests = |work: Work| self.salts.contains(&Some(work.salt));
        match params.admission {
            Admission::List => false,
            Admission::Open if params.work == 0 => true,
            Admission::Open => Work::read(shown).is_some_and(rests),
            Admission::Invitation => Invitation::read(shown).is_some_and(|it| self.counts(&it)),
        }
    }

    /// Whether an invitation counts: its time is not over, and who has signed it may bring somebody in now.
    fn counts(&self, shown: &Invitation) -> bool {
        let Some(base) = self.base else { return false };
        let inviters = self.inviters.get_or_init(|| Inviters::of(self.rules, base));
        let free = inviters.from(&shown.by);
        shown.lasts(self.epoch) && free.is_some_and(|from| from <= base.height().next())
    }
}

/// Whether a document of the one epoch is not in force any more in the other.
pub(crate) fn is_lapsed(document: Epoch, epoch: Epoch) -> bool {
    epoch.number() > document.number().saturating_add(MAX_STALE_EPOCHS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::Span;

    use super::*;
    use crate::{Descriptor, Identity, PACKET_VERSION, Role};

    fn issue(params: &NetworkParameters, who: u64, sequence: u64, issued: u64) -> SignedDescriptor {
        let mut rng = ChaCha20Rng::seed_from_u64(who);
        let identity = Identity::generate(&mut rng);
        let key = shoal_packet::SphinxSecret::generate(&mut rng).public();
        let descriptor = Descriptor {
            identity: identity.id(),
            role: Role::Mix,
            sequence,
            issued_at: params.genesis + Span::from_secs(issued),
            expires_at: params.start_of(Epoch::new(2)),
            first_epoch: Epoch::new(0),
            keys: vec![key, key],
            addresses: vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()],
            versions: vec![PACKET_VERSION],
            capacity_class: 0,
            storage_mib: issued,
            family: None,
            admission: Vec::new(),
            vrf_key: identity.vrf_key().public(),
            seat_key: identity.id(),
            leaving: false,
            tokens: None,
        };
        SignedDescriptor::sign(&identity, params, descriptor).unwrap()
    }

    const NEXT: Epoch = Epoch::new(1);

    #[test]
    fn the_latest_and_the_one_that_counts_are_kept() {
        let params = NetworkParameters::example();
        let rules = Rules::of(&params);
        let mut pool = Pool::default();
        let id = issue(&params, 1, 1, 0).id();
        let at = |seconds| params.genesis + Span::from_secs(seconds);
        let mut take = |sequence, issued| {
            let when = (at(issued + 400), NEXT);
            let (inserted, removed) =
                pool.insert(&rules, when, issue(&params, 1, sequence, issued));
            let kept: Vec<u64> = pool
                .of(&id)
                .iter()
                .map(SignedDescriptor::sequence)
                .collect();
            (inserted, kept, removed.len())
        };
        assert_eq!(take(2, 10), (Inserted::New, vec![2], 0));
        assert_eq!(take(2, 10), (Inserted::Known, vec![2], 0));
        assert_eq!(take(2, 11), (Inserted::Equivocation, vec![2], 0));
        assert_eq!(take(1, 9), (Inserted::Known, vec![2], 0));
        assert_eq!(take(3, 190), (Inserted::New, vec![3], 1));
        // After the half of the epoch, 3 is what counts for the next one.
        assert_eq!(take(5, 1900), (Inserted::New, vec![3, 5], 0));
        assert_eq!(take(4, 1850), (Inserted::Known, vec![3, 5], 0));
        assert_eq!(take(6, 2080), (Inserted::New, vec![3, 6], 1));
        assert_eq!(pool.prune(&params, NEXT.next(), params.genesis).len(), 1);
        assert_eq!(
            pool.prune(&params, NEXT, params.start_of(Epoch::new(2)))
                .len(),
            1
        );
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn an_identity_has_one_taken_in_a_twentieth_of_an_epoch() {
        let params = NetworkParameters::example();
        let (rules, mut pool) = (Rules::of(&params), Pool::default());
        let mut flood = |from: u64, seconds: u64, backdated: u64| {
            let mut taken = 0;
            for second in 0..seconds {
                let now = params.genesis + Span::from_secs(from + second);
                let issued = (from + second).saturating_sub(backdated);
                let signed = issue(&params, 1, from + second, issued);
                taken += usize::from(pool.insert(&rules, (now, NEXT), signed).0 == Inserted::New);
            }
            taken
        };
        // Every second, a twentieth of an epoch being 180 s, three at once; then with dates that say that they are late.
        assert_eq!(flood(0, 1000, 0), 6 + 2);
        assert_eq!(flood(1000, 1000, 900), 6);
    }

    #[test]
    fn an_issuer_that_keeps_the_pause_is_never_refused() {
        let params = NetworkParameters::example();
        let (rules, mut pool) = (Rules::of(&params), Pool::default());
        // Both descriptors come late and together, in either order.
        for (who, order) in [(1, [1, 2]), (2, [2, 1])] {
            for sequence in order {
                let signed = issue(&params, who, sequence, sequence * 1700);
                let now = params.genesis + Span::from_secs(3402);
                let (inserted, _) = pool.insert(&rules, (now, NEXT), signed);
                assert_eq!(inserted, Inserted::New, "{who} {sequence}");
            }
        }
        for sequence in 1..8 {
            // The one comes a whole pause late, the next at once.
            let late = if sequence % 2 == 0 { 0 } else { 180 };
            let now = params.genesis + Span::from_secs(180 * sequence + late);
            let signed = issue(&params, 3, sequence, 180 * sequence);
            let (inserted, _) = pool.insert(&rules, (now, NEXT), signed);
            assert_eq!(inserted, Inserted::New, "{sequence}");
        }
    }

    #[test]
    fn memory_is_bounded_and_genesis_members_have_their_place() {
        let mut params = NetworkParameters::example();
        let late = issue(&params, 1_000_000, 1, 0).id();
        params.genesis_members.push(crate::GenesisMember {
            id: late,
            role: Role::Mix,
            addresses: Vec::new(),
            family: None,
        });
        let rules = Rules::of(&params);
        let (mut pool, when) = (Pool::default(), (params.genesis, NEXT));
        for who in 0..MAX_DESCRIPTORS as u64 {
            assert_eq!(
                pool.insert(&rules, when, issue(&params, who, 1, 0)).0,
                Inserted::New
            );
        }
        let (inserted, _) = pool.insert(&rules, when, issue(&params, 999_999, 1, 0));
        assert_eq!((inserted, pool.len()), (Inserted::NoRoom, MAX_DESCRIPTORS));
        let (inserted, removed) = pool.insert(&rules, when, issue(&params, 1_000_000, 1, 0));
        assert_eq!((inserted, removed.len()), (Inserted::New, 1));
        assert_eq!(pool.len(), MAX_DESCRIPTORS);
    }
}
