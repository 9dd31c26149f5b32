//! `shoal client profile`.

use std::fmt::Write as _;

use shoal_node::Failure;
use shoal_node::config::{ClientConfig, load_network};
use shoal_node::control::protocol::{Anonymity, ExpectedDelay, ProfileInfo, Profiles};
use shoal_node::profiles::profiles;

use super::flags_of;
use crate::cli::args::ClientProfile;
use crate::cli::launch::environment;
use crate::cli::output;

/// Of the plot, in characters.
const PLOT: (usize, usize) = (56, 12);

/// Reads the configuration and the network's parameters; no daemon has to run.
pub(super) fn run(args: &ClientProfile, json: bool) -> Result<(), Failure> {
    let config =
        ClientConfig::load(&flags_of(&args.place), &environment()?).map_err(Failure::usage)?;
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let all = profiles(&params, &config.core.profile, args.users);
    output::show(json, &all, &in_words(&all))
}

fn in_words(all: &Profiles) -> String {
    let mut words = format!(
        "{:<14} {:>9} {:>9} {:>9} {:>15} {:>15}\n",
        "profile", "up kB/s", "down kB/s", "MB/day", "stored p50/p99", "received p50/p99"
    );
    // Writing to a string does not fail.
    for info in &all.profiles {
        let mark = if info.name == all.in_use { "*" } else { " " };
        let _ = writeln!(
            words,
            "{mark} {:<12} {:>9.1} {:>9.1} {:>9.0} {:>15} {:>15}",
            info.name,
            info.up_bytes_per_sec / 1e3,
            info.down_bytes_per_sec / 1e3,
            info.bytes_per_day as f64 / 1e6,
            delays(info.stored),
            delays(info.received),
        );
    }
    words.push_str("* in use. Delays are estimates for a text of one packet and links of 40 ms, received by who is online.\n\n");
    words.push_str(&bits(all));
    words.push_str(&plot(&all.profiles));
    let _ = write!(
        words,
        "Another profile: `profile = \"NAME\"` in client.toml, or `shoal daemon --profile NAME`, from the daemon's next start. \
         Its entry provider sees which one it is."
    );
    words
}

fn delays(delay: ExpectedDelay) -> String {
    let seconds = |ms: Option<u64>| {
        ms.map_or_else(
            || "never".to_owned(),
            |ms| format!("{:.1}", ms as f64 / 1e3),
        )
    };
    format!("{}/{} s", seconds(delay.p50_ms), seconds(delay.p99_ms))
}

/// How well a packet hides its sender.
fn bits(all: &Profiles) -> String {
    let simulated = all.profiles.iter().find(|it| !it.anonymity.is_empty());
    let Some(first) = simulated else {
        return "Anonymity was not simulated for this network's parameters: `shoal-sim profiles --network FILE` does.\n\n"
            .to_owned();
    };
    let mut words = "Bits of sender anonymity, at least, by users of the profile who are online together (of one packet in twenty \
                     less than in brackets):\n"
        .to_owned();
    let _ = write!(words, "{:<14}", "profile");
    for size in &first.anonymity {
        let _ = write!(words, " {:>14}", size.users);
    }
    words.push('\n');
    for info in &all.profiles {
        let _ = write!(words, "  {:<12}", info.name);
        if info.anonymity.is_empty() {
            words.push_str(" not simulated with these rates");
        }
        for size in &info.anonymity {
            let _ = write!(words, " {:>14}", one(size));
        }
        words.push('\n');
    }
    match all.users {
        None => words.push_str(
            "Nobody knows how many are online now: the directory lists nodes, and no clients. `--users N` shows one number.\n",
        ),
        Some(users) => {
            for info in &all.profiles {
                let _ = match &info.at_least {
                    Some(it) => writeln!(words, "With {users} users {}: {} bits or more.", info.name, one(it)),
                    None => writeln!(words, "With {users} users {}: not simulated.", info.name),
                };
            }
        }
    }
    let mixes = all
        .profiles
        .iter()
        .flat_map(|it| &it.anonymity)
        .map(|it| it.mixes_per_layer);
    let (fewest, most) = (mixes.clone().min().unwrap_or(0), mixes.max().unwrap_or(0));
    let _ = writeln!(
        words,
        "The bits are {}. Named are {fewest} mixes in a layer, up to {most} with the most users. Made by `{}` ({}).\n",
        all.not_said, all.made_by, all.made_with
    );
    words
}

