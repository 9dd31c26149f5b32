//! Nothing fits: which constraint binds, and by how much it has to give.

use serde::Serialize;

use super::{
    Request,
    candidate::{corrupt_path, longest_delay},
    rates::SPLITS,
    screen::{least_width, rates_for},
};

/// Nothing fits what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Infeasible {
    /// Constraints of which each alone stands in the way: with it relaxed as far as is said, and
    /// the others kept, something fits. Empty if no single one is enough.
    pub binding: Vec<Relaxation>,
    /// In words.
    pub explanation: String,
}

/// How far one constraint has to give.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relaxation {
    /// The constraint, as the option that sets it: `p99`, `bandwidth`, `max-corrupt-path`,
    /// `mixes`.
    pub constraint: &'static str,
    /// What was asked for.
    pub asked: f64,
    /// About the least change with which something fits.
    pub needed: f64,
    /// The unit of both.
    pub unit: &'static str,
}

pub(super) fn explain(request: &Request) -> Infeasible {
    let binding: Vec<Relaxation> = [
        relax_latency(request),
        relax_bandwidth(request),
        relax_corrupt_path(request),
        relax_mixes(request),
    ]
    .into_iter()
    .flatten()
    .collect();
    let explanation = match binding.as_slice() {
        [] => "no single constraint is in the way: more than one of latency, bandwidth, corrupt \
               paths and mixes has to give"
            .to_owned(),
        [one] => format!("{} binds: {}", one.constraint, one.describe()),
        several => {
            let each: Vec<String> = several.iter().map(Relaxation::describe).collect();
            format!("any one of these is enough: {}", each.join("; "))
        }
    };
    Infeasible {
        binding,
        explanation,
    }
}

impl Relaxation {
    fn describe(&self) -> String {
        let with_unit = |x: f64| {
            format!("{} {}", rounded(x), self.unit)
                .trim_end()
                .to_owned()
        };
        format!(
            "{} was {}, and with {} something fits",
            self.constraint,
            with_unit(self.asked),
            with_unit(self.needed)
        )
    }
}

/// For reading: four digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// Whether anything fits, without asking how good it is.
pub(super) fn feasible(request: &Request) -> bool {
    (1..=request.max_layers).any(|layers| {
        SPLITS
            .into_iter()
            .filter_map(|split| rates_for(request, layers, 1.0, split))
            .any(|rates| {
                let width = least_width(request, &rates);
                corrupt_path(request.corrupt, layers, width) <= request.max_corrupt_path
                    && longest_delay(request, layers, rates).is_some()
            })
    })
}

/// The least x in a range for which something fits, to one part in a thousand.
fn least(from: f64, to: f64, with: impl Fn(f64) -> Request) -> Option<f64> {
    if !feasible(&with(to)) {
        return None;
    }
    let (mut low, mut high) = (from, to);
    while high > low * 1.0005 {
        let middle = (low * high).sqrt();
        if feasible(&with(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

fn relax_latency(request: &Request) -> Option<Relaxation> {
    let needed = least(request.p99, 1e7, |p99| Request {
        p99,
        ..request.clone()
    })?;
    Some(Relaxation {
        constraint: "p99",
        asked: request.p99,
        needed,
        unit: "s",
    })
}

fn relax_bandwidth(request: &Request) -> Option<Relaxation> {
    let most = 1e9_f64.max(request.bandwidth);
    let needed = least(request.bandwidth, most, |bandwidth| Request {
        bandwidth,
        ..request.clone()
    })?;
    Some(Relaxation {
        constraint: "bandwidth",
        asked: request.bandwidth,
        needed,
        unit: "bytes/s",
    })
}

fn relax_corrupt_path(request: &Request) -> Option<Relaxation> {
    let with = |max_corrupt_path: f64| Request {
        max_corrupt_path,
        ..request.clone()
    };
    let needed = least(request.max_corrupt_path.max(1e-12), 1.0, with)?;
    Some(Relaxation {
        constraint: "max-corrupt-path",
        asked: request.max_corrupt_path,
        needed,
        unit: "",
    })
}

fn relax_mixes(request: &Request) -> Option<Relaxation> {
    let asked = request.max_mixes?;
    let with = |mixes: u32| Request {
        max_mixes: Some(mixes),
        ..request.clone()
    };
    if !feasible(&with(u32::MAX)) {
        return None;
    }
    let (mut low, mut high) = (asked, u32::MAX);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if feasible(&with(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(Relaxation {
        constraint: "mixes",
        asked: f64::from(asked),
        needed: f64::from(high),
        unit: "mixes",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(request: &Request) -> Vec<&'static str> {
        assert!(!feasible(request));
        let explained = explain(request);
        explained.binding.iter().map(|r| r.constraint).collect()
    }

    #[test]
    fn the_constraint_that_binds_is_named() {
        let base = Request::new(1000, 5.0, 30_000.0, 0.2);
        assert!(feasible(&base));
        // Ten links alone take longer.
        let hurried = Request {
            p99: 0.2,
            ..base.clone()
        };
        assert_eq!(binding(&hurried), ["p99"]);
        // 0.2^8 is the least there is.
        let strict = Request {
            max_corrupt_path: 1e-7,
            ..base.clone()
        };
        assert_eq!(binding(&strict), ["max-corrupt-path"]);
        // Three layers of two.
        let few = Request {
            max_mixes: Some(4),
            max_corrupt_path: 0.01,
            ..base.clone()
        };
        assert!(binding(&few).contains(&"mixes"));
        let slow = Request {
            bandwidth: 10.0,
            p99: 30.0,
            ..base
        };
        assert!(binding(&slow).contains(&"bandwidth"));
    }

    #[test]
    fn what_is_said_to_be_needed_is_enough_and_little_less_is_not() {
        let hurried = Request::new(1000, 0.5, 30_000.0, 0.2);
        let relaxed = relax_latency(&hurried).map_or(0.0, |r| r.needed);
        let with = |p99| Request {
            p99,
            ..hurried.clone()
        };
        assert!(feasible(&with(relaxed)) && !feasible(&with(relaxed * 0.99)));
    }
}
