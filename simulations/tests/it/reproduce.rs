//! Published results, measured anew with little work.

use std::process::Command;

use shoal_simulations::reproduce::{self, Effort, Setup, Verdict};
use shoal_simulations::run::Unwatched;

fn quick(name: &str, seed: u64, threads: usize) -> reproduce::Report {
    let effort = Effort::Quick;
    let setup = Setup {
        seed,
        threads,
        effort,
        repetitions: None,
    };
    let found = reproduce::find(name).unwrap();
    found.run(&setup, &Unwatched).unwrap()
}

#[test]
fn every_reproduction_holds_with_little_work() {
    for known in reproduce::catalogue() {
        let report = quick(known.name, 20, 0);
        let gated = report.points.iter().filter(|point| point.gated);
        assert_eq!(gated.count() > 0, known.gated, "{}", known.name);
        for point in &report.points {
            let verdict = point.verdict(Effort::Quick);
            assert!(!verdict.fails(), "{}: {point:?}", known.name);
            assert!(point.ours.is_some(), "{}: {point:?}", known.name);
        }
        assert!(report.holds, "{}", known.name);
    }
}

#[test]
fn a_wrong_reference_is_not_reproduced() {
    let mut report = quick("piotrowska", 21, 0);
    let point = report.points.first_mut().unwrap();
    assert_eq!(point.verdict(Effort::Quick), Verdict::Holds);
    point.reference = point.reference.map(|bits| bits + 0.2);
    assert_eq!(point.verdict(Effort::Quick), Verdict::Missed);
}

#[test]
fn the_report_does_not_depend_on_threads_and_does_on_the_seed() {
    let one = quick("piotrowska", 3, 1).json();
    assert_eq!(one, quick("piotrowska", 3, 3).json());
    assert_ne!(one, quick("piotrowska", 4, 3).json());
}

#[test]
fn json_has_what_is_promised_of_each_point() {
    let report = quick("loopix-fig10", 5, 0);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    for key in ["version", "seed", "plan_hash", "runs", "effort"] {
        assert!(!json["meta"][key].is_null(), "{key}");
    }
    assert_eq!(json["meta"]["plan_hash"].as_str().unwrap().len(), 64);
    for point in json["points"].as_array().unwrap() {
        assert!(point["name"].is_string() && point["gated"].is_boolean());
        for key in ["ours", "standard_error", "reference"] {
            assert!(point[key].is_number(), "{key} of {point}");
        }
        assert!(point["tolerance"].is_null());
    }
}

#[test]
fn files_hold_the_points() {
    let dir = tempfile::tempdir().unwrap();
    let report = quick("loopix-fig8", 5, 0);
    report.write(dir.path()).unwrap();
    for extension in ["csv", "parquet", "json", "svg", "png"] {
        let path = dir.path().join(format!("loopix-fig8.{extension}"));
        assert!(path.metadata().unwrap().len() > 0, "{extension}");
    }
    let csv = std::fs::read_to_string(dir.path().join("loopix-fig8.csv")).unwrap();
    assert!(csv.contains(&report.meta.plan_hash) && csv.contains("all traffic"));
}

/// Runs the program: exit code, standard output, standard error.
fn shoal_sim(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-sim"));
    let output = command.arg("reproduce").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_command_lists_refuses_and_judges() {
    let (code, list, _) = shoal_sim(&["--list"]);
    assert_eq!(code, Some(0));
    for known in reproduce::catalogue() {
        assert!(list.contains(known.name), "{}", known.name);
    }
    let (code, _, error) = shoal_sim(&["loopix-fig9"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("mixim-fig7"), "{error}");

    let (code, table, error) = shoal_sim(&["loopix-fig10", "--quick", "--seed", "9"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(table.contains("1.9300"), "{table}");
    let (code, json, _) = shoal_sim(&["loopix-fig10", "--quick", "--seed", "9", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["holds"]), (Some(0), &true.into()));
}

#[test]
fn every_reproduction_has_a_page() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulator");
    let index = std::fs::read_to_string(format!("{docs}/reproduce.md")).unwrap();
    for known in reproduce::catalogue() {
        let page = format!("reproduce/{}.md", known.name);
        assert!(index.contains(&page), "{page}");
        assert!(
            std::fs::metadata(format!("{docs}/{page}")).is_ok(),
            "{page}"
        );
    }
}

#[test]
fn repetitions_are_as_many_as_are_asked_for() {
    let setup = |repetitions| Setup {
        seed: 5,
        threads: 1,
        effort: Effort::Quick,
        repetitions,
    };
    let found = reproduce::find("piotrowska").unwrap();
    let usual = found.extent(&setup(None)).0;
    let more = setup(Some(40));
    let (runs, _) = found.extent(&more);
    assert!(runs > usual && runs.is_multiple_of(40), "{runs} {usual}");
    let report = found.run(&more, &Unwatched).unwrap();
    assert_eq!(report.meta.runs, runs);
    let error = |report: &shoal_simulations::reproduce::Report| {
        let point = report.points.iter().find(|point| point.gated);
        point.and_then(|point| point.standard_error).unwrap()
    };
    let less = found.run(&setup(Some(4)), &Unwatched).unwrap();
    assert!(error(&report) < error(&less));
}
