//! `docs/threats.md` names the tests that hold what it promises.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// All that is written in Rust below a folder of the workspace.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_it_names_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(top.join("docs/threats.md")).unwrap();
    let mut code = String::new();
    sources(top, &mut code);
    // What stands between backticks and has the form of a test's name.
    let named: BTreeSet<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            text.contains('_') && !text.contains(|c: char| !c.is_ascii_lowercase() && c != '_')
        })
        .collect();
    assert!(named.len() > 40, "{named:?}");
    let missing = |name: &&&str| !code.contains(&format!("fn {name}("));
    let missing: Vec<_> = named.iter().filter(missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
