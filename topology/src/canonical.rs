//! One encoding of values for everything that is hashed.

use blake2::{Blake2b256, Digest};

/// BLAKE2b-256 over a canonical encoding: a domain first, then fields, each with its length in
/// front, so that no two different sequences of fields give the same bytes.
pub(crate) struct Canonical(Blake2b256);

impl Canonical {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Blake2b256::new()).bytes(domain.as_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0
            .update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// A finite float by its bits; both zeros count as one.
    pub(crate) fn float(self, number: f64) -> Self {
        self.bytes(&(number + 0.0).to_bits().to_le_bytes())
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let hash = |fields: &[&[u8]]| {
            fields
                .iter()
                .fold(Canonical::new("test"), |h, f| h.bytes(f))
                .finish()
        };
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"", b"a"]), hash(&[b"a", b""]));
        assert_ne!(Canonical::new("a").finish(), Canonical::new("b").finish());
        assert_eq!(
            Canonical::new("a").float(0.0).finish(),
            Canonical::new("a").float(-0.0).finish()
        );
    }
}
