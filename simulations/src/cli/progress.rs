//! Progress: on a terminal a bar with the share done, hops per second and the time left; elsewhere,
//! as in the log of a job, a line now and then.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal_simulations::clock::Stopwatch;
use shoal_simulations::run::Watch;

/// Thousandths of a second of virtual time are what the bar counts.
const STEPS_PER_SECOND: f64 = 1000.0;

/// Seconds between two lines.
const BETWEEN: f64 = 30.0;

/// Lines on stderr, one each half a minute, where that is no terminal.
pub(crate) struct Lines {
    started: Stopwatch,
    told: f64,
    shown: bool,
}

impl Lines {
    /// None are written if `quiet`, or if stderr is a terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            started: Stopwatch::start(),
            told: 0.0,
            shown: !quiet && !std::io::stderr().is_terminal(),
        }
    }

    /// Writes what there is to say, if it is time.
    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.started.elapsed().as_secs_f64();
        if self.shown && now - self.told >= BETWEEN {
            self.told = now;
            eprintln!("{now:.0} s: {}", what());
        }
    }
}

/// A bar on stderr.
pub(crate) struct Bar {
    bar: ProgressBar,
    lines: Mutex<Lines>,
    hops: AtomicU64,
    runs: AtomicU64,
    of: u64,
}

impl Bar {
    /// For so many runs of so much virtual time in all, in seconds. Nothing is shown if `quiet`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "virtual times are positive and far below 2^53 ms"
    )]
    pub(crate) fn new(runs: u64, seconds: f64, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(5)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some((seconds * STEPS_PER_SECOND) as u64), target);
        let template = "{wide_bar} {percent:>3}%  {msg}  {elapsed} + {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            lines: Mutex::new(Lines::new(quiet)),
            hops: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            of: runs,
        }
    }

    /// Clears the line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate with two digits is printed"
    )]
    fn describe(&self) {
        let hops = self.hops.load(Ordering::Relaxed) as f64;
        let rate = hops / self.bar.elapsed().as_secs_f64().max(1e-3) / 1e6;
        let runs = self.runs.load(Ordering::Relaxed);
        let of = self.of;
        let message = format!("{runs}/{of} runs, {rate:.2} million hops/s");
        if let Ok(mut lines) = self.lines.lock() {
            lines.say(|| {
                let length = self.bar.length().unwrap_or(0).max(1) as f64;
                let share = 100.0 * self.bar.position() as f64 / length;
                format!("{share:.0}% done, {message}")
            });
        }
        self.bar.set_message(message);
    }
}

impl Watch for Bar {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a window of virtual time"
    )]
    fn advanced(&self, seconds: f64, hops: u64) {
        self.hops.fetch_add(hops, Ordering::Relaxed);
        self.bar.inc((seconds * STEPS_PER_SECOND) as u64);
        self.describe();
    }

    fn ended(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.describe();
    }
}
