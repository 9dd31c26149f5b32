//! What one provider can tell of who moved where: owners who move from place to place by the real client's
//! schedule, and a provider that keeps all it sees and knows that schedule.
//!
//! A provider sees, of each mailbox, when it is opened, when its share rises and falls, how much is deposited, and
//! in which hours of the day its owner is there. For each mailbox whose share has fallen it looks among those whose
//! share has risen since, as late as the schedule allows for: one of them may be the next of the same owner. How
//! well what it sees tells the right one from the others is the area under the curve (AUC) of true against false
//! pairs: 0.5 is a coin.

use std::collections::BTreeMap;

use rand::{CryptoRng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution as _, LogNormal, Poisson};
use serde::Serialize;
use shoal_client::{PlaceWalk, SeenMailbox};
use shoal_packet::command::Share;
use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::sample::Network;
use shoal_topology::{Document, NetworkParameters};

use crate::math;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Movers {
    /// Owners: 2 to 100,000.
    pub daemons: u32,
    /// Providers: 3 to 200.
    pub providers: u8,
    /// How long it is watched, in lives of a place: 2 to 100.
    pub lives: u32,
    /// Texts to an owner in a day, in the median: above 0.
    pub texts: f64,
    /// How much that differs between owners: the standard deviation of its logarithm, 0 for not at all.
    pub spread: f64,
    /// Contacts of an owner, who write alike: 1 to 256.
    pub contacts: u32,
    /// Hours of each day in which an owner is there: 24 for always.
    pub hours: f64,
}

impl Default for Movers {
    fn default() -> Self {
        Self {
            daemons: 1000,
            providers: 20,
            lives: 12,
            texts: 20.0,
            spread: 0.0,
            contacts: 8,
            hours: 24.0,
        }
    }
}

/// How well places are linked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Linking {
    /// True pairs that were looked at.
    pub pairs: usize,
    /// Other mailboxes that could be the next one, of the mean pair.
    pub candidates: f64,
    /// By what is deposited.
    pub auc_volume: f64,
    /// By the hours of the day.
    pub auc_hours: f64,
    /// By both.
    pub auc: f64,
    /// Share of pairs in which the likeliest is the right one.
    pub first: f64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Linked {
    /// Each provider by itself.
    pub one: Linking,
    /// All providers together.
    pub all: Linking,
}

/// What is wrong with what is to be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MoversError(String);

impl Movers {
    fn check(&self) -> Result<(), MoversError> {
        let whole = [
            ("daemons", self.daemons, 2..=100_000),
            ("providers", self.providers.into(), 3..=200),
            ("lives", self.lives, 2..=100),
            ("contacts", self.contacts, 1..=256),
        ];
        for (name, value, range) in whole {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                return Err(MoversError(format!(
                    "{name} = {value} is not {least} to {most}"
                )));
            }
        }
        let real = [
            ("texts", self.texts, 1e-3..=1e5),
            ("spread", self.spread, 0.0..=5.0),
            ("hours", self.hours, 0.1..=24.0),
        ];
        for (name, value, range) in real {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                return Err(MoversError(format!(
                    "{name} = {value} is not {least} to {most}"
                )));
            }
        }
        Ok(())
    }
}

/// A mailbox of a place for contacts, as its provider has seen it.
struct Seen {
    owner: u32,
    place: u32,
    provider: NodeId,
    /// When its share rose, fell, and fell to little.
    rose: Option<Time>,
    fell: Option<Time>,
    left: Option<Time>,
    share: Share,
    opened: Time,
    /// Texts in a day while it led.
    rate: f64,
    /// In which hours of the day its owner was there: parts of all times that he was.
    hours: [f64; 24],
}

