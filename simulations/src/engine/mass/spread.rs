//! How mass moves with packets through nodes.

use super::kernel;
use super::store::{EMPTY, Store};
use crate::engine::NONE;

/// Below this a pool's factor is multiplied into its row.
const LEAST_SCALE: f64 = 1e-150;
/// The factor that a corrupt node's pool never needs.
const ONE: f64 = 1.0;

/// The packets in an honest node: which is which is not known, so that they share one row.
#[derive(Clone, Copy)]
struct Pool {
    count: u32,
    version: u32,
    scale: f64,
}

/// What is known of a packet on a link or in a corrupt node.
#[derive(Clone, Copy)]
struct Carry {
    version: u32,
    /// The place of the target that it is in truth.
    place: u32,
    scale: f64,
}

const NOTHING: Carry = Carry {
    version: EMPTY,
    place: NONE,
    scale: ONE,
};

/// Masses of all targets in all nodes and packets. Packets are named by any small numbers.
///
/// An honest node's departure is any of the packets in it, each as likely: it takes the share
/// `1 / count` of the mass there. That is right if delays are exponential (what remains of a delay
/// does not depend on how long it has lasted), and for no other law.
pub(super) struct Spread {
    store: Store,
    pools: Vec<Pool>,
    corrupt: Vec<bool>,
    carries: Vec<Carry>,
    /// Of each place the packet that was its target when it was injected.
    holders: Vec<u32>,
    /// Of each place the mass that its own packet had when it came out.
    truth: Vec<f64>,
    users: Option<Users>,
}

/// Masses that came out, by user and place.
struct Users {
    width: usize,
    rows: Vec<f64>,
}

impl Spread {
    /// For so many nodes and places; with rows for so many users, if any.
    pub(super) fn new(nodes: usize, corrupt: &[bool], width: usize, users: Option<usize>) -> Self {
        let pool = Pool {
            count: 0,
            version: EMPTY,
            scale: ONE,
        };
        Self {
            store: Store::new(width),
            pools: vec![pool; nodes],
            corrupt: (0..nodes)
                .map(|node| corrupt.get(node).copied().unwrap_or(false))
                .collect(),
            carries: Vec::new(),
            holders: vec![NONE; width],
            truth: vec![f64::NAN; width],
            users: users.map(|users| Users {
                width,
                rows: vec![0.0; users * width],
            }),
        }
    }

    /// A new packet, without mass.
    pub(super) fn enter(&mut self, packet: u32) {
        let packet = packet as usize;
        if packet >= self.carries.len() {
            self.carries.resize(packet + 1, NOTHING);
        }
        self.carries[packet] = NOTHING;
    }

    /// Gives a new packet mass 1 in these places; the packet is the target of the first, if told
    /// so.
    pub(super) fn inject(&mut self, packet: u32, target: Option<usize>, group: Option<usize>) {
        let version = self.store.unit(target.into_iter().chain(group));
        if let Some(place) = target {
            self.holders[place] = packet;
        }
        let place = target.map_or(NONE, |place| place as u32);
        self.carries[packet as usize] = Carry {
            version,
            place,
            scale: ONE,
        };
    }

    /// A packet arrives at a node.
    #[inline]
    pub(super) fn arrive(&mut self, node: u32, packet: u32) {
        if self.corrupt[node as usize] {
            return;
        }
        let pool = &mut self.pools[node as usize];
        pool.count += 1;
        let carry = &mut self.carries[packet as usize];
        if carry.version == EMPTY {
            return;
        }
        let version = std::mem::replace(&mut carry.version, EMPTY);
        if pool.version == EMPTY {
            (pool.version, pool.scale) = (version, carry.scale);
        } else {
            let own = (pool.version, pool.scale);
            pool.version = self.store.merge(own, (version, carry.scale));
            pool.scale = ONE;
        }
    }

    /// A packet leaves a node.
    #[inline]
    pub(super) fn depart(&mut self, node: u32, packet: u32) {
        if self.corrupt[node as usize] {
            return;
        }
        let pool = &mut self.pools[node as usize];
        let count = f64::from(pool.count);
        pool.count -= 1;
        if pool.version == EMPTY {
            return;
        }
        let carry = &mut self.carries[packet as usize];
        carry.version = pool.version;
        if pool.count == 0 {
            carry.scale = pool.scale;
            pool.version = EMPTY;
            return;
        }
        carry.scale = pool.scale / count;
        pool.scale -= carry.scale;
        self.store.share(pool.version);
        if pool.scale < LEAST_SCALE {
            pool.version = self.store.scaled((pool.version, pool.scale));
            pool.scale = ONE;
        }
    }

