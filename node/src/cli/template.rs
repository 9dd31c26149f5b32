//! The commented configuration files that `init` fills in.

use toml::Value;

/// A node's configuration with comments; its values are replaced one by one.
pub(super) fn node(provider: bool) -> &'static str {
    if provider {
        include_str!("../../../deploy/provider.toml")
    } else {
        include_str!("../../../deploy/mix.toml")
    }
}

/// A client's.
pub(super) const CLIENT: &str = include_str!("../../../deploy/client.toml");

/// Replaces the values of keys in a commented file, in which each value is on one line. None if a
/// key is not there.
pub(super) fn fill(template: &str, values: &[(&str, Value)]) -> Option<String> {
    let mut lines: Vec<String> = template.lines().map(str::to_owned).collect();
    for (key, value) in values {
        let (table, leaf) = key.rsplit_once('.').unwrap_or(("", key));
        let start = format!("{leaf} = ");
        let mut current = String::new();
        let line = lines.iter_mut().find(|line| {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                current = name.to_owned();
            }
            current == table && line.starts_with(&start)
        })?;
        *line = format!("{start}{value}");
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_comments_and_tables_apart() {
        let template = "# about\nlisten = 1\n\n[metrics]\n# more\nlisten = 2\n";
        let values = [("metrics.listen", Value::String("x\"y".into()))];
        let filled = fill(template, &values).unwrap_or_default();
        assert_eq!(
            filled,
            "# about\nlisten = 1\n\n[metrics]\n# more\nlisten = 'x\"y'\n"
        );
        assert_eq!(fill(template, &[("other", Value::Integer(1))]), None);
    }
}
