//! Scenarios: what is accepted, what is refused and how it is said, and the page that describes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use shoal_simulations::{
    engine, math,
    scenario::{PRESETS, Preset, Scenario, estimate},
};
use toml::{Table, Value};

/// The smallest scenario.
const SMALL: &str = r#"
[run]
measure = "10s"
[topology]
kind = "stratified"
layers = 3
width = 2
[links]
delay = "40ms"
[delay]
mixes = { distribution = "exponential", mean = "100ms" }
[[clients]]
name = "users"
count = 10
rates = { real = 1.0 }
"#;

fn small() -> Scenario {
    Scenario::parse(SMALL).unwrap()
}

fn changed(changes: &[(&str, Value)]) -> Result<Scenario, String> {
    let mut table: Table = toml::from_str(SMALL).unwrap();
    for (path, value) in changes {
        put(&mut table, path, value.clone());
    }
    Scenario::parse(&toml::to_string(&table).unwrap()).map_err(|error| error.to_string())
}

/// Puts a value at a path of tables; `[0]` is the only list.
fn put(table: &mut Table, path: &str, value: Value) {
    let (section, rest) = path.split_once('.').unwrap_or((path, ""));
    if rest.is_empty() {
        table.insert(section.to_owned(), value);
    } else if let Some(list) = section.strip_suffix("[0]") {
        let Value::Array(list) = &mut table[list] else {
            panic!("{path}")
        };
        put(list[0].as_table_mut().unwrap(), rest, value);
    } else {
        let entry = table.entry(section).or_insert(Value::Table(Table::new()));
        put(entry.as_table_mut().unwrap(), rest, value);
    }
}

fn value(text: &str) -> Value {
    let table: Table = toml::from_str(&format!("x = {text}")).unwrap();
    table["x"].clone()
}

#[test]
fn every_preset_parses_and_plans() {
    for preset in PRESETS {
        let scenario =
            Scenario::parse(preset.text).unwrap_or_else(|e| panic!("{}: {e}", preset.name));
        assert_eq!(scenario.warnings(), [""; 0], "{}", preset.name);
        scenario.plan(0).validate().unwrap();
        let again = Scenario::parse(&scenario.to_toml().unwrap()).unwrap();
        assert_eq!(again.model(), scenario.model(), "{}", preset.name);
        assert_eq!(again.hash(), scenario.hash(), "{}", preset.name);
        let json = serde_json::to_string(scenario.model()).unwrap();
        assert_eq!(Scenario::parse_json(&json).unwrap().hash(), scenario.hash());
    }
    let hashes: BTreeSet<String> = PRESETS
        .iter()
        .map(|preset| Scenario::parse(preset.text).unwrap().hash())
        .collect();
    assert_eq!(hashes.len(), PRESETS.len());
}

