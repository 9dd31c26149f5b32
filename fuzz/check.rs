//! What the tests of every crate do with its fuzz targets; each `fuzz` module includes this file.
//! The corpus is replayed, whole and damaged, and the targets, their list and the wrappers for
//! libFuzzer are held against each other.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

/// A target: its name, which is that of its corpus too, and its function.
pub(super) type Target = (&'static str, fn(&[u8]));

/// In how many places, spread over its length, a file is damaged: large ones take longer each time.
fn places(length: usize) -> usize {
    (160_000 / length.max(1)).clamp(64, 400)
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The `fuzz` module that includes this file, from the crate's root.
fn module() -> &'static str {
    module_path!().strip_suffix("::check").unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What follows the prefix, up to the end of the name, in every line that begins with it.
fn names(text: &str, prefix: &str) -> Vec<String> {
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(|rest| {
            rest.chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn the_corpus_does_no_harm() {
    for (name, target) in TARGETS {
        let files = files(&package().join("corpus").join(name));
        assert!(files.len() > 1, "{name} has a corpus");
        for file in files {
            println!("{}", file.display()); // is seen when the test fails
            let bytes = fs::read(&file).unwrap();
            target(&bytes);
            let step = bytes.len().div_ceil(places(bytes.len())).max(1);
            for place in (0..bytes.len()).step_by(step) {
                target(&bytes[..place]);
                let mut altered = bytes.clone();
                altered[place] ^= 0x55;
                target(&altered);
            }
        }
    }
}

#[test]
fn every_target_is_listed_and_wrapped_for_libfuzzer() {
    let (_, inside) = module().split_once("::").unwrap();
    let source = inside.replace("::", "/") + ".rs";
    let source = fs::read_to_string(package().join("src").join(source)).unwrap();
    let targets = names(&source, "pub fn fuzz_");
    let mut listed: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(listed, targets, "TARGETS has every target");

    let prefix = package().file_name().unwrap().to_str().unwrap().to_owned() + "_";
    let fuzz = package().parent().unwrap().join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let bins = names(&manifest, &format!("name = \"{prefix}"));
    assert_eq!(bins, targets, "fuzz/Cargo.toml has a binary for each");
    let mut wrapped = Vec::new();
    for file in files(&fuzz.join("fuzz_targets")) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        if let Some(name) = stem.strip_prefix(&prefix) {
            let call = format!("{}::fuzz_{name}(data)", module());
            let wrapper = fs::read_to_string(&file).unwrap();
            assert!(wrapper.contains(&call), "{stem} calls {call}");
            wrapped.push(name.to_owned());
        }
    }
    assert_eq!(wrapped, targets, "fuzz/fuzz_targets has a wrapper for each");
}
