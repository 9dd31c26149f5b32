use crate::key::SphinxPublic;
use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::traits::BasepointTable;
use std::collections::BTreeMap;
use std::fmt;

/// Multiples of the node keys of an epoch, with which [`Builder`](crate::Builder) agrees faster
/// on a secret with those nodes.
///
/// A table takes [`KeyTables::TABLE_BYTES`] and as long to make as ten packets of 5 hops. It pays
/// for a key that is on more than about 40 routes of the epoch, or about 200 with the scalar back
/// end, which is faster without than the portable one. So the caller says which keys, and when;
/// it drops the whole with the epoch. Packets are the same, byte for byte, with and without.
///
/// How long building takes shows how many of a route's keys have tables: have them for all nodes
/// of an epoch, or for none.
///
/// ```
/// use rand_chacha::rand_core::SeedableRng;
/// use shoal_packet::{Builder, Hop, KeyTables, SphinxSecret};
/// use shoal_proto::{NodeId, Span};
///
/// let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
/// let key = SphinxSecret::generate(&mut rng).public();
/// let mut tables = KeyTables::new(100);
/// assert!(tables.prepare(&key));
///
/// let route = [Hop { node: NodeId::new([1; 32]), key, delay: Span::ZERO }];
/// let builder = Builder::best().with_tables(&tables);
/// let packet = builder.build_forward(&mut rng, &route, b"text")?;
/// # Ok::<(), shoal_packet::PacketError>(())
/// ```
pub struct KeyTables {
    capacity: usize,
    tables: BTreeMap<SphinxPublic, Box<EdwardsBasepointTable>>,
}

impl KeyTables {
    /// Bytes of one table: 256 multiples of the key, in radix 16. Larger radices need fewer
    /// additions, but each of those reads a whole row, so that no access depends on the secret:
    /// twice the table gains 2 %, and larger ones lose.
    pub const TABLE_BYTES: usize = size_of::<EdwardsBasepointTable>();

    /// No tables yet, and never more than `capacity`: at most `capacity` times
    /// [`KeyTables::TABLE_BYTES`] and 128 bytes more for each, and a kilobyte.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            tables: BTreeMap::new(),
        }
    }

    /// Makes a table for a key that has none. Whether the key has one now: not, if there is no
    /// room. None is ever pushed out.
    pub fn prepare(&mut self, key: &SphinxPublic) -> bool {
        if self.tables.contains_key(key) {
            return true;
        }
        if self.tables.len() >= self.capacity {
            return false;
        }
        // Of the two points with this coordinate either will do: their multiples have the same
        // coordinate too.
        let Some(point) = MontgomeryPoint(*key.as_bytes()).to_edwards(0) else {
            return false;
        };
        let table = Box::new(EdwardsBasepointTable::create(&point));
        self.tables.insert(*key, table);
        true
    }

    /// Drops the tables of all keys of which `keep` does not say so.
    pub fn retain(&mut self, mut keep: impl FnMut(&SphinxPublic) -> bool) {
        self.tables.retain(|key, _| keep(key));
    }

    /// Whether a key has a table.
    #[must_use]
    pub fn contains(&self, key: &SphinxPublic) -> bool {
        self.tables.contains_key(key)
    }

    /// How many keys have tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many keys may have tables.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn table(&self, key: &SphinxPublic) -> Option<&EdwardsBasepointTable> {
        self.tables.get(key).map(Box::as_ref)
    }
}

/// How many, but not whose.
impl fmt::Debug for KeyTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTables")
            .field("capacity", &self.capacity)
            .field("len", &self.tables.len())
            .finish_non_exhaustive()
    }
}