#[test]
fn refusals_name_key_value_range_and_hint() {
    for (changes, parts) in [
        (
            &[("run.measure", "\"0s\"")][..],
            &["run.measure = 0s", "to 366d"][..],
        ),
        (
            &[("run.measure", "10")],
            &["run.measure", "length of time in quotes"],
        ),
        (
            &[("run.measure", "\"ten\"")],
            &["run.measure", "\"ten\"", "50ms"],
        ),
        (
            &[("run.sed", "1")],
            &["run.sed", "unknown field `sed`", "`seed`", "scenario.md"],
        ),
        (&[("run.seed", "-1")], &["run.seed", "-1"]),
        (
            &[("run.repetitions", "0")],
            &["run.repetitions = 0", "1 to 1000000"],
        ),
        (&[("run.bin", "\"1ns\"")], &["run.bin", "10000000 bins"]),
        (
            &[("clients[0].rates.real", "-1.0")],
            &["clients[0].rates.real = -1", "0 to 1000000"],
        ),
        (
            &[("clients[0].rates.real", "nan")],
            &["clients[0].rates.real = NaN"],
        ),
        (
            &[("clients[0].rates.reel", "1")],
            &["clients[0].rates.reel", "`loop`"],
        ),
        (&[("clients[0].count", "0")], &["clients[0].count = 0"]),
        (
            &[("clients[0].count", "5000000000")],
            &["clients[0].count", "5000000000"],
        ),
        (
            &[("clients[0].count", "1")],
            &["nobody to send to", "at least 2"],
        ),
        (
            &[("clients[0].name", "\"a.b\"")],
            &["clients[0].name = \"a.b\"", "letters"],
        ),
        (
            &[("clients[0].rates.real", "0.0")],
            &["no client sends anything"],
        ),
        (
            &[
                ("clients[0].rates.real", "0.0"),
                ("clients[0].workload", "{ kind = \"poisson\", rate = 1 }"),
            ],
            &["clients[0].rates.real = 0", "never be sent"],
        ),
        (
            &[(
                "clients[0].receivers",
                "{ kind = \"contacts\", count = 10 }",
            )],
            &["receivers.count = 10", "1 to 9"],
        ),
        (
            &[("clients[0].workload", "{ kind = \"saturated\", rate = 1 }")],
            &["clients[0].workload", "no other key"],
        ),
        (
            &[("clients[0].receivers", "{ kind = \"contacts\" }")],
            &["clients[0].receivers", "exactly: count"],
        ),
        (
            &[("topology.widths", "[2, 2]")],
            &["topology.layers", "topology.width:", "widths alone"],
        ),
        (
            &[("topology.kind", "\"free_route\"")],
            &["topology.hops", "is missing"],
        ),
        (
            &[("topology.width", "100001")],
            &["topology.width = 100001", "1 to 100000"],
        ),
        (&[("topology.width", "60000")], &["180000 mixes"]),
        (
            &[("topology.weights", "[[1, 1], [1, 1]]")],
            &["topology.weights = 2 lists", "3 lists"],
        ),
        (
            &[("topology.weights", "[[1, 1], [1, 0], [1, 1]]")],
            &["topology.weights[1][1] = 0"],
        ),
        (
            &[("delay.mixes.shape", "2.0")],
            &["delay.mixes", "exactly: mean"],
        ),
        (
            &[("delay.mixes.mean", "\"2d\"")],
            &["delay.mixes.mean = 172800s", "1d"],
        ),
        (
            &[("delay.mixes.mean", "\"0s\"")],
            &["delay.mixes.mean", "constant"],
        ),
        (
            &[(
                "delay.providers",
                "{ distribution = \"constant\", mean = \"1s\" }",
            )],
            &["without providers"],
        ),
        (&[("links.loss", "1.0")], &["links.loss = 1", "below 1"]),
        (&[("mixes.queue", "5")], &["mixes.queue", "mixes.capacity"]),
        (
            &[("mixes.loop_rate", "1.0"), ("links.delay", "\"0s\"")],
            &["links.base = 0s", "1ms"],
        ),
        (
            &[("metrics.entropy_forward", "true")],
            &["needs targets", "[targets]", "needs an adversary"],
        ),
        (
            &[("metrics.entropy", "true")],
            &["metrics.entropy", "`entropy_forward`"],
        ),
        (
            &[("metrics.latency", "{ quantiles = [2.0] }")],
            &["metrics.latency.quantiles[0] = 2"],
        ),
        (&[("targets.count", "0")], &["targets.count = 0"]),
        (
            &[("observe.adversary", "\"eve\"")],
            &["observe.adversary = \"eve\""],
        ),
        (
            &[(
                "adversaries",
                "[{ name = \"a\", corrupt_mixes = { count = 7 } }]",
            )],
            &["adversaries[0].corrupt_mixes.count = 7", "0 to 6"],
        ),
        (
            &[("adversaries", "[{ name = \"a\", corrupt_mixes = {} }]")],
            &["either count or share"],
        ),
        (
            &[("adversaries", "[{ name = \"a\", corrupt_providers = 1 }]")],
            &["topology.providers = 0"],
        ),
        (
            &[("adversaries", "[{ name = \"a\", drops = 0.5 }]")],
            &["adversaries[0].drops = 0.5", "without nodes"],
        ),
        (
            &[("adversaries", "[{ name = \"a\", sees = \"own_nodes\" }]")],
            &["sees nothing"],
        ),
        (
            &[("adversaries", "[{ name = \"a\" }, { name = \"a\" }]")],
            &["adversaries[1].name = a"],
        ),
        (
            &[("links.matrix", "\"/dev/zero\"")],
            &["links.matrix", "is not a file"],
        ),
        (
            &[("links.matrix", "\"none.csv\"")],
            &["links.matrix = none.csv", "No such file"],
        ),
    ] {
        let changes: Vec<_> = changes
            .iter()
            .map(|(path, text)| (*path, value(text)))
            .collect();
        let error = changed(&changes).expect_err(&format!("{changes:?}"));
        for part in parts {
            assert!(
                error.contains(part),
                "{changes:?} gave {error:?}, without {part:?}"
            );
        }
    }
}

