//! Any bytes as a scenario. Compiled for tests, which replay the presets, and for fuzzing.

use super::{Scenario, estimate};

/// Reads bytes as a scenario, in TOML and in JSON. What is accepted is written and read again, and
/// planned.
///
/// # Panics
/// If a scenario that was accepted is another one after it was written and read.
pub fn fuzz_scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = [Scenario::parse_alone(text), Scenario::parse_json(text)];
    for scenario in read.into_iter().flatten() {
        let written = scenario.to_toml().unwrap_or_default();
        let again = Scenario::parse_alone(&written).map(|scenario| scenario.hash());
        assert_eq!(again.as_deref(), Ok(&*scenario.hash()));
        assert!(estimate(&scenario, 4).seconds.is_finite());
        assert!(scenario.plan(1).validate().is_ok());
    }
}

#[cfg(test)]
#[path = "../../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[("scenario", fuzz_scenario)];

#[cfg(test)]
mod tests {
    use super::super::PRESETS;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn presets_as_a_corpus() {
        for preset in PRESETS {
            let data = preset.text.as_bytes();
            fuzz_scenario(data);
            for position in (0..data.len()).step_by(data.len() / 24 + 1) {
                fuzz_scenario(&data[..position]);
                for other in [b'9', b'-', b'"', b'['] {
                    let mut altered = data.to_vec();
                    altered[position] = other;
                    fuzz_scenario(&altered);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
            fuzz_scenario(text.as_bytes());
        }

        #[test]
        fn no_number_makes_reading_panic(
            preset in 0..PRESETS.len(),
            line in any::<prop::sample::Index>(),
            number in prop_oneof![
                any::<f64>().prop_map(|x| format!("{x:?}")),
                any::<i64>().prop_map(|x| x.to_string()),
                (0.0..1e12f64, prop::sample::select(vec!["ns", "ms", "s", "d"]))
                    .prop_map(|(x, unit)| format!("\"{x}{unit}\"")),
            ],
        ) {
            let mut lines: Vec<String> = PRESETS[preset].text.lines().map(str::to_owned).collect();
            let at = line.index(lines.len());
            if let Some((key, _)) = lines[at].clone().split_once('=') {
                lines[at] = format!("{key}= {number}");
            }
            fuzz_scenario(lines.join("\n").as_bytes());
        }
    }
}
