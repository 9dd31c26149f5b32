//! What each number of a configuration may be. Numbers beyond are mistakes that would cost memory or
//! threads that no machine has, or stop a role from working.

use std::fmt::Display;
use std::ops::RangeInclusive;

use shoal_proto::Span;

use super::client::ClientFile;
use super::error::{ConfigError, Problems};
use super::node::NodeFile;
use super::units::ByteSize;

/// Packets in a queue or pool: 2.7 GB of them.
const PACKETS: RangeInclusive<usize> = 1..=1_048_576;
const MINUTE: Span = Span::from_secs(60);
const HOUR: Span = Span::from_secs(3600);
const DAY: Span = Span::from_secs(86_400);
const TEN_DAYS: Span = Span::from_secs(10 * 86_400);
const YEAR: Span = Span::from_secs(365 * 86_400);
const TEN_YEARS: Span = Span::from_secs(10 * 365 * 86_400);
const TEBIBYTE: ByteSize = ByteSize::mebibytes(1 << 20);

/// A number, and what it may be.
pub(super) struct Checked {
    /// Its key.
    pub(super) key: &'static str,
    /// What it is.
    value: String,
    /// What it may be, as an error and the example files say it: `1 to 128`.
    pub(super) range: String,
    fits: bool,
}

fn number<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    range: &RangeInclusive<T>,
) -> Checked {
    Checked {
        key,
        value: value.to_string(),
        range: format!("{} to {}", range.start(), range.end()),
        fits: range.contains(&value),
    }
}

/// Every number of a node's file.
pub(super) fn of_node(file: &NodeFile) -> Vec<Checked> {
    let (queues, connections, storage) = (&file.queues, &file.connections, &file.storage);
    let mailboxes = &file.mailboxes;
    vec![
        number("capacity_class", file.capacity_class, &(0..=63)),
        number("drain", file.drain, &(Span::ZERO..=TEN_DAYS)),
        number("threads.unwrap", file.threads.unwrap, &(0..=128)),
        number("queues.unwrap_packets", queues.unwrap_packets, &PACKETS),
        number("queues.pool_packets", queues.pool_packets, &PACKETS),
        number("queues.ring_frames", queues.ring_frames, &(1..=65_536)),
        number("queues.log_tags", queues.log_tags, &(1..=16_777_216)),
        number(
            "queues.packets_per_second",
            queues.packets_per_second,
            &(1..=1_000_000),
        ),
        number(
            "queues.replay_memory",
            queues.replay_memory,
            &(ByteSize::mebibytes(1)..=TEBIBYTE),
        ),
        number(
            "queues.downlink_payloads",
            queues.downlink_payloads,
            &(1..=4096),
        ),
        number("connections.nodes", connections.nodes, &(1..=65_536)),
        number("connections.clients", connections.clients, &(0..=65_536)),
        number(
            "connections.idle",
            connections.idle,
            &(Span::from_secs(1)..=DAY),
        ),
        number(
            "storage.total",
            storage.total,
            &(ByteSize::mebibytes(1)..=ByteSize::mebibytes(1 << 30)),
        ),
        number(
            "storage.reserve",
            storage.reserve,
            &(ByteSize::mebibytes(0)..=TEBIBYTE),
        ),
        number("storage.mailboxes", storage.mailboxes, &(1..=10_000_000)),
        number(
            "storage.entries_per_mailbox",
            storage.entries_per_mailbox,
            &(1..=1_000_000),
        ),
        number(
            "storage.entries_per_drop",
            storage.entries_per_drop,
            &(1..=1_000_000),
        ),
        // A client registers two.
        number(
            "storage.sets_per_mailbox",
            storage.sets_per_mailbox,
            &(2..=256),
        ),
        number(
            "storage.mailbox_idle",
            storage.mailbox_idle,
            &(HOUR..=TEN_YEARS),
        ),
        number(
            "mailboxes.work",
            mailboxes.work,
            &(1..=shoal_topology::MAX_TOKEN_WORK),
        ),
        number(
            "mailboxes.tokens_per_hour",
            mailboxes.tokens_per_hour,
            &(1..=1_000_000),
        ),
        number(
            "mailboxes.openings_per_hour",
            mailboxes.openings_per_hour,
            &(1..=1_000_000),
        ),
    ]
}

/// Every number of a client's file.
pub(super) fn of_client(file: &ClientFile) -> Vec<Checked> {
    let messages = &file.messages;
    vec![
        number("messages.keep", messages.keep, &(MINUTE..=YEAR)),
        number("messages.history", messages.history, &(0..=100_000)),
    ]
}

