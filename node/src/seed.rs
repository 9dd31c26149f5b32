//! Where randomness comes from: generators are seeded by the system here, and owned by who draws.

use anyhow::anyhow;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use crate::Failure;

/// A generator for keys and choices, seeded by the system.
///
/// # Errors
/// [`Failure::Failed`] if the system has no randomness.
pub fn seeded() -> Result<ChaCha20Rng, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())
        .map_err(|error| Failure::Failed(anyhow!("the system has no randomness: {error}")))?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
