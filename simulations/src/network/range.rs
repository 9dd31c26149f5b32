//! The ranges of a scenario's values.

use shoal_client::MAX_TEXT_BYTES;
use shoal_proto::Span;
use shoal_topology::MAX_MEMBERS;

use super::scenario::Scenario;
use crate::scenario::Problems;

/// Most clients: each needs some hundred KiB, and all its packets are made and opened.
const MAX_CLIENTS: usize = 10_000;

/// Notes everything that is out of its range or contradicts something else.
pub(super) fn check(scenario: &Scenario, problems: &mut Problems) {
    let less = "a network in virtual time runs every cryptographic step: take less";
    let hops = "packets have no room for more hops";
    whole(
        problems,
        "network.layers",
        scenario.layers.into(),
        (1, 3),
        hops,
    );
    let width = (1, MAX_MEMBERS);
    whole(problems, "network.width", scenario.width, width, less);
    let differ = "entry and mailbox must differ";
    whole(
        problems,
        "network.providers",
        scenario.providers,
        (2, MAX_MEMBERS),
        differ,
    );
    whole(
        problems,
        "network.layers times network.width and network.providers, all together,",
        usize::from(scenario.layers) * scenario.width + scenario.providers,
        (3, MAX_MEMBERS),
        "a document lists no more nodes",
    );
    if scenario.seed >= 1 << 63 {
        let hint = "TOML has no larger whole numbers";
        problems.refuse_with_hint("run.seed", scenario.seed, "must be 0 to 2^63 - 1", hint);
    }
    if scenario.mean_delay > scenario.epoch.scale(1, 100) {
        problems.refuse_with_hint(
            "network.mean_delay",
            scenario.mean_delay,
            "must be at most a hundredth of network.epoch",
            "lengthen network.epoch or shorten the delay",
        );
    }
    let loops = "loops per second of one node";
    number(
        problems,
        "network.loop_rate",
        scenario.loop_rate,
        100.0,
        loops,
    );
    let lossy = "a probability; nothing comes up if links lose more";
    number(problems, "links.loss", scenario.loss, 0.9, lossy);
    let rate = scenario.workload.messages_per_minute;
    let each = "messages of one client per minute";
    number(problems, "workload.messages_per_minute", rate, 600.0, each);
    let (bytes, most) = (scenario.workload.bytes, MAX_TEXT_BYTES.min(60_000));
    let long = "long texts travel in many packets";
    whole(problems, "workload.bytes", bytes, (16, most), long);
    check_profiles(scenario, problems);
    check_clients(scenario, problems, less);
}

fn check_clients(scenario: &Scenario, problems: &mut Problems, less: &str) {
    for (index, (count, profile)) in scenario.clients.iter().enumerate() {
        whole(
            problems,
            format!("clients[{index}].count"),
            *count,
            (1, MAX_CLIENTS),
            less,
        );
        if !scenario.knows(profile) {
            problems.refuse_with_hint(
                format!("clients[{index}].profile"),
                format!("\"{profile}\""),
                "must be \"default\", \"mobile\", or one of [profiles]",
                "define it as [profiles.NAME]",
            );
        }
    }
    let (key, both) = (
        "clients.count, all together,",
        "messages need a sender and a receiver",
    );
    whole(
        problems,
        key,
        scenario.client_count(),
        (2, MAX_CLIENTS),
        both,
    );
}

/// Also a client that says nothing, or can't be told anything: it never delivers a message.
fn check_profiles(scenario: &Scenario, problems: &mut Problems) {
    let messages = scenario.workload.messages_per_minute > 0.0;
    for (name, profile) in &scenario.profiles {
        let used = scenario.clients.iter().any(|(_, profile)| profile == name);
        for (rate_name, rate) in profile.rates() {
            let key = format!("profiles.{name}.{rate_name}");
            let cover = matches!(rate_name, "loops" | "drops");
            if messages && used && !cover && rate == 0.0 {
                let hint =
                    "without it no message arrives; or set workload.messages_per_minute to 0";
                problems.refuse_with_hint(key, rate, "must be above 0", hint);
            } else {
                number(
                    problems,
                    key,
                    rate,
                    1000.0,
                    "packets per second of one client",
                );
            }
        }
    }
}

pub(super) fn span(
    problems: &mut Problems,
    key: impl Into<String>,
    value: Span,
    (least, most): (Span, Span),
) {
    if !(least..=most).contains(&value) {
        problems.refuse(key, value, format!("must be {least} to {most}"));
    }
}

fn whole(
    problems: &mut Problems,
    key: impl Into<String>,
    value: usize,
    (least, most): (usize, usize),
    hint: &str,
) {
    if !(least..=most).contains(&value) {
        problems.refuse_with_hint(key, value, format!("must be {least} to {most}"), hint);
    }
}

pub(super) fn number(
    problems: &mut Problems,
    key: impl Into<String>,
    value: f64,
    most: f64,
    hint: &str,
) {
    if !(0.0..=most).contains(&value) {
        problems.refuse_with_hint(key, value, format!("must be 0 to {most}"), hint);
    }
}
