//! Where frames that come in go.

use shoal_packet::Frame;
use shoal_proto::NodeId;

/// Takes the frames that come in. Called on the reader task of the peer that they came from, so
/// it must not block: what it cannot take it drops and counts itself.
pub trait FrameSink: Send + Sync + 'static {
    /// A frame came from this peer.
    fn frame(&self, from: NodeId, frame: Frame);
    /// A substream of this peer ended in the middle of a frame.
    fn malformed(&self, from: NodeId);
}
