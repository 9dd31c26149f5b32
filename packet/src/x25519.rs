//! X25519 (RFC 7748, section 5), single and in batches.

use crate::backend::Backend;
use crate::kernels;
use x25519_dalek::x25519;

/// `out[i] = X25519(scalars[i], points[i])`. Scalars are clamped, bit 255 of points is ignored,
/// non-canonical points are reduced, as the RFC says. An all-zero result is left to the caller
/// to refuse. The three slices have one length.
pub(crate) fn multiply(
    backend: Backend,
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) {
    debug_assert!(scalars.len() == points.len() && points.len() == out.len());
    match backend {
        Backend::Portable => portable(scalars, points, out),
        Backend::Scalar | Backend::Ifma => {
            if !kernels::scalar_x25519(scalars, points, out) {
                portable(scalars, points, out);
            }
        }
    }
}

fn portable(scalars: &[[u8; 32]], points: &[[u8; 32]], out: &mut [[u8; 32]]) {
    for ((scalar, point), out) in scalars.iter().zip(points).zip(out) {
        *out = x25519(*scalar, *point);
    }
}