/// Simulates, and looks at it as a provider does. Everything random follows from `seed`.
///
/// # Errors
/// [`MoversError`] says what is out of its range.
pub fn link_places(movers: &Movers, seed: u64) -> Result<Linked, MoversError> {
    movers.check()?;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut network = Network::new(&mut rng, NetworkParameters::example(), 1, movers.providers);
    let view = network
        .view(&mut rng, [Epoch::new(10)])
        .map_err(|error| MoversError(error.to_string()))?;
    let document = view.documents.values().next();
    let document = document.ok_or_else(|| MoversError("no document".to_owned()))?;
    let mut seen = Vec::new();
    for owner in 0..movers.daemons {
        live(
            movers,
            &network.params,
            document,
            owner,
            &mut rng,
            &mut seen,
        );
    }
    Ok(Linked {
        one: linking(&seen, &network.params, |a, b| a.provider == b.provider),
        all: linking(&seen, &network.params, |_, _| true),
    })
}

/// One owner's life in the network.
fn live<R: CryptoRng>(
    movers: &Movers,
    params: &NetworkParameters,
    document: &Document,
    owner: u32,
    rng: &mut R,
    seen: &mut Vec<Seen>,
) {
    let Some(profile) = params.profiles.get("default") else {
        return;
    };
    // Nobody began together.
    let begin = params.start_of(Epoch::new(10))
        + params
            .place_life
            .scale(rng.random_range(0..1 << 16), 1 << 16);
    let end = begin + params.place_life.scale(movers.lives.into(), 1);
    let mut walk = PlaceWalk::new(params, profile, document, rng, begin);
    let day = params.place_life.scale(1, 30);
    let texts = match LogNormal::new(math::ln(movers.texts), movers.spread) {
        Ok(law) => law.sample(rng),
        Err(_) => movers.texts,
    };
    let from = rng.random_range(0..24_u32);
    let mut known: BTreeMap<(u32, u8), (Time, Seen)> = BTreeMap::new();
    let mut now = begin;
    // All contacts have written to the new place some days after they were told.
    let (mut present, mut used_at) = (walk.present(), begin);
    loop {
        for mailbox in walk.mailboxes().iter().filter(|it| it.for_contacts) {
            note(&mut known, owner, now, mailbox);
        }
        let here: Vec<_> = walk
            .mailboxes()
            .iter()
            .map(|it| (it.place, it.copy))
            .collect();
        let gone: Vec<_> = known
            .keys()
            .copied()
            .filter(|key| !here.contains(key))
            .collect();
        for key in gone {
            if let Some((_, it)) = known.remove(&key) {
                seen.push(it);
            }
        }
        if walk.present() != present {
            present = walk.present();
            let told = (0..movers.contacts).map(|_| walk.tells(now)).max();
            // He writes once in contacts / texts days.
            let writes = day.scale(u64::from(movers.contacts) * 4, (texts as u64).max(1));
            used_at = told.unwrap_or(now) + writes;
        }
        let next = walk.next();
        if next >= end {
            break;
        }
        now = present_at(movers, day, from, next, rng);
        walk.step(now, document, now >= used_at);
    }
    seen.extend(known.into_values().map(|(_, it)| it));
    for it in seen.iter_mut().rev().take_while(|it| it.owner == owner) {
        let led = it
            .fell
            .or(it.left)
            .unwrap_or(end)
            .since(it.rose.unwrap_or(it.opened));
        let days = led.as_secs_f64() / day.as_secs_f64();
        it.rate = poisson(texts * days, rng) / days.max(1e-6);
        it.hours = occupied(movers, from, days, rng);
    }
}

/// A mailbox is as it is now.
fn note(known: &mut BTreeMap<(u32, u8), (Time, Seen)>, owner: u32, now: Time, it: &SeenMailbox) {
    let (_, entry) = known.entry((it.place, it.copy)).or_insert_with(|| {
        let fresh = Seen {
            owner,
            place: it.place,
            provider: it.provider,
            rose: None,
            fell: None,
            left: None,
            share: it.share,
            opened: now,
            rate: 0.0,
            hours: [0.0; 24],
        };
        (now, fresh)
    });
    if it.share != Share::Minor && entry.rose.is_none() {
        entry.rose = Some(now);
    }
    if entry.share == Share::First && it.share != Share::First && entry.fell.is_none() {
        entry.fell = Some(now);
    }
    entry.share = it.share;
    if it.share == Share::Minor && entry.rose.is_some() && entry.left.is_none() {
        entry.left = Some(now);
    }
}

