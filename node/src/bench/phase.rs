//! One part of a run: packets are offered in one way, and what the mix makes of them is measured.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::anyhow;
use rand::seq::IndexedRandom as _;
use shoal_proto::{Span, Time};
use shoal_stats::{ks_one_sample, math, quantile};

use super::MixPlan;
use super::ends::Ends;
use super::load::{Load, Pace, warm_up};
use super::machine::Cpu;
use super::page::Page;
use super::place::Place;
use super::reference::Reference;
use super::stock::{self, Stock};
use crate::Failure;
use crate::runtime::Clock;
use crate::seed::seeded;

/// Delays that are compared with the distribution.
const DRAWN: usize = 2_000;
/// How often the mix is asked what it has dropped.
const LOOK: Duration = Duration::from_secs(1);
/// A line of progress for so many of them.
const TOLD: u32 = 5;
/// A stage that does not empty itself in so many mean delays holds what a peer does not read.
const LONGEST_STAY: u64 = 28;

/// Packets a second that are made ahead for as many as pass: more than two cores pass on with ours beside it.
const FLAT_OUT: f64 = 30_000.0;
/// What is made ahead over what is sent in the mean.
const AMPLE: f64 = 1.05;

/// What was measured in one part of a run.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How long.
    pub seconds: f64,
    /// Packets a second that were to be sent; none if that was as many as possible.
    pub offered_per_second: Option<f64>,
    /// Handed to the links to the mix.
    pub sent_per_second: f64,
    /// Due, and not sent, because a link was full or this process too slow.
    pub unwritten_per_second: f64,
    /// Handed by the mix to the links of the next hop.
    pub forwarded_per_second: f64,
    /// What came at the peers that read at all times.
    pub readers_per_second: f64,
    /// Time of the processor that the mix's process takes for each packet that it forwards, in microseconds.
    pub cpu_micros: f64,
    /// The same by what its threads do.
    pub cpu_by_part: BTreeMap<&'static str, f64>,
    /// What the reference's bare `process` takes.
    pub reference_micros: f64,
    /// Packets that leave in one write, in the mean.
    pub frames_per_write: f64,
    /// Later than asked for, from the moment at which a frame is put into the ring of the link to the mix to that
    /// at which a peer has read it: both links are in it.
    pub excess: ExcessMs,
    /// As the mix's own histogram has it: at most this. None above all of its bounds, and of nothing.
    pub excess_inside_at_most: [Option<u64>; 3],
    /// The probability of delays as far from the exponential distribution, if they follow it.
    pub ks_p: Option<f64>,
    /// Delays that were timed.
    pub timed: usize,
    /// Those that the mix dropped, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// Packets that had to be made meanwhile.
    pub made_late: u64,
}

/// Quantiles of an excess, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExcessMs {
    /// The median.
    pub p50: f64,
    /// Of a hundred, one has more.
    pub p99: f64,
    /// Of a thousand, one has more.
    pub p999: f64,
}

/// What a run has.
pub(super) struct Bench<'p> {
    pub(super) place: Place,
    pub(super) ends: Ends,
    pub(super) clock: Clock,
    /// The mix's.
    pub(super) process: u32,
    /// None while packets are being offered.
    pub(super) stock: Option<Stock>,
    pub(super) progress: &'p mut (dyn FnMut(&str) + Send),
}

/// Everything at one moment.
struct Look {
    at: Time,
    page: Page,
    cpu: Cpu,
    by_peer: Vec<u64>,
    sent: u64,
    unwritten: u64,
}

