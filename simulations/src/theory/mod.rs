//! Closed forms and exact solutions that the simulator is held against, each with its source.
//!
//! Entropy is in bits. `rho` is the arrival rate at one mix over the rate of its exponential delay,
//! which is the mean number of packets inside. Where a formula has a range in which it holds, a
//! value outside of it is `None`: `docs/simulator/theory.md` says what each may be used for.
//!
//! ```
//! use shoal_simulations::theory;
//!
//! let entropy = theory::single_mix_entropy(5.0);
//! assert!((entropy - 3.7549).abs() < 1e-4);
//! assert!((theory::all_corrupt_random(3, 2, 9) - 0.0).abs() < 1e-15);
//! ```

mod attack;
mod corruption;
mod disclosure;
mod load;
mod single_mix;
mod stratified;
mod users;

pub use attack::{
    epsilon_large_pool, epsilon_one_mix, fifo_delta, n_minus_one, n_minus_one_success,
};
pub use corruption::{
    FirstCorruptPath, all_corrupt_balanced, all_corrupt_placed, all_corrupt_random,
};
pub use disclosure::{intersection_messages, statistical_disclosure_rounds};
pub use load::load_per_mix;
pub use single_mix::{
    PoolGuess, entropy_step, pool_guess, pool_guess_with_loops, pool_pmf, single_mix_entropy,
    single_mix_entropy_limit,
};
pub use stratified::Stratified;
pub use users::UserAnonymity;
