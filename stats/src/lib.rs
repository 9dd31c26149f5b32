//! Statistics that the simulator, the harness and the tests of a node share: estimates from
//! repetitions with their intervals, distributions and special functions, quantiles, means, one- and two-sample
//! tests of distributions, counts and correlations, and of what follows on what, many tests at once,
//! the area under a curve of hits over false alarms, and a classifier that is judged by it.
//!
//! It has no clock, no randomness and no IO, and every function gives the same bits on every
//! machine: [`math`] is one library's, and `clippy.toml` bans the system's.
//!
//! ```
//! let idle: Vec<f64> = (0..500).map(|i| f64::from(i) / 500.0).collect();
//! let busy: Vec<f64> = idle.iter().map(|x| x * 0.5).collect();
//! assert_eq!(shoal_stats::quantile(&idle, 0.5), Some(0.498));
//! assert!(shoal_stats::ks_two_sample(&idle, &busy).is_some_and(|ks| ks.p_value < 1e-6));
//! ```
//!
//! Sources: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964); Press and others,
//! "Numerical Recipes" (2007); each function names its own.

mod anderson;
mod area;
mod counts;
mod discriminant;
mod distribution;
mod estimate;
mod kolmogorov;
pub mod math;
mod multiple;
mod order;
pub mod roc;
mod sample;
mod special;
mod tails;

pub use anderson::{AndersonDarling, ad_two_sample, anderson_darling_tail};
pub use area::Area;
pub use counts::{compare_counts, poisson_two_sample};
pub use discriminant::{Discriminant, cross_validated};
pub use distribution::{
    binomial_cdf, binomial_pmf, erlang_cdf, erlang_pdf, erlang_quantile, geometric_cdf,
    poisson_cdf, poisson_pmf,
};
pub use estimate::{CONFIDENCE, Estimate, student_t_quantile};
pub use kolmogorov::{KolmogorovSmirnov, kolmogorov_tail, ks_one_sample, ks_two_sample};
pub use multiple::holm;
pub use order::{Following, autocorrelation, compare_autocorrelations, follows};
pub use sample::{intervals, mean, quantile};
pub use special::{beta_i, digamma, gamma_p, gamma_q, ln_choose, ln_gamma};
pub use tails::{chi_squared_tail, normal_quantile, normal_tail};
