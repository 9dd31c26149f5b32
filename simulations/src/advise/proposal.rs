//! From the front to the proposal.

use serde::Serialize;

use super::{
    AdviseError, Candidate, Request,
    simulate::{self, Job},
};
use crate::{
    math,
    stats::{self, Estimate},
    theory,
};

/// What the answer leaves out. It is printed with every proposal.
pub const NOT_MODELLED: [&str; 9] = [
    "providers that are corrupt or that add anonymity: they delay, and are counted on for nothing else",
    "active attacks: n-1, dropping, replay, tagging, floods, and mixes that lie about their delays",
    "what users do: who writes to whom, when, and how often; time of day; long conversations",
    "users who come and go while a message is under way, and clients with rates of their own",
    "loss of packets, retransmission, links that differ, and mixes that are slow or full",
    "messages of several packets, which take longer and show up as several targets",
    "loops of mixes and providers, and what mailboxes send: they add traffic to mix with",
    "a placement of corrupt mixes by somebody who may choose, other than evenly over the layers",
    "anything outside the packets: devices, contacts, content, software",
];

/// Standard deviations apart in the statistical disclosure attack: 95%.
const DISCLOSURE_CONFIDENCE: f64 = 2.0;
/// Finalists get repetitions that nothing was chosen by.
const FRESH: u32 = 1_000_000;
const SENSITIVITY: u32 = 2_000_000;
/// By how many bits the closed form may be off between two networks: measured within 0.3 for each.
const SCREENING_ERROR: f64 = 0.5;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// A network with what was simulated of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The network.
    pub network: Candidate,
    /// The objective, in bits: from simulation.
    pub bits: Estimate,
}

/// The answer for another number of users.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Users in all.
    pub users: f64,
    /// The objective for the same network, in bits: from simulation.
    pub bits: Estimate,
}

/// How long watching takes until it tells who writes to whom, by closed form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disclosure {
    /// Days of the statistical disclosure attack; `None` for users who write nothing.
    pub statistical_days: Option<f64>,
    /// What it assumes.
    pub statistical_assumes: String,
    /// Days of the intersection attack on one conversation; `None` for never.
    pub intersection_days: Option<f64>,
    /// What it assumes.
    pub intersection_assumes: String,
}

/// A network that fits, and how it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The version of the program.
    pub version: &'static str,
    /// What was asked for.
    pub request: Request,
    /// The proposed network.
    pub network: Candidate,
    /// 5th percentile over messages of the min-entropy over users, in bits, from simulation on
    /// seeds that nothing was chosen by.
    pub bits: Estimate,
    /// What may be claimed of it.
    pub claim: String,
    /// Users online in the simulation. Fewer than asked for where all would have been too many:
    /// then the closed form carries the result over.
    pub simulated_users: f64,
    /// Packets of one user until the first path that is corrupt throughout, on average, with the
    /// corrupt mixes spread evenly; `None` if no path is, because there are fewer than layers.
    pub packets_to_corrupt_path: Option<f64>,
    /// The same with each mix corrupt on its own; `None` if none is.
    pub packets_to_corrupt_path_at_random: Option<f64>,
    /// Finalists that nothing says to be worse or better than the proposal, which has the fewest
    /// mixes of all these.
    pub ties: Vec<Entry>,
    /// All finalists, on fresh seeds, the best first.
    pub finalists: Vec<Entry>,
    /// The front as it was simulated first, the best first.
    pub front: Vec<Entry>,
    /// With half as many and half again as many users.
    pub sensitivity: Vec<Sensitivity>,
    /// Days to disclosure.
    pub disclosure: Disclosure,
    /// What the answer leaves out.
    pub not_modelled: Vec<&'static str>,
}

/// Simulates the front, then the finalists, and chooses.
pub(super) fn choose(
    request: &Request,
    screened: &[Candidate],
    progress: &mut dyn FnMut(&str),
) -> Result<Proposal, AdviseError> {
    let t = request.thoroughness;
    let chosen = varied(screened, t.front);
    let front = judge(request, &chosen, t.repetitions, 0, "front", progress)?;
    let best = hopeful(&front, t.finalists);
    let finalists = judge(
        request,
        &best,
        t.final_repetitions,
        FRESH,
        "finalists",
        progress,
    )?;
    let (winner, ties) =
        simplest(&finalists).ok_or_else(|| AdviseError::NoTargets("every finalist".to_owned()))?;
    let sensitivity = sensitivity(request, &winner.network, progress)?;
    let network = winner.network;
    Ok(Proposal {
        version: env!("CARGO_PKG_VERSION"),
        request: request.clone(),
        bits: winner.bits,
        claim: claim(request, &network),
        simulated_users: simulate::simulated_users(request, &network, request.online()),
        packets_to_corrupt_path: packets_to_corrupt_path(&network),
        packets_to_corrupt_path_at_random: first_after(math::pow(
            request.corrupt,
            f64::from(network.layers),
        )),
        ties,
        finalists,
        front,
        sensitivity,
        disclosure: disclosure(request, winner.bits.mean),
        not_modelled: NOT_MODELLED.to_vec(),
        network,
    })
}

