//! `[observe]`.

use serde::{Deserialize, Serialize};

/// `[observe]`: writes what an adversary sees to a file of its own, apart from the truth, so that
/// someone's own attack can't peek.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// The adversary's name.
    pub adversary: String,
}
