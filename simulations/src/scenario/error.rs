//! Why a scenario is refused: which key, which value, what would be allowed, and what to do.

use std::fmt::{self, Display};

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key as `clients[0].rates.real`; empty where the text as a whole can't be read.
    pub key: String,
    /// The value as it was written or understood; none where a key is missing or unknown.
    pub value: Option<String>,
    /// What would be allowed, or what is wrong.
    pub allowed: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.allowed)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A scenario that is refused, with everything that was found wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(problems))]
pub struct ScenarioError {
    problems: Vec<Problem>,
}

impl ScenarioError {
    /// What is wrong, at least one thing.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same, with the range of each key of which one is known.
    pub(super) fn with_ranges(mut self, range: impl Fn(&str) -> Option<String>) -> Self {
        for problem in &mut self.problems {
            // Those of a wrong type have a value.
            let known = problem.value.as_ref().and_then(|_| range(&problem.key));
            if let Some(range) = known {
                problem.allowed = range;
            }
        }
        self
    }

    pub(super) fn one(
        key: impl Into<String>,
        value: Option<String>,
        allowed: impl Into<String>,
        hint: Option<&str>,
    ) -> Self {
        let problem = Problem {
            key: key.into(),
            value,
            allowed: allowed.into(),
            hint: hint.map(str::to_owned),
        };
        Self {
            problems: vec![problem],
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Collects what is wrong while a scenario is checked.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    warnings: Vec<String>,
}

impl Problems {
    /// The value of a key is out of range.
    pub(crate) fn refuse(
        &mut self,
        key: impl Into<String>,
        value: impl Display,
        allowed: impl Into<String>,
    ) {
        self.push(key, Some(value.to_string()), allowed, None);
    }

    /// As [`refuse`](Self::refuse), with what to do about it.
    pub(crate) fn refuse_with_hint(
        &mut self,
        key: impl Into<String>,
        value: impl Display,
        allowed: impl Into<String>,
        hint: &str,
    ) {
        self.push(key, Some(value.to_string()), allowed, Some(hint));
    }

    /// A key is missing, or contradicts another.
    pub(crate) fn contradiction(
        &mut self,
        key: impl Into<String>,
        reason: impl Into<String>,
        hint: &str,
    ) {
        self.push(key, None, reason, Some(hint));
    }

    /// The scenario can be run, but its result may not be what its author expects.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// `value` must be a number in the range, ends included.
    pub(crate) fn within(&mut self, key: impl Into<String>, value: f64, (low, high): (f64, f64)) {
        if !(low..=high).contains(&value) {
            self.refuse(key, value, format!("must be {low} to {high}"));
        }
    }

    /// `value` must be a count in the range, ends included.
    pub(crate) fn count(
        &mut self,
        key: impl Into<String>,
        value: impl Into<u64>,
        (low, high): (u64, u64),
    ) {
        let value = value.into();
        if !(low..=high).contains(&value) {
            self.refuse(key, value, format!("must be {low} to {high}"));
        }
    }

    /// The warnings, or everything that was refused.
    pub(crate) fn finish(self) -> Result<Vec<String>, ScenarioError> {
        if self.found.is_empty() {
            Ok(self.warnings)
        } else {
            Err(ScenarioError {
                problems: self.found,
            })
        }
    }

    fn push(
        &mut self,
        key: impl Into<String>,
        value: Option<String>,
        allowed: impl Into<String>,
        hint: Option<&str>,
    ) {
        self.found.push(Problem {
            key: key.into(),
            value,
            allowed: allowed.into(),
            hint: hint.map(str::to_owned),
        });
    }
}
