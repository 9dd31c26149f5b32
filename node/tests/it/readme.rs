//! What the README says to paste, pasted.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use crate::e2e::{LONG, Place, free_port, said};

const README: &str = include_str!("../../../README.md");

/// The shell's lines under a heading.
fn pasted(heading: &str) -> Vec<&'static str> {
    let from = README.find(heading).expect("the heading");
    let section = README[from..].split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .collect()
}

/// The front of five ports that end in 1 to 5.
fn five_ports() -> String {
    loop {
        let first = free_port();
        if first % 10 == 1 && (1..5).all(|step| free_port() == first + step) {
            return (first / 10).to_string();
        }
    }
}

/// All of a network by hand: made, run, used and stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_by_hand_works_pasted_whole() {
    let blocks = pasted("## A network by hand");
    let (build, blocks) = blocks.split_first().unwrap();
    assert!(build.contains("cargo build"), "the tests have built it");
    let script = blocks.concat();
    // Ports that nobody else has on this machine.
    let (links, metrics) = (five_ports(), five_ports());
    let own = script.replace("/410$n", &format!("/{links}$n"));
    let own = own.replace(":950$n", &format!(":{metrics}$n"));
    assert!(!own.contains("410") && !own.contains("950"), "{own}");
    let place = Place::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_shoal")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &format!("set -euo pipefail\n{own}\nwait\n")]);
    bash.current_dir(place.path());
    bash.env("PATH", format!("{}:{path}", binary.display()));
    bash.process_group(0);
    bash.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = Command::from(bash).spawn().unwrap();
    let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    let ended = timeout(4 * LONG, child.wait_with_output()).await;
    // Whatever is left of it: nothing, if all went well.
    let left = kill_process_group(group, Signal::KILL);
    let output = ended.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(left.is_err(), "something goes on running");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.contains("\n| Hello Bob\n"), "{}", said(&output));
    assert!(words.contains("online     yes"), "{}", said(&output));
    assert_eq!(
        words.lines().filter(|line| *line == "stopped").count(),
        9,
        "{words}"
    );
}
