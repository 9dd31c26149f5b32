//! X25519 of a batch: ladders in lanes, then one division for all of them.

use super::field::Element;
use super::ladder::{End, LANES, Start};
use zeroize::Zeroizing;

/// Multiplications that share a division.
const SHARED: usize = 4 * LANES;

/// `out[i] = X25519(scalars[i], points[i])`, by ladders that end as
/// [`ladder::run`](super::ladder::run) says.
pub(super) fn x25519(
    ladders: impl Fn(&[Start], &mut [End]),
    scalars: &[[u8; 32]],
    points: &[[u8; 32]],
    out: &mut [[u8; 32]],
) {
    let chunks = scalars.chunks(SHARED).zip(points.chunks(SHARED));
    for ((scalars, points), out) in chunks.zip(out.chunks_mut(SHARED)) {
        let groups = out.len().div_ceil(LANES);
        let mut starts: [Start; SHARED / LANES] = std::array::from_fn(|_| Start::default());
        let each = scalars.chunks(LANES).zip(points.chunks(LANES));
        for (start, (scalars, points)) in starts.iter_mut().zip(each) {
            start.fill(scalars, points);
        }
        let mut ends: [End; SHARED / LANES] = std::array::from_fn(|_| End::default());
        ladders(&starts[..groups], &mut ends[..groups]);
        quotients(&ends, out);
    }
}

/// `out[i] = x2 / z2` for the first lanes, where a division by zero gives zero. Divides once
/// (Montgomery's trick): `before[i]` is the product of the divisors before the `i`th. What the
/// arithmetic leaves on the stack beyond that is wiped no more than in curve25519-dalek.
fn quotients(ends: &[End], out: &mut [[u8; 32]]) {
    let mut dividends = Zeroizing::new([Element::ONE; SHARED]);
    let mut divisors = Zeroizing::new([Element::ONE; SHARED]);
    let mut before = Zeroizing::new([Element::ONE; SHARED]);
    let mut product = Zeroizing::new(Element::ONE);
    let lanes = ends
        .iter()
        .flat_map(|end| (0..LANES).map(move |lane| (end, lane)));
    for (i, (end, lane)) in lanes.enumerate().take(out.len()) {
        let sum = Zeroizing::new(Element(end.sum.map(|limb| limb[lane])));
        let difference = Zeroizing::new(Element(end.difference.map(|limb| limb[lane])));
        let divisor = Zeroizing::new(sum.sub(&difference));
        // A zero would make all the products zero: 0 / 1 stands for x / 0.
        let zero = divisor.is_zero();
        dividends[i] = sum.add(&difference).or(&Element([0; 5]), zero);
        divisors[i] = divisor.or(&Element::ONE, zero);
        before[i] = *product;
        *product = product.mul(&divisors[i]);
    }
    let mut inverse = Zeroizing::new(product.invert());
    for (i, out) in out.iter_mut().enumerate().rev() {
        *out = dividends[i].mul(&inverse.mul(&before[i])).to_bytes();
        *inverse = inverse.mul(&divisors[i]);
    }
}
