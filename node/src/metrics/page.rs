//! A page of numbers as Prometheus reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Series, MetricFamily, MetricType,
};
use shoal_proto::{Metric, MetricKind, Sample};

/// The numbers of one instant.
#[derive(Default)]
pub struct Page(BTreeMap<&'static str, MetricFamily>);

impl Page {
    /// Adds whole numbers.
    pub fn add(&mut self, samples: impl Iterator<Item = Sample>) {
        for sample in samples {
            let label = sample.metric.label.zip(sample.label);
            self.set(sample.metric, label.as_slice(), float(sample.value));
        }
    }

    /// Adds a number, with the names and values of its labels.
    pub fn set(&mut self, metric: &Metric, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut series = Series::from_label(labels.collect());
        if metric.kind == MetricKind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        self.family(metric).mut_metric().push(series);
    }

    /// Adds a histogram: its upper bounds in ascending order, how many observations are in each bucket
    /// and, in one number more, above the last, and the sum of all.
    pub fn add_histogram(
        &mut self,
        metric: &Metric,
        bounds: &[Duration],
        counts: &[u64],
        sum: Duration,
    ) {
        let mut below = 0_u64;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, more) in bounds.iter().zip(counts) {
            below = below.saturating_add(*more);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        let all = counts
            .iter()
            .fold(0, |sum: u64, one| sum.saturating_add(*one));
        histogram.set_sample_count(all);
        histogram.set_sample_sum(sum.as_secs_f64());
        let mut series = Series::default();
        series.set_histogram(histogram);
        self.family(metric).mut_metric().push(series);
    }

    fn family(&mut self, metric: &Metric) -> &mut MetricFamily {
        self.0.entry(metric.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                MetricKind::Counter => MetricType::COUNTER,
                MetricKind::Gauge => MetricType::GAUGE,
                MetricKind::Histogram => MetricType::HISTOGRAM,
            });
            family
        })
    }

    /// The page in the text format, version 0.0.4: each metric with its meaning and its kind.
    #[must_use]
    pub fn render(self) -> String {
        let families: Vec<MetricFamily> = self.0.into_values().collect();
        // It refuses families without a name or a number, of which there are none.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}
