//! What the README says to paste, pasted.

use crate::e2e::{LONG, Place, free_port, said, sh_blocks};

const README: &str = include_str!("../../../README.md");

/// The shell's lines under a heading.
fn pasted(heading: &str) -> Vec<&'static str> {
    let from = README.find(heading).expect("the heading");
    let section = README[from..].split("\n## ").next().unwrap_or_default();
    sh_blocks(section)
}

/// The front of six ports that end in 1 to 6.
fn six_ports() -> String {
    loop {
        let first = free_port();
        if first % 10 == 1 && (1..6).all(|step| free_port() == first + step) {
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
    let (links, metrics) = (six_ports(), six_ports());
    // Named first and numbered afterwards: a number of this machine can
    // have one of the README's in it.
    let own = script.replace("/410$n", "/<links>$n");
    let own = own.replace(":950$n", ":<metrics>$n");
    assert!(!own.contains("410") && !own.contains("950"), "{own}");
    let own = own
        .replace("<links>", &links)
        .replace("<metrics>", &metrics);
    let place = Place::new();
    let output = place.paste(&own, 4 * LONG).await;
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.contains("\n| Hello Bob\n"), "{}", said(&output));
    assert!(words.contains("online     yes"), "{}", said(&output));
    assert_eq!(
        words.lines().filter(|line| *line == "stopped").count(),
        12,
        "{words}"
    );
}
