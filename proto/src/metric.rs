//! What a part counts, declared once: the fields or labels, their meaning, and what an operator does
//! about them. A page of metrics and its documentation are made from the declaration.

use std::fmt;

/// Whether a metric only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It grows until the process ends.
    Counter,
    /// It is a level.
    Gauge,
    /// It counts observations in buckets.
    Histogram,
}

impl MetricKind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A metric as it is declared beside what counts it, by [`counters!`](crate::counters) or
/// [`labels!`](crate::labels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `shoal_<crate>_<noun>_<unit>[_total]`.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// What is counted, in the plural: `packets`, `seconds`.
    pub unit: &'static str,
    /// The label that tells its series apart; none for most.
    pub label: Option<&'static str>,
    /// The values of the label with their meaning and what to do; bounded, and never a peer or a path.
    pub values: &'static [(&'static str, &'static str)],
    /// What it says.
    pub help: &'static str,
    /// What an operator does when it moves; empty if nothing is to be done.
    pub advice: &'static str,
}

/// One number of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Of which metric.
    pub metric: &'static Metric,
    /// The value of its label, if it has one.
    pub label: Option<&'static str>,
    /// The number.
    pub value: u64,
}

/// Declares a struct of counters and levels: public `u64` fields, all 0 by default.
///
/// Each field has a doc comment (the metric's help), a kind (`counter` or `gauge`), a unit in the
/// plural and, where an operator can do something, what to do. The metric's name is
/// `shoal_<crate>_<field>_<unit>`, with `_total` for a counter.
///
/// ```
/// shoal_proto::counters! {
///     /// What a shop did.
///     pub struct Counters("shop") {
///         /// Loaves that were sold.
///         sold: counter "loaves";
///         /// Loaves on the shelf now.
///         left: gauge "loaves", "Bake more when it is 0.";
///     }
/// }
///
/// let counters = Counters { sold: 2, left: 1 };
/// let page: Vec<_> = counters.samples().map(|s| (s.metric.name, s.value)).collect();
/// assert_eq!(page, [("shoal_shop_sold_loaves_total", 2), ("shoal_shop_left_loaves", 1)]);
/// assert_eq!(Counters::METRICS[1].advice, "Bake more when it is 0.");
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident($crate_name:literal) {
            $($(#[doc = $doc:literal])+ $field:ident: $kind:ident $unit:literal $(, $advice:literal)?;)*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(unreachable_pub, reason = "as visible as what is declared")]
        $vis struct $name {
            $($(#[doc = $doc])+ pub $field: u64,)*
        }

        #[allow(unreachable_pub, dead_code, reason = "as visible as what is declared")]
        impl $name {
            /// Every counter and level, in the order of the fields.
            pub const METRICS: &'static [$crate::Metric] = &[
                $($crate::Metric {
                    name: $crate::counters!(@name $kind $crate_name, $field, $unit),
                    kind: $crate::counters!(@kind $kind),
                    unit: $unit,
                    label: None,
                    values: &[],
                    help: concat!($($doc),+).trim_ascii(),
                    advice: concat!("" $(, $advice)?),
                },)*
            ];

            /// The numbers, in the order of [`METRICS`](Self::METRICS).
            pub fn samples(&self) -> impl Iterator<Item = $crate::Sample> + use<> {
                let values = [$(self.$field),*];
                Self::METRICS.iter().zip(values).map(|(metric, value)| $crate::Sample {
                    metric,
                    label: None,
                    value,
                })
            }

            /// The numbers with the names of the fields.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
    (@kind counter) => { $crate::MetricKind::Counter };
    (@kind gauge) => { $crate::MetricKind::Gauge };
    (@name counter $crate_name:literal, $field:ident, $unit:literal) => {
        concat!("shoal_", $crate_name, "_", stringify!($field), "_", $unit, "_total")
    };
    (@name gauge $crate_name:literal, $field:ident, $unit:literal) => {
        concat!("shoal_", $crate_name, "_", stringify!($field), "_", $unit)
    };
}

/// Declares a bounded set of labels, as an enum, and a metric that counts by them.
///
/// The second name is a table with a number for each. The metric's name is given whole, because
/// the table's owner knows what is counted. A label may say what to do about it.
///
/// ```
/// shoal_proto::labels! {
///     /// Why a loaf was thrown away.
///     pub enum Waste("reason") counted by Wasted as counter "shoal_shop_wasted_loaves_total" in "loaves" {
///         /// It was burnt.
///         Burnt = "burnt", "Look at the oven.";
///         /// It was old.
///         Old = "old";
///     }
/// }
///
/// let mut wasted = Wasted::default();
/// wasted.add(Waste::Old, 1);
/// assert_eq!((wasted.of(Waste::Old), wasted.of(Waste::Burnt), wasted.total()), (1, 0, 1));
/// assert_eq!(Waste::Burnt.to_string(), "burnt");
/// assert_eq!(wasted.samples().nth(1).map(|s| (s.label, s.value)), Some((Some("old"), 1)));
/// ```
#[macro_export]
macro_rules! labels {
    (
        $(#[doc = $outer:literal])+
        $vis:vis enum $name:ident($label:literal) counted by $table:ident as $kind:ident $metric:literal in $unit:literal {
            $($(#[doc = $doc:literal])+ $variant:ident = $text:literal $(, $advice:literal)?;)*
        }
    ) => {
        $(#[doc = $outer])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        $vis enum $name {
            $($(#[doc = $doc])+ $variant,)*
        }

        #[allow(unreachable_pub, dead_code, reason = "as visible as what is declared")]
        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The label in metrics: lower case, words joined by underscores.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[doc = concat!("A number for each [`", stringify!($name), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis struct $table([u64; $name::ALL.len()]);

        impl ::std::default::Default for $table {
            fn default() -> Self {
                Self([0; $name::ALL.len()])
            }
        }

        #[allow(unreachable_pub, dead_code, reason = "a table that only grows has nothing to take away")]
        impl $table {
            /// What is exported.
            pub const METRIC: $crate::Metric = $crate::Metric {
                name: $metric,
                kind: $crate::counters!(@kind $kind),
                unit: $unit,
                label: Some($label),
                values: &[$(($text, concat!($($doc),+ $(, " ", $advice)?).trim_ascii())),*],
                help: concat!($($outer),+).trim_ascii(),
                advice: "",
            };

            /// The number of one.
            #[must_use]
            pub fn of(&self, label: $name) -> u64 {
                self.0.get(label as usize).copied().unwrap_or(0)
            }

            /// The sum of all.
            #[must_use]
            pub fn total(&self) -> u64 {
                self.0.iter().fold(0, |sum, one| sum.saturating_add(*one))
            }

            /// Adds to one.
            pub fn add(&mut self, label: $name, count: u64) {
                if let Some(one) = self.0.get_mut(label as usize) {
                    *one = one.saturating_add(count);
                }
            }

            /// Takes from one; not below 0.
            pub fn take(&mut self, label: $name, count: u64) {
                if let Some(one) = self.0.get_mut(label as usize) {
                    *one = one.saturating_sub(count);
                }
            }

            /// The numbers with their labels, in the order of the declaration.
            pub fn iter(&self) -> impl Iterator<Item = ($name, u64)> + use<> {
                $name::ALL.iter().copied().zip(self.0)
            }

            /// The numbers for a page.
            pub fn samples(&self) -> impl Iterator<Item = $crate::Sample> + use<> {
                const METRIC: $crate::Metric = $table::METRIC;
                self.iter().map(|(label, value)| $crate::Sample {
                    metric: &METRIC,
                    label: Some(label.as_str()),
                    value,
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::counters! {
        /// For the test.
        struct Counters("test") {
            /// First line,
            /// and the second.
            seen: counter "packets";
            /// A level.
            held: gauge "items", "Do something.";
        }
    }

    crate::labels! {
        /// Where it is.
        enum Place("place") counted by Places as gauge "shoal_test_placed_items" in "items" {
            /// At home.
            Home = "home";
            /// Away.
            Away = "away", "Call it back.";
        }
    }

    #[test]
    fn a_declaration_says_all() {
        let [seen, held] = Counters::METRICS else {
            unreachable!("two fields");
        };
        assert_eq!(seen.name, "shoal_test_seen_packets_total");
        assert_eq!(seen.help, "First line, and the second.");
        assert_eq!((seen.kind, seen.advice), (MetricKind::Counter, ""));
        assert_eq!(held.name, "shoal_test_held_items");
        assert_eq!(
            (held.kind, held.advice),
            (MetricKind::Gauge, "Do something.")
        );
        let counters = Counters { seen: 3, held: 4 };
        assert_eq!(
            counters.fields().collect::<Vec<_>>(),
            [("seen", 3), ("held", 4)]
        );
        assert!(counters.samples().map(|s| s.value).eq([3, 4]));
    }

    #[test]
    fn a_table_counts_by_label() {
        let mut places = Places::default();
        places.add(Place::Away, 2);
        places.take(Place::Away, 1);
        places.take(Place::Home, 1);
        assert_eq!(
            places.iter().collect::<Vec<_>>(),
            [(Place::Home, 0), (Place::Away, 1)]
        );
        let samples: Vec<_> = places.samples().collect();
        assert!(samples.iter().all(|s| s.metric == &Places::METRIC));
        assert_eq!(Places::METRIC.help, "Where it is.");
        assert_eq!(
            Places::METRIC.values,
            [("home", "At home."), ("away", "Away. Call it back.")]
        );
    }
}
