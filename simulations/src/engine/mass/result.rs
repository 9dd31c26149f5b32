//! What is known of a target in the end.

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
