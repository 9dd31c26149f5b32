//! Delays of which a run of any practical length does not show the mean.

use super::{ClientClass, Distribution, Model, TopologyKind, error::Problems};
use crate::{math, stats};

/// More of the mean than this beyond what is drawn, and there is a warning.
const MOST: f64 = 0.05;

/// The share of the mean that comes from delays so long that fewer than one of so many draws is
/// expected to be as long, 0 to 1: about so much too low is the mean that a run sees.
fn beyond(distribution: &Distribution, draws: f64) -> f64 {
    let rare = 1.0 / draws.max(1.0);
    match distribution {
        // P(X > x) = rare at x = scale rare^(-1/shape), and E[X; X > x] = mean (scale/x)^(shape-1).
        Distribution::Pareto { shape, .. } => math::pow(rare, (shape - 1.0) / shape),
        // E[X; X > x] = mean P(Z > z - sigma), with z the quantile of the normal.
        Distribution::Lognormal { mean, deviation } => {
            let relative = deviation.get() / mean.get().max(1e-300);
            let sigma = math::ln(1.0 + relative * relative).sqrt();
            1.0 - normal(quantile(1.0 - rare) - sigma)
        }
        _ => 0.0,
    }
}

/// The standard normal distribution.
fn normal(z: f64) -> f64 {
    let half = 0.5 * stats::gamma_p(0.5, z * z / 2.0);
    if z < 0.0 { 0.5 - half } else { 0.5 + half }
}

/// Its quantile, by halving.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Warns of heavy tails.
pub(super) fn warn(model: &Model, problems: &mut Problems) {
    let rate: f64 = model.clients.iter().map(ClientClass::total_rate).sum();
    let packets = rate * model.run.measure.get();
    let visits = f64::from(match model.topology.kind {
        TopologyKind::FreeRoute => model.topology.path_length(),
        TopologyKind::Stratified | TopologyKind::Cascade => 1,
    });
    let layers = f64::from(model.topology.path_length());
    let delays = [
        ("delay.mixes", Some(&model.delay.mixes), layers),
        ("delay.providers", model.delay.providers.as_ref(), 2.0),
        ("links.delay", Some(&model.links.delay), layers + visits),
    ];
    for (key, distribution, each) in delays {
        let Some(distribution) = distribution else {
            continue;
        };
        let draws = packets * each;
        let missing = beyond(distribution, draws);
        let mean = distribution.mean();
        if missing > MOST {
            problems.warn(format!(
                "{key}: {:.0}% of the mean of {mean}s are delays so long that none is expected among the {draws:.1e} that are drawn: \
                 a run will see a mean of about {:.2e}s (measure longer, or take a lighter tail: a pareto of shape 2 or more)",
                100.0 * missing,
                mean * (1.0 - missing)
            ));
        } else if matches!(distribution, Distribution::Pareto { shape, .. } if *shape <= 2.0) {
            problems.warn(format!(
                "{key}: a pareto of shape 2 or less has no variance, so intervals of means are too narrow (quantiles are not affected)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;
    use crate::scenario::Seconds;

    fn second() -> Seconds {
        Seconds::new(1.0).unwrap()
    }

    #[test]
    fn the_mean_of_draws_falls_short_as_told() {
        // A median over samples: the mean of one is now and then very large.
        let median = |delay: &engine::Delay, draws: u32| {
            let mut means: Vec<f64> = (0..101)
                .map(|sample| {
                    let mut rng = crate::seed::generator(1, sample, "tails", 0);
                    let sum: f64 = (0..draws).map(|_| delay.draw(&mut rng)).sum();
                    sum / f64::from(draws)
                })
                .collect();
            means.sort_by(f64::total_cmp);
            means[50]
        };
        let pareto = |shape: f64| {
            let told = 1.0
                - beyond(
                    &Distribution::Pareto {
                        mean: second(),
                        shape,
                    },
                    1e4,
                );
            let scale = (shape - 1.0) / shape;
            (
                told,
                median(&engine::Delay::Pareto { scale, shape }, 10_000),
            )
        };
        // As told, but for the draws beyond that do come now and then.
        let (told, seen) = pareto(1.01);
        assert!(
            told < 0.1 && (told * 0.9..told * 1.5).contains(&seen),
            "{told} {seen}"
        );
        let (told, seen) = pareto(2.5);
        assert!(told > 0.99 && (seen - 1.0).abs() < 0.02, "{told} {seen}");
        let deviation = Seconds::new(100.0).unwrap();
        let told = 1.0
            - beyond(
                &Distribution::Lognormal {
                    mean: second(),
                    deviation,
                },
                1e4,
            );
        let sigma = math::ln(10_001.0_f64).sqrt();
        let median = median(
            &engine::Delay::Lognormal {
                median: math::exp(-sigma * sigma / 2.0),
                sigma,
            },
            10_000,
        );
        assert!(
            told < 0.85 && (told * 0.85..told * 1.2).contains(&median),
            "{told} {median}"
        );
        let light = Distribution::Exponential { mean: second() };
        assert!(beyond(&light, 1.0).abs() < 1e-12);
    }
}