#[test]
fn free_routes_need_links_that_take_time() {
    let free = [
        ("topology.kind", value("\"free_route\"")),
        ("topology.hops", value("3")),
    ];
    let table = |links: &str| {
        let mut table: Table = toml::from_str(SMALL).unwrap();
        for (path, value) in &free {
            put(&mut table, path, value.clone());
        }
        table["topology"].as_table_mut().unwrap().remove("layers");
        table.insert("links".to_owned(), value(links));
        Scenario::parse(&toml::to_string(&table).unwrap()).map_err(|error| error.to_string())
    };
    assert!(table("{ delay = \"1ms\" }").is_ok());
    assert!(
        table("{ base = \"1ms\", delay = { distribution = \"exponential\", mean = \"1ms\" } }")
            .is_ok()
    );
    for links in [
        "{}",
        "{ delay = { distribution = \"exponential\", mean = \"1ms\" } }",
    ] {
        let error = table(links).unwrap_err();
        assert!(
            error.contains("links.base = 0s") && error.contains("free routes"),
            "{error}"
        );
    }
}

#[test]
fn everything_wrong_is_found_at_once() {
    let error = changed(&[
        ("run.repetitions", value("0")),
        ("links.loss", value("2.0")),
        ("clients[0].buffer", value("0")),
    ]);
    let error = error.unwrap_err();
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn syntax_errors_name_the_line() {
    let error = Scenario::parse("[run]\nseed = 1\nmeasure = = 3\n").unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
    assert!(Scenario::parse_json("{").is_err());
    assert!(Scenario::parse_json("{} {}").is_err());
}

#[test]
fn warnings_say_what_is_short() {
    let warnings = small().warnings().join("\n");
    for part in ["run.warm_up = 0s", "1.460s", "run.drain = 0s"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    let fast = changed(&[(
        "clients[0].workload",
        value("{ kind = \"poisson\", rate = 2.0 }"),
    )]);
    assert!(
        fast.unwrap()
            .warnings()
            .iter()
            .any(|w| w.contains("buffers grow"))
    );
}

#[test]
fn key_paths_set_what_they_name() {
    let mut scenario = small();
    let before = scenario.hash();
    scenario
        .set("clients[0].rates.loop", Value::Float(0.5))
        .unwrap();
    assert!((scenario.model().clients[0].rates.loops - 0.5).abs() < f64::EPSILON);
    assert_ne!(scenario.hash(), before);
    scenario
        .set("clients.users.rates.loop", Value::Integer(0))
        .unwrap();
    assert_eq!(scenario.hash(), before);
    scenario
        .set("delay.mixes.mean", Value::String("1s".to_owned()))
        .unwrap();
    assert!((scenario.model().delay.mixes.mean() - 1.0).abs() < f64::EPSILON);
    scenario
        .set("metrics.latency", Value::Boolean(true))
        .unwrap();
    assert_eq!(scenario.model().metrics.names(), ["latency"]);
    scenario
        .set("metrics.latency", Value::Boolean(false))
        .unwrap();
    assert_eq!(scenario.model().metrics.names(), [""; 0]);
    // What is refused changes nothing.
    let before = scenario.hash();
    for (path, value) in [
        ("clients.others.rates.loop", Value::Integer(1)),
        ("clients[1].rates.loop", Value::Integer(1)),
        ("delay.mixes.mean", Value::Integer(1)),
        ("delay.mixes.median", Value::Integer(1)),
        ("clients[0].rates.loop", Value::Integer(-1)),
    ] {
        let error = scenario.set(path, value).unwrap_err();
        assert!(!error.problems().is_empty());
        assert_eq!(scenario.hash(), before);
    }
}

#[test]
fn the_hash_leaves_out_the_seed_and_nothing_else() {
    let hash = small().hash();
    assert_eq!(hash.len(), 64);
    assert_eq!(small().with_seed(7).unwrap().hash(), hash);
    assert!(small().with_seed(u64::MAX).is_err());
    // Every key of the presets that holds a number, changed a little.
    for preset in ["shoal", "adversaries"] {
        let text = Preset::find(preset).unwrap().text;
        let scenario = Scenario::parse(text).unwrap();
        let table: Table = toml::from_str(&scenario.to_toml().unwrap()).unwrap();
        let mut leaves = Vec::new();
        numbers(&Value::Table(table), "", &mut leaves);
        let mut set = 0;
        for (path, value) in leaves {
            let mut other = scenario.clone();
            if other.set(&path, value).is_ok() {
                set += 1;
                assert_eq!(
                    other.hash() == scenario.hash(),
                    path == "run.seed",
                    "{path}"
                );
            }
        }
        assert!(set > 20, "{set}");
    }
}

/// The paths of all numbers, with another number for each.
fn numbers(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                numbers(value, &format!("{path}{dot}{key}"), found);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                numbers(value, &format!("{path}[{at}]"), found);
            }
        }
        Value::Integer(number) => found.push((path.to_owned(), Value::Integer(number + 1))),
        Value::Float(number) => found.push((path.to_owned(), Value::Float(number * 0.875 + 0.01))),
        _ => {}
    }
}

