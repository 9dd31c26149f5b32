//! Members that stand beside each other, and how often each is chosen.

use rand::CryptoRng;
use shoal_proto::NodeId;

use crate::path::Weights;
use crate::{DocumentError, capacity};

/// The providers, or the mixes of a layer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// Ascending.
    ids: Vec<NodeId>,
    weights: Weights,
}

impl Position {
    /// Of members with their capacity classes, ascending; `layer` is 0 for the providers, who are chosen
    /// alike whatever they claim, as mailboxes are.
    ///
    /// # Errors
    /// When there is nobody.
    pub(crate) fn new(layer: u8, members: Vec<(NodeId, u32)>) -> Result<Self, DocumentError> {
        let (ids, classes): (Vec<NodeId>, Vec<u32>) = members.into_iter().unzip();
        if ids.is_empty() {
            return Err(DocumentError::empty(layer));
        }
        let weights = match layer {
            0 => vec![1.0; ids.len()],
            _ => capacity::weights(&classes),
        };
        Ok(Self {
            ids,
            weights: Weights::new(&weights),
        })
    }

    pub(crate) fn ids(&self) -> &[NodeId] {
        &self.ids
    }

    /// One of them by weight. What a draw costs does not grow with their number.
    pub(crate) fn choose<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Option<&NodeId> {
        self.ids.get(self.weights.index(rng)?)
    }
}
