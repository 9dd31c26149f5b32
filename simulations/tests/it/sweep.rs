//! Sweeps by the program itself: interrupted, sharded and resumed, always the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use shoal_simulations::table::{Table, Values};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shoal-sim");

/// 3 points x 3 repetitions of a network that takes a moment.
const SWEEP: &str = r#"
[sweep]
seed = 5
repetitions = 3

[[axes]]
key = "delay.mixes.mean"
values = ["50ms", "100ms", "200ms"]

[scenario.run]
warm_up = "1s"
measure = "5s"
drain = "1s"

[scenario.topology]
kind = "stratified"
layers = 2
width = 2

[scenario.delay]
mixes = { distribution = "exponential", mean = "100ms" }

[scenario.links]
delay = "10ms"

[[scenario.clients]]
name = "users"
count = 10
rates = { real = 2.0 }

[scenario.metrics]
latency = true
"#;

/// A folder with a sweep file.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(sweep: &str) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write(sweep);
        bench
    }

    fn write(&self, sweep: &str) {
        std::fs::write(self.path("sweep.toml"), sweep).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and gives what it prints as JSON.
    fn json(&self, arguments: &str) -> serde_json::Value {
        let output = self.run(&format!("{arguments} --json"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that must fail with a code and gives what it says.
    fn refused(&self, arguments: &str, code: i32) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {errors}");
        errors
    }

    fn parts(&self, out: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path(out).join("parts")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "part"))
            .collect();
        paths.sort();
        paths
    }
}

/// Every file of a sweep but its times, by its path in the folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in [folder.to_owned(), folder.join("parts")] {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_file() && !name.starts_with("timing") && !name.ends_with(".tmp") {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, content) in &one {
        assert!(other.get(name) == Some(content), "{name} differs");
    }
}

#[test]
fn threads_and_shards_never_show() {
    let bench = Bench::new(SWEEP);
    let whole = bench.json("sweep sweep.toml --out whole --threads 1");
    assert_eq!((&whole["runs"], &whole["done"]), (&9.into(), &9.into()));
    bench.json("sweep sweep.toml --out threads --threads 5");
    assert_same(&bench.path("whole"), &bench.path("threads"));

    let mut runs = 0;
    for shard in 1..=4 {
        let done = bench.json(&format!(
            "sweep sweep.toml --out shard-{shard} --shard {shard}/4"
        ));
        runs += done["done"].as_u64().unwrap();
        assert!(done["sweep"].is_null());
        assert!(!bench.path(&format!("shard-{shard}/results.csv")).exists());
    }
    assert_eq!(runs, 9);
    let missing = bench.refused("merge shard-1 shard-2 shard-4 --out merged", 1);
    assert!(missing.contains("2 of 9 runs are missing"), "{missing}");
    assert!(
        missing.contains("point 0 (delay.mixes.mean = \"50ms\"), repetition 2"),
        "{missing}"
    );
    bench.json("merge shard-4 shard-1 shard-3 shard-2 --out merged");
    assert_same(&bench.path("whole"), &bench.path("merged"));
    bench.json("merge shard-1 shard-2 shard-3 shard-4 --out shard-2");
    assert_same(&bench.path("whole"), &bench.path("shard-2"));
}