/// Refuses what is out of its range.
pub(super) fn check(numbers: Vec<Checked>, wrong: &mut Problems) {
    for Checked {
        key, value, range, ..
    } in numbers.into_iter().filter(|number| !number.fits)
    {
        let message = format!("is {value}; it has to be {range}");
        wrong.push(ConfigError::invalid(key, message));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use serde::Serialize;
    use toml::{Table, Value};

    use super::*;
    use crate::config::{Layered, NodeConfig, known_keys};

    /// The keys whose values are numbers, with or without a unit.
    fn numbers_of<F: Default + Serialize>() -> BTreeSet<String> {
        fn is_number(value: &Value) -> bool {
            match value {
                Value::Integer(_) | Value::Float(_) => true,
                Value::String(text) => {
                    text.parse::<Span>().is_ok() || text.parse::<ByteSize>().is_ok()
                }
                _ => false,
            }
        }
        let table = Table::try_from(F::default()).unwrap();
        let value = |key: &str| {
            let mut parts = key.split('.');
            let first = table.get(parts.next().unwrap()).unwrap();
            parts.fold(first.clone(), |at, part| at.get(part).unwrap().clone())
        };
        let keys = known_keys::<F>().into_iter();
        keys.filter(|key| is_number(&value(key))).collect()
    }

    fn keys_of(checked: &[Checked]) -> BTreeSet<String> {
        checked.iter().map(|one| one.key.to_owned()).collect()
    }

    #[test]
    fn every_number_has_a_range_that_holds_its_default() {
        let (node, client) = (
            of_node(&NodeFile::default()),
            of_client(&ClientFile::default()),
        );
        assert_eq!(keys_of(&node), numbers_of::<NodeFile>());
        assert_eq!(keys_of(&client), numbers_of::<ClientFile>());
        assert!(node.iter().chain(&client).all(|one| one.fits));
    }

    /// The comment above each number in an example file says what it may be.
    #[test]
    fn the_examples_say_what_each_number_may_be() {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for (name, numbers) in [
            ("mix.toml", of_node(&NodeFile::default())),
            ("provider.toml", of_node(&NodeFile::default())),
            ("client.toml", of_client(&ClientFile::default())),
        ] {
            let text = std::fs::read_to_string(deploy.join(name)).unwrap();
            for Checked { key, range, .. } in numbers {
                let (table, leaf) = key.rsplit_once('.').unwrap_or(("", key));
                let start = match table {
                    "" => 0,
                    table => text.find(&format!("[{table}]\n")).unwrap(),
                };
                let end = start + text[start..].find(&format!("\n{leaf} = ")).unwrap();
                let comment = text[start..end].rsplit("\n\n").next().unwrap();
                let last = comment
                    .rsplit_once(" = ")
                    .map_or(comment, |(_, since)| since);
                assert!(last.contains(&range), "{name}: {key} is {range}");
            }
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_told_with_its_place() {
        let environment = [("SHOAL_THREADS_UNWRAP".to_owned(), "100000".to_owned())];
        let text = "[connections]\nidle = '9d'\n";
        let file = Some((Path::new("shoal.toml"), text));
        let layered = Layered::<NodeFile>::parse(file, &environment, &[]).unwrap();
        let error = NodeConfig::validate("d".into(), Path::new(""), layered).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SHOAL_THREADS_UNWRAP: threads.unwrap: is 100000; it has to be 0 to 128\n\
             shoal.toml:2: connections.idle: is 9d; it has to be 1s to 1d"
        );
    }

    /// Each as large and as small as can be written.
    #[test]
    fn no_number_that_can_be_written_goes_on() {
        for key in numbers_of::<NodeFile>() {
            for text in [
                "0",
                "9223372036854775807",
                "0s",
                "99999999d",
                "0 B",
                "16777215 TiB",
            ] {
                let environment = [(crate::config::environment_name(&key), text.to_owned())];
                let Ok(layered) = Layered::<NodeFile>::parse(None, &environment, &[]) else {
                    continue; // Of another type, which is told as well.
                };
                let allowed = text.starts_with('0')
                    && [
                        "threads.unwrap",
                        "capacity_class",
                        "drain",
                        "connections.clients",
                        "storage.reserve",
                    ]
                    .contains(&key.as_str());
                let checked = NodeConfig::validate("d".into(), Path::new(""), layered);
                assert_eq!(checked.is_ok(), allowed, "{key} = {text}");
            }
        }
    }
}
