//! A network's file as it was read: all that is wrong with it at once, each with its line. What can't be read is
//! told and taken out, and the rest is looked at.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::mending::{Span, Table, complete, find, form, line, mend, named, place};
use crate::{NetworkParameters, ParameterError};

/// Mistakes of form that are told at most.
const MOST: usize = 50;

/// What could be read of a file, what is wrong with it, and the lines of its keys.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    params: Option<NetworkParameters>,
    wrong: Vec<ParameterError>,
    lines: BTreeMap<String, usize>,
}

impl NetworkFile {
    /// Reads a file. Time and memory are in proportion to its length, 50 times over at the worst.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (mut table, errors) = DeTable::parse_recoverable(text);
        let line = |span: Option<Span>| line(text, span.map_or(0, |span| span.start));
        let mut file = Self {
            params: None,
            wrong: Vec::new(),
            lines: BTreeMap::new(),
        };
        if !errors.is_empty() {
            let errors = errors.iter().take(MOST);
            file.wrong = errors
                .map(|error| form(line(error.span()), error.message()))
                .collect();
            return file;
        }
        // Behind the text, so that no place in the one is a place in the other.
        let model = "\n".repeat(text.len() + 1) + &NetworkParameters::example().to_toml();
        let Ok(model) = DeTable::parse(&model).map(Spanned::into_inner) else {
            return file;
        };
        file.lines = lines(text, &table);
        let whole = table.clone();
        file.wrong = complete(text, &mut table, &model);
        file.wrong.truncate(MOST);
        while file.wrong.len() < MOST {
            let read: Result<NetworkParameters, _> =
                serde_path_to_error::deserialize(Deserializer::from(table.clone()));
            match read {
                Ok(params) => {
                    file.params = Some(params);
                    break;
                }
                Err(error) => {
                    let span = place(table.get_ref(), &error);
                    let error = error.inner();
                    let path = find(whole.get_ref(), &span).unwrap_or_default();
                    let message = format!("{}{}", named(&path), error.message().trim_end());
                    file.wrong.push(form(line(Some(span.clone())), &message));
                    if !mend(&mut table, &model, &span) {
                        break;
                    }
                }
            }
        }
        let checked = file
            .params
            .as_ref()
            .map_or(Ok(()), NetworkParameters::validate);
        let refused = checked.err().map_or_else(Vec::new, ParameterError::each);
        let refused = refused.into_iter().map(|error| file.located(error));
        let refused = Vec::from_iter(refused);
        file.wrong.extend(refused);
        file.wrong.sort_by_key(|error| match error {
            ParameterError::Located { line, .. } => *line,
            _ => 0,
        });
        file
    }

    /// What could be read, with the values of [`NetworkParameters::example`] where that could not be, and
    /// without members and addresses that could not; none if it is not TOML. Use it only to say more about
    /// the file.
    #[must_use]
    pub const fn params(&self) -> Option<&NetworkParameters> {
        self.params.as_ref()
    }

    /// What is wrong with its form or out of range, in the order of the lines as far as they are known.
    #[must_use]
    pub fn wrong(&self) -> &[ParameterError] {
        &self.wrong
    }

    /// The parameters, each within its range.
    ///
    /// # Errors
    /// Everything that is wrong, alone or as [`ParameterError::Several`].
    pub fn valid(self) -> Result<NetworkParameters, ParameterError> {
        ParameterError::all(self.wrong)?;
        self.params
            .ok_or_else(|| ParameterError::Toml("it can't be read".to_owned()))
    }

    /// The parameters of a network that can run: see [`NetworkParameters::check_start`].
    ///
    /// # Errors
    /// Everything that is wrong, alone or as [`ParameterError::Several`].
    pub fn startable(self) -> Result<NetworkParameters, ParameterError> {
        let checked = self
            .params
            .as_ref()
            .map_or(Ok(()), NetworkParameters::check_start);
        let mut wrong = self.wrong.clone();
        let more = checked.err().map_or_else(Vec::new, ParameterError::each);
        wrong.extend(more.into_iter().map(|error| self.located(error)));
        ParameterError::all(wrong)?;
        self.valid()
    }

    /// The line of a key, or of the table around it: `layers`, `profiles.NAME.real`,
    /// `genesis_members.ID.addresses`. Of a member that is listed twice, the last.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.lines.get(key) {
                return Some(*line);
            }
            key = key.rsplit_once('.')?.0;
        }
    }

    /// The error with its line, if that is known.
    #[must_use]
    pub fn located(&self, error: ParameterError) -> ParameterError {
        let line = error.key().and_then(|key| self.line_of(&key));
        match line {
            Some(line) => ParameterError::Located {
                line,
                error: Box::new(error),
            },
            None => error,
        }
    }
}

