use std::fmt;

/// Which code does the group and block arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Portable Rust: x25519-dalek and the RustCrypto crates. Everywhere.
    Portable,
    /// The scalar assembly of AWS-LC, one multiplication at a time.
    Scalar,
    /// AVX-512 IFMA: eight multiplications at a time, one in each 64-bit lane.
    Ifma,
}

impl Backend {
    /// All of them, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Scalar, Self::Ifma];

    /// Whether this machine can run it and this build contains it.
    #[must_use]
    pub fn is_available(self) -> bool {
        matches!(self, Self::Portable)
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
