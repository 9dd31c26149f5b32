//! Several values of one place become their mean and its interval.

use std::collections::BTreeMap;

use crate::stats::Estimate;

use super::Point;

/// A float that has an order: numbers by size. NaN is never made one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ordered(pub(super) f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // 0 and -0 are one place.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

/// A point for each x: the mean of its values, with the 95% interval by Student's t if there are
/// two or more. The values must be independent of each other.
pub(super) fn means(values: impl Iterator<Item = (f64, f64)>) -> Vec<Point> {
    let mut places: BTreeMap<Ordered, Vec<f64>> = BTreeMap::new();
    for (x, y) in values.filter(|(x, y)| x.is_finite() && y.is_finite()) {
        places.entry(Ordered(x)).or_default().push(y);
    }
    let point = |(Ordered(x), ys): (Ordered, Vec<f64>)| {
        let estimate = Estimate::of(&ys)?;
        let interval = (ys.len() > 1).then_some((estimate.low, estimate.high));
        Some(Point {
            x,
            y: estimate.mean,
            interval,
        })
    };
    places.into_iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_student_s() {
        let points = means([(1.0, 2.0), (0.0, 5.0), (1.0, 4.0), (1.0, f64::NAN)].into_iter());
        assert_eq!(points[0], Point::new(0.0, 5.0));
        assert_eq!((points[1].x, points[1].y), (1.0, 3.0));
        // t(0.975, 1) = 12.706, the standard error is 1.
        let (low, high) = points[1].interval.unwrap();
        assert!((high - 15.706).abs() < 1e-3 && (low + 9.706).abs() < 1e-3);
    }
}
