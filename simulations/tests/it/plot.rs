//! `shoal-sim plot`, from files to files.

use std::path::Path;
use std::process::{Command, Output};

use shoal_simulations::table::Table;

fn plot(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shoal-sim"))
        .arg("plot")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn sweep(folder: &Path) {
    let rho = [0.5, 5.0, 50.0, 0.5, 5.0, 50.0];
    let entropy = [0.86, 3.75, 7.09, 1.5, 4.6, 8.0];
    Table::builder("results")
        .metadata("version", "0.1.0")
        .metadata("scenario_hash", "00ff00ff00ff00ff00ff")
        .metadata("seed", 7)
        .f64("rho", rho.to_vec())
        .string(
            "topology",
            ["one mix", "two & more"]
                .map(str::to_owned)
                .iter()
                .flat_map(|t| vec![t.clone(); 3])
                .collect(),
        )
        .f64("entropy_bits", entropy.to_vec())
        .f64("entropy_bits.low", entropy.map(|h| h - 0.1).to_vec())
        .f64("entropy_bits.high", entropy.map(|h| h + 0.1).to_vec())
        .build()
        .unwrap()
        .write_both(folder)
        .unwrap();
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const COLUMNS: [&str; 7] = [
    "--x",
    "rho",
    "--y",
    "entropy_bits",
    "--group",
    "topology",
    "--log-x",
];

#[test]
fn a_sweep_is_drawn_with_title_legend_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path());
    let title = ["--title", "Entropy by <load>"];
    for (input, out) in [("results.csv", "a"), ("results.parquet", "b")] {
        let files = [format!("{out}.svg"), format!("{out}.png")];
        let out = ["--out", &files[0], "--out", &files[1]];
        let all = [&[input][..], &COLUMNS, &title, &out].concat();
        let output = plot(&all, dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(
        read(dir.path(), "a.svg") == read(dir.path(), "b.svg"),
        "the same bytes"
    );
    assert!(
        read(dir.path(), "a.png") == read(dir.path(), "b.png"),
        "the same bytes"
    );
    let svg = String::from_utf8(read(dir.path(), "a.svg")).unwrap();
    for text in [
        "<title>Entropy by &lt;load&gt;</title>",
        "seed=7",
        "topology = two &amp; more",
        "entropy (bits)",
        "scenario 00ff00ff00ff00ff",
        "</svg>",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    let decoder = png::Decoder::new(std::io::Cursor::new(read(dir.path(), "a.png")));
    let reader = decoder.read_info().unwrap();
    let info = reader.info();
    assert_eq!((info.width, info.height), (1440, 900));
    // 144 dots per inch.
    let density = info.pixel_dims.unwrap();
    assert_eq!((density.xppu, density.unit), (5669, png::Unit::Meter));
    let out = ["--out", "print.png", "--dpi", "288"];
    let output = plot(&[&["results.csv"][..], &COLUMNS, &out].concat(), dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let decoder = png::Decoder::new(std::io::Cursor::new(read(dir.path(), "print.png")));
    let fine = decoder.read_info().unwrap();
    assert_eq!((fine.info().width, fine.info().height), (2880, 1800));
    assert_eq!(fine.info().pixel_dims.unwrap().xppu, 11_339);
    let title = info.utf8_text.first().unwrap();
    assert_eq!(title.get_text().unwrap(), "Entropy by <load>");
}

#[test]
fn what_cannot_be_drawn_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path());
    let refused = |arguments: &[&str], expected: &str| {
        let output = plot(arguments, dir.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    let unknown = ["results.csv", "--x", "rho", "--y", "latency_s"];
    refused(&unknown, "no column `latency_s`");
    assert!(!stderr(&plot(&unknown, dir.path())).contains(".low"));
    refused(&unknown, "rho, topology, entropy_bits\n");
    refused(
        &["results.csv", "--x", "topology", "--y", "rho"],
        "columns of numbers are: rho,",
    );
    refused(&["results.csv"], "--x COLUMN and --y COLUMN");
    refused(&["absent.csv", "--x", "a", "--y", "b"], "absent.csv");
    refused(
        &["results.csv", "--x", "rho", "--y", "rho", "--out", "a.pdf"],
        ".svg or .png",
    );
    refused(&[".", "--x", "rho"], "--x COLUMN and --y COLUMN");
    let other = tempfile::tempdir().unwrap();
    Table::builder("results")
        .f64("rho", vec![1.0, 2.0])
        .string("scenario_hash", vec!["0".to_owned(); 2])
        .f64("another_metric", vec![3.0, 4.0])
        .build()
        .unwrap()
        .write_both(other.path())
        .unwrap();
    refused(
        &[other.path().to_str().unwrap()],
        "none of the main metrics",
    );
    let empty = tempfile::tempdir().unwrap();
    refused(
        &[empty.path().to_str().unwrap()],
        "holds none of the tables",
    );
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "nothing is written");
}

#[test]
fn a_logarithmic_axis_shows_nothing_below_zero_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::builder("t")
        .f64("x", vec![-1.0, 1.0, 2.0])
        .f64("y", vec![1.0, 2.0, 3.0])
        .f64("z", vec![0.0; 3])
        .build()
        .unwrap();
    table.write_both(dir.path()).unwrap();
    let output = plot(&["t.csv", "--x", "x", "--y", "y", "--log-x"], dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let svg = String::from_utf8(read(dir.path(), "t.svg")).unwrap();
    assert!(svg.contains("1 point has no place on the axes"));
    let output = plot(&["t.csv", "--x", "x", "--y", "z", "--log-y"], dir.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing to draw"));
}

/// What a run writes, in small.
fn run_folder(folder: &Path) {
    let latency = Table::builder("latency")
        .string("kind", ["real", "real", "loop"].map(str::to_owned).to_vec())
        .string(
            "measured",
            ["network", "with_buffer", "network"]
                .map(str::to_owned)
                .to_vec(),
        )
        .f64("from_s", vec![0.4, 0.5, 0.8])
        .f64("to_s", vec![0.5, 0.6, 0.9])
        .u64("count", vec![10, 20, 30]);
    let targets = Table::builder("targets")
        .u64("repetition", vec![0, 0, 1, 1])
        .string("adversary", vec!["gpa".to_owned(); 4])
        .f64("sent_s", vec![1.0, 2.0, 1.5, 2.5])
        .nullable("entropy_bits", vec![Some(5.0), None, Some(5.5), Some(4.5)]);
    let bins = Table::builder("bins")
        .u64("repetition", vec![0, 0, 1, 1])
        .f64("start_s", vec![0.0, 1.0, 0.0, 1.0])
        .u64("sent", vec![10, 12, 11, 9]);
    for table in [latency, targets, bins] {
        table.build().unwrap().write_both(folder).unwrap();
    }
}

#[test]
fn a_run_s_folder_has_standard_figures() {
    let dir = tempfile::tempdir().unwrap();
    run_folder(dir.path());
    let output = plot(&["."], dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    for name in [
        "latency",
        "latency_density",
        "entropy_bits_distribution",
        "entropy_bits_time",
        "traffic_time",
    ] {
        for extension in ["svg", "png"] {
            let path = dir
                .path()
                .join("figures")
                .join(format!("{name}.{extension}"));
            assert!(path.exists(), "{name}.{extension}");
        }
    }
    let absent = dir.path().join("figures/occupancy_time.svg");
    assert!(!absent.exists(), "a column that is missing has no figure");
    let told = stderr(&output);
    for (name, why) in [
        ("occupancy_time", "lacks its columns"),
        ("user_entropy_bits_distribution", "lacks the column"),
    ] {
        let line = told.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "{name}: {told}"
        );
    }
}

/// A run that ends early: what is left out, or a bound, is said below the figure, and the targets of
/// two questions are two series.
#[test]
fn figures_say_what_the_end_of_the_run_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("short.toml"),
        r#"
        [run]
        repetitions = 2
        warm_up = "20s"
        measure = "10s"
        drain = "0s"
        [topology]
        kind = "stratified"
        layers = 1
        width = 1
        [delay]
        mixes = { distribution = "exponential", mean = "2s" }
        [[clients]]
        name = "users"
        count = 10
        rates = { real = 1.0 }
        [[adversaries]]
        name = "global"
        [targets]
        every = 10
        count = 10
        max_alive = 10
        [metrics]
        latency = true
        entropy_forward = true
        entropy_backward = true
        "#,
    )
    .unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_shoal-sim"))
        .args(["run", "short.toml", "--out", "out"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let output = plot(&["out"], dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let figure = |name: &str| {
        let file = format!("out/figures/{name}.svg");
        String::from_utf8(read(dir.path(), &file)).unwrap()
    };
    for name in ["latency", "latency_density"] {
        let svg = figure(name);
        assert!(svg.contains("packets were still under way"), "{svg}");
    }
    for name in ["entropy_bits_distribution", "entropy_bits_time"] {
        let svg = figure(name);
        assert!(svg.contains("is drawn of them is a lower bound"), "{svg}");
        assert!(svg.contains("global, forward") && svg.contains("global, backward"));
    }
}