    /// The masses of a packet by place, before it comes out: a row and a factor.
    pub(super) fn masses(&self, packet: u32) -> Option<(&[f64], f64)> {
        let carry = self.carries.get(packet as usize)?;
        (carry.version != EMPTY).then(|| (self.store.row(carry.version), carry.scale))
    }

    /// The number of the row that a packet has.
    #[inline]
    pub(super) fn version(&self, packet: u32) -> u32 {
        self.carries
            .get(packet as usize)
            .map_or(EMPTY, |carry| carry.version)
    }

    /// A packet comes out that is known to be no target; gives the place of the one that it was
    /// after all.
    pub(super) fn put_aside(&mut self, packet: u32) -> Option<usize> {
        let carry = std::mem::replace(&mut self.carries[packet as usize], NOTHING);
        if carry.version != EMPTY {
            self.store.put_aside(carry.version, carry.scale);
            self.store.release(carry.version);
        }
        (carry.place != NONE).then_some(carry.place as usize)
    }

    /// A packet comes out, at a user; gives the place of the target that it was.
    #[inline]
    pub(super) fn put_out(&mut self, packet: u32, user: usize) -> Option<usize> {
        let carry = std::mem::replace(&mut self.carries[packet as usize], NOTHING);
        let place = (carry.place != NONE).then_some(carry.place as usize);
        if carry.version != EMPTY {
            self.store.put_out(carry.version, carry.scale);
            let row = self.store.row(carry.version);
            if let Some(users) = &mut self.users {
                let start = user * users.width;
                kernel::add(
                    &mut users.rows[start..start + users.width],
                    row,
                    carry.scale,
                );
            }
            if let Some(place) = place {
                self.truth[place] = row[place] * carry.scale;
            }
            self.store.release(carry.version);
        } else if let Some(place) = place {
            self.truth[place] = 0.0;
        }
        place
    }

    /// Accounts for what came out of versions that are still in pools.
    pub(super) fn settle(&mut self) {
        for pool in &self.pools {
            if pool.version != EMPTY {
                self.store.settle(pool.version);
            }
        }
        self.store.close();
    }

    /// Accounts for all that came out, also of versions that only packets on links still have.
    pub(super) fn settle_all(&mut self) {
        self.store.settle_all();
        self.store.close();
    }

    /// The mass of a place that came out, as far as it is settled.
    pub(super) fn out(&self, place: usize) -> f64 {
        self.store.totals.closed[place]
    }

    /// The part of that which was put aside.
    pub(super) fn aside(&self, place: usize) -> f64 {
        self.store.totals.aside[place]
    }

    /// Of a place: entropy in bits, largest probability, and the probability of the truth.
    pub(super) fn totals(&self, place: usize) -> (f64, f64, Option<f64>) {
        let totals = &self.store.totals;
        let truth = Some(self.truth[place]).filter(|truth| !truth.is_nan());
        let entropy = totals.entropy[place] / std::f64::consts::LN_2;
        (entropy.max(0.0), totals.largest[place], truth)
    }

    /// Of a place: entropy over users in bits, and the largest probability.
    pub(super) fn users(&self, place: usize) -> Option<(f64, f64)> {
        let users = self.users.as_ref()?;
        let (mut entropy, mut largest) = (0.0, 0.0_f64);
        for p in users
            .rows
            .iter()
            .skip(place)
            .step_by(users.width)
            .filter(|p| **p > 0.0)
        {
            entropy -= p * crate::math::log2(*p);
            largest = largest.max(*p);
        }
        Some((f64::max(entropy, 0.0), largest))
    }

    /// Empties places, so that they can be used again.
    pub(super) fn clean(&mut self, places: &[usize]) {
        self.store.clean(places);
        for place in places {
            self.truth[*place] = f64::NAN;
            // The packet may still be under way, all of its mass having gone elsewhere.
            if let Some(carry) = self.carries.get_mut(self.holders[*place] as usize)
                && carry.place == *place as u32
            {
                carry.place = NONE;
            }
            if let Some(users) = &mut self.users {
                let width = users.width;
                users
                    .rows
                    .iter_mut()
                    .skip(*place)
                    .step_by(width)
                    .for_each(|p| *p = 0.0);
            }
        }
    }

    /// Rows in use.
    pub(super) fn live(&self) -> usize {
        self.store.live()
    }
}
