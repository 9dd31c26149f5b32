//! Which key was meant by one that is none.

use strsim::levenshtein;

/// The candidate that takes the fewest edits to reach, if that is few enough to be a typing error.
/// The last segment of a dotted key decides when the tables differ.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong_leaf = leaf(wrong);
    candidates
        .into_iter()
        .map(|candidate| {
            let whole = levenshtein(wrong, candidate);
            let last = levenshtein(wrong_leaf, leaf(candidate)).saturating_add(2);
            (whole.min(last), candidate)
        })
        .min()
        .filter(|(distance, _)| *distance <= 1 + wrong_leaf.chars().count() / 3)
        .map(|(_, candidate)| candidate)
}

fn leaf(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, leaf)| leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_typing_error_and_nothing_far_fetched() {
        let keys = ["listen", "log.level", "metrics.listen", "storage.total"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("log.levle", keys), Some("log.level"));
        assert_eq!(nearest("metric.listen", keys), Some("metrics.listen"));
        assert_eq!(nearest("level", keys), Some("log.level"));
        assert_eq!(nearest("colour", keys), None);
    }
}
