//! What is known of a target in the end.

use super::spread::Spread;
use crate::engine::Packet;

/// A target and the adversary's posterior over the outputs that it may be: the ends and losses of
/// packets.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetResult {
    /// Index of the message.
    pub message: u32,
    /// Client that sent it.
    pub sender: u32,
    /// Client that receives it; [`NONE`](crate::engine::NONE) for none.
    pub receiver: u32,
    /// When it was sent, in seconds.
    pub sent: f64,
    /// From sending to the end, in seconds; `None` if it was lost or was under way at the end.
    pub latency: Option<f64>,
    /// Entropy over outputs, in bits.
    pub entropy: f64,
    /// Entropy over users, in bits; `None` unless the plan asks for it.
    pub user_entropy: Option<f64>,
    /// The largest probability of an output.
    pub largest: f64,
    /// The largest probability of a user; `None` unless the plan asks for it.
    pub user_largest: Option<f64>,
    /// The probability given to the output that it was; `None` if it was under way at the end.
    pub truth: Option<f64>,
    /// Probability that had not come out when the target was given up: what entropies lack.
    pub residual: f64,
}

impl TargetResult {
    /// A target that is just being sent.
    pub(super) const fn new(packet: &Packet) -> Self {
        Self {
            message: packet.message,
            sender: packet.sender,
            receiver: packet.receiver,
            sent: packet.sent,
            latency: None,
            entropy: 0.0,
            user_entropy: None,
            largest: 0.0,
            user_largest: None,
            truth: None,
            residual: 0.0,
        }
    }

    /// Takes what came out for the target in this place.
    pub(super) fn complete(&mut self, spread: &Spread, place: usize) {
        (self.entropy, self.largest, self.truth) = spread.totals(place);
        let users = spread.users(place);
        self.user_entropy = users.map(|users| users.0);
        self.user_largest = users.map(|users| users.1);
        self.residual = (1.0 - spread.out(place)).max(0.0);
    }

    /// Min-entropy over outputs, in bits.
    #[must_use]
    pub fn min_entropy(&self) -> f64 {
        -crate::math::log2(self.largest)
    }

    /// Effective size of the set of outputs: 2 to the entropy.
    #[must_use]
    pub fn effective_size(&self) -> f64 {
        crate::math::pow(2.0, self.entropy)
    }
}

/// The end of a packet that may be a message of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// When.
    pub time: f64,
    /// Client that receives it; [`NONE`](crate::engine::NONE) for none.
    pub receiver: u32,
    /// The group that it is of in truth: position in the plan's list, or
    /// [`NONE`](crate::engine::NONE).
    pub group: u32,
    /// For each group the expected number of its messages that this packet is: the probability
    /// that it is one.
    pub masses: Vec<f64>,
}
