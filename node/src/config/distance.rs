/// The candidate that takes the fewest edits to reach, if that is few enough to be a typing error.
/// The last segment of a dotted key decides when the tables differ.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let leaf = |key: &'_ str| {
        key.rsplit('.')
            .next()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let wrong_leaf = leaf(wrong);
    candidates
        .into_iter()
        .map(|candidate| {
            let whole = edits(wrong, candidate);
            let last = edits(&wrong_leaf, &leaf(candidate)).saturating_add(2);
            (whole.min(last), candidate)
        })
        .min()
        .filter(|(distance, _)| *distance <= 1 + wrong_leaf.chars().count() / 3)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance with one row of memory; keys are short.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&b) {
            let change = diagonal + usize::from(left != *right);
            diagonal = *cell;
            *cell = change.min(*cell + 1).min(previous + 1);
            previous = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("same", "same"), 0);
    }

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
