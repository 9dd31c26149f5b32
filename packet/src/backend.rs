//! Which instructions do the work.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Which code does the group and block arithmetic. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Portable Rust: x25519-dalek and the RustCrypto crates. Everywhere.
    Portable,
    /// The scalar assembly of AWS-LC, one multiplication at a time, and AVX2 for payloads where the
    /// processor has it. Needs the feature `aws-lc`,
    /// on `x86_64` and `aarch64`.
    Scalar,
    /// AVX-512 IFMA: eight multiplications at a time, one in each 64-bit lane. Needs a processor
    /// that has it.
    Ifma,
}

/// A setting names no back end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no back end is called `{name}`: portable, scalar or ifma")]
pub struct UnknownBackend {
    /// What was given.
    pub name: String,
}

impl Backend {
    /// All of them, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Scalar, Self::Ifma];

    /// Whether this machine can run it and this build contains it.
    ///
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Scalar => crate::kernels::HAS_SCALAR,
            Self::Ifma => crate::kernels::has_ifma(),
        }
    }

    /// The fastest one that is available.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|backend| backend.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Its name in settings and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Scalar => "scalar",
            Self::Ifma => "ifma",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By [`Backend::name`]. Does not ask whether it is available.
impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        let name = String::from("Scalar");
        assert_eq!(name.parse::<Backend>(), Err(UnknownBackend { name }));
    }

    #[test]
    fn the_best_is_available_and_no_other_is_better() {
        let best = Backend::best();
        assert!(best.is_available());
        assert!(
            Backend::ALL
                .iter()
                .all(|other| *other <= best || !other.is_available())
        );
    }
}