/// How far the means of two entries may be apart and nothing be said of which is better: 95% of
/// Student's t for the difference, with the variance of all entries, which all have the same
/// number of repetitions. Two or three repetitions say too little of the variance of one alone.
fn margin(entries: &[Entry]) -> f64 {
    let degrees = entries.iter().map(|e| e.bits.n.saturating_sub(1)).sum();
    let squares: f64 = entries
        .iter()
        .map(|entry| {
            let n = f64::from(entry.bits.n);
            let error = entry.bits.standard_error;
            // The variance of one repetition, as often as there are degrees of freedom.
            error * error * n * (n - 1.0)
        })
        .sum();
    let Some(first) = entries.first().filter(|_| degrees > 0) else {
        return f64::INFINITY;
    };
    let variance = squares / f64::from(degrees);
    let t = stats::student_t_quantile(0.975, degrees);
    t * (2.0 * variance / f64::from(first.bits.n)).sqrt()
}

/// Of entries with the best first, those that nothing says to be worse than the best.
fn tied(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    let margin = margin(entries);
    let most = entries.first().map_or(0.0, |best| best.bits.mean);
    entries.iter().take(1).chain(
        entries
            .iter()
            .skip(1)
            .filter(move |entry| most - entry.bits.mean <= margin),
    )
}

/// Of the front, with the best first, those that get fresh seeds: so many of the best, and of those
/// that are as good each that has fewer mixes than all before.
fn hopeful(front: &[Entry], count: usize) -> Vec<Candidate> {
    let best = front.iter().take(count);
    let mut chosen: Vec<Candidate> = best.map(|entry| entry.network.clone()).collect();
    for entry in tied(front).skip(count) {
        if chosen.iter().all(|c| entry.network.mixes() < c.mixes()) {
            chosen.push(entry.network.clone());
        }
    }
    chosen
}

/// Of finalists, with the best first, the one with the fewest mixes among those that are as good as
/// the best (of several, the one with the least bandwidth, then the best), and the others of these.
fn simplest(finalists: &[Entry]) -> Option<(Entry, Vec<Entry>)> {
    let all: Vec<&Entry> = tied(finalists).collect();
    let cost = |entry: &Entry| (entry.network.mixes(), entry.network.rates.bytes_per_sec());
    let least = |a: &usize, b: &usize| {
        let (a, b) = (all.get(*a).map(|e| cost(e)), all.get(*b).map(|e| cost(e)));
        a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
    };
    // The first of equals, which is the better one.
    let winner = (0..all.len()).min_by(least)?;
    let others = all.iter().enumerate().filter(|(at, _)| *at != winner);
    let others = others.map(|(_, entry)| (*entry).clone()).collect();
    Some(((*all.get(winner)?).clone(), others))
}

/// The best by closed form, at most a third of them with the same number of layers: screening is
/// an approximation, and errs alike for like networks. Besides, each that is not further from the
/// best than it errs, and has fewer mixes than all before.
fn varied(screened: &[Candidate], count: usize) -> Vec<Candidate> {
    let alike = count.div_ceil(3);
    let mut chosen: Vec<Candidate> = Vec::new();
    for candidate in screened {
        let same = chosen
            .iter()
            .filter(|c| c.layers == candidate.layers)
            .count();
        if chosen.len() < count && same < alike {
            chosen.push(candidate.clone());
        }
    }
    let most = screened.first().map_or(0.0, |best| best.screened_bits);
    for candidate in screened {
        let near = most - candidate.screened_bits <= SCREENING_ERROR;
        if near && chosen.iter().all(|c| candidate.mixes() < c.mixes()) {
            chosen.push(candidate.clone());
        }
    }
    chosen
}

