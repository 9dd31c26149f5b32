//! The providers by which a client enters: a short list, drawn once and kept.
//!
//! An entry sees where its client is, and one that works together with the mailbox's provider can
//! tell whose mailbox that is. Who draws a new entry for each connection meets such a one sooner or
//! later, the sooner the more often somebody cuts the connection. So the list is drawn once and
//! kept for long, as Tor keeps its guards (<https://spec.torproject.org/guard-spec/>), and nothing
//! but the user makes it longer.

use std::collections::BTreeSet;

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_client::{Change, ClientError, Row, Table};
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::{Document, Member, Role};

use super::error::SessionError;

/// How long a list is kept.
const KEPT: Span = Span::from_secs(90 * 86_400);
/// How long an entry has to fail before the next one serves.
const PATIENCE: Span = Span::from_secs(600);
/// How long one that failed is passed over then.
const PASSED_OVER: Span = Span::from_secs(3600);
/// Entries of a list in a large network.
const MOST: usize = 3;
/// Where the list is on the disk.
const KEY: &[u8] = b"entries";
/// Of the row's layout.
const VERSION: u8 = 1;

/// The entries of one client, and how they did.
pub(super) struct Entries {
    /// What the user says. Then nothing is drawn.
    pinned: Option<NodeId>,
    list: Vec<Kept>,
    until: Time,
}

struct Kept {
    node: NodeId,
    /// Since when it has failed, without a connection that lasted.
    failing: Option<Time>,
}

impl Entries {
    /// With what the disk has.
    ///
    /// # Errors
    /// When the row is damaged.
    pub(super) fn new(pinned: Option<NodeId>, rows: &[Row]) -> Result<Self, ClientError> {
        let mut entries = Self {
            pinned,
            list: Vec::new(),
            until: Time::default(),
        };
        let row = rows.iter().find(|row| row.table == Table::Entries);
        if let Some(row) = row {
            (entries.until, entries.list) = decode(&row.value).ok_or_else(|| ClientError::Row {
                table: row.table,
                key: String::from_utf8_lossy(&row.key).into_owned(),
                reason: "not a list of entries",
            })?;
        }
        Ok(entries)
    }

