//! Files that people write: read by the types themselves, with errors that say where.

use serde::de::DeserializeOwned;

/// Reads TOML as a type.
///
/// # Errors
/// In one line: the number of the line in the file, the key with its tables, and what is wrong.
pub fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let file = toml::Deserializer::parse(text).map_err(|error| place(text, "", &error))?;
    serde_path_to_error::deserialize(file)
        .map_err(|error| place(text, &error.path().to_string(), error.inner()))
}

fn place(text: &str, path: &str, error: &toml::de::Error) -> String {
    let lines = |end: usize| text.bytes().take(end).filter(|byte| *byte == b'\n').count();
    let line = error.span().map_or(1, |span| 1 + lines(span.start));
    let key = match path {
        "" | "." => String::new(),
        path => format!("{path}: "),
    };
    format!("line {line}: {key}{}", error.message().trim_end())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shoal_proto::Span;

    use super::read_toml;

    #[test]
    fn errors_say_where() {
        type File = BTreeMap<String, Vec<Span>>;
        assert_eq!(
            read_toml::<File>("a = [\"1.5s\"]").map(|file| file["a"].clone()),
            Ok(vec![Span::from_millis(1500)])
        );
        for (text, error) in [
            (
                "a = [\"1s\"]\n\nb = [\"1s\", \"soon\"]",
                "line 3: b[1]: `soon` is not a duration",
            ),
            ("a = [\"1s\"]\na = []", "line 2: duplicate key"),
            (
                "a = [3]",
                "line 1: a[0]: invalid type: integer `3`, expected a duration in quotes",
            ),
        ] {
            let found = read_toml::<File>(text).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