impl Bench<'_> {
    pub(super) async fn page(&self) -> Result<Page, Failure> {
        let page = Page::of(self.place.metrics).await;
        page.map_err(|error| Failure::failed(anyhow!("no metrics from the mix: {error}")))
    }

    /// Offers packets in this way, while so many of the peers read nothing, and waits until all have left.
    pub(super) async fn measure(
        &mut self,
        name: &str,
        pace: Pace,
        plan: &MixPlan,
        stall: usize,
    ) -> Result<Measured, Failure> {
        let ahead = wanted(pace, plan);
        let stock = self.stock.take();
        let mut stock = stock.ok_or_else(|| Failure::failed(anyhow!("no packets")))?;
        (self.progress)(&format!("{name}: making {ahead} packets"));
        tokio::task::block_in_place(|| stock.fill(&self.place, ahead))?;
        stock.late = 0;
        let start = self.page().await?;
        let reference = Reference::start(&self.place)?;
        self.ends.stall(stall);
        let arrivals = &self.ends.arrivals;
        arrivals.take_times();
        let with = (self.ends.links(), arrivals.clone(), self.clock);
        let load = Load::start((stock, pace, plan.mean_delay), with)?;
        let warm = warm_up(plan.mean_delay, plan.duration);
        self.watch(name, &load, (&start, warm)).await?;
        let first = self.look(&load).await?;
        // What was sent before goes on being timed: delays of all that leaves are what counts.
        self.watch(name, &load, (&start, plan.duration)).await?;
        let last = self.look(&load).await?;
        let stock = tokio::task::block_in_place(|| load.stop())?;
        let made_late = stock.late;
        self.stock = Some(stock);
        let reference = tokio::task::block_in_place(|| reference.stop())?;
        self.emptied(plan, stall).await?;
        let end = self.page().await?;
        self.ends.stall(0);
        if stall > 0 {
            self.emptied(plan, 0).await?;
        }
        let times = self.ends.arrivals.take_times();
        Ok(Measured {
            offered_per_second: match pace {
                Pace::Flat => None,
                Pace::Rate(rate) => Some(rate),
            },
            reference_micros: reference,
            drops: end.drops_since(&start),
            made_late,
            ..between(&first, &last, stall).and_times(&times, plan.mean_delay)?
        })
    }

    /// Lets so much time pass, and tells how it goes.
    async fn watch(
        &mut self,
        name: &str,
        load: &Load,
        (start, span): (&Page, Span),
    ) -> Result<(), Failure> {
        let until = self.clock.now() + span;
        let mut looks = 0;
        while self.clock.now() < until {
            let next = self.clock.instant(until);
            let look = tokio::time::sleep(LOOK);
            tokio::select! {
                () = look => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let page = self.page().await?;
            let (now, before) = (page.accounts(), start.accounts());
            let dropped = now.dropped - before.dropped;
            load.offered.dropped.store(dropped, Ordering::Relaxed);
            looks += 1;
            if looks % TOLD == 0 {
                let line = format!(
                    "{name}: {} packets forwarded, {dropped} dropped, {} inside; {} s left",
                    now.forwarded - before.forwarded,
                    now.inside,
                    until.since(self.clock.now()).as_micros() / 1_000_000
                );
                (self.progress)(&line);
            }
        }
        Ok(())
    }

    async fn look(&self, load: &Load) -> Result<Look, Failure> {
        let page = self.page().await?;
        Ok(Look {
            at: self.clock.now(),
            page,
            cpu: Cpu::of(self.process).map_err(|error| {
                Failure::failed(anyhow!("only Linux tells the mix's time: {error}"))
            })?,
            by_peer: self.ends.arrivals.by_peer(),
            sent: load.offered.sent.load(Ordering::Relaxed),
            unwritten: load.offered.unwritten.load(Ordering::Relaxed),
        })
    }

    /// Waits until nothing is inside the mix any more, and what it has handed to links is here.
    async fn emptied(&self, plan: &MixPlan, stalled: usize) -> Result<(), Failure> {
        let longest = plan.mean_delay.scale(LONGEST_STAY, 1) + Span::from_secs(5);
        let until = self.clock.now() + longest;
        let mut seen = (u64::MAX, u64::MAX);
        loop {
            let accounts = self.page().await?.accounts();
            let now = (accounts.received, self.ends.arrivals.total());
            // Twice the same, so that what was on its way is here.
            if accounts.inside == 0 && (now == seen || stalled > 0) {
                return Ok(());
            }
            if self.clock.now() > until {
                return Err(Failure::failed(anyhow!(
                    "{} packets are still in the mix, long after the last was sent",
                    accounts.inside
                )));
            }
            seen = now;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Packets to make before.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides"
)]
fn wanted(pace: Pace, plan: &MixPlan) -> usize {
    let span = plan.duration + warm_up(plan.mean_delay, plan.duration);
    let rate = match pace {
        Pace::Flat => FLAT_OUT,
        Pace::Rate(rate) => rate,
    };
    (rate * span.as_secs_f64() * AMPLE).clamp(0.0, stock::MOST as f64) as usize
}

/// What there is to say of the time between two moments.
fn between(first: &Look, last: &Look, stalled: usize) -> Measured {
    let seconds = last.at.since(first.at).as_secs_f64();
    let rate = |count: u64| count as f64 / seconds;
    let since = |name: &str| last.page.count(name) - first.page.count(name);
    let forwarded = last.page.accounts().forwarded - first.page.accounts().forwarded;
    let each = |micros: f64| micros / (forwarded.max(1) as f64);
    let read = last.by_peer.iter().zip(&first.by_peer).skip(stalled);
    let parts = last.cpu.parts_since(&first.cpu).into_iter();
    let inside = [0.5, 0.99, 0.999].map(|q| last.page.excess_at_most(&first.page, q));
    let writes = since("shoal_node_coalesced_writes_total").max(1);
    Measured {
        seconds,
        sent_per_second: rate(last.sent - first.sent),
        unwritten_per_second: rate(last.unwritten - first.unwritten),
        forwarded_per_second: rate(forwarded),
        readers_per_second: rate(read.map(|(last, first)| last - first).sum()),
        cpu_micros: each(last.cpu.total - first.cpu.total),
        cpu_by_part: parts.map(|(part, micros)| (part, each(micros))).collect(),
        frames_per_write: since("shoal_node_written_frames_total") as f64 / writes as f64,
        excess_inside_at_most: inside,
        ..Measured::default()
    }
}

impl Measured {
    /// With what came of timed packets: delays asked for, and realised.
    fn and_times(self, times: &[(Span, Span)], mean: Span) -> Result<Self, Failure> {
        let ms = |(asked, came): &(Span, Span)| (came.as_secs_f64() - asked.as_secs_f64()) * 1e3;
        let excess: Vec<f64> = times.iter().map(ms).collect();
        let at = |q| quantile(&excess, q).unwrap_or_default();
        let mut rng = seeded()?;
        let drawn = times.sample(&mut rng, DRAWN);
        let realised: Vec<f64> = drawn.map(|(_, came)| came.as_secs_f64()).collect();
        let mean = mean.as_secs_f64();
        let ks = ks_one_sample(&realised, |delay| 1.0 - math::exp(-delay / mean));
        Ok(Self {
            excess: ExcessMs {
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
            },
            ks_p: ks.map(|ks| ks.p_value),
            timed: times.len(),
            ..self
        })
    }
}