    /// The entries: what the user says, or what was drawn.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let drawn = self.list.iter().map(|kept| kept.node);
        self.pinned
            .map_or_else(|| drawn.collect(), |pinned| vec![pinned])
    }

    /// Whether a list has to be drawn: there is none, or it is too old.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.pinned.is_none() && (self.list.is_empty() || now >= self.until)
    }

    /// Draws the list: providers of different families in different networks (address prefixes), and
    /// none that has one of them in common with those of the own `mailboxes`: the two could link the owner.
    /// Gives what has to be on disk before one of them is used: who forgot them would draw others.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn draw(
        &mut self,
        now: Time,
        document: &Document,
        mailboxes: &[NodeId],
        rng: &mut ChaCha20Rng,
    ) -> Result<Change, SessionError> {
        let all = document.apart(Vec::new(), document.providers().iter().copied());
        // Of several places some may be at one provider.
        let at: BTreeSet<&NodeId> = mailboxes.iter().collect();
        let most = all.len().saturating_sub(at.len() + 1);
        let most = most.clamp(1, MOST);
        let mut providers = document.providers().to_vec();
        providers.retain(|id| !mailboxes.contains(id));
        providers.shuffle(rng);
        let members = mailboxes.iter().filter_map(|id| document.member(id));
        let mut providers = document.apart(members.map(Member::ties).collect(), providers);
        providers.truncate(most);
        if providers.is_empty() {
            return Err(SessionError::NoEntry);
        }
        let kept = |node| Kept {
            node,
            failing: None,
        };
        self.list = providers.into_iter().map(kept).collect();
        self.until = now + KEPT;
        Ok(Change::put(
            Table::Entries,
            KEY.to_vec(),
            self.encode().into(),
        ))
    }

    /// The list could not be kept: it is drawn anew.
    pub(super) fn forget(&mut self) {
        self.list.clear();
    }

    /// The entry that serves now: the first of the list, unless it has failed for ten minutes or is
    /// not in the directory; then the next.
    ///
    /// # Errors
    /// When none can serve. Nobody is drawn for it: that is for the user to ask.
    pub(super) fn choose<'a>(
        &mut self,
        now: Time,
        document: &'a Document,
        mailboxes: &[NodeId],
    ) -> Result<&'a Member, SessionError> {
        let tied = |id: &NodeId| {
            let with = |mailbox: &NodeId| *id == *mailbox || tied(document, id, mailbox);
            mailboxes.iter().any(with)
        };
        if let Some(pinned) = self.pinned {
            let member = provider(document, &pinned).ok_or(SessionError::NoEntry)?;
            let apart = !tied(&pinned);
            return apart.then_some(member).ok_or(SessionError::EntryOfMailbox);
        }
        let mut usable: Vec<(&mut Kept, &Member)> = self
            .list
            .iter_mut()
            .filter(|kept| !tied(&kept.node))
            .filter_map(|kept| {
                let member = provider(document, &kept.node)?;
                Some((kept, member))
            })
            .collect();
        for (kept, member) in &mut usable {
            match kept.failing.map(|since| now.since(since)) {
                Some(failed) if failed >= PATIENCE + PASSED_OVER => kept.failing = None,
                Some(failed) if failed >= PATIENCE => continue,
                _ => {}
            }
            return Ok(member);
        }
        // All have failed: from the first on again.
        for (kept, _) in &mut usable {
            kept.failing = None;
        }
        let first = usable.first().map(|(_, member)| *member);
        first.ok_or(SessionError::EntriesGone)
    }

    /// A connection to it was good for a while.
    pub(super) fn served(&mut self, node: &NodeId) {
        if let Some(kept) = self.list.iter_mut().find(|kept| kept.node == *node) {
            kept.failing = None;
        }
    }

    /// A connection to it has ended, or was never made.
    pub(super) fn failed(&mut self, now: Time, node: &NodeId) {
        if let Some(kept) = self.list.iter_mut().find(|kept| kept.node == *node) {
            kept.failing = kept.failing.or(Some(now));
        }
    }

    /// The clock moved: the list is kept until the same date, what has failed has failed as long.
    pub(super) fn shift(&mut self, shift: impl Fn(Time) -> Time) {
        for kept in &mut self.list {
            kept.failing = kept.failing.map(&shift);
        }
    }

    /// Version, until when in microseconds (big-endian), the nodes in order.
    fn encode(&self) -> Vec<u8> {
        let mut value = vec![VERSION];
        value.extend(self.until.as_micros().to_be_bytes());
        for kept in &self.list {
            value.extend(kept.node.as_bytes());
        }
        value
    }
}

fn decode(value: &[u8]) -> Option<(Time, Vec<Kept>)> {
    let (until, nodes) = value.strip_prefix(&[VERSION])?.split_first_chunk()?;
    let (nodes, rest) = nodes.as_chunks::<32>();
    let sound = rest.is_empty() && (1..=MOST).contains(&nodes.len());
    let kept = |node: &[u8; 32]| Kept {
        node: NodeId::new(*node),
        failing: None,
    };
    let until = Time::from_micros(u64::from_be_bytes(*until));
    sound.then(|| (until, nodes.iter().map(kept).collect()))
}

/// The entries of a client's rows, in order, and until when they are kept; none before they are
/// drawn.
#[must_use]
pub fn kept_entries(rows: &[Row]) -> Option<(Vec<NodeId>, Time)> {
    let row = rows.iter().find(|row| row.table == Table::Entries)?;
    let (until, list) = decode(&row.value)?;
    Some((list.into_iter().map(|kept| kept.node).collect(), until))
}

