//! `shoal-sim run`: the same bytes at any number of threads, and files that say where they come
//! from.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use shoal_simulations::scenario::Preset;

/// The preset with every adversary and metric, made short.
fn scenario(folder: &Path) -> std::path::PathBuf {
    let text = Preset::find("adversaries").unwrap().text;
    let mut scenario = shoal_simulations::scenario::Scenario::parse(text).unwrap();
    for (key, value) in [
        ("run.warm_up", "3s"),
        ("run.measure", "6s"),
        ("run.drain", "6s"),
    ] {
        scenario.set(key, value.into()).unwrap();
    }
    let path = folder.join("scenario.toml");
    std::fs::write(&path, scenario.to_toml().unwrap()).unwrap();
    path
}

fn shoal_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shoal-sim"))
        .args(arguments)
        .output()
        .unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect()
}

fn run(folder: &Path, name: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let scenario = scenario(folder);
    let out = folder.join(name);
    let (scenario, path) = (scenario.to_str().unwrap(), out.to_str().unwrap());
    let mut arguments = vec!["run", scenario, "--repetitions", "3", "--out", path];
    arguments.extend(more);
    let output = shoal_sim(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    files(&out)
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = run(folder.path(), "one", &["--threads", "1"]);
    let mut three = run(folder.path(), "three", &["--threads", "3"]);
    let mut other = run(folder.path(), "other", &["--seed", "99"]);
    for results in [&mut one, &mut three, &mut other] {
        let timing = results.remove("timing.json").unwrap();
        assert!(String::from_utf8(timing).unwrap().contains("scenario_hash"));
    }
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        three.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &one {
        assert!(bytes == &three[name], "{name} differs between threads");
        assert!(bytes != &other[name], "{name} is the same of another seed");
    }
    for name in ["summary.json", "scenario.toml", "runs.csv", "targets.csv"] {
        let text = String::from_utf8(other[name].clone()).unwrap();
        let lines: Vec<&str> = text.lines().take(8).collect();
        let head = lines.join("\n");
        for key in ["version", "scenario_hash", "seed", "99"] {
            assert!(head.contains(key), "{name} lacks {key}: {head}");
        }
    }
}

#[test]
fn what_would_not_fit_into_memory_is_refused_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.toml");
    let text = Preset::find("large").unwrap().text;
    let mut huge = shoal_simulations::scenario::Scenario::parse(text).unwrap();
    huge.set("clients[0].count", 100_000_000.into()).unwrap();
    huge.set("clients[0].rates.real", 9.0.into()).unwrap();
    huge.set("delay.mixes.mean", "1000s".into()).unwrap();
    std::fs::write(&path, huge.to_toml().unwrap()).unwrap();
    let output = shoal_sim(&["run", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("memory"), "{errors}");
}

/// The same under a limit of address space, as of a container or a job: what would be killed in the
/// middle is refused before it starts.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_the_process_is_a_limit_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.toml");
    let text = Preset::find("large").unwrap().text;
    let mut large = shoal_simulations::scenario::Scenario::parse(text).unwrap();
    large.set("delay.mixes.mean", "2s".into()).unwrap();
    std::fs::write(&path, large.to_toml().unwrap()).unwrap();
    let limited = |command: &str| {
        let program = env!("CARGO_BIN_EXE_shoal-sim");
        let script = format!(
            "ulimit -v 500000; exec {program} {command} {}",
            path.display()
        );
        Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let output = limited("run");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("ulimit -v"), "{errors}");
    let output = limited("check --json");
    assert_eq!(output.status.code(), Some(2));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["fits"], false);
    let available = found["bytes_available"].as_u64().unwrap();
    assert!(
        (300_000_000..512_000_000).contains(&available),
        "{available}"
    );
    assert!(found["bytes_limit"].as_str().unwrap().contains("ulimit -v"));
}

#[test]
fn a_refused_scenario_names_key_value_and_range_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.toml");
    let text = Preset::find("single-mix").unwrap().text;
    std::fs::write(&path, text.replace("layers = 1", "layers = 0")).unwrap();
    let output = shoal_sim(&["run", path.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("topology.layers"), "{errors}");
    std::fs::write(&path, format!("{text}\nunknown_key = 1\n")).unwrap();
    let output = shoal_sim(&["run", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown_key"));
}
