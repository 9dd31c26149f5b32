//! The only place with `unsafe`: what needs the processor's vector instructions, or a C library.
//!
//! Where this processor or this build lacks what a function needs, it does nothing and says so with
//! `false` or `None`, or wants a proof that nothing lacks; the caller has another way.

#[cfg(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
))]
mod aws_lc;
/// What stands in for it where it is missing.
#[cfg(not(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
)))]
mod aws_lc {
    pub(super) const IS_BUILT: bool = false;

    pub(super) fn x25519(_scalars: &[[u8; 32]], _points: &[[u8; 32]], _out: &mut [[u8; 32]]) {}

    pub(super) fn x25519_base(_scalar: &[u8; 32]) -> [u8; 32] {
        [0; 32]
    }
}
#[cfg(any(test, target_arch = "x86_64"))]
mod batch;
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod blake2b;
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod chacha;
#[cfg(target_arch = "x86_64")]
pub(crate) mod cpu;
#[cfg(test)]
pub(crate) mod emulated;
#[cfg(any(test, target_arch = "x86_64"))]
mod field;
#[cfg(any(test, target_arch = "x86_64"))]
mod field_lanes;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(any(test, target_arch = "x86_64"))]
mod ladder;
#[cfg(any(test, target_arch = "x86_64"))]
mod lanes;
#[cfg(any(test, target_arch = "x86_64"))]
mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Whether this build contains AWS-LC.
pub(crate) const HAS_SCALAR: bool = aws_lc::IS_BUILT;

/// Whether this processor has the instructions of the IFMA back end.
pub(crate) fn has_ifma() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = ifma::Ifma::detect().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

/// `out[i] = X25519(scalars[i], points[i])` by AWS-LC, one after the other.
pub(crate) fn scalar_x25519(
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) -> bool {
    aws_lc::x25519(scalars, points, out);
    HAS_SCALAR
}

/// `X25519(scalar, 9)` by AWS-LC, if this build contains it.
pub(crate) fn scalar_x25519_base(scalar: &[u8; 32]) -> Option<[u8; 32]> {
    HAS_SCALAR.then(|| aws_lc::x25519_base(scalar))
}

/// `out[i] = X25519(scalars[i], points[i])` by AVX-512 IFMA, in groups of eight. A group that is
/// not full takes as long as one that is.
pub(crate) fn ifma_x25519(scalars: &[[u8; 32]], points: &[[u8; 32]], out: &mut [[u8; 32]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(ifma) = ifma::Ifma::detect() {
        ifma.x25519(scalars, points, out);
        return true;
    }
    let _ = (scalars, points, out);
    false
}

/// `out[i] = X25519(scalars[i], points[i])` by the ladder of the IFMA back end, on lanes that are
/// emulated.
#[cfg(test)]
pub(crate) fn emulated_x25519(
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) -> bool {
    let ladders = |starts: &[_], ends: &mut [_]| ladder::run(lanes::Emulated, starts, ends);
    batch::x25519(ladders, scalars, points, out);
    true
}
