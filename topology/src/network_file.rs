//! A network's file as it was read: all that is wrong with it at once, each with its line. What can't be read is
//! told and taken out, and the rest is looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use crate::{NetworkParameters, ParameterError};

/// Mistakes of form that are told at most.
const MOST: usize = 50;
const MEMBERS: &str = "genesis_members";
/// Keys that every genesis member has.
const MEMBER: [&str; 2] = ["id", "role"];

type Table<'a> = Spanned<DeTable<'a>>;
type Span = Range<usize>;

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

fn form(line: usize, message: &str) -> ParameterError {
    ParameterError::Located {
        line,
        error: Box::new(ParameterError::Toml(message.trim_end().to_owned())),
    }
}

/// The line that this byte is in, from 1.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
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

/// One step into a table.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// As a path before a message.
fn named(path: &[Step]) -> String {
    let mut name = String::new();
    for step in path {
        // Writing into a string can't fail.
        let _ = match step {
            Step::Key(key) if name.is_empty() => write!(name, "{key}"),
            Step::Key(key) => write!(name, ".{key}"),
            Step::Index(index) => write!(name, "[{index}]"),
        };
    }
    if name.is_empty() { name } else { name + ": " }
}

/// What an error is about. Where a type of ours refuses an item of a list, the error is about the list, and
/// its path says which item.
fn place(table: &DeTable<'_>, error: &serde_path_to_error::Error<toml::de::Error>) -> Span {
    let span = error.inner().span().unwrap_or_default();
    let mut steps = error.path().iter();
    let mut value = match steps.next() {
        Some(Segment::Map { key }) => table.get(key.as_str()),
        _ => None,
    };
    for step in steps {
        let Some(outer) = value else { break };
        let inner = match (step, outer.get_ref()) {
            (Segment::Map { key }, DeValue::Table(table)) => table.get(key.as_str()),
            (Segment::Seq { index }, DeValue::Array(items)) => items.get(*index),
            _ => break,
        };
        if outer.span() == span {
            return inner.map_or(span, Spanned::span);
        }
        value = inner;
    }
    span
}

/// The way to what stands there, the deepest if there are several.
fn find(table: &DeTable<'_>, span: &Span) -> Option<Vec<Step>> {
    let entries = table.iter().filter_map(|(key, value)| {
        let deeper = find_in(value, span);
        let here = key.span() == *span || value.span() == *span;
        let rest = deeper.or_else(|| here.then(Vec::new))?;
        Some([vec![Step::Key(key.get_ref().to_string())], rest].concat())
    });
    entries.max_by_key(Vec::len)
}

fn find_in(value: &Spanned<DeValue<'_>>, span: &Span) -> Option<Vec<Step>> {
    match value.get_ref() {
        DeValue::Table(table) => find(table, span),
        DeValue::Array(items) => {
            let items = items.iter().enumerate().filter_map(|(index, item)| {
                let here = || (item.span() == *span).then(Vec::new);
                let rest = find_in(item, span).or_else(here)?;
                Some([vec![Step::Index(index)], rest].concat())
            });
            items.max_by_key(Vec::len)
        }
        _ => None,
    }
}

/// Puts in what is missing, from the model, and takes out members that lack something. Says what it was.
fn complete<'a>(text: &str, table: &mut Table<'a>, model: &DeTable<'a>) -> Vec<ParameterError> {
    let mut missing = Vec::new();
    let table = table.get_mut();
    for (key, value) in model {
        if !table.contains_key(key.get_ref().as_ref()) {
            let message = format!("missing field `{}`", key.get_ref());
            missing.push(ParameterError::Toml(message));
            table.insert(key.clone(), value.clone());
        }
    }
    let mut lacks = |span: Span, path: &str, key: &str| {
        let message = format!("{path}: missing field `{key}`");
        missing.push(form(line(text, span.start), &message));
    };
    if let Some(DeValue::Table(profiles)) = table.get_mut("profiles").map(Spanned::get_mut) {
        for (name, profile) in profiles.iter_mut() {
            let span = profile.span();
            let DeValue::Table(rates) = profile.get_mut() else {
                continue;
            };
            for (key, rate) in default_rates(model).into_iter().flatten() {
                if !rates.contains_key(key.get_ref().as_ref()) {
                    let path = format!("profiles.{}", name.get_ref());
                    lacks(span.clone(), &path, key.get_ref());
                    rates.insert(key.clone(), rate.clone());
                }
            }
        }
    }
    if let Some(DeValue::Array(members)) = table.get_mut(MEMBERS).map(Spanned::get_mut) {
        let mut whole = DeArray::new();
        for (index, member) in std::mem::replace(members, DeArray::new())
            .into_iter()
            .enumerate()
        {
            let table = member.get_ref().as_table();
            let without = |key: &&str| table.is_some_and(|table| !table.contains_key(*key));
            let without = Vec::from_iter(MEMBER.into_iter().filter(without));
            for key in &without {
                lacks(member.span(), &format!("{MEMBERS}[{index}]"), key);
            }
            if without.is_empty() {
                whole.push(member);
            }
        }
        *members = whole;
    }
    missing
}