/// Simulates candidates and puts the best first; the order before breaks ties.
fn judge(
    request: &Request,
    candidates: &[Candidate],
    repetitions: u32,
    first: u32,
    name: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Entry>, AdviseError> {
    let online = request.online();
    let jobs: Vec<Job<'_>> = candidates
        .iter()
        .flat_map(|candidate| {
            (0..repetitions).map(move |r| Job {
                candidate,
                online,
                repetition: first + r,
            })
        })
        .collect();
    let values = simulate::run_all(request, &jobs, &mut |done| {
        progress(&format!("simulating the {name}: {done} of {}", jobs.len()));
    })?;
    let estimates = simulate::estimates(&values, repetitions);
    let mut entries: Vec<Entry> = candidates
        .iter()
        .zip(estimates)
        .filter_map(|(network, bits)| {
            let network = network.clone();
            bits.map(|bits| Entry { network, bits })
        })
        .collect();
    entries.sort_by(|a, b| b.bits.mean.total_cmp(&a.bits.mean));
    Ok(entries)
}

fn sensitivity(
    request: &Request,
    network: &Candidate,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Sensitivity>, AdviseError> {
    let repetitions = request.thoroughness.final_repetitions;
    let mut found = Vec::new();
    for (number, share) in [0.5, 1.5].into_iter().enumerate() {
        let online = (request.online() * share).round().max(2.0);
        let block = u32::try_from(number).unwrap_or(0);
        let first = SENSITIVITY + FRESH * block;
        let jobs: Vec<Job<'_>> = (0..repetitions)
            .map(|r| Job {
                candidate: network,
                online,
                repetition: first + r,
            })
            .collect();
        progress(&format!("simulating {share} times the users"));
        let values = simulate::run_all(request, &jobs, &mut |_| {})?;
        if let Some(bits) = Estimate::of(&values) {
            let users = request.users as f64 * share;
            found.push(Sensitivity { users, bits });
        }
    }
    Ok(found)
}

fn claim(request: &Request, network: &Candidate) -> String {
    let online = request.online();
    let exact = "exact for the adversary who sees every link and the inside of the corrupt mixes, \
                 and learns for each packet that leaves the last layer which user it is for; \
                 averaged over repetitions";
    if simulate::simulated_users(request, network, online) < online {
        format!("approximation (shot noise of users, from fewer users), {exact}")
    } else {
        exact.to_owned()
    }
}

fn packets_to_corrupt_path(network: &Candidate) -> Option<f64> {
    let probability = theory::all_corrupt_balanced(network.layers, network.corrupt, network.width);
    first_after(probability)
}

/// Packets until the first on a path that is corrupt with this probability, on average.
fn first_after(probability: f64) -> Option<f64> {
    let first = theory::FirstCorruptPath { probability };
    (probability > 0.0).then(|| first.mean_packets())
}

fn disclosure(request: &Request, bits: f64) -> Disclosure {
    // A user is online for this share of the day.
    let messages_per_day = request.message_rate * SECONDS_PER_DAY * request.active;
    let to_one = messages_per_day / f64::from(request.contacts);
    let batch = math::pow(2.0, bits);
    let rounds = theory::statistical_disclosure_rounds(
        request.users as f64,
        batch,
        f64::from(request.contacts),
        DISCLOSURE_CONFIDENCE,
    );
    let messages = theory::intersection_messages(request.users as f64, request.active, 1.0);
    let days = |count: f64, per_day: f64| {
        let days = count / per_day;
        days.is_finite().then_some(days)
    };
    Disclosure {
        statistical_days: days(rounds, messages_per_day),
        statistical_assumes: format!(
            "that the adversary sees in which rounds a user sends a message, which cover traffic \
             is there to hide, and among {batch:.0} messages (2 to the min-entropy) to uniform \
             receivers; {messages_per_day:.1} messages a day, each to one of {} contacts; counts \
             {DISCLOSURE_CONFIDENCE} standard deviations apart (Danezis 2003)",
            request.contacts
        ),
        intersection_days: days(messages, to_one),
        intersection_assumes: format!(
            "that the adversary knows which messages belong to one conversation ({to_one:.2} a \
             day), and that each other user is online at each of them with probability {}, \
             independently; until one other is expected to be left",
            request.active
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disclosure_says_never_where_nobody_leaves() {
        let always = Request::new(1000, 5.0, 30_000.0, 0.2);
        assert_eq!(disclosure(&always, 8.0).intersection_days, None);
        let half = Request {
            active: 0.5,
            ..always.clone()
        };
        // log2(999) messages, at 25 a day to 20 contacts.
        let days = disclosure(&half, 8.0).intersection_days;
        assert!(
            days.is_some_and(|d| (d - 9.964 / 1.25).abs() < 0.01),
            "{days:?}"
        );
        let silent = Request {
            message_rate: 0.0,
            ..always
        };
        assert_eq!(disclosure(&silent, 8.0).statistical_days, None);
    }

    /// Networks of these layers of two mixes, with these values of two repetitions each.
    fn entries(all: &[(u32, [f64; 2])]) -> Vec<Entry> {
        let request = Request::new(1000, 5.0, 30_000.0, 0.2);
        let rates = super::super::fitting(30_000.0, super::super::rates::SPLITS[0]);
        let entry = |(layers, values): &(u32, [f64; 2])| Entry {
            network: Candidate::with_delay(&request, *layers, 2, rates, 0.1).unwrap(),
            bits: Estimate::of(values).unwrap(),
        };
        let mut entries: Vec<Entry> = all.iter().map(entry).collect();
        entries.sort_by(|a, b| b.bits.mean.total_cmp(&a.bits.mean));
        entries
    }

    fn layers<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u32> {
        entries.into_iter().map(|e| e.network.layers).collect()
    }

    #[test]
    fn of_networks_that_are_as_good_the_one_with_the_fewest_mixes_is_proposed_and_the_others_named()
    {
        let close = [
            (5, [8.02, 8.06]),
            (6, [8.01, 8.03]),
            (4, [7.99, 8.03]),
            (3, [6.9, 7.0]),
        ];
        let finalists = entries(&close);
        let (winner, others) = simplest(&finalists).unwrap();
        assert_eq!(winner.network.layers, 4);
        assert_eq!(layers(&others), [5, 6]);
        // What is worse by more than the noise is not preferred for its mixes.
        let apart = entries(&[(5, [8.02, 8.06]), (4, [7.0, 7.1]), (3, [6.9, 7.0])]);
        let (winner, others) = simplest(&apart).unwrap();
        assert_eq!(winner.network.layers, 5);
        assert!(others.is_empty());
        assert!(simplest(&[]).is_none());
    }

    #[test]
    fn the_front_has_what_has_fewer_mixes_and_is_as_good_as_screening_can_tell() {
        let screened: Vec<Candidate> = [(6, 8.1), (5, 8.0), (7, 7.9), (8, 7.8), (4, 7.7), (3, 7.0)]
            .into_iter()
            .map(|(layers, bits)| {
                let [entry] = &entries(&[(layers, [0.0, 0.0])])[..] else {
                    panic!("one entry");
                };
                let mut candidate = entry.network.clone();
                candidate.screened_bits = bits;
                candidate
            })
            .collect();
        let chosen: Vec<u32> = varied(&screened, 4).iter().map(|c| c.layers).collect();
        assert_eq!(chosen, [6, 5, 7, 8, 4]);
    }

    #[test]
    fn what_may_be_as_good_with_fewer_mixes_gets_fresh_seeds_too() {
        let front = entries(&[
            (6, [8.05, 8.07]),
            (5, [8.02, 8.06]),
            (7, [8.01, 8.05]),
            (4, [7.99, 8.03]),
            (2, [5.0, 5.1]),
        ]);
        let chosen: Vec<u32> = hopeful(&front, 2).iter().map(|c| c.layers).collect();
        assert_eq!(chosen, [6, 5, 4]);
    }

    #[test]
    fn a_path_that_is_never_corrupt_says_under_what() {
        let answer = |corrupt: f64| {
            let request = Request {
                max_corrupt_path: 1.0,
                thoroughness: crate::advise::Thoroughness {
                    front: 1,
                    finalists: 1,
                    final_repetitions: 2,
                    targets: 20,
                    hops: 2e4,
                    ..crate::advise::Thoroughness::QUICK
                },
                max_layers: 3,
                ..Request::new(200, 5.0, 30_000.0, corrupt)
            };
            crate::advise::advise(&request, &mut |_| {})
                .unwrap()
                .to_string()
        };
        // One corrupt mix in some layers of two is on no path by itself.
        let text = answer(0.1);
        let line = |start: &str| {
            let found = text.lines().find(|line| line.trim().starts_with(start));
            found.unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        assert!(line("spread evenly").contains("no path"), "{text}");
        assert!(line("each on its own").contains("of all paths"), "{text}");
        assert!(!text.contains("never, while"), "{text}");
    }
}
