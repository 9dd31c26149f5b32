//! The documents that are known, and what may be sent by them.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::Reply;
use shoal_packet::{Frame, Surb};
use shoal_proto::{NodeId, Time};
use shoal_topology::{Document, NetworkParameters, View};

/// The parameters of the network and its documents.
pub(crate) struct Documents {
    params: Arc<NetworkParameters>,
    view: Arc<View>,
}

impl Documents {
    /// None is known yet.
    pub(crate) fn new(params: Arc<NetworkParameters>) -> Self {
        Self {
            params,
            view: Arc::new(View::default()),
        }
    }

    pub(crate) fn update(&mut self, view: Arc<View>) {
        self.view = view;
    }

    pub(crate) fn params(&self) -> &NetworkParameters {
        &self.params
    }

    /// The one in force.
    pub(crate) fn current(&self, now: Time) -> Option<&Document> {
        self.view.current(&self.params, now).map(Arc::as_ref)
    }

    /// The one that the byte names, if it counts now.
    pub(crate) fn accepted(&self, now: Time, epoch_byte: u8) -> Option<&Document> {
        self.view
            .by_epoch_byte(&self.params, now, epoch_byte)
            .map(Arc::as_ref)
    }

    /// The epochs whose reply blocks are kept: the one in force, and the next. Older ones are
    /// void from the switch on.
    pub(crate) fn stocked_epochs(&self, now: Time) -> [u8; 2] {
        let epoch = self.params.epoch_at(now);
        let in_force = self.current(now).map_or(epoch, Document::epoch);
        [in_force.byte(), epoch.next().byte()]
    }
}

/// Whether a reply block's first hop is where a provider's packets go: the creator chose it, and
/// nobody is sent to who is no member.
pub(crate) fn leads_inside(document: &Document, surb: &Surb) -> bool {
    document
        .member(&surb.first_hop())
        .is_some_and(|member| member.layer == 1)
}

/// Spends a reply block of this document's epoch. None if it was no good.
pub(crate) fn spend<R: CryptoRng>(
    rng: &mut R,
    document: &Document,
    surb: Surb,
    reply: &Reply,
) -> Option<(NodeId, Frame)> {
    let plaintext = reply.encode(rng);
    let (to, packet) = surb.into_packet(&plaintext).ok()?;
    Some((to, Frame::new(document.epoch(), packet)))
}