fn one(size: &Anonymity) -> String {
    let number = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
    format!(
        "{} ({})",
        number(size.bits),
        number(size.worst_twentieth_bits)
    )
}

/// Bits against seconds, a letter for each profile, large where the network is.
fn plot(profiles: &[ProfileInfo]) -> String {
    let letter = |info: &ProfileInfo| info.name.chars().next().unwrap_or('?');
    let mut points = Vec::new();
    for info in profiles {
        for point in &info.curve {
            if let Some(bits) = point.bits {
                let letter = letter(info);
                let letter = if point.present {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                };
                points.push((point.p50_ms.max(1) as f64, bits, letter));
            }
        }
    }
    let seconds = points.iter().map(|it| it.0);
    let (Some(least), Some(most)) = (seconds.clone().reduce(f64::min), seconds.reduce(f64::max))
    else {
        return String::new();
    };
    let highest = points.iter().map(|it| it.1).fold(1.0, f64::max).ceil();
    let (columns, rows) = PLOT;
    let mut grid = vec![vec![' '; columns]; rows];
    // Those of the present last: they are not covered.
    points.sort_by_key(|it| it.2.is_ascii_uppercase());
    for (ms, bits, letter) in points {
        let along = (ms / least).ln() / (most / least).ln().max(1e-9);
        let column = place(along, columns);
        let row = rows - 1 - place(bits / highest, rows);
        if let Some(cell) = grid.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = letter;
        }
    }
    let mut words = "Bits against seconds (median until received), 1,000 users online, by the network's mean delay; capitals: as it is.\n".to_owned();
    for (number, row) in grid.iter().enumerate() {
        let label = match number {
            0 => format!("{highest:.0}"),
            _ if number == rows - 1 => "0".to_owned(),
            _ => String::new(),
        };
        let line: String = row.iter().collect();
        let _ = writeln!(words, "{label:>4} |{}", line.trim_end());
    }
    let (left, right) = (
        format!("{:.1} s", least / 1e3),
        format!("{:.1} s", most / 1e3),
    );
    let _ = writeln!(
        words,
        "     +{}\n      {left}{right:>width$}",
        "-".repeat(columns),
        width = columns - left.len()
    );
    words.push('\n');
    words
}

/// Which of so many places this share of the way is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and the number of places"
)]
fn place(share: f64, places: usize) -> usize {
    let last = places.saturating_sub(1);
    ((share.clamp(0.0, 1.0) * last as f64).round() as usize).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_topology::NetworkParameters;

    #[test]
    fn the_words_have_what_a_user_chooses_by() {
        let params = NetworkParameters::example();
        let words = in_words(&profiles(&params, "mobile", None));
        for part in [
            "* mobile",
            "  default",
            "MB/day",
            "10000",
            "(docs",
            "Nobody knows",
        ] {
            let wanted = part != "(docs";
            assert_eq!(words.contains(part), wanted, "{part}: {words}");
        }
        let asked = in_words(&profiles(&params, "mobile", Some(50)));
        assert!(asked.contains("With 50 users mobile: "), "{asked}");
        assert!(!asked.contains("Nobody knows"));
    }

    #[test]
    fn the_plot_is_inside_its_frame_and_has_both_curves() {
        let params = NetworkParameters::example();
        let words = plot(&profiles(&params, "mobile", None).profiles);
        for letter in ['d', 'D', 'm', 'M'] {
            assert!(
                words.lines().skip(1).any(|line| line.contains(letter)),
                "{letter}: {words}"
            );
        }
        let lines: Vec<&str> = words
            .lines()
            .skip(1)
            .filter(|it| it.contains('|'))
            .collect();
        assert_eq!(lines.len(), PLOT.1);
        assert!(lines.iter().all(|line| line.len() <= PLOT.0 + 6));
        assert_eq!(plot(&[]), "");
    }

    #[test]
    fn without_a_simulation_it_says_so() {
        let mut params = NetworkParameters::example();
        params.layers = 2;
        let words = in_words(&profiles(&params, "default", Some(10)));
        assert!(words.contains("not simulated"), "{words}");
        assert!(!words.contains("Bits"), "{words}");
    }
}