/// The rates of the model's first profile.
fn default_rates<'m, 'a>(model: &'m DeTable<'a>) -> Option<&'m DeTable<'a>> {
    let profiles = model.get("profiles")?.get_ref().as_table()?;
    profiles.values().next()?.get_ref().as_table()
}

/// Takes out what stands there, or puts the model's in its place. False if nothing is there that could be.
fn mend<'a>(table: &mut Table<'a>, model: &DeTable<'a>, span: &Span) -> bool {
    let Some(path) = find(table.get_ref(), span) else {
        return false;
    };
    let table = table.get_mut();
    match path.as_slice() {
        [Step::Key(top), Step::Key(name), rest @ ..] if top == "profiles" => {
            let profile = inner(table, top).and_then(|profiles| profiles.get_mut(name.as_str()));
            let (Some(profile), Some(rates)) = (profile, default_rates(model)) else {
                return false;
            };
            match (profile.get_mut(), rest) {
                (DeValue::Table(profile), [Step::Key(key), ..]) => replace(profile, rates, key),
                (profile, _) => *profile = DeValue::Table(rates.clone()),
            }
        }
        [Step::Key(top), Step::Index(index), rest @ ..] if top == MEMBERS => {
            let Some(DeValue::Array(members)) = table.get_mut(MEMBERS).map(Spanned::get_mut) else {
                return false;
            };
            let member = members.get_mut(*index).map(Spanned::get_mut);
            match (member, rest) {
                (Some(DeValue::Table(member)), [Step::Key(key), rest @ ..])
                    if !MEMBER.contains(&key.as_str()) =>
                {
                    match (member.get_mut(key.as_str()).map(Spanned::get_mut), rest) {
                        (Some(DeValue::Array(items)), [Step::Index(item), ..]) => {
                            take_out(items, *item);
                        }
                        _ => replace(member, &DeTable::default(), key),
                    }
                }
                _ => take_out(members, *index),
            }
        }
        [Step::Key(top), ..] => replace(table, model, top),
        _ => return false,
    }
    true
}

fn inner<'t, 'a>(table: &'t mut DeTable<'a>, key: &str) -> Option<&'t mut DeTable<'a>> {
    match table.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Puts the model's value for the key in its place, or takes the key out.
fn replace<'a>(table: &mut DeTable<'a>, model: &DeTable<'a>, key: &str) {
    table.remove(key);
    if let Some((key, value)) = model.get_key_value(key) {
        table.insert(key.clone(), value.clone());
    }
}

fn take_out(items: &mut DeArray<'_>, index: usize) {
    let rest = std::mem::replace(items, DeArray::new())
        .into_iter()
        .enumerate();
    for (_, item) in rest.filter(|(at, _)| *at != index) {
        items.push(item);
    }
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
                format!("/ip4/192.0.2.{seed}/tcp/4140").parse().unwrap(),
                format!("/ip4/192.0.2.{seed}/udp/4140/quic-v1")
                    .parse()
                    .unwrap(),
            ],
            family: String::new(),
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
        assert_eq!(line, Some(line_with(&text(), "192.0.2.3")));
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
            .replace("downlink = 0.8", "downlink = -0.8\nuplink = 1")
            .replace("/ip4/192.0.2.2/tcp/4140", "/dns4/mix.example/tcp/4140")
            .replace("/ip4/192.0.2.2/udp", "/ip4/192.0.2/udp")
            .replace("/ip4/192.0.2.3/tcp/4140", "localhost:4140")
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
        assert_eq!(told("").len(), 9, "every key is missing");
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