/// What is due is done when the owner is there.
fn present_at<R: CryptoRng>(movers: &Movers, day: Span, from: u32, due: Time, rng: &mut R) -> Time {
    if movers.hours >= 24.0 {
        return due;
    }
    let hour = due.as_micros() % day.as_micros() * 24 / day.as_micros();
    let behind = (hour + 24 - u64::from(from)) % 24;
    if (behind as f64) < movers.hours {
        return due;
    }
    // From the begin of the next hours on, and some minutes.
    due + day.scale(24 - behind, 24) + day.scale(rng.random_range(0..1000), 50_000)
}

/// In which parts of the times that the owner was there it was which hour.
fn occupied<R: CryptoRng>(movers: &Movers, from: u32, days: f64, rng: &mut R) -> [f64; 24] {
    let mut counts = [0.0; 24];
    for _ in 0..(days as u32).min(60) {
        // Each day begins up to an hour earlier or later.
        let jitter: f64 = rng.random_range(-1.0..1.0);
        for step in 0..(movers.hours * 2.0) as u32 {
            let hour = (f64::from(from) + jitter + f64::from(step) / 2.0).rem_euclid(24.0);
            counts[(hour as usize).min(23)] += 1.0;
        }
    }
    let all: f64 = counts.iter().sum();
    counts.map(|count| if all > 0.0 { count / all } else { 1.0 / 24.0 })
}

fn poisson<R: CryptoRng>(mean: f64, rng: &mut R) -> f64 {
    Poisson::new(mean).map_or(0.0, |law| law.sample(rng))
}

/// How like two are, by what is deposited and by the hours: the greater, the likelier one owner's.
fn likeness(old: &Seen, new: &Seen) -> [f64; 2] {
    let volume = -(math::ln(old.rate + 0.1) - math::ln(new.rate + 0.1)).abs();
    let hours = -(old.hours.iter().zip(&new.hours))
        .map(|(a, b)| (a - b).abs())
        .sum::<f64>();
    [volume, hours]
}

/// Of each mailbox that has lost its share, the next one of its owner among all that could be.
fn linking(
    seen: &[Seen],
    params: &NetworkParameters,
    together: impl Fn(&Seen, &Seen) -> bool,
) -> Linking {
    let day = params.place_life.scale(1, 30);
    // By the schedule: the next one was opened one to eight days before the old one fell, and rises within a day; half
    // a day to one and a half after that the old one falls once more.
    let fits = |old: &Seen, new: &Seen| {
        let Some(rose) = new.rose else {
            return false;
        };
        let within = |from: Time, to: Time, least: Span, most: Span| {
            let after = to.since(from);
            to >= from && after >= least && after <= most
        };
        let left = |left| within(rose, left, day.scale(1, 2), day.scale(3, 2));
        let fell = |fell| {
            within(fell, rose, Span::ZERO, day) && within(new.opened, fell, day, day.scale(8, 1))
        };
        // Of the one with the smaller part only the second fall is seen.
        old.left.is_none_or(left)
            && old.fell.is_none_or(fell)
            && within(new.opened, rose, day, day.scale(9, 1))
    };
    let mut risen: Vec<&Seen> = seen.iter().filter(|it| it.rose.is_some()).collect();
    risen.sort_by_key(|it| it.rose);
    let mut scores: [Vec<(f64, bool)>; 3] = Default::default();
    let (mut pairs, mut candidates, mut first) = (0, 0, 0);
    for old in seen {
        let Some(about) = old.fell.or(old.left) else {
            continue;
        };
        let begin = risen.partition_point(|it| it.rose < Some(about - day.scale(2, 1)));
        let until = about + day.scale(2, 1);
        let near = risen[begin..]
            .iter()
            .take_while(|it| it.rose <= Some(until));
        let could = near.filter(|new| {
            let other = (new.owner, new.place) != (old.owner, old.place);
            other && together(old, new) && fits(old, new)
        });
        let could: Vec<(bool, [f64; 2])> = could
            .map(|new| (new.owner == old.owner, likeness(old, new)))
            .collect();
        if !could.iter().any(|(is_true, _)| *is_true) {
            continue;
        }
        pairs += 1;
        candidates += could.iter().filter(|(is_true, _)| !is_true).count();
        let both = |[volume, hours]: &[f64; 2]| volume + hours;
        let best = could
            .iter()
            .max_by(|a, b| both(&a.1).total_cmp(&both(&b.1)));
        first += usize::from(best.is_some_and(|(is_true, _)| *is_true));
        for (is_true, like) in &could {
            scores[0].push((like[0], *is_true));
            scores[1].push((like[1], *is_true));
            scores[2].push((both(like), *is_true));
        }
    }
    let share =
        |count: usize| count as f64 / f64::from(u32::try_from(pairs.max(1)).unwrap_or(u32::MAX));
    let [volume, hours, all] = scores.map(auc);
    Linking {
        pairs,
        candidates: share(candidates),
        auc_volume: volume,
        auc_hours: hours,
        auc: all,
        first: share(first),
    }
}

