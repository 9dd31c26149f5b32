//! One value beside the published one, and the rule by which it is judged.

use serde::{Deserialize, Serialize};

/// How much work goes into a reproduction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// As many repetitions as the tolerances need.
    #[default]
    Full,
    /// A few seconds for all of them: the standard errors are large, and their size is not judged.
    Quick,
}

/// A value that was measured here, and the published one where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What it is, unique within the report.
    pub name: String,
    /// Unit of the values: `bits`, `ln`, `s`, `packets/s`, `1`.
    pub unit: String,
    /// As measured; `None` where no repetition gave a value.
    pub ours: Option<f64>,
    /// Of `ours`, over independent repetitions; `None` where `ours` is, or with one repetition.
    pub standard_error: Option<f64>,
    /// The published value; `None` where only a curve was published.
    pub reference: Option<f64>,
    /// How far `ours` may be from `reference`, besides three standard errors.
    pub tolerance: Option<f64>,
    /// Whether the point decides if the reproduction holds.
    pub gated: bool,
}

/// What became of a gated point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is as published.
    Holds,
    /// It is not.
    Missed,
    /// Its standard error is above half the tolerance, so that nothing can be said.
    Imprecise,
    /// It is not gated.
    Shown,
}

impl Verdict {
    /// Whether a reproduction fails because of it.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Missed | Self::Imprecise)
    }

    /// In a table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Missed => "MISSED",
            Self::Imprecise => "IMPRECISE",
            Self::Shown => "",
        }
    }
}

impl Point {
    /// A value that stands by itself.
    pub(super) fn shown(name: impl Into<String>, unit: &str, sample: &[f64]) -> Self {
        let (ours, standard_error) = mean_and_error(sample);
        Self {
            name: name.into(),
            unit: unit.to_owned(),
            ours,
            standard_error,
            reference: None,
            tolerance: None,
            gated: false,
        }
    }

    /// Beside a published value, without judging it.
    #[must_use]
    pub(super) fn beside(mut self, reference: f64) -> Self {
        self.reference = Some(reference);
        self
    }

    /// Judged against a published value.
    #[must_use]
    pub(super) fn gate(mut self, reference: f64, tolerance: f64) -> Self {
        self.reference = Some(reference);
        self.tolerance = Some(tolerance);
        self.gated = true;
        self
    }

    /// The rule: a gated point holds when `|ours - reference| <= tolerance + 3 standard errors`,
    /// with a standard error of at most half the tolerance. The second half is left out for
    /// [`Effort::Quick`]. A gated point without a value is missed.
    #[must_use]
    pub fn verdict(&self, effort: Effort) -> Verdict {
        if !self.gated {
            return Verdict::Shown;
        }
        let (Some(ours), Some(error), Some(reference), Some(tolerance)) = (
            self.ours,
            self.standard_error,
            self.reference,
            self.tolerance,
        ) else {
            return Verdict::Missed;
        };
        if effort == Effort::Full && (error.is_nan() || error > tolerance / 2.0) {
            return Verdict::Imprecise;
        }
        if (ours - reference).abs() <= tolerance + 3.0 * error {
            Verdict::Holds
        } else {
            Verdict::Missed
        }
    }
}

/// Mean and standard error of the values of independent repetitions.
pub(super) fn mean_and_error(sample: &[f64]) -> (Option<f64>, Option<f64>) {
    let Some(mean) = crate::stats::mean(sample) else {
        return (None, None);
    };
    if sample.len() < 2 {
        return (Some(mean), None);
    }
    #[expect(clippy::cast_precision_loss, reason = "repetitions are few")]
    let n = sample.len() as f64;
    let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
    (Some(mean), Some((squares / (n - 1.0) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ours: f64, error: f64) -> Point {
        Point {
            ours: Some(ours),
            standard_error: Some(error),
            ..Point::shown("p", "bits", &[]).gate(3.7549, 0.01)
        }
    }

    #[test]
    fn a_point_holds_within_the_tolerance_and_three_standard_errors() {
        for (ours, error, verdict) in [
            (3.7549, 0.0, Verdict::Holds),
            (3.7648, 0.0, Verdict::Holds),
            (3.7450, 0.0, Verdict::Holds),
            (3.7650, 0.0, Verdict::Missed),
            (3.7448, 0.0, Verdict::Missed),
            (3.7549 + 0.0219, 0.004, Verdict::Holds),
            (3.7549 + 0.0221, 0.004, Verdict::Missed),
            (3.7549 - 0.0221, 0.004, Verdict::Missed),
            // A wide error does not pass for a good value.
            (3.7549, 0.0051, Verdict::Imprecise),
            (3.7549, 0.0049, Verdict::Holds),
            (f64::NAN, 0.001, Verdict::Missed),
            (3.7549, f64::NAN, Verdict::Imprecise),
        ] {
            let judged = point(ours, error).verdict(Effort::Full);
            assert_eq!(judged, verdict, "{ours} {error}");
            assert_eq!(judged.fails(), verdict != Verdict::Holds);
        }
    }

    #[test]
    fn quick_work_may_be_imprecise_but_not_wrong() {
        assert_eq!(point(3.7549, 0.02).verdict(Effort::Quick), Verdict::Holds);
        assert_eq!(point(3.82, 0.02).verdict(Effort::Quick), Verdict::Holds);
        assert_eq!(point(3.84, 0.02).verdict(Effort::Quick), Verdict::Missed);
        assert_eq!(
            point(3.7549, f64::NAN).verdict(Effort::Quick),
            Verdict::Missed
        );
    }

    #[test]
    fn a_gated_point_without_a_value_fails_and_an_ungated_one_never_does() {
        let mut p = point(3.7549, 0.001);
        p.standard_error = None;
        assert_eq!(p.verdict(Effort::Full), Verdict::Missed);
        p = Point::shown("p", "bits", &[9.0, 9.0]).beside(1.0);
        assert_eq!(p.verdict(Effort::Full), Verdict::Shown);
    }

    #[test]
    fn the_standard_error_is_of_the_mean() {
        let p = Point::shown("p", "bits", &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(p.ours, Some(2.5));
        assert!((p.standard_error.unwrap() - (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Point::shown("p", "bits", &[1.0]).standard_error, None);
        assert_eq!(Point::shown("p", "bits", &[]).ours, None);
    }
}