#[test]
fn files_are_part_of_the_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    let text = SMALL.replace(
        "delay = \"40ms\"",
        "delay = \"40ms\"\nmatrix = \"links.csv\"",
    ) + "workload = { kind = \"trace\", file = \"messages.csv\" }\n";
    fs::write(&path, text).unwrap();
    let row = |node: usize| {
        (0..6)
            .map(|to| format!("{}", 10 * node + to))
            .collect::<Vec<_>>()
            .join(",")
    };
    let rows: Vec<String> = (0..6).map(row).collect();
    fs::write(folder.path().join("links.csv"), rows.join("\n")).unwrap();
    let messages = folder.path().join("messages.csv");
    fs::write(&messages, "time,sender,receiver\n1,0,5\n2.5,3\n2.5,9,0\n").unwrap();

    let scenario = Scenario::open(&path).unwrap();
    let plan = scenario.plan(0);
    plan.validate().unwrap();
    // From layer 1 (nodes 2 and 3) to layer 2 (nodes 4 and 5), in seconds.
    let engine::Link::Matrix {
        columns: 2,
        seconds,
    } = &plan.links.between[1]
    else {
        panic!("{:?}", plan.links.between)
    };
    assert_eq!(seconds[..], [0.024, 0.025, 0.034, 0.035]);
    assert_eq!(plan.links.ingress, engine::Link::Constant(0.04));
    let sent: Vec<_> = plan.trace.iter().map(|m| (m.time, m.sender)).collect();
    assert_eq!(sent, [(1.0, 0), (2.5, 3), (2.5, 9)]);
    assert_eq!((plan.trace[0].receiver, plan.trace[2].receiver), (5, 0));
    assert!(plan.trace[1].receiver < 10 && plan.trace[1].receiver != 3);
    assert_eq!(plan, scenario.plan(0));

    let hash = scenario.hash();
    fs::write(&messages, "1,0,5\n2.5,3\n2.5,9,1\n").unwrap();
    assert_ne!(Scenario::open(&path).unwrap().hash(), hash);
    fs::write(&messages, "1,0,5\n2.5,10\n").unwrap();
    let error = Scenario::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("clients[0].workload.file") && error.contains("count 10"),
        "{error}"
    );
    fs::write(&messages, "1,0,5\n0.5,3\n").unwrap();
    let error = Scenario::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    // Text from elsewhere names no files.
    let text = fs::read_to_string(&path).unwrap();
    assert!(Scenario::parse_alone(&text).is_err());
}

