//! The ranges of a scenario's values.

use shoal_client::MAX_TEXT_BYTES;
use shoal_proto::Span;
use shoal_topology::{MAX_MEMBERS, duration};

use super::scenario::{Scenario, written};
use crate::network::NetworkError;

/// Most clients: each needs some hundred KiB, and all its packets are made and opened.
const MAX_CLIENTS: usize = 10_000;

pub(super) fn check(scenario: &Scenario) -> Result<(), NetworkError> {
    let less = "a network in virtual time runs every cryptographic step: take less";
    whole(
        "network.layers",
        scenario.layers.into(),
        (1, 3),
        "1 to 3",
        "packets have no room for more hops",
    )?;
    let width = (1, MAX_MEMBERS);
    whole("network.width", scenario.width, width, "1 to 1024", less)?;
    whole(
        "network.providers",
        scenario.providers,
        (2, MAX_MEMBERS),
        "2 to 1024",
        "entry and mailbox must differ",
    )?;
    whole(
        "network.layers times network.width and network.providers, all together,",
        usize::from(scenario.layers) * scenario.width + scenario.providers,
        (3, MAX_MEMBERS),
        "at most 1024",
        "a document lists no more nodes",
    )?;
    if scenario.seed >= 1 << 63 {
        let hint = "TOML has no larger whole numbers";
        return Err(wrong("run.seed", scenario.seed, "0 to 2^63 - 1", hint));
    }
    if scenario.mean_delay > scenario.epoch.scale(1, 100) {
        let hint = "lengthen network.epoch or shorten the delay";
        let allowed = "at most a hundredth of network.epoch";
        return Err(wrong(
            "network.mean_delay",
            written(scenario.mean_delay),
            allowed,
            hint,
        ));
    }
    number(
        "network.loop_rate",
        scenario.loop_rate,
        100.0,
        "0 to 100",
        "loops per second of one node",
    )?;
    number(
        "links.loss",
        scenario.loss,
        0.9,
        "0 to 0.9",
        "a probability; nothing comes up if links lose more",
    )?;
    let rate = scenario.workload.messages_per_minute;
    number(
        "workload.messages_per_minute",
        rate,
        600.0,
        "0 to 600",
        "messages of one client per minute",
    )?;
    let most = MAX_TEXT_BYTES.min(60_000);
    whole(
        "workload.bytes",
        scenario.workload.bytes,
        (16, most),
        "16 to 60000",
        "long texts travel in many packets",
    )?;
    for (name, profile) in &scenario.profiles {
        let rates = [
            ("real", profile.real),
            ("loops", profile.loops),
            ("drops", profile.drops),
            ("mailbox", profile.mailbox),
            ("mailbox_clock", profile.mailbox_clock),
            ("downlink", profile.downlink),
        ];
        for (key, rate) in rates {
            let key = format!("profiles.{name}.{key}");
            number(
                &key,
                rate,
                1000.0,
                "0 to 1000",
                "packets per second of one client",
            )?;
        }
    }
    check_silence(scenario)?;
    for (index, (count, profile)) in scenario.clients.iter().enumerate() {
        whole(
            &format!("clients[{index}].count"),
            *count,
            (1, MAX_CLIENTS),
            "1 to 10000",
            less,
        )?;
        if !scenario.knows(profile) {
            let key = format!("clients[{index}].profile");
            let hint = "define it as [profiles.NAME]";
            let allowed = "\"default\", \"mobile\", and those of [profiles]";
            return Err(wrong(&key, format!("\"{profile}\""), allowed, hint));
        }
    }
    whole(
        "clients.count, all together,",
        scenario.client_count(),
        (2, MAX_CLIENTS),
        "2 to 10000",
        "messages need a sender and a receiver",
    )
}

/// A client that says nothing, or can't be told anything, never delivers a message.
fn check_silence(scenario: &Scenario) -> Result<(), NetworkError> {
    if scenario.workload.messages_per_minute <= 0.0 {
        return Ok(());
    }
    let used = |name: &String| scenario.clients.iter().any(|(_, profile)| profile == name);
    for (name, profile) in scenario.profiles.iter().filter(|(name, _)| used(name)) {
        let rates = [
            ("real", profile.real),
            ("mailbox", profile.mailbox),
            ("mailbox_clock", profile.mailbox_clock),
            ("downlink", profile.downlink),
        ];
        if let Some((key, rate)) = rates.iter().find(|(_, rate)| *rate <= 0.0) {
            let hint = "without it no message arrives; or set workload.messages_per_minute to 0";
            let key = format!("profiles.{name}.{key}");
            return Err(wrong(&key, rate, "above 0", hint));
        }
    }
    Ok(())
}

pub(super) fn span(key: &str, text: &str, least: Span, most: Span) -> Result<Span, NetworkError> {
    let Some(span) = duration::parse(text) else {
        let hint = "write a whole number with us, ms, s, m, h or d";
        return Err(wrong(key, format!("\"{text}\""), "a length of time", hint));
    };
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let (least, most) = (duration::format(least), duration::format(most));
    let mut error = wrong(
        key,
        format!("\"{text}\""),
        "",
        "see shoal-sim network --new",
    );
    if let NetworkError::Value { allowed, .. } = &mut error {
        *allowed = format!("{least} to {most}");
    }
    Err(error)
}

fn whole(
    key: &str,
    value: usize,
    (least, most): (usize, usize),
    allowed: &'static str,
    hint: &'static str,
) -> Result<(), NetworkError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(wrong(key, value, allowed, hint))
}

pub(super) fn number(
    key: &str,
    value: f64,
    most: f64,
    allowed: &'static str,
    hint: &'static str,
) -> Result<(), NetworkError> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    Err(wrong(key, value, allowed, hint))
}

pub(super) fn wrong(
    key: &str,
    value: impl ToString,
    allowed: &'static str,
    hint: &'static str,
) -> NetworkError {
    NetworkError::Value {
        key: key.to_owned(),
        value: value.to_string(),
        allowed: allowed.to_owned(),
        hint,
    }
}
