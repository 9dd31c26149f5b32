//! Why a plan can't be run.

/// An error of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The plan contradicts itself or has a value out of range.
    #[error("{key} = {value}: {reason}")]
    Plan {
        /// The field, as `network.layers[2]`.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would do.
        reason: String,
    },
    /// More than 2^32 - 1 packets were under way at once, or as many messages sent.
    #[error("more than 4294967294 {0}; simulate less at once")]
    TooMany(&'static str),
}