/// The chance that a true pair has a higher score than a false one, half of it where they are alike; 0.5 where
/// there is nothing to compare.
fn auc(mut scores: Vec<(f64, bool)>) -> f64 {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0, 0.0);
    let mut rest = &scores[..];
    while let Some((score, _)) = rest.first() {
        let equal = rest.partition_point(|(other, _)| other <= score);
        let (these, after) = rest.split_at(equal.max(1));
        let true_ones = these.iter().filter(|(_, is_true)| *is_true).count() as f64;
        let false_ones = these.len() as f64 - true_ones;
        wins += true_ones * (below + false_ones / 2.0);
        below += false_ones;
        rest = after;
    }
    let positives = scores.iter().filter(|(_, is_true)| *is_true).count() as f64;
    match positives * below > 0.0 {
        true => wins / (positives * below),
        false => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_is_what_it_is_said_to_be() {
        let scores = |it: &[(f64, bool)]| auc(it.to_vec());
        assert_eq!(scores(&[]), 0.5);
        assert_eq!(scores(&[(1.0, true)]), 0.5);
        assert_eq!(scores(&[(1.0, true), (0.0, false)]), 1.0);
        assert_eq!(scores(&[(0.0, true), (1.0, false)]), 0.0);
        assert_eq!(scores(&[(1.0, true), (1.0, false), (1.0, false)]), 0.5);
        let mixed = [(3.0, true), (2.0, false), (1.0, true), (0.0, false)];
        assert_eq!(scores(&mixed), 0.75);
    }

    #[test]
    fn one_provider_cannot_link_places_and_what_differs_can_be_seen() {
        let movers = Movers {
            daemons: 400,
            providers: 4,
            lives: 5,
            ..Movers::default()
        };
        let alike = link_places(&movers, 1).unwrap();
        assert!(
            alike.one.pairs > 300 && alike.one.candidates > 1.0,
            "{alike:?}"
        );
        assert!((alike.one.auc - 0.5).abs() < 0.05, "{alike:?}");
        // The experiment notices what there is to notice.
        let spread = Movers {
            spread: 1.5,
            ..movers
        };
        assert!(link_places(&spread, 1).unwrap().one.auc_volume > 0.7);
        let hours = Movers {
            hours: 6.0,
            ..movers
        };
        assert!(link_places(&hours, 1).unwrap().one.auc_hours > 0.7);
        assert_eq!(link_places(&movers, 1), Ok(alike), "from its seed");
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let movers = Movers {
            providers: 2,
            ..Movers::default()
        };
        let error = link_places(&movers, 1).unwrap_err().to_string();
        assert_eq!(error, "providers = 2 is not 3 to 200");
    }
}
