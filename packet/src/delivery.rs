//! What reaches a final hop.

use shoal_proto::{Epoch, SurbId, Time};
use zeroize::Zeroizing;

use crate::Payload;

/// A packet that ended at this node, from the unwrapping to the role that it is for: the one type
/// for it. It has no `Debug`: it holds what a packet says.
pub struct Delivery {
    /// Where to: a client's handle, if the payload is a reply.
    pub destination: [u8; 32],
    /// Which keys open the payload, if it is a reply.
    pub id: SurbId,
    /// The payload as it came out of the last layer.
    pub payload: Payload,
    /// The plaintext, if it can be recovered: then it is a command for the provider.
    pub plaintext: Option<Zeroizing<Vec<u8>>>,
    /// The epoch whose key opened the packet.
    pub epoch: Epoch,
    /// When its frame came in: replies are held from then on.
    pub arrival: Time,
}
