//! A TOML table with mistakes: where they are, and how the rest can be read all the same.

use std::fmt::Write as _;
use std::ops::Range;

use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::ParameterError;

/// Members' table.
const MEMBERS: &str = "genesis_members";
/// Keys that every genesis member has.
const MEMBER: [&str; 2] = ["id", "role"];

pub(crate) type Table<'a> = Spanned<DeTable<'a>>;
pub(crate) type Span = Range<usize>;

/// One step into a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// As a path before a message.
pub(crate) fn named(path: &[Step]) -> String {
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
pub(crate) fn place(
    table: &DeTable<'_>,
    error: &serde_path_to_error::Error<toml::de::Error>,
) -> Span {
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
pub(crate) fn find(table: &DeTable<'_>, span: &Span) -> Option<Vec<Step>> {
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
pub(crate) fn complete<'a>(
    text: &str,
    table: &mut Table<'a>,
    model: &DeTable<'a>,
) -> Vec<ParameterError> {
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
pub(crate) fn mend<'a>(table: &mut Table<'a>, model: &DeTable<'a>, span: &Span) -> bool {
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

/// A mistake of form in this line.
pub(crate) fn form(line: usize, message: &str) -> ParameterError {
    ParameterError::Located {
        line,
        error: Box::new(ParameterError::Toml(message.trim_end().to_owned())),
    }
}

/// The line that this byte is in, from 1.
pub(crate) fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
