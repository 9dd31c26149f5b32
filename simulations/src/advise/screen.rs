//! The grid, and what closed forms leave of it.

use shoal_topology::Profile;

use super::{Candidate, Request, Split, fitting, rates::SPLITS};

/// A network that keeps every bound, with its place by closed form.
pub type Screened = Candidate;

/// Shares of the bandwidth that are tried: a network that needs half of it is worth to know.
const BANDWIDTHS: [f64; 2] = [1.0, 0.5];
/// Widths that are tried, in multiples of the least that carries the load.
const WIDTHS: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 5.0];
/// How many splits of each number of layers and bandwidth are tried with all widths.
const SPLITS_KEPT: usize = 2;

/// The networks of the grid that keep every bound and that no other one beats in everything: bits,
/// bandwidth, mixes and corrupt paths. The most bits come first.
#[must_use]
pub fn screen(request: &Request) -> Vec<Screened> {
    let mut kept = Vec::new();
    for layers in 1..=request.max_layers {
        for share in BANDWIDTHS {
            kept.extend(best_splits(request, layers, share));
        }
    }
    let mut all: Vec<Candidate> = kept
        .iter()
        .flat_map(|candidate| {
            widths(request, candidate.layers, &candidate.rates)
                .into_iter()
                .map(|width| candidate.widened(request, width))
        })
        .filter(|candidate| candidate.corrupt_path <= request.max_corrupt_path)
        .collect();
    all.sort_by(|a, b| b.screened_bits.total_cmp(&a.screened_bits));
    front(all)
}

/// The splits of one number of layers and bandwidth that do best, in the narrowest layers.
fn best_splits(request: &Request, layers: u32, share: f64) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = SPLITS
        .into_iter()
        .filter_map(|split| narrowest(request, layers, share, split))
        .collect();
    found.sort_by(|a, b| b.screened_bits.total_cmp(&a.screened_bits));
    found.truncate(SPLITS_KEPT);
    found
}

fn narrowest(request: &Request, layers: u32, share: f64, split: Split) -> Option<Candidate> {
    let rates = rates_for(request, layers, share, split)?;
    let width = *widths(request, layers, &rates).first()?;
    Candidate::slowest(request, layers, width, rates)
}

/// The rates for a share of the bandwidth, or for as much of it as the mixes carry; `None` where
/// there are too few mixes for so many layers.
pub(super) fn rates_for(
    request: &Request,
    layers: u32,
    share: f64,
    split: Split,
) -> Option<Profile> {
    let bandwidth = request.bandwidth * share;
    let rates = fitting(bandwidth, split);
    let Some(mixes) = request.max_mixes else {
        return Some(rates);
    };
    let width = mixes / layers;
    if width < request.min_width {
        return None;
    }
    let carried = f64::from(width) * request.mix_capacity / request.online();
    if rates.through_mixes() <= carried {
        return Some(rates);
    }
    Some(fitting(
        rates.bytes_per_sec() * carried / rates.through_mixes() * (1.0 - 1e-9),
        split,
    ))
}

/// The least mixes of a layer that carry the load.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
pub(super) fn least_width(request: &Request, rates: &Profile) -> u32 {
    let load = request.online() * rates.through_mixes() / request.mix_capacity;
    request.min_width.max(load.ceil() as u32)
}

/// Widths to try, in increasing order, that the bound on mixes allows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn widths(request: &Request, layers: u32, rates: &Profile) -> Vec<u32> {
    let least = f64::from(least_width(request, rates));
    let most = request
        .max_mixes
        .map_or(u32::MAX / 16, |mixes| mixes / layers);
    let mut widths: Vec<u32> = WIDTHS
        .into_iter()
        .map(|times| (least * times).ceil() as u32)
        .filter(|width| *width <= most)
        .collect();
    widths.dedup();
    widths
}

/// Of candidates in order of falling bits, those that no earlier one beats or equals in
/// bandwidth, mixes and corrupt paths too.
fn front(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut front: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let beaten = front.iter().any(|better| {
            better.rates.bytes_per_sec() <= candidate.rates.bytes_per_sec() * 1.01
                && better.mixes() <= candidate.mixes()
                && better.corrupt_path <= candidate.corrupt_path
        });
        if !beaten {
            front.push(candidate);
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_keeps_every_bound() {
        let request = Request {
            max_mixes: Some(40),
            ..Request::new(2000, 5.0, 30_000.0, 0.2)
        };
        let screened = screen(&request);
        assert!(screened.len() > 3, "{}", screened.len());
        for candidate in &screened {
            assert!(candidate.p99 <= request.p99, "{candidate:?}");
            assert!(candidate.rates.bytes_per_sec() <= request.bandwidth);
            assert!(candidate.corrupt_path <= request.max_corrupt_path);
            assert!(candidate.mixes() <= 40);
            let load = 2000.0 * candidate.rates.through_mixes() / f64::from(candidate.width);
            assert!(load <= request.mix_capacity);
        }
        let bits: Vec<f64> = screened.iter().map(|c| c.screened_bits).collect();
        assert!(bits.is_sorted_by(|a, b| a >= b), "{bits:?}");
    }

    #[test]
    fn the_bound_on_corrupt_paths_asks_for_layers() {
        let request = Request::new(2000, 8.0, 30_000.0, 0.3);
        let screened = screen(&request);
        // 0.3^3 is above 0.01, 0.3^4 is not.
        assert!(!screened.is_empty() && screened.iter().all(|c| c.layers >= 4));
    }
}