/// The change after which others are drawn at the next connection.
#[must_use]
pub fn forget_entries() -> Change {
    Change::delete(Table::Entries, KEY.to_vec())
}

fn tied(document: &Document, node: &NodeId, other: &NodeId) -> bool {
    let both = document.member(node).zip(document.member(other));
    both.is_some_and(|(node, other)| node.ties().meet(&other.ties()).is_some())
}

fn provider<'a>(document: &'a Document, id: &NodeId) -> Option<&'a Member> {
    let member = document.member(id)?;
    (member.role == Role::Provider).then_some(member)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::SeedableRng as _;
    use shoal_proto::Epoch;
    use shoal_topology::sample::Network;
    use shoal_topology::{FamilyKey, NetworkParameters};

    use super::*;

    const NOW: Time = Time::from_micros(1 << 50);
    const MINUTE: Span = Span::from_secs(60);

    fn key(family: u8) -> Arc<FamilyKey> {
        Arc::new(FamilyKey::from_bytes(&[family; 32]))
    }

    struct Scene {
        network: Network,
        rng: ChaCha20Rng,
        providers: Vec<NodeId>,
    }

    impl Scene {
        /// A network with so many providers, the first of which keeps the mailbox.
        fn new(providers: u8) -> Self {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let network = Network::new(&mut rng, NetworkParameters::example(), 2, providers);
            let providers = network.ids(Role::Provider).collect();
            Self {
                network,
                rng,
                providers,
            }
        }

        fn family(&mut self, provider: usize, family: u8) {
            let id = self.providers[provider];
            self.network.nodes.get_mut(&id).expect("node").family = Some(key(family));
        }

        fn document(&mut self) -> Arc<Document> {
            let document = self.network.document(&mut self.rng, Epoch::new(0), None);
            document.expect("document")
        }

        fn entries(&self, pinned: Option<NodeId>) -> Entries {
            Entries::new(pinned, &[]).expect("no rows")
        }

        fn drawn(&mut self, document: &Document) -> (Entries, Row) {
            let mut entries = self.entries(None);
            assert!(entries.is_over(NOW));
            let change = entries
                .draw(NOW, document, &self.providers[..1], &mut self.rng)
                .expect("drawn");
            let (key, value) = (change.key, change.value.expect("a value"));
            let table = change.table;
            (entries, Row { table, key, value })
        }
    }

    fn nodes(entries: &Entries) -> Vec<NodeId> {
        entries.list.iter().map(|kept| kept.node).collect()
    }

    #[test]
    fn as_many_are_drawn_as_the_network_has_families_for() {
        for (providers, expected) in [(2, 1), (3, 1), (4, 2), (5, 3), (9, 3)] {
            let mut scene = Scene::new(providers);
            let document = scene.document();
            let (entries, _) = scene.drawn(&document);
            assert_eq!(entries.list.len(), expected, "{providers}");
            assert!(!nodes(&entries).contains(&scene.providers[0]));
        }
        let mut scene = Scene::new(1);
        let document = scene.document();
        let drawn = scene
            .entries(None)
            .draw(NOW, &document, &scene.providers[..1], &mut scene.rng);
        assert!(matches!(drawn, Err(SessionError::NoEntry)));
    }

    #[test]
    fn none_is_of_a_family_with_either_of_two_mailboxes() {
        for (providers, expected) in [(3, 1), (4, 1), (5, 2), (6, 3)] {
            let mut scene = Scene::new(providers);
            scene.family(0, 1);
            let document = scene.document();
            let mailboxes = [scene.providers[0], scene.providers[1]];
            let mut entries = scene.entries(None);
            let drawn = entries.draw(NOW, &document, &mailboxes, &mut scene.rng);
            assert!(drawn.is_ok());
            assert_eq!(entries.list.len(), expected, "{providers}");
            assert!(!nodes(&entries).iter().any(|id| mailboxes.contains(id)));
        }
        // It joins the family of the second mailbox.
        let mut scene = Scene::new(3);
        let mailboxes = [scene.providers[0], scene.providers[1]];
        let document = scene.document();
        let mut entries = scene.entries(None);
        let drawn = entries.draw(NOW, &document, &mailboxes, &mut scene.rng);
        assert!(drawn.is_ok());
        (1..3).for_each(|provider| scene.family(provider, 7));
        let document = scene.document();
        let chosen = entries.choose(NOW, &document, &mailboxes).map(|m| m.id);
        assert_eq!(chosen, Err(SessionError::EntriesGone));
    }

    #[test]
    fn no_two_are_of_a_family_and_none_of_the_mailboxs() {
        let mut scene = Scene::new(9);
        for (provider, family) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3)] {
            scene.family(provider, family);
        }
        let document = scene.document();
        let mut met = BTreeSet::new();
        for _ in 0..200 {
            let (entries, _) = scene.drawn(&document);
            let families = nodes(&entries);
            let families: BTreeSet<_> = families.iter().map(|id| document.family(id)).collect();
            assert_eq!(families.len(), 3);
            assert!(!families.contains(&document.family(&scene.providers[0])));
            met.extend(nodes(&entries));
        }
        assert_eq!(met.len(), 7);
        // A family that is the mailbox's from now on is not used any more.
        let (mut entries, _) = scene.drawn(&document);
        let first = nodes(&entries)[0];
        assert_eq!(
            entries
                .choose(NOW, &document, &scene.providers[..1])
                .map(|m| m.id),
            Ok(first)
        );
        scene.network.nodes.get_mut(&first).expect("node").family = Some(key(1));
        let document = scene.document();
        let second = nodes(&entries)[1];
        assert_eq!(
            entries
                .choose(NOW, &document, &scene.providers[..1])
                .map(|m| m.id),
            Ok(second)
        );
    }

    #[test]
    fn no_two_are_in_one_network_and_none_in_the_mailboxs() {
        let mut scene = Scene::new(9);
        let params = Arc::make_mut(&mut scene.network.params);
        for (index, member) in params.genesis_members.iter_mut().enumerate() {
            // Providers 0 and 1 beside each other, and 2, 3 and 4.
            let at = scene.providers.iter().position(|id| *id == member.id);
            let network = match at {
                Some(0 | 1) => 1,
                Some(2..=4) => 2,
                _ => 10 + index,
            };
            let address = format!("/ip4/9.9.{network}.{}/tcp/4140", index + 1);
            member.addresses = vec![address.parse().expect("address")];
        }
        let document = scene.document();
        for _ in 0..200 {
            let (entries, _) = scene.drawn(&document);
            let drawn = nodes(&entries);
            let beside = |ids: &[NodeId]| ids.iter().filter(|id| drawn.contains(id)).count();
            assert_eq!(drawn.len(), 3);
            assert_eq!(beside(&scene.providers[..2]), 0);
            assert!(beside(&scene.providers[2..5]) <= 1);
        }
        let pinned = Some(scene.providers[1]);
        let chosen = scene
            .entries(pinned)
            .choose(NOW, &document, &scene.providers[..1])
            .map(|m| m.id);
        assert!(matches!(chosen, Err(SessionError::EntryOfMailbox)));
    }

    #[test]
    fn the_list_is_kept_for_ninety_days_and_restarts() {
        let mut scene = Scene::new(6);
        let document = scene.document();
        let (entries, row) = scene.drawn(&document);
        let after = Entries::new(None, std::slice::from_ref(&row));
        let mut after = after.expect("sound");
        assert_eq!(nodes(&after), nodes(&entries));
        let end = NOW + KEPT;
        assert!(!after.is_over(end - Span::from_micros(1)) && after.is_over(end));
        assert_eq!(
            kept_entries(std::slice::from_ref(&row)),
            Some((nodes(&entries), end))
        );
        after.forget();
        assert!(after.is_over(NOW));
        assert_eq!(forget_entries().key, row.key);
        for value in [&row.value[..40], &[], &[2; 41], &row.value[..9]] {
            let (table, key) = (row.table, row.key.clone());
            let value = value.to_vec().into();
            let damaged = [Row { table, key, value }];
            assert!(Entries::new(None, &damaged).is_err());
        }
    }

    #[test]
    fn the_next_serves_after_ten_minutes_or_at_once_if_one_is_gone_and_never_a_further_one() {
        let mut scene = Scene::new(6);
        let document = scene.document();
        let (mut entries, _) = scene.drawn(&document);
        let list = nodes(&entries);
        let mailboxes = [scene.providers[0]];
        let chosen = |entries: &mut Entries, now, document: &Document| {
            let chosen = entries.choose(now, document, &mailboxes);
            chosen.map(|member| member.id)
        };
        entries.failed(NOW, &list[0]);
        entries.failed(NOW + MINUTE, &list[0]);
        let almost = NOW + PATIENCE - Span::from_micros(1);
        assert_eq!(chosen(&mut entries, almost, &document), Ok(list[0]));
        let now = NOW + PATIENCE;
        assert_eq!(chosen(&mut entries, now, &document), Ok(list[1]));
        // A connection that lasted starts over; one that did not does not.
        entries.failed(NOW, &list[1]);
        entries.served(&list[1]);
        entries.failed(now, &list[1]);
        let later = now + PATIENCE;
        assert_eq!(chosen(&mut entries, later, &document), Ok(list[2]));
        entries.failed(later, &list[2]);
        let last = later + PATIENCE;
        // All have failed: the first again, and nobody else.
        assert_eq!(chosen(&mut entries, last, &document), Ok(list[0]));
        let (mut entries, _) = scene.drawn(&document);
        let list = nodes(&entries);
        for (gone, left) in [(0, Some(1)), (1, Some(2)), (2, None)] {
            scene.network.nodes.remove(&list[gone]);
            let document = scene.document();
            let expected =
                left.map_or(Err(SessionError::EntriesGone), |left: usize| Ok(list[left]));
            assert_eq!(chosen(&mut entries, NOW, &document), expected);
        }
    }

    #[test]
    fn one_that_failed_is_tried_again_after_an_hour() {
        let mut scene = Scene::new(6);
        let document = scene.document();
        let (mut entries, _) = scene.drawn(&document);
        let list = nodes(&entries);
        entries.failed(NOW, &list[0]);
        let before = NOW + PATIENCE + PASSED_OVER - Span::from_micros(1);
        let after = NOW + PATIENCE + PASSED_OVER;
        assert_eq!(
            entries
                .choose(before, &document, &scene.providers[..1])
                .map(|m| m.id),
            Ok(list[1])
        );
        assert_eq!(
            entries
                .choose(after, &document, &scene.providers[..1])
                .map(|m| m.id),
            Ok(list[0])
        );
    }

    #[test]
    fn who_is_named_by_the_user_serves_unless_the_mailbox_is_there() {
        let mut scene = Scene::new(3);
        scene.family(0, 1);
        scene.family(1, 1);
        let document = scene.document();
        let mix = document.mixes(1)[0];
        for (index, expected) in [
            (0, Err(SessionError::EntryOfMailbox)),
            (1, Err(SessionError::EntryOfMailbox)),
            (2, Ok(scene.providers[2])),
        ] {
            let mut entries = scene.entries(Some(scene.providers[index]));
            assert!(!entries.is_over(NOW));
            assert_eq!(
                entries
                    .choose(NOW, &document, &scene.providers[..1])
                    .map(|m| m.id),
                expected
            );
        }
        let chosen = scene
            .entries(Some(mix))
            .choose(NOW, &document, &scene.providers[..1])
            .map(|m| m.id);
        assert_eq!(chosen, Err(SessionError::NoEntry));
    }
}
