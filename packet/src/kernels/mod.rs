//! The only place with `unsafe`: what needs the processor's vector instructions, or a C library.

#[cfg(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
))]
mod aws_lc;

/// Whether this build contains AWS-LC.
pub(crate) const HAS_SCALAR: bool = cfg!(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
));

/// Whether this is a processor with the instructions of the IFMA back end.
pub(crate) fn has_ifma() -> bool {
    false
}

/// `out[i] = X25519(scalars[i], points[i])` by AWS-LC. `false`, and nothing done, if this build
/// does not contain it.
#[cfg(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
))]
pub(crate) fn scalar_x25519(
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) -> bool {
    aws_lc::x25519(scalars, points, out);
    true
}

/// `out[i] = X25519(scalars[i], points[i])` by AWS-LC. `false`, and nothing done, if this build
/// does not contain it.
#[cfg(not(all(
    feature = "aws-lc",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(target_family = "wasm")
)))]
pub(crate) fn scalar_x25519(_: &[[u8; 32]], _: &[[u8; 32]], _: &mut [[u8; 32]]) -> bool {
    false
}