#[test]
fn the_plan_says_what_the_scenario_says() {
    let mut scenario = Scenario::parse(Preset::find("adversaries").unwrap().text).unwrap();
    let plan = scenario.plan(3);
    assert_eq!(plan.stages(), [4, 4, 4, 4, 4]);
    assert_eq!(plan.network.layers[1], [1.0, 1.0, 1.0, 3.0]);
    assert_eq!(plan.groups, [0, 1, 2, 3]);
    assert!(plan.targets.unwrap().users);
    // A tenth of twelve mixes is one mix, and no provider.
    assert_eq!(plan.droppers.len(), 1);
    assert!((4..16).contains(&plan.droppers[0].node));
    let places: BTreeSet<u32> = (0..20).map(|r| scenario.plan(r).droppers[0].node).collect();
    assert!(places.len() > 3, "{places:?}");
    let lognormal = value("{ distribution = \"lognormal\", mean = \"2s\", deviation = \"1s\" }");
    scenario.set("delay.mixes", lognormal).unwrap();
    let engine::Delay::Lognormal { median, sigma } = scenario.plan(0).network.mix_delay else {
        panic!()
    };
    let mean = median * math::exp(sigma * sigma / 2.0);
    let deviation = mean * (math::exp(sigma * sigma) - 1.0).sqrt();
    assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
    let uniform = value("{ distribution = \"uniform\", min = \"10ms\", max = \"30ms\" }");
    scenario.set("links.delay", uniform).unwrap();
    let engine::Link::Random { least, extra } = &scenario.plan(0).links.between[0] else {
        panic!()
    };
    assert!((least - 0.03).abs() < 1e-12);
    assert!(matches!(extra, engine::Delay::Uniform { most, .. } if (most - 0.02).abs() < 1e-12));
}

#[test]
fn the_estimate_grows_with_what_it_estimates() {
    let large = Scenario::parse(Preset::find("large").unwrap().text).unwrap();
    let one = estimate(&large, 1);
    // 1,000,000 packets per second over four links, twice, for 60 s less the second that they take.
    assert!((one.hops / 4.72e8 - 1.0).abs() < 0.01, "{one:?}");
    assert!((100_000_000..2_500_000_000).contains(&one.bytes), "{one:?}");
    let two = estimate(&large, 8);
    assert_eq!(two.at_once, 2);
    assert!(two.bytes > one.bytes && two.seconds < one.seconds);
    let mut more = large.clone();
    more.set("metrics.entropy_backward", Value::Boolean(true))
        .unwrap();
    assert!(estimate(&more, 1).bytes > 5_000_000_000);
}

/// The names that an error says are expected.
fn expected(error: &str) -> Vec<String> {
    let after = error.split_once("expected").map_or("", |(_, names)| names);
    let names = after.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// Every table of a scenario, by what it is, with a place where one is.
fn tables(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            found.insert(path.to_owned(), path.to_owned());
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                tables(value, &format!("{path}{dot}{key}"), found);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                tables(value, &format!("{path}[{at}]"), found);
            }
        }
        Value::String(_) => {
            found.insert(path.to_owned(), path.to_owned());
        }
        _ => {}
    }
}

