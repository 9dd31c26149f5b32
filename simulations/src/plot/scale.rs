//! From values to places along an axis, and where its labels stand.

use crate::math;

use super::Axis;

/// A label and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    /// Empty for a line of the grid without a label.
    pub(super) label: String,
}

/// The range of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// The range that shows these values with room at both ends.
    pub(super) fn of(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            low = low.min(value);
            high = high.max(value);
        }
        if let Some((from, to)) = axis.limits {
            (low, high) = (from, to);
        }
        if axis.log {
            return Self::logarithmic(low, high, axis.limits.is_some());
        }
        if axis.from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if high - low <= low.abs().max(high.abs()) * 1e-12 {
            let half = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
            (low, high) = (low - half, high + half);
        }
        if axis.limits.is_none() {
            let room = (high - low) * 0.04;
            let floor = axis.from_zero && low == 0.0;
            (low, high) = (if floor { 0.0 } else { low - room }, high + room);
        }
        Self {
            low,
            high,
            log: false,
        }
    }

    fn logarithmic(low: f64, high: f64, fixed: bool) -> Self {
        let (low, high) = if fixed {
            (low, high)
        } else if high / low < 1.2 {
            (low / 1.2, high * 1.2)
        } else {
            let room = math::pow(high / low, 0.04);
            (low / room, high * room)
        };
        Self {
            low,
            high,
            log: true,
        }
    }

    /// The place of a value: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log {
            math::ln(value / self.low) / math::ln(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// The nearest value within the range.
    pub(super) const fn within(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Round values in the range, about `wanted` of them with a label.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<Tick> {
        if self.log && self.high / self.low >= 8.0 {
            return self.log_ticks(wanted);
        }
        let step = round_step((self.high - self.low) / wanted.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil();
        let count = ((self.high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
        let tick = |n: usize| {
            let value = (first + n as f64) * step;
            Tick {
                value,
                label: with_step(value, step),
            }
        };
        (0..=count).map(tick).collect()
    }

    /// Powers of ten, with 2 and 5 between where there are few, and unlabelled lines between.
    fn log_ticks(&self, wanted: usize) -> Vec<Tick> {
        let exponent = |value: f64| math::ln(value) / std::f64::consts::LN_10;
        let (first, last) = (exponent(self.low).floor(), exponent(self.high).ceil());
        let decades = exponent(self.high / self.low);
        let stride = (decades / wanted.max(1) as f64).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut power = first;
        while power <= last {
            for digit in 1..10_u8 {
                let value = f64::from(digit) * math::pow(10.0, power);
                let labelled = match digit {
                    1 => (power % stride).abs() < 0.5,
                    2 | 5 => decades < 2.5,
                    _ => false,
                };
                let drawn = labelled || stride < 1.5;
                if drawn && self.low <= value && value <= self.high {
                    let label = if labelled {
                        logarithmic_label(digit, power)
                    } else {
                        String::new()
                    };
                    ticks.push(Tick { value, label });
                }
            }
            power += 1.0;
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten: the nearest to `wished` by ratio.
fn round_step(wished: f64) -> f64 {
    let power = math::pow(10.0, (math::ln(wished) / std::f64::consts::LN_10).floor());
    let ratio = wished / power;
    // The bounds are the geometric means of neighbours.
    let factor = if ratio < std::f64::consts::SQRT_2 {
        1.0
    } else if ratio < 10.0_f64.sqrt() {
        2.0
    } else if ratio < 50.0_f64.sqrt() {
        5.0
    } else {
        10.0
    };
    factor * power
}

/// A number with the digits that its distance to the next one needs.
fn with_step(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 {
        0.0
    } else {
        value
    };
    if value.abs() >= 1e7 || step < 1e-5 {
        return powers(value, step);
    }
    let decimals = (0..6).find(|d| {
        let scaled = step * math::pow(10.0, f64::from(*d));
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
    });
    let text = format!("{value:.*}", decimals.unwrap_or(6) as usize);
    grouped(&text)
}

/// As 1.5×10⁷.
fn powers(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let power = (math::ln(value.abs()) / std::f64::consts::LN_10 + 1e-9).floor();
    let unit = math::pow(10.0, power);
    let mantissa = with_step_plain(value / unit, step / unit);
    format!("{mantissa}×10{}", superscript(power))
}

fn with_step_plain(value: f64, step: f64) -> String {
    let decimals = (0..4).find(|d| step * math::pow(10.0, f64::from(*d)) >= 1.0 - 1e-6);
    format!("{value:.*}", decimals.unwrap_or(4) as usize)
}

/// Thousands apart by a thin space, from 10,000 on.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, ""), |(w, r)| (w, r));
    let digits = whole.trim_start_matches('-');
    let mut out = String::new();
    if whole.len() > digits.len() {
        out.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

fn logarithmic_label(digit: u8, power: f64) -> String {
    if (-3.0..=4.0).contains(&power) {
        let value = f64::from(digit) * math::pow(10.0, power);
        let decimals = if power < 0.0 { -power } else { 0.0 };
        return grouped(&format!("{value:.*}", decimals as usize));
    }
    match digit {
        1 => format!("10{}", superscript(power)),
        digit => format!("{digit}×10{}", superscript(power)),
    }
}

fn superscript(power: f64) -> String {
    let text = format!("{power:.0}");
    text.chars()
        .map(|c| match c {
            '-' => '⁻',
            '0' => '⁰',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        let ticks = Scale::of(axis, values.iter().copied()).ticks(6);
        ticks
            .into_iter()
            .map(|t| t.label)
            .filter(|label| !label.is_empty())
            .collect()
    }

    #[test]
    fn linear_labels_are_round() {
        let axis = Axis::default();
        assert_eq!(
            labels(&axis, &[0.0, 1.0]),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&axis, &[-3.0, 7.0]), ["−2", "0", "2", "4", "6"]);
        assert_eq!(
            labels(&axis, &[0.0, 50_000.0]),
            [
                "0",
                "10\u{a0}000",
                "20\u{a0}000",
                "30\u{a0}000",
                "40\u{a0}000",
                "50\u{a0}000"
            ]
        );
        assert_eq!(labels(&axis, &[0.0, 2e8])[1], "5×10⁷");
        assert_eq!(labels(&axis, &[5.0]), ["4.8", "4.9", "5.0", "5.1", "5.2"]);
    }

    #[test]
    fn logarithmic_labels_are_powers() {
        let axis = Axis {
            log: true,
            ..Axis::default()
        };
        assert_eq!(labels(&axis, &[0.25, 2500.0]), ["1", "10", "100", "1000"]);
        assert_eq!(
            labels(&axis, &[1e-9, 1e-5]),
            ["10⁻⁹", "10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵"]
        );
        assert_eq!(labels(&axis, &[1.0, 30.0]), ["1", "2", "5", "10", "20"]);
        assert!(labels(&axis, &[3.0, 4.0]).len() >= 3);
    }

    #[test]
    fn the_ends_are_zero_and_one() {
        let axis = Axis {
            log: true,
            limits: Some((1.0, 100.0)),
            ..Axis::default()
        };
        let scale = Scale::of(&axis, [5.0].into_iter());
        assert_eq!(scale.place(1.0), 0.0);
        assert!((scale.place(10.0) - 0.5).abs() < 1e-12);
        let zero = Axis {
            from_zero: true,
            ..Axis::default()
        };
        assert_eq!(Scale::of(&zero, [3.0, 5.0].into_iter()).place(0.0), 0.0);
    }
}
