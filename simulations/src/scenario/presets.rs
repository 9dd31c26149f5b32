//! Scenarios to start from, commented.

/// A scenario to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The commented TOML.
    pub text: &'static str,
}

macro_rules! preset {
    ($name:literal, $about:literal) => {
        Preset {
            name: $name,
            about: $about,
            text: include_str!(concat!("presets/", $name, ".toml")),
        }
    };
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    preset!(
        "loopix",
        "Loopix: 500 users, 3 x 2 mixes, 4 providers, loops and drops"
    ),
    preset!(
        "mixim",
        "MiXiM: 5,000 messages/s through 3 layers of 10 mixes, 5 s end to end"
    ),
    preset!(
        "nym",
        "Piotrowska's default: 100 clients at 1/s, 3 x 3 mixes"
    ),
    preset!("shoal", "a Shoal network with its default profile"),
    preset!(
        "single-mix",
        "one mix at rho = 5, whose entropy is known exactly"
    ),
    preset!(
        "large",
        "1,000,000 clients for a minute, 3 layers of 300 mixes"
    ),
    preset!("cascade", "four parallel chains of three mixes"),
    preset!("free-route", "three of 30 mixes in any order"),
    preset!(
        "adversaries",
        "several adversaries and every metric, judged on the same run"
    ),
];

impl Preset {
    /// The preset of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