/// The reader itself says which keys and words it knows, when it is given one that it does not.
#[test]
fn the_page_and_the_presets_have_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator/scenario.md");
    let page = fs::read_to_string(page).unwrap();
    let presets: String = PRESETS.iter().map(|preset| preset.text).collect();
    let mut keys = BTreeSet::new();
    let mut words = BTreeSet::new();
    for preset in PRESETS {
        let text = Scenario::parse(preset.text).unwrap().to_toml().unwrap();
        let table: Table = toml::from_str(&text).unwrap();
        let mut found = BTreeMap::new();
        tables(&Value::Table(table), "", &mut found);
        for path in found.keys() {
            let scenario = Scenario::parse(preset.text).unwrap();
            let dot = if path.is_empty() { "" } else { "." };
            let unknown = scenario
                .clone()
                .set(&format!("{path}{dot}zzz"), Value::Integer(1));
            let error = unknown.expect_err(path).to_string();
            if error.contains("unknown field") {
                keys.extend(expected(&error));
            }
            if !path.is_empty() {
                let unknown = scenario.clone().set(path, Value::String("zzz".to_owned()));
                let error = unknown
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default();
                if error.contains("unknown variant") {
                    words.extend(expected(&error));
                }
            }
        }
    }
    assert!(keys.len() > 80 && words.len() > 20, "{keys:?} {words:?}");
    for key in &keys {
        let written = [
            format!("`{key}`"),
            format!("`[{key}]`"),
            format!("`[[{key}]]`"),
            format!(".{key}`"),
            format!("`{key}."),
        ];
        assert!(
            written.iter().any(|key| page.contains(key)),
            "the page lacks {key}"
        );
        let set = [
            format!("{key} = "),
            format!("[{key}]"),
            format!("[[{key}]]"),
        ];
        assert!(
            set.iter().any(|key| presets.contains(key)),
            "the presets lack {key}"
        );
    }
    for word in &words {
        assert!(
            page.contains(&format!("`\"{word}\"`")),
            "the page lacks \"{word}\""
        );
    }
}

fn shoal_sim(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-sim"));
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn new_and_check_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = shoal_sim(folder.path(), arguments);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, list, _) = run(&["new", "--list"]);
    assert_eq!(code, Some(0));
    assert!(PRESETS.iter().all(|preset| list.contains(preset.name)));
    assert_eq!(run(&["new", "nym"]).0, Some(0));
    let written = fs::read_to_string(folder.path().join("nym.toml")).unwrap();
    assert_eq!(written, Preset::find("nym").unwrap().text);
    // It overwrites nothing.
    fs::write(folder.path().join("nym.toml"), "mine").unwrap();
    assert_eq!(run(&["new", "nym"]).0, Some(2));
    assert_eq!(
        fs::read_to_string(folder.path().join("nym.toml")).unwrap(),
        "mine"
    );
    let (code, _, error) = run(&["new", "nim"]);
    assert!(code == Some(2) && error.contains("nym"), "{error}");
    assert_eq!(run(&["new", "large", "-o", "large.toml"]).0, Some(0));

    let (code, text, _) = run(&["check", "large.toml", "--threads", "2"]);
    assert!(
        code == Some(0) && text.contains("memory    about"),
        "{text}"
    );
    let (code, text, _) = run(&["check", "large.toml", "--json"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["estimate"]["bytes"].as_u64().unwrap() > 100_000_000);
    let (code, _, error) = run(&["check", "nym.toml"]);
    assert!(code == Some(2) && error.contains("line 1"), "{error}");
    assert_eq!(run(&["check", "missing.toml"]).0, Some(2));
    // 10^8 clients at 100 packets per second fit in no machine that this runs on.
    let huge = written.replace(
        "count = 100\nrates = { real = 1.0 }",
        "count = 100000000\nrates = { real = 10.0 }",
    );
    fs::write(
        folder.path().join("huge.toml"),
        huge.replace("100ms", "600s"),
    )
    .unwrap();
    let (code, _, error) = run(&["check", "huge.toml"]);
    assert!(code == Some(2) && error.contains("needs"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_names_the_range_of_its_key() {
    let check = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        Scenario::parse(&SMALL.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    };
    let run = SMALL.lines().find(|line| line.contains("measure")).unwrap();
    for (key, value, range) in [
        (
            "seed",
            "-1",
            "run.seed = -1: must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "seed",
            "7.0",
            "run.seed = 7.0: must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "seed",
            "\"x\"",
            "run.seed = \"x\": must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "repetitions",
            "-3",
            "run.repetitions = -3: must be 1 to 1000000",
        ),
    ] {
        let error = check(run, &format!("{run}\n{key} = {value}"));
        assert!(error.contains(range), "{error}");
    }
    // Words of other languages.
    let error = check(run, &format!("{run}\nseed = True"));
    assert!(error.contains("written small"), "{error}");
    let error = check(run, &format!("{run}\nseed = 9223372036854775808"));
    assert!(error.contains("up to 9223372036854775807"), "{error}");
}
