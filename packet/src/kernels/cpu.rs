//! What the processor can do, as values: who holds one has looked.

use std::arch::is_x86_feature_detected;

/// AVX2 is there.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// AVX-512F is there, and AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let avx2 = Avx2::detect()?;
        is_x86_feature_detected!("avx512f").then_some(Self(avx2))
    }

    pub(crate) const fn avx2(self) -> Avx2 {
        self.0
    }
}