/// Starts a sweep on two threads and kills it once it has written two parts; `false` if it had
/// ended by then.
fn start_and_kill(bench: &Bench, out: &str) -> bool {
    let mut child = bench
        .command(&format!("sweep sweep.toml --out {out} --threads 2 --json"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = true;
    while running && bench.parts(out).len() < 2 {
        std::thread::sleep(Duration::from_micros(200));
        running = child.try_wait().unwrap().is_none();
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_killed_sweep_loses_no_finished_run_and_ends_the_same() {
    // Runs of some milliseconds, so that the kill hits some in flight.
    let sweep = SWEEP
        .replace("count = 10", "count = 200")
        .replace("repetitions = 3", "repetitions = 12");
    let bench = Bench::new(&sweep);
    bench.json("sweep sweep.toml --out whole");
    let killed = ["killed-1", "killed-2", "killed-3", "killed-4"]
        .into_iter()
        .find(|out| start_and_kill(&bench, out))
        .expect("a sweep that is killed before its end");

    let kept = bench.parts(killed);
    let times = || -> Vec<_> {
        let time = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
        kept.iter().map(time).collect()
    };
    let before = times();
    assert!((2..36).contains(&kept.len()), "{} parts", kept.len());
    assert!(!bench.path(killed).join("sweep.json").exists());

    let resumed = bench.json(&format!("sweep sweep.toml --out {killed}"));
    assert_eq!(resumed["present"].as_u64(), Some(kept.len() as u64));
    assert_eq!(resumed["done"].as_u64(), Some(36 - kept.len() as u64));
    assert_eq!(resumed["damaged"].as_u64(), Some(0));
    assert_same(&bench.path("whole"), &bench.path(killed));
    assert_eq!(before, times(), "a finished run was written again");
    let again = bench.json(&format!("sweep sweep.toml --out {killed}"));
    assert_eq!(again["done"], 0);
}

#[test]
fn damage_is_noticed_and_changes_reuse_what_fits() {
    let bench = Bench::new(SWEEP);
    bench.json("sweep sweep.toml --out whole");
    bench.json("sweep sweep.toml --out other");
    let parts = bench.parts("other");
    let text = std::fs::read_to_string(&parts[0]).unwrap();
    std::fs::write(&parts[0], text.replacen("\"value\": ", "\"value\": 1", 1)).unwrap();
    std::fs::write(&parts[1], &text.as_bytes()[..text.len() / 2]).unwrap();
    std::fs::write(&parts[2], &text).unwrap();
    std::fs::remove_file(&parts[3]).unwrap();
    let again = bench.json("sweep sweep.toml --out other");
    assert_eq!((&again["damaged"], &again["done"]), (&3.into(), &4.into()));
    assert_same(&bench.path("whole"), &bench.path("other"));

    // One point more and one less, one repetition more: what is left of the old is kept.
    bench.write(
        &SWEEP
            .replace("\"50ms\", ", "")
            .replace("\"200ms\"", "\"200ms\", \"300ms\"")
            .replace("repetitions = 3", "repetitions = 4"),
    );
    let changed = bench.json("sweep sweep.toml --out other");
    assert_eq!(
        (&changed["present"], &changed["done"]),
        (&6.into(), &6.into())
    );
    // Another seed shares nothing.
    let seeded = bench.json("sweep sweep.toml --out other --seed 6");
    assert_eq!(
        (&seeded["present"], &seeded["done"]),
        (&0.into(), &12.into())
    );
    let back = bench.json("sweep sweep.toml --out other");
    assert_eq!(back["done"], 0);
    let told = bench.run("sweep sweep.toml --out other");
    assert!(String::from_utf8_lossy(&told.stderr).contains("12 runs, 12 are there already"));
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let bench = Bench::new(SWEEP);
    bench.json("sweep sweep.toml --out a --shard 1/2");
    bench.json("sweep sweep.toml --out b --shard 2/2 --seed 6");
    let seeds = bench.refused("merge a b --out m", 1);
    assert!(seeds.contains("the seeds are 5 and 6"), "{seeds}");
    bench.write(&SWEEP.replace("\"50ms\"", "\"60ms\""));
    bench.json("sweep sweep.toml --out b --shard 2/2");
    let hashes = bench.refused("merge a b --out m", 1);
    assert!(hashes.contains("hashes"), "{hashes}");
    let none = bench.refused("merge a nothing --out m", 1);
    assert!(none.contains("no folder of a sweep"), "{none}");

    // Another version of the program.
    bench.write(SWEEP);
    bench.json("sweep sweep.toml --out b");
    let version = std::fs::read_to_string(bench.path("a/plan.json")).unwrap();
    let other = version.replacen("\"version\": \"", "\"version\": \"9.", 1);
    std::fs::write(bench.path("a/plan.json"), other).unwrap();
    let versions = bench.refused("merge b a --out m", 1);
    assert!(versions.contains("version 9."), "{versions}");
}

#[test]
fn every_point_is_checked_before_anything_runs() {
    let bench = Bench::new(&SWEEP.replace("\"200ms\"]", "\"x\"]"));
    let refused = bench.refused("sweep sweep.toml --out out", 2);
    assert!(
        refused.contains("point 2 (delay.mixes.mean = \"x\")"),
        "{refused}"
    );
    assert!(!bench.path("out").exists());
    for (from, to, part) in [
        ("delay.mixes.mean", "delay.nowhere.mean", "delay.nowhere"),
        ("delay.mixes.mean", "run.seed", "run.seed"),
        (
            "repetitions = 3",
            "repetitions = 999999",
            "sweep.repetitions: 999999",
        ),
        ("[scenario.run]", "[scenario.rum]", "rum"),
        ("[sweep]", "[sweeps]", "sweeps"),
        ("count = 10", "count = 0", "clients[0].count"),
    ] {
        bench.write(&SWEEP.replace(from, to));
        let refused = bench.refused("sweep sweep.toml --out out", 2);
        assert!(refused.contains(part), "{to}: {refused}");
    }
    assert!(!bench.path("out").exists());
    bench.refused("sweep sweep.toml --shard 0/3", 2);
    bench.write(SWEEP);
    let seed = bench.refused("sweep sweep.toml --seed 9223372036854775808", 2);
    assert!(seed.contains("seed: 9223372036854775808"), "{seed}");
    bench.refused("sweep nothing.toml", 1);
}

#[test]
fn a_point_is_what_run_gives() {
    let bench = Bench::new(SWEEP);
    bench.json("sweep sweep.toml --out out");
    let text = SWEEP.split_once("[scenario.run]").unwrap().1;
    let scenario = format!(
        "[run]{}",
        text.replace("scenario.", "")
            .replace("\"100ms\"", "\"200ms\"")
    );
    std::fs::write(bench.path("scenario.toml"), scenario).unwrap();
    let run = bench.json("run scenario.toml --seed 5 --repetitions 3");
    let results = Table::read(&bench.path("out/results.parquet")).unwrap();
    assert_eq!(
        results,
        Table::read(&bench.path("out/results.csv")).unwrap()
    );
    assert_eq!(
        results.column("delay.mixes.mean").unwrap(),
        &Values::F64(vec![0.05, 0.1, 0.2])
    );
    let metrics = run["metrics"].as_array().unwrap();
    assert!(!metrics.is_empty());
    for metric in metrics {
        let name = metric["name"].as_str().unwrap();
        for (column, key) in [
            ("", "mean"),
            (".low", "low"),
            (".high", "high"),
            (".se", "standard_error"),
        ] {
            let column = results.numbers(&format!("{name}{column}")).unwrap();
            assert_eq!(column[2], metric[key].as_f64(), "{name} {key}");
        }
    }
}

#[test]
fn the_documented_example_runs() {
    let page = include_str!("../../../docs/simulator/sweep.md");
    let example = page
        .split_once("```toml\n")
        .unwrap()
        .1
        .split_once("```")
        .unwrap()
        .0;
    let bench = Bench::new(example);
    let size = bench.json("sweep sweep.toml --check");
    assert_eq!((&size["points"], &size["runs"]), (&6.into(), &18.into()));
    let done = bench.json("sweep sweep.toml");
    assert_eq!(done["done"], 18);
    let results = Table::read(&bench.path("sweep-results/results.csv")).unwrap();
    assert_eq!(results.rows(), 6);
    let latency = results.numbers("latency_mean.real").unwrap();
    assert!(latency[0] < latency[5], "{latency:?}");
    assert!(results.has("delay.mixes.mean") && results.has("clients.users.rates.loop"));
}

#[test]
fn the_cluster_example_is_what_the_program_takes() {
    let manifest = include_str!("../../../deploy/kubernetes/shoal-sim-sweep.yaml");
    let block = manifest
        .split_once("sweep.toml: |\n")
        .unwrap()
        .1
        .split_once("---\n")
        .unwrap()
        .0;
    let bench = Bench::new(&block.replace("\n    ", "\n").replacen("    ", "", 1));
    let size = bench.json("sweep sweep.toml --check");
    assert_eq!(size["points"], 20);
    let command = |name: &str| {
        let start = format!("- exec shoal-sim {name} ");
        let line = manifest
            .lines()
            .find_map(|line| line.trim().strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no {name}"));
        let line = line
            .replace("/etc/shoal-sim/", "./")
            .replace("/results", "out");
        format!("exec {PROGRAM} {name} {line}")
    };
    let shell = |line: &str, index: u32| {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-euc", line])
            .env("JOB_COMPLETION_INDEX", index.to_string());
        shell.current_dir(bench.0.path()).output().unwrap()
    };
    let completions = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("completions: "));
    let completions: u32 = completions
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for index in [0, completions - 1] {
        let checked = shell(&format!("{} --check", command("sweep")), index);
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
    let beyond = shell(&format!("{} --check", command("sweep")), completions);
    assert_eq!(
        beyond.status.code(),
        Some(2),
        "completions and shards differ"
    );
    let early = shell(&command("merge"), 0);
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("no folder of a sweep"));

    let yaml = "import sys, yaml; d = list(yaml.safe_load_all(open(sys.argv[1]))); assert [x['kind'] for x in d] == \
                ['ConfigMap', 'PersistentVolumeClaim', 'Job', 'Job']";
    let has_yaml =
        |python: &mut Command| python.output().is_ok_and(|output| output.status.success());
    if has_yaml(Command::new("python3").args(["-c", "import yaml"])) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/shoal-sim-sweep.yaml");
        assert!(has_yaml(
            Command::new("python3").args(["-c", yaml]).arg(path)
        ));
    }
}
