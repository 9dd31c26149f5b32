//! Key paths: `clients[0].rates.real`, `clients.users.rates.real`, `delay.mixes.mean`.

use toml::{Table, Value};

use super::ScenarioError;

/// The longest path, in bytes.
const MAX_PATH: usize = 256;

/// Puts a value at a path. Tables on the way that are missing are made; elements of lists are not.
pub(super) fn set(table: &mut Table, path: &str, value: Value) -> Result<(), ScenarioError> {
    let refused = |reason: &str| {
        let hint = "as clients[0].rates.real, clients.NAME.rates.real or delay.mixes.mean";
        Err(ScenarioError::one(path, None, reason, Some(hint)))
    };
    let Some(steps) = steps(path) else {
        return refused("is not a key path");
    };
    let Some((last, way)) = steps.split_last() else {
        return refused("is not a key path");
    };
    let Some((first, way)) = way.split_first() else {
        return match last {
            Step::Key(key) => {
                table.insert((*key).to_owned(), value);
                Ok(())
            }
            Step::Index(_) => refused("starts with a number"),
        };
    };
    let Step::Key(first) = first else {
        return refused("starts with a number");
    };
    let mut place = child(table, first);
    for step in way {
        let Some(next) = descend(place, step) else {
            return refused("leads to nothing in this scenario");
        };
        place = next;
    }
    if let (Value::Table(table), Step::Key(key)) = (&mut *place, last) {
        table.insert((*key).to_owned(), value);
        return Ok(());
    }
    match descend(place, last) {
        Some(place) => {
            *place = value;
            Ok(())
        }
        None => refused("leads to nothing in this scenario"),
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// `a.b[3].c` as its steps.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    if path.len() > MAX_PATH {
        return None;
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        let key = pieces.next().filter(|key| !key.is_empty())?;
        steps.push(Step::Key(key));
        for piece in pieces {
            steps.push(Step::Index(piece.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

fn child<'a>(table: &'a mut Table, key: &str) -> &'a mut Value {
    table
        .entry(key)
        .or_insert_with(|| Value::Table(Table::new()))
}

/// One step down: into a table by key, into a list by number, or into a list of tables by the
/// name of one.
fn descend<'a>(value: &'a mut Value, step: &Step<'_>) -> Option<&'a mut Value> {
    match (value, step) {
        (Value::Table(table), Step::Key(key)) => Some(child(table, key)),
        (Value::Array(list), Step::Index(at)) => list.get_mut(*at),
        (Value::Array(list), Step::Key(name)) => list
            .iter_mut()
            .find(|item| item.get("name").and_then(Value::as_str) == Some(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use toml::{Table, Value};

    use super::set;

    fn table() -> Table {
        toml::from_str(
            "list = [[1, 2], [3, 4]]\n[delay]\nmean = 1\n[[clients]]\nname = \"a\"\n[[clients]]\nname = \"b\"\nrates = { real = 1 }",
        )
        .unwrap()
    }

    #[test]
    fn paths_lead_to_their_place() {
        let mut table = table();
        for (path, number) in [
            ("delay.mean", 2),
            ("delay.new.deep", 3),
            ("top", 4),
            ("clients[0].rates.real", 5),
            ("clients.b.rates.real", 6),
            ("list[1][0]", 7),
        ] {
            set(&mut table, path, Value::Integer(number)).unwrap();
        }
        let expected: Table = toml::from_str(
            "top = 4\nlist = [[1, 2], [7, 4]]\n[delay]\nmean = 2\nnew = { deep = 3 }\n[[clients]]\nname = \"a\"\nrates = { real = 5 }\n[[clients]]\nname = \"b\"\nrates = { real = 6 }",
        )
        .unwrap();
        assert_eq!(table, expected);
    }

    #[test]
    fn paths_to_nothing_are_refused() {
        for path in [
            "",
            ".",
            "a..b",
            "[0]",
            "[0].a",
            "clients[2].name",
            "clients.c.name",
            "clients[x].name",
            "clients[0",
            "list[1][2]",
            "delay.mean.deeper.still",
            "list.name",
            "clients[99999999999999999999].name",
        ] {
            let mut table = table();
            let result = set(&mut table, path, Value::Integer(1));
            assert!(result.is_err(), "{path}");
        }
    }
}
