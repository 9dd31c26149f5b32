//! The n-1 attack on a mix of a scenario: what [`blocking`](super::blocking) says of it.

use super::blocking::Blocking;
use super::draw::Trials;
use super::droppers;
use super::sheet::{Sheet, count};
use super::sight::path_length;
use crate::engine::{Delay, Kind, Outcome, Plan, Routes};
use crate::measure::Claim;
use crate::scenario::NMinusOne;
use crate::{seed, stats};

/// Loops of all plays of alarms, and the plays that there are however many loops each has.
const MOST_LOOPS: f64 = 1e6;
const LEAST_PLAYS: u64 = 20;

/// The attack on the scenario's mix; `None` if there is no such mix or delays are not exponential.
pub(super) fn blocking(asked: &NMinusOne, plan: &Plan, outcome: &Outcome) -> Option<Blocking> {
    let Delay::Exponential { mean: delay } = plan.network.mix_delay else {
        return None;
    };
    let layer = plan.network.layers.get(asked.layer as usize)?;
    let weight = layer.get(asked.mix as usize)?;
    let share = weight / layer.iter().sum::<f64>();
    let visits = match plan.network.routes {
        Routes::Free { hops } => f64::from(hops),
        Routes::Stratified | Routes::Cascade => 1.0,
    };
    // Clients' packets, and the loops of mixes of other layers.
    let classes = plan.classes.iter();
    let clients: f64 = classes
        .map(|class| {
            let online = class
                .churn
                .map_or(1.0, |churn| churn.online / (churn.online + churn.offline));
            f64::from(class.count) * online * (class.real + class.loops + class.drops)
        })
        .sum();
    let mixes: usize = plan.network.layers.iter().map(Vec::len).sum();
    let others = count((mixes - layer.len()) as u64) * plan.network.mix_loops;
    let loops = plan.network.mix_loops;
    let lost = outcome.measured(Kind::MixLoop);
    let arrived = lost.delivered + lost.lost_in_all();
    let hops = path_length(plan).saturating_sub(1);
    // A loop passes a provider, if there are any, and the mixes of the other layers.
    let provider = f64::from(u8::from(plan.network.providers > 0));
    let links = f64::from(hops) + 1.0 + provider;
    Some(Blocking {
        traffic: (clients * visits + others) * share,
        loops,
        mu: 1.0 / delay,
        reduction: 1.0 / asked.let_through,
        loop_hops: hops,
        loop_links: links * plan.links.wrap.mean() + provider * plan.network.provider_delay.mean(),
        loop_loss: super::sheet::share(lost.lost_in_all(), arrived).unwrap_or(0.0),
        limits: droppers::limits(&asked.alarm),
    })
}

pub(super) fn put(
    asked: &NMinusOne,
    (plan, outcome): (&Plan, &Outcome),
    (seed, repetition): (u64, u32),
    sheet: &mut Sheet,
) {
    let blocking = blocking(asked, plan, outcome);
    let sound = |claim: Claim| match &blocking {
        Some(_) => claim,
        None => Claim::Unsound("the delay at mixes is not exponential".to_owned()),
    };
    let mut put = |name: &str, unit: &str, value, claim: Claim| {
        let name = format!("n_minus_one_{name}");
        sheet.put(None, (name, unit), value, &sound(claim));
    };
    let attack = || Claim::Attack("first departure after the target".to_owned());
    let formula = blocking.as_ref().map(Blocking::success_probability);
    put("success_formula", "1", formula, Claim::Exact);
    let mut rng = seed::generator(seed, repetition, "n-1 attack", 0);
    let played = blocking
        .as_ref()
        .and_then(|b| b.simulate(&mut rng, u64::from(asked.attacks)).share());
    put("success", "1", played, attack());
    let mut alarms = Alarms::default();
    if let Some(blocking) = blocking.as_ref().filter(|b| b.loops > 0.0) {
        alarms = Alarms::play(blocking, asked, (seed, repetition));
    }
    let loops = || Claim::Attack("the mix's own statistics of its loops".to_owned());
    put("detected", "1", alarms.detected.share(), loops());
    put(
        "seconds_to_alarm",
        "s",
        stats::mean(&alarms.seconds),
        loops(),
    );
    put(
        "false_alarms_per_hour",
        "1/h",
        alarms.false_per_hour,
        loops(),
    );
}

#[derive(Default)]
struct Alarms {
    detected: Trials,
    seconds: Vec<f64>,
    false_per_hour: Option<f64>,
}

impl Alarms {
    /// Attacks of this length, each after the window has filled, and as much time without one.
    fn play(blocking: &Blocking, asked: &NMinusOne, (seed, repetition): (u64, u32)) -> Self {
        let length = asked.length.get();
        let window = count(blocking.limits.loop_window as u64) / blocking.loops;
        let settled = 2.0 * window + 2.0 * blocking.patience();
        let end = settled + length + blocking.patience() + window;
        let mut found = Self::default();
        let (mut false_alarms, mut quiet) = (0, 0.0);
        // A play costs as many steps as it has loops.
        let mut left = MOST_LOOPS;
        for play in 0..u64::from(asked.attacks) {
            left -= end * blocking.loops;
            if left < 0.0 && play >= LEAST_PLAYS {
                break;
            }
            let mut rng = seed::generator(seed, repetition, "n-1 loops", play);
            let mut same = rng.clone();
            let without = blocking.loops(&mut rng, end, None);
            let attack = Some((settled, settled + length));
            let with = blocking.loops(&mut same, end, attack);
            false_alarms += without.count;
            quiet += end;
            // With the same numbers drawn, what is more or earlier is the attack's doing.
            let noticed = with.count > without.count;
            found.detected.add(noticed);
            let first = with.first.filter(|first| noticed && *first >= settled);
            found.seconds.extend(first.map(|first| first - settled));
        }
        found.false_per_hour = (quiet > 0.0).then(|| count(false_alarms) * 3600.0 / quiet);
        found
    }
}
