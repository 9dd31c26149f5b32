//! The page in a browser, with scripts in `tests/web`.

use std::path::Path;
use std::process::Stdio;

use shoal_node::runtime::Clock;
use shoal_proto::Time;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::network;
use crate::e2e::{LONG, Place, free_port, said, stop};
use crate::link::{compare, text};

/// Whether a browser is asked for; says what is left out if not.
#[allow(clippy::print_stderr, reason = "what is left out is said")]
fn demanded() -> bool {
    let demanded = std::env::var_os("SHOAL_WEB_DEMANDED").is_some();
    if !demanded {
        eprintln!("left out: `.ci/run web` runs the page in a browser");
    }
    demanded
}

/// A script of `tests/web` with what it imports, in this directory. Of the variables that are meant for these tests it has
/// those that name folders for pictures, and no other.
async fn script(to: &Path, name: &str) -> Command {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    npm.current_dir(to);
    let output = timeout(5 * LONG, npm.output())
        .await
        .expect("it ends")
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut script = Command::new("node");
    script.arg(name).current_dir(to).kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHOAL_")) {
        script.env_remove(name);
    }
    for name in ["SHOAL_WEB_SHOTS", "SHOAL_WEB_PICTURES", "SHOAL_WEB_LIVE"] {
        if let Some(folder) = std::env::var_os(name) {
            script.env(name, folder);
        }
    }
    script
}

/// Takes some minutes. `SHOAL_WEB_SHOTS` names a folder for pictures of every view, `SHOAL_WEB_PICTURES` one for
/// those of the documents.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_does_in_a_browser_what_its_users_do() {
    if !demanded() {
        return;
    }
    let place = Place::new();
    let scripts = tempfile::tempdir().unwrap();
    let mut script = script(scripts.path(), "run.mjs").await;
    let nodes = network(&place).await;
    for name in ["alice", "bob"] {
        let init = ["client", "init", "--network", "network.toml", "--dir", name];
        place.json(&init).await;
    }
    let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
    script
        .env("SHOAL_BIN", env!("CARGO_BIN_EXE_shoal"))
        .env("SHOAL_PLACE", place.path())
        .env("SHOAL_PORTS", ports.join(","));
    let status = timeout(15 * LONG, script.status()).await.expect("it ends");
    assert!(status.unwrap().success(), "it says above what failed");
    stop(nodes).await;
}

/// Reads the moments at which somebody writes by a page, until the watch is over.
#[allow(clippy::print_stdout, reason = "what was done is worth reading")]
async fn moments(
    stdin: ChildStdin,
    mut lines: tokio::io::Lines<BufReader<ChildStdout>>,
    clock: Clock,
    mut over: watch::Receiver<bool>,
) -> Vec<Time> {
    let mut stdin = Some(stdin);
    let (mut sends, mut done) = (Vec::new(), String::new());
    loop {
        tokio::select! {
            // The end of its input tells the script to end.
            _ = over.wait_for(|over| *over), if stdin.is_some() => stdin = None,
            line = lines.next_line() => match line.unwrap() {
                Some(line) if line == "send" => sends.push(clock.now()),
                Some(line) => done = line,
                None => break,
            },
        }
    }
    println!("{done}");
    assert!(done.starts_with("done "), "it came to its end: {done}");
    assert!(sends.len() > 20, "{} texts", sends.len());
    sends
}

/// The same as without a page, by somebody who types, writes, sends a file and looks at the traffic.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[allow(
    clippy::async_yields_async,
    reason = "it is begun, and then waited for"
)]
async fn a_link_tells_nothing_of_an_open_page() {
    if !demanded() {
        return;
    }
    let api = format!("127.0.0.1:{}", free_port());
    // Before anything is watched: what npm does takes all of a small machine.
    let scripts = tempfile::tempdir().unwrap();
    let mut script = script(scripts.path(), "writer.mjs").await;
    compare(&["--api", &api], async |scene, watching| {
        let told = scene.place.json(&["web", "--dir", "busy"]).await;
        script
            .env("SHOAL_LINK", told["link"].as_str().unwrap())
            .env("SHOAL_WITH", "broken")
            .env("SHOAL_TEXT", text())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(LONG, lines.next_line()).await.expect("it opens");
        assert_eq!(first.unwrap().as_deref(), Some("open"));
        let (stdin, clock) = (child.stdin.take().unwrap(), scene.clock);
        tokio::spawn(async move {
            let sends = timeout(3 * LONG, moments(stdin, lines, clock, watching)).await;
            assert!(child.wait().await.unwrap().success());
            sends.expect("it ends")
        })
    })
    .await;
}
