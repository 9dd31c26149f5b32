//! A share of a sweep's runs, for one of several machines.

use std::fmt;
use std::str::FromStr;

/// Shard `index` of `count`, counted from 1: the runs whose number (from 0, point by point, and in
/// a point repetition by repetition) leaves the remainder `index - 1` when divided by `count`.
/// Written `index/count`, as `2/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// Not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a shard: allowed: I/N with 1 <= I <= N, as 1/8 for the first of eight")]
pub struct NotAShard(String);

impl Shard {
    /// Everything: the only shard of one.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether this is everything.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether the run with this number belongs to the shard.
    #[must_use]
    pub const fn has(self, job: u64) -> bool {
        job % self.count as u64 == self.index as u64 - 1
    }
}

impl FromStr for Shard {
    type Err = NotAShard;

    fn from_str(text: &str) -> Result<Self, NotAShard> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let shard = Self {
                index: index.parse().ok()?,
                count: count.parse().ok()?,
            };
            (1..=shard.count).contains(&shard.index).then_some(shard)
        });
        parsed.ok_or_else(|| NotAShard(text.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_the_runs_without_overlap() {
        let shards: Vec<Shard> = (1..=3).map(|i| format!("{i}/3").parse().unwrap()).collect();
        for job in 0..20 {
            assert_eq!(shards.iter().filter(|shard| shard.has(job)).count(), 1);
        }
        assert!(shards[0].has(0) && shards[2].has(2) && Shard::WHOLE.has(7));
    }

    #[test]
    fn only_one_to_n_is_a_shard() {
        for text in ["0/3", "4/3", "0/0", "1", "1/", "/2", "-1/2", "a/b", "1/2/3"] {
            assert!(
                text.parse::<Shard>()
                    .unwrap_err()
                    .to_string()
                    .contains(text)
            );
        }
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
    }
}
