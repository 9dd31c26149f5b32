//! The answer in words.

use std::fmt;

use super::{Answer, Entry, Infeasible, Latencies, Proposal};
use crate::stats::Estimate;

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposal(proposal) => proposal.fmt(f),
            Self::Infeasible(infeasible) => infeasible.fmt(f),
        }
    }
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Nothing fits: {}", self.explanation)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network_text(f)?;
        self.anonymity_text(f)?;
        entries(
            f,
            "As good, with more mixes or as many: nothing says that these are worse or better",
            &self.ties,
        )?;
        entries(f, "Finalists, on fresh seeds", &self.finalists)?;
        entries(f, "The front as it was simulated first", &self.front)?;
        self.sensitivity_text(f)?;
        self.disclosure_text(f)?;
        writeln!(f, "\nNot modelled")?;
        for item in &self.not_modelled {
            writeln!(f, "  - {item}")?;
        }
        Ok(())
    }
}

impl Proposal {
    fn network_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, rates) = (&self.network, &self.network.rates);
        writeln!(f, "Proposal")?;
        writeln!(
            f,
            "  layers                {} of {} mixes",
            network.layers, network.width
        )?;
        writeln!(
            f,
            "  mean delay of a hop   {} s (mu = {:.4} per second)",
            network.mean_delay,
            1.0 / network.mean_delay
        )?;
        writeln!(
            f,
            "  rates of a client     real {}, loops {}, drops {}, mailbox {}, mailbox clock {}, \
             downlink {} per second",
            rates.real,
            rates.loops,
            rates.drops,
            rates.mailbox,
            rates.mailbox_clock,
            rates.downlink
        )?;
        writeln!(
            f,
            "  bandwidth             {:.0} bytes/s of {:.0}, both directions together",
            rates.bytes_per_sec(),
            self.request.bandwidth
        )?;
        let which = match self.request.latency {
            Latencies::Delivery => "delivery",
            Latencies::Path => "path",
        };
        writeln!(
            f,
            "  {which:<8} latency      p50 {:.3} s, p99 {:.3} s of {} s (closed form)",
            network.p50, network.p99, self.request.p99
        )?;
        let balanced = self.packets_to_corrupt_path;
        let random = self.packets_to_corrupt_path_at_random;
        writeln!(
            f,
            "  corrupt mixes         {} of {}; paths that are corrupt throughout may be {} of all",
            network.corrupt,
            network.mixes(),
            self.request.max_corrupt_path,
        )?;
        writeln!(f, "    spread evenly       {}", corrupt_paths(balanced))?;
        writeln!(f, "    each on its own     {}", corrupt_paths(random))
    }

    fn anonymity_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nMin-entropy over users, 5th percentile of messages: {} bits",
            interval(&self.bits)
        )?;
        writeln!(
            f,
            "  of at most {:.2} for {:.0} users online; by closed form {:.2}",
            crate::math::log2(self.request.online()),
            self.request.online(),
            self.network.screened_bits
        )?;
        writeln!(f, "  {}", self.claim)?;
        if self.simulated_users < self.request.online() {
            writeln!(
                f,
                "  simulated with {:.0} users online",
                self.simulated_users
            )?;
        }
        Ok(())
    }

    fn sensitivity_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nThe same network with other numbers of users")?;
        for other in &self.sensitivity {
            writeln!(
                f,
                "  {:>12.0} users  {} bits",
                other.users,
                interval(&other.bits)
            )?;
        }
        Ok(())
    }

    fn disclosure_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disclosure = &self.disclosure;
        let days = |days: Option<f64>| match days {
            Some(days) => format!("about {} days", three(days)),
            None => "never".to_owned(),
        };
        writeln!(f, "\nDays to disclosure, by closed form")?;
        writeln!(
            f,
            "  statistical disclosure  {}, assuming {}",
            days(disclosure.statistical_days),
            disclosure.statistical_assumes
        )?;
        writeln!(
            f,
            "  intersection            {}, assuming {}",
            days(disclosure.intersection_days),
            disclosure.intersection_assumes
        )
    }
}

fn entries(f: &mut fmt::Formatter<'_>, title: &str, entries: &[Entry]) -> fmt::Result {
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    for entry in entries {
        writeln!(
            f,
            "  {} bits  {}",
            interval(&entry.bits),
            entry.network.describe()
        )?;
    }
    Ok(())
}

fn interval(bits: &Estimate) -> String {
    if bits.low.is_finite() {
        format!("{:.2} [{:.2}, {:.2}]", bits.mean, bits.low, bits.high)
    } else {
        format!("{:.2} [one repetition]", bits.mean)
    }
}

/// The share of paths that are corrupt, and when a user meets the first.
fn corrupt_paths(packets: Option<f64>) -> String {
    match packets {
        Some(packets) => format!(
            "{:.3e} of all paths, a user's first after {packets:.0} packets on average",
            1.0 / packets
        ),
        None => "no path".to_owned(),
    }
}

/// A number of days for reading.
fn three(days: f64) -> String {
    if days >= 100.0 {
        format!("{days:.0}")
    } else {
        format!("{days:.2}")
    }
}