/// The lines of all keys.
fn lines(text: &str, table: &Table<'_>) -> BTreeMap<String, usize> {
    // Counted once, not anew for each of thousands of keys.
    let ends = Vec::from_iter(text.match_indices('\n').map(|(at, _)| at));
    let line = |span: Span| 1 + ends.partition_point(|end| *end < span.start);
    let mut lines = BTreeMap::new();
    for (key, value) in table.get_ref() {
        lines.insert(key.get_ref().to_string(), line(key.span()));
        let tables: Vec<(String, &Spanned<DeValue<'_>>)> = match value.get_ref() {
            DeValue::Table(tables) => {
                let named = tables
                    .iter()
                    .map(|(name, table)| (name.get_ref().to_string(), table));
                named.collect()
            }
            DeValue::Array(tables) => {
                let id = |table: &DeValue<'_>| {
                    Some(table.as_table()?.get("id")?.get_ref().as_str()?.to_owned())
                };
                let named = tables
                    .iter()
                    .map(|table| (id(table.get_ref()).unwrap_or_default(), table));
                named.collect()
            }
            _ => Vec::new(),
        };
        for (name, table) in tables {
            let name = format!("{}.{name}", key.get_ref());
            lines.insert(name.clone(), line(table.span()));
            let keys = table.get_ref().as_table().into_iter().flatten();
            lines.extend(
                keys.map(|(key, _)| (format!("{name}.{}", key.get_ref()), line(key.span()))),
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{GenesisMember, Identity, Role};

    fn text() -> String {
        let member = |seed: u8| GenesisMember {
            id: Identity::from_bytes(&[seed; 32]).id(),
            role: if seed < 4 { Role::Mix } else { Role::Provider },
            addresses: vec![
                format!("/ip4/198.18.{seed}.1/tcp/4140").parse().unwrap(),
                format!("/ip4/198.18.{seed}.1/udp/4140/quic-v1")
                    .parse()
                    .unwrap(),
            ],
            family: None,
        };
        let params = NetworkParameters {
            genesis_members: (1..=5).map(member).collect(),
            ..NetworkParameters::example()
        };
        params.to_toml()
    }

    fn told(text: &str) -> Vec<String> {
        let wrong = NetworkFile::read(text).wrong;
        wrong.iter().map(ToString::to_string).collect()
    }

    /// The line of the first that has this in it.
    fn line_with(text: &str, part: &str) -> usize {
        1 + text.lines().position(|line| line.contains(part)).unwrap()
    }

    #[test]
    fn a_file_without_a_mistake_is_taken_whole() {
        let file = NetworkFile::read(&text());
        assert_eq!(file.wrong(), []);
        let params = file.params().unwrap();
        assert_eq!(params.to_toml(), text());
        for (key, part) in [
            ("layers", "layers ="),
            ("profiles.mobile.real", "real = 0.2"),
            ("profiles.mobile", "[profiles.mobile]"),
        ] {
            assert_eq!(file.line_of(key), Some(line_with(&text(), part)), "{key}");
        }
        let id = params.genesis_members[2].id;
        let line = file.line_of(&format!("genesis_members.{id}.addresses"));
        assert_eq!(line, Some(line_with(&text(), "198.18.3.1")));
        assert_eq!(file.line_of("none.such"), None);
        assert_eq!(file.startable().map(|params| params.to_toml()), Ok(text()));
    }

    /// Mistakes of form hide neither each other nor values out of range.
    #[test]
    fn all_mistakes_are_told_at_once_each_with_its_line() {
        let spoilt = text()
            .replace("layers = 3", "layers = 4")
            .replace("loop_rate = 0.5", "lop_rate = 0.5")
            .replace("mean_delay = \"100ms\"", "mean_delay = 100")
            .replace("real = 2.0", "real = \"much\"")
            .replace("downlink = 0.9", "downlink = -0.8\nuplink = 1")
            .replace("/ip4/198.18.2.1/tcp/4140", "/dns4/mix.example/tcp/4140")
            .replace("/ip4/198.18.2.1/udp", "/ip4/192.0.2/udp")
            .replace("/ip4/198.18.3.1/tcp/4140", "localhost:4140")
            .replacen("role = \"provider\"", "role = \"exit\"", 1);
        let spoilt = spoilt + "[[genesis_members]]\nrole = \"mix\"\n";
        let last = spoilt.lines().count() - 1;
        let all = told(&spoilt);
        for (part, line, words) in [
            ("layers = 4", true, "layers = 4 is out of range: 1 to 3"),
            ("lop_rate", true, "unknown field `lop_rate`"),
            ("missing", false, "missing field `loop_rate`"),
            (
                "mean_delay = 100",
                true,
                "mean_delay: invalid type: integer `100`",
            ),
            (
                "real = \"much\"",
                true,
                "profiles.default.real: invalid type",
            ),
            (
                "downlink = -0.8",
                true,
                "profiles.mobile.downlink = -0.8 is out of range",
            ),
            ("uplink = 1", true, "unknown field `uplink`"),
            (
                "/dns4/",
                true,
                "genesis_members[1].addresses[0]: \"/dns4/mix.example/tcp/4140\": a name",
            ),
            ("/ip4/192.0.2/udp", true, "genesis_members[1].addresses[1]:"),
            (
                "localhost",
                true,
                "genesis_members[2].addresses[0]: \"localhost:4140\": not of the form",
            ),
            ("exit", true, "genesis_members[3].role:"),
        ] {
            let start = match line {
                true => format!("line {}: ", line_with(&spoilt, part)),
                false => String::new(),
            };
            let found = |told: &&String| told.starts_with(&start) && told.contains(words);
            assert!(
                all.iter().any(|told| found(&told)),
                "{start}{words}: {all:#?}"
            );
        }
        let lacks = format!("line {last}: ");
        let lacks = |told: &&String| {
            told.starts_with(&lacks) && told.contains("genesis_members[5]: missing field `id`")
        };
        assert!(all.iter().any(|told| lacks(&told)), "{all:#?}");
        assert_eq!(all.len(), 12, "each once: {all:#?}");
        let read = NetworkFile::read(&spoilt);
        assert_eq!(read.params().unwrap().genesis_members.len(), 4);
        assert!(read.valid().is_err());
    }

    #[test]
    fn what_is_no_toml_is_told_by_line() {
        for text in [
            "layers = 3\nname = \n",
            "layers = 3\nlayers = 3\n",
            "a\n[[",
            "\u{0}",
        ] {
            let told = told(text);
            assert!(
                !told.is_empty() && told.iter().all(|told| told.starts_with("line ")),
                "{told:?}"
            );
            assert!(NetworkFile::read(text).params().is_none());
        }
        let missing = told("");
        assert_eq!(missing.len(), 15, "every key is missing: {missing:?}");
        assert!(told(&"x = 1\n[x]\n".repeat(1000)).len() <= MOST);
    }

    /// A file of nothing but mistakes is read in bounded time, and not all is told.
    #[test]
    fn endless_mistakes_end() {
        let bad = "[[genesis_members]]\nid = 1\nrole = 1\n".repeat(2000);
        let told = told(&(text() + &bad));
        assert_eq!(told.len(), MOST);
    }
}
