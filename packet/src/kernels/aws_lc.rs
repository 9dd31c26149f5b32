//! X25519 of AWS-LC, past its safe wrapper: importing a key there costs as much as a third of the
//! multiplication.

/// This build contains it.
pub(super) const IS_BUILT: bool = true;

/// `X25519(scalar, 9)`, from AWS-LC's tables of the base point.
pub(super) fn x25519_base(scalar: &[u8; 32]) -> [u8; 32] {
    aws_lc_sys::init();
    let mut out = [0; 32];
    // SAFETY: both point to 32 bytes, one to read and one to write, which do not overlap; the
    // function keeps neither and needs nothing else.
    unsafe { aws_lc_sys::X25519_public_from_private(out.as_mut_ptr(), scalar.as_ptr()) };
    out
}

/// `out[i] = X25519(scalars[i], points[i])`.
pub(super) fn x25519(scalars: &[[u8; 32]], points: &[[u8; 32]], out: &mut [[u8; 32]]) {
    // Chooses among assembly by processor; a no-op after the first time.
    aws_lc_sys::init();
    for ((scalar, point), out) in scalars.iter().zip(points).zip(out) {
        // SAFETY: all three point to 32 bytes, two to read and one to write, which do not
        // overlap; the function keeps none of them and needs nothing else.
        let nonzero =
            unsafe { aws_lc_sys::X25519(out.as_mut_ptr(), scalar.as_ptr(), point.as_ptr()) };
        // It says 0 for an all-zero result, which it has written all the same.
        let _ = nonzero;
    }
}
