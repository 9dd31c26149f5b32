//! What a document says of itself in a few bytes, and the order of documents of one epoch.

use std::cmp::Reverse;

use shoal_proto::{Epoch, NodeId, wire};

use crate::canonical::Canonical;
use crate::rules::Rules;
use crate::{Document, MAX_MEMBERS};

/// What decides whether a document is worth fetching: a claim, until the document is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: Epoch,
    pub(super) hash: [u8; 32],
    pub(super) previous: [u8; 32],
    /// How many genesis members it has.
    pub(super) genesis: usize,
    pub(super) members: usize,
}

impl Header {
    pub(super) fn of(rules: &Rules, document: &Document) -> Self {
        let listed = |id: &&NodeId| document.member(id).is_some();
        Self {
            epoch: document.epoch(),
            hash: *document.hash(),
            previous: *document.previous(),
            genesis: rules.genesis().filter(listed).count(),
            members: document.members().len(),
        }
    }

    /// None if no document can be like that.
    pub(super) fn read(wire: &wire::DocumentHeader) -> Option<Self> {
        let header = Self {
            epoch: Epoch::new(wire.epoch),
            hash: wire.hash.as_slice().try_into().ok()?,
            previous: wire.previous.as_slice().try_into().ok()?,
            genesis: wire.genesis.try_into().ok()?,
            members: wire.members.try_into().ok()?,
        };
        let possible = header.genesis <= header.members && header.members <= MAX_MEMBERS;
        possible.then_some(header)
    }

    pub(super) fn to_wire(self) -> wire::DocumentHeader {
        let count = |count: usize| count.try_into().unwrap_or(u32::MAX);
        wire::DocumentHeader {
            epoch: self.epoch.number(),
            hash: self.hash.to_vec(),
            previous: self.previous.to_vec(),
            genesis: count(self.genesis),
            members: count(self.members),
        }
    }

    /// All of it, to tell it from others.
    pub(super) fn key(&self) -> [u8; 32] {
        let count = |count: usize| count.try_into().unwrap_or(u64::MAX);
        Canonical::new("shoal document header 1")
            .number(self.epoch.number())
            .bytes(&self.hash)
            .bytes(&self.previous)
            .number(count(self.genesis))
            .number(count(self.members))
            .finish()
    }

    /// Whether it is of a document without a predecessor.
    pub(super) fn is_first(&self) -> bool {
        self.previous == [0; 32]
    }

    /// Higher wins, wherever both are known.
    pub(super) fn rank(&self) -> (usize, bool, usize, Reverse<[u8; 32]>) {
        let follows = !self.is_first();
        (self.genesis, follows, self.members, Reverse(self.hash))
    }
}
