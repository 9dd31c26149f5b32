//! Metrics of runs, against formulas.

use std::collections::BTreeMap;

use shoal_simulations::measure::{Claim, Measured};
use shoal_simulations::metrics::{Judged, Judges};
use shoal_simulations::scenario::Scenario;
use shoal_simulations::{engine, theory};

/// One repetition of a scenario.
pub(crate) fn judged(text: &str, seed: u64, repetition: u32) -> Judged {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let plan = scenario.plan(repetition);
    let mut judges = Judges::new(&scenario, &plan, seed, repetition, None).unwrap();
    let outcome = engine::run(&plan, seed, repetition, &mut judges).unwrap();
    judges.finish(&outcome).unwrap()
}

fn row<'a>(rows: &'a [Measured], name: &str) -> &'a Measured {
    let named = rows.iter().find(|row| row.name == name);
    named.unwrap_or_else(|| {
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        panic!("no {name} among {names:?}")
    })
}

fn value(rows: &[Measured], name: &str) -> f64 {
    let row = row(rows, name);
    row.value.unwrap_or_else(|| panic!("{row:?}"))
}

/// Means of a value over repetitions, and the standard error of each.
fn means(text: &str, seed: u64, repetitions: u32, names: &[&str]) -> BTreeMap<String, (f64, f64)> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for repetition in 0..repetitions {
        let judged = judged(text, seed, repetition);
        for name in names {
            let values = all.entry((*name).to_owned()).or_default();
            values.push(value(&judged.measured, name));
        }
    }
    let n = f64::from(repetitions);
    let estimate = |values: Vec<f64>| {
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (mean, (squares / (n - 1.0) / n).sqrt())
    };
    all.into_iter()
        .map(|(name, values)| (name, estimate(values)))
        .collect()
}

fn near((mean, error): (f64, f64), expected: f64, tolerance: f64) {
    let off = (mean - expected).abs();
    assert!(
        off <= tolerance + 3.5 * error,
        "{mean} +- {error}, expected {expected} +- {tolerance}"
    );
}

/// One mix with a mean delay of 1 s, at this load.
fn single_mix(rho: f64, more: &str) -> String {
    format!(
        r#"
        run = {{ warm_up = "15s", measure = "150s", drain = "15s" }}
        topology = {{ kind = "stratified", layers = 1, width = 1 }}
        delay.mixes = {{ distribution = "exponential", mean = "1s" }}
        targets = {{ every = 3, count = 200, max_alive = 200 }}
        [[clients]]
        name = "users"
        count = 10
        rates = {{ real = {} }}
        [[adversaries]]
        name = "global"
        {more}
        "#,
        rho / 10.0
    )
}

#[test]
fn entropies_of_a_single_mix_are_exact_in_both_directions() {
    let text = single_mix(
        5.0,
        "[metrics]\nentropy_forward = true\nentropy_backward = true",
    );
    let names = [
        "entropy_forward_messages",
        "entropy_backward_messages",
        "residual_most_forward",
    ];
    let found = means(&text, 3, 12, &names);
    // The exact entropy at rho = 5; a pool in equilibrium runs backwards just as forwards.
    near(found["entropy_forward_messages"], 3.7549, 0.01);
    near(found["entropy_backward_messages"], 3.7549, 0.01);
    assert!(found["residual_most_forward"].0 < 1e-4);
    let judged = judged(&text, 3, 0);
    let entropy = row(&judged.measured, "entropy_forward_messages");
    assert_eq!(entropy.claim, Claim::Exact);
    assert_eq!(entropy.adversary.as_deref(), Some("global"));
    assert_eq!(entropy.knowledge, "sees every link");
    let targets = judged.tables.iter().find(|table| table.name() == "targets");
    assert!(targets.is_some_and(|table| table.rows() > 200));
}

#[test]
fn constant_delays_give_no_bits_and_others_no_number() {
    let metrics = "[metrics]\nentropy_forward = true\nentropy_backward = true";
    let text = single_mix(5.0, metrics);
    let constant = text.replace("exponential", "constant");
    let rows = judged(&constant, 1, 0).measured;
    for name in ["entropy_forward_messages", "entropy_backward_messages"] {
        assert!(value(&rows, name).abs() < 1e-12, "{name}");
        assert_eq!(row(&rows, name).claim, Claim::Exact);
    }
    let uniform = text.replace(
        r#"distribution = "exponential", mean = "1s""#,
        r#"distribution = "uniform", min = "0s", max = "2s""#,
    );
    let rows = judged(&uniform, 1, 0).measured;
    for row in rows.iter().filter(|row| row.adversary.is_some()) {
        assert_eq!(row.value, None, "{row:?}");
        assert!(matches!(row.claim, Claim::Unsound(_)), "{row:?}");
    }
}

#[test]
fn corrupt_mixes_reveal_what_they_do() {
    let text = single_mix(5.0, "[metrics]\nentropy_forward = { users = true }")
        .replace("[metrics]", "corrupt_mixes = { count = 1 }\n[metrics]");
    let rows = judged(&text, 1, 0).measured;
    for name in ["entropy_forward_messages", "entropy_forward_users"] {
        assert!(value(&rows, name).abs() < 1e-9, "{name}");
    }
    assert!((value(&rows, "probability_of_truth_forward") - 1.0).abs() < 1e-9);
}

/// Three layers of three mixes with these extras.
fn layers(more: &str) -> String {
    format!(
        r#"
        run = {{ warm_up = "10s", measure = "200s", drain = "20s" }}
        topology = {{ kind = "stratified", layers = 3, width = 3, providers = 4 }}
        links.delay = "50ms"
        delay.mixes = {{ distribution = "exponential", mean = "200ms" }}
        [[clients]]
        name = "users"
        count = 40
        rates = {{ real = 1.0, loop = 1.0 }}
        {more}
        "#
    )
}

#[test]
fn the_order_of_messages_in_a_row_is_kept_as_the_formula_says() {
    let text = layers("[[adversaries]]\nname = \"global\"\n[metrics]\nfifo = true");
    let found = means(&text, 5, 6, &["fifo_delta_run", "fifo_delta_played"]);
    // Three hops at mu = 5, messages at 1/s.
    let expected = theory::fifo_delta(1.0, 5.0, 3);
    near(found["fifo_delta_run"], expected, 0.002);
    near(found["fifo_delta_played"], expected, 0.002);
    let rows = judged(&text, 5, 0).measured;
    assert!((value(&rows, "fifo_delta_formula") - expected).abs() < 1e-12);
    // Messages from a buffer come at their own rate.
    let buffered = "count = 40\nworkload = { kind = \"poisson\", rate = 0.5 }";
    let buffered = text.replace("count = 40", buffered);
    let rows = judged(&buffered, 5, 0).measured;
    let expected = theory::fifo_delta(0.5, 5.0, 3);
    assert!((value(&rows, "fifo_delta_formula") - expected).abs() < 1e-12);
    // 2000 pairs: standard error 0.006.
    assert!((value(&rows, "fifo_delta_run") - expected).abs() < 0.024);
}

#[test]
fn corrupt_routes_come_as_often_as_the_placement_says() {
    let text = layers(
        r#"[[adversaries]]
        name = "some"
        corrupt_mixes = { count = 4, placement = "balanced" }
        [metrics]
        compromise = true"#,
    );
    let rows = judged(&text, 6, 0).measured;
    // 2 of 3 in one layer and 1 of 3 in the others.
    let probability = value(&rows, "compromise_probability");
    assert!((probability - 2.0 / 27.0).abs() < 1e-12);
    // About 8000 messages: standard error 0.003.
    let share = value(&rows, "compromise_share_of_messages");
    assert!((share - probability).abs() < 0.012, "{share}");
    assert!(value(&rows, "compromise_clients") > 0.99);
    // The median of a geometric number: 9 messages; 40 clients.
    let median = value(&rows, "compromise_messages_median");
    assert!((4.0..=17.0).contains(&median), "{median}");
    let seconds = value(&rows, "compromise_seconds_mean");
    assert!((seconds - 13.5).abs() < 0.5, "{seconds}");
}

#[test]
fn droppers_are_noticed_and_nobody_else() {
    let text = layers(
        r#"[[adversaries]]
        name = "droppers"
        corrupt_mixes = { count = 3, placement = "path" }
        drops = 0.5
        [metrics]
        droppers = true"#,
    );
    let rows = judged(&text, 7, 0).measured;
    // A mix of each layer drops half of its third.
    let expected = (5.0_f64 / 6.0).powi(3);
    assert!((value(&rows, "droppers_delivered_expected") - expected).abs() < 1e-12);
    for name in ["droppers_delivered", "droppers_loops_returned"] {
        assert!((value(&rows, name) - expected).abs() < 0.025, "{name}");
    }
    assert!(value(&rows, "droppers_clients_alarmed") > 0.9);
    assert!(value(&rows, "droppers_clients_alarmed_falsely").abs() < 1e-12);
}

#[test]
fn corrupt_providers_know_their_clients() {
    let text = layers(
        r#"[[adversaries]]
        name = "providers"
        sees = "own_nodes"
        corrupt_providers = 2
        [metrics]
        corrupt_provider = true"#,
    );
    let names = ["sender_known", "receiver_known", "both_known"]
        .map(|name| format!("corrupt_provider_{name}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = means(&text, 8, 8, &names);
    near(found[names[0]], 0.5, 0.0);
    near(found[names[1]], 0.5, 0.0);
    near(found[names[2]], 0.25, 0.0);
    let rows = judged(&text, 8, 0).measured;
    let linked = value(&rows, "corrupt_provider_linked");
    // 40 senders: far better than guessing, and far from certain.
    assert!((0.05..0.6).contains(&linked), "{linked}");
}

#[test]
fn loops_are_an_n_minus_one_attacks_undoing() {
    let text = layers(
        r#"[mixes]
        loop_rate = 1.0
        [[adversaries]]
        name = "blocker"
        [metrics.n_minus_one]
        let_through = 0.1
        attacks = 4000
        length = "120s""#,
    );
    let rows = judged(&text, 9, 0).measured;
    // Through each mix: a third of 80 packets/s and of the loops of 6 mixes. rho' = (1 + 2.87)/5.
    let expected = 1.0 / (1.0 + (1.0 + (80.0 + 6.0) / 30.0) / 5.0);
    let formula = value(&rows, "n_minus_one_success_formula");
    assert!((formula - expected).abs() < 1e-9, "{formula}");
    let played = value(&rows, "n_minus_one_success");
    assert!((played - expected).abs() < 0.03, "{played}");
    assert!(value(&rows, "n_minus_one_detected") > 0.99);
    assert!(value(&rows, "n_minus_one_false_alarms_per_hour").abs() < 1e-12);
}

#[test]
fn contacts_are_disclosed_where_there_is_no_cover() {
    let text = r#"
        run = { warm_up = "10s", measure = "3000s", drain = "10s" }
        topology = { kind = "stratified", layers = 2, width = 2 }
        delay.mixes = { distribution = "exponential", mean = "500ms" }
        [[clients]]
        name = "users"
        count = 50
        rates = { real = 0.1 }
        receivers = { kind = "contacts", count = 2 }
        [[adversaries]]
        name = "global"
        [metrics]
        disclosure = { victim = 3, round = "2s" }
    "#;
    let rows = judged(text, 10, 0).measured;
    assert!((value(&rows, "disclosure_complete") - 1.0).abs() < 1e-12);
    assert!((value(&rows, "disclosure_advantage") - 1.0).abs() < 1e-12);
    let rounds = value(&rows, "disclosure_rounds");
    assert!((5.0..=270.0).contains(&rounds), "{rounds}");
    // 1 - e^-0.2 of 1500 rounds.
    let with = value(&rows, "disclosure_rounds_with");
    assert!((with - 271.9).abs() < 60.0, "{with}");
    // Who sends all the time gives no round to compare with.
    let covered = text.replace("real = 0.1", "real = 0.1, loop = 10.0");
    let covered = covered.replace("3000s", "300s");
    let rows = judged(&covered, 10, 0).measured;
    assert!(value(&rows, "disclosure_rounds_without").abs() < 1e-12);
}

#[test]
fn flows_that_are_not_mixed_are_matched() {
    let text = r#"
        run = { warm_up = "5s", measure = "400s", drain = "10s" }
        topology = { kind = "stratified", layers = 2, width = 2 }
        delay.mixes = { distribution = "exponential", mean = "20ms" }
        [[clients]]
        name = "users"
        count = 30
        rates = { real = 0.5 }
        receivers = { kind = "contacts", count = 1 }
        [[adversaries]]
        name = "global"
        [metrics]
        flow_matching = { flows = 30, bin = "500ms" }
    "#;
    let found = judged(text, 11, 0);
    let area = value(&found.measured, "flow_matching_auc");
    assert!(area > 0.999, "{area}");
    assert!((value(&found.measured, "flow_matching_true_pairs") - 30.0).abs() < 1e-12);
    let roc = found.tables.iter().find(|table| table.name() == "roc");
    assert!(roc.is_some_and(|table| table.rows() > 2));
    // A delay of many bins leaves little.
    let mixed = text.replace("20ms", "5s").replace("10s", "60s");
    let area = value(&judged(&mixed, 11, 0).measured, "flow_matching_auc");
    assert!(area < 0.75, "{area}");
}

#[test]
fn churn_leaves_as_few_candidates_as_expected() {
    let text = r#"
        run = { warm_up = "0s", measure = "2000s", drain = "5s" }
        topology = { kind = "stratified", layers = 1, width = 1 }
        delay.mixes = { distribution = "exponential", mean = "10ms" }
        [[clients]]
        name = "victim"
        count = 1
        rates = { real = 0.005 }
        [[clients]]
        name = "others"
        count = 4000
        rates = { real = 0.0, drop = 0.001 }
        churn = { online = "10s", offline = "10s" }
        [[adversaries]]
        name = "global"
        [metrics]
        intersection = { victim = 0, window = "200ms" }
    "#;
    let found = judged(text, 12, 0);
    let table = found
        .tables
        .iter()
        .find(|t| t.name() == "intersection")
        .unwrap();
    let candidates = table.numbers("candidates").unwrap();
    let messages = table.numbers("messages").unwrap();
    assert!((value(&found.measured, "intersection_victim_kept") - 1.0).abs() < 1e-12);
    // Half of the others are there at the first message, and a hundredth more that were for a
    // moment of the window: standard deviation 32.
    let first = candidates.first().copied().flatten().unwrap();
    assert!((first - 2041.0).abs() < 130.0, "{first}");
    let last = candidates.last().copied().flatten().unwrap();
    assert!(last < 100.0 && messages.len() > 2, "{last}");
}

#[test]
fn senders_whose_packets_are_followed_are_told_apart() {
    let text = single_mix(
        5.0,
        "[metrics]\nepsilon = { pairs = [[0, 1]], deltas_at = [1.0] }",
    );
    let rows = judged(&text.replace("exponential", "constant"), 13, 0).measured;
    assert!((value(&rows, "epsilon_zeros.0_1") - 1.0).abs() < 1e-12);
    assert!((value(&rows, "delta_at_1.0_1") - 1.0).abs() < 1e-12);
    assert_eq!(row(&rows, "epsilon.0_1").value, None);
    // One after the other at mu = 1 and half a message per second: a few bits at most.
    let rows = judged(&text, 13, 0).measured;
    let epsilon = value(&rows, "epsilon.0_1");
    assert!((0.3..6.0).contains(&epsilon), "{epsilon}");
    assert!(value(&rows, "delta_at_1.0_1") < 0.9);
    assert_eq!(row(&rows, "epsilon.0_1").claim, Claim::Exact);
}

/// Long delays: after a drain this long much is still under way.
fn slow(drain: &str) -> String {
    format!(
        r#"
        run = {{ warm_up = "120s", measure = "20s", drain = "{drain}" }}
        topology = {{ kind = "stratified", layers = 2, width = 2 }}
        delay.mixes = {{ distribution = "exponential", mean = "10s" }}
        [[clients]]
        name = "users"
        count = 20
        rates = {{ real = 2.0 }}
        [[adversaries]]
        name = "global"
        [targets]
        every = 20
        count = 40
        max_alive = 40
        [metrics]
        latency = true
        overhead = true
        entropy_forward = {{ users = true }}
        entropy_backward = true
        epsilon = {{ pairs = [[0, 1]] }}
        "#
    )
}

#[test]
fn a_posterior_that_the_end_cut_off_is_a_bound_and_not_exact() {
    let whole = judged(&slow("300s"), 1, 0).measured;
    let names = ["entropy_forward_messages", "entropy_forward_users"];
    for name in names {
        assert_eq!(row(&whole, name).claim, Claim::Exact, "{name}");
    }
    assert_eq!(row(&whole, "epsilon.0_1").claim, Claim::Exact);
    assert_eq!(row(&whole, "latency_mean.real").claim, Claim::Counted);
    // Two delays of 10 s: 800 messages, standard error 0.5 s.
    let latency = value(&whole, "latency_mean.real");
    assert!((latency - 20.0).abs() < 2.0, "{latency}");
    for drain in ["20s", "0s"] {
        let cut = judged(&slow(drain), 1, 0).measured;
        for name in names {
            let entropy = row(&cut, name);
            assert!(matches!(entropy.claim, Claim::LowerBound(_)), "{entropy:?}");
            // The first packets and their routes are the same.
            assert!(value(&cut, name) < value(&whole, name), "{drain} {name}");
            let least = value(&cut, &format!("min_{name}"));
            assert!(least <= value(&cut, name), "{drain} {name}");
            assert!(least <= value(&whole, &format!("min_{name}")));
        }
        for name in [
            "largest_probability_forward_messages",
            "probability_of_truth_forward",
        ] {
            assert!(
                matches!(row(&cut, name).claim, Claim::UpperBound(_)),
                "{name}"
            );
            assert!(value(&cut, name) >= value(&whole, name), "{drain} {name}");
        }
        for name in ["entropy_backward_messages", "epsilon.0_1"] {
            assert!(
                matches!(row(&cut, name).claim, Claim::Approximation(_)),
                "{name}"
            );
        }
        assert!(value(&cut, "latency_mean.real") < 15.0);
        let sent = value(&cut, "under_way_at_end.real");
        for name in ["latency_mean.real", "latency_p99.real", "delivered.real"] {
            let Claim::Censored {
                under_way,
                sent: all,
            } = row(&cut, name).claim
            else {
                panic!("{:?}", row(&cut, name));
            };
            assert!((under_way as f64 / all as f64 - sent).abs() < 1e-12);
        }
    }
}

#[test]
fn an_adversary_that_knows_the_kinds_has_fewer_candidates_or_says_that_it_does_not_use_them() {
    let text = |more: &str| {
        single_mix(5.0, "[metrics]\nentropy_forward = { users = true }")
            .replace(
                "rates = { real = 0.5 }",
                &format!("rates = {{ real = 0.25, drop = 0.25 }}\n{more}"),
            )
            .replace(
                "name = \"global\"",
                "name = \"global\"\n[[adversaries]]\nname = \"kinds\"\nknows = [\"kinds\"]",
            )
    };
    let of = |rows: &[Measured], adversary: &str| {
        let mut found = rows
            .iter()
            .filter(|row| row.name == "entropy_forward_messages");
        let row = found.find(|row| row.adversary.as_deref() == Some(adversary));
        row.cloned().unwrap()
    };
    let mut differences = Vec::new();
    for repetition in 0..6 {
        let rows = judged(&text(""), 21, repetition).measured;
        let (global, kinds) = (of(&rows, "global"), of(&rows, "kinds"));
        assert_eq!(
            (&global.claim, &kinds.claim),
            (&Claim::Exact, &Claim::Exact)
        );
        differences.push(global.value.unwrap() - kinds.value.unwrap());
    }
    // Half of the packets are cover: about a bit.
    let mean = differences.iter().sum::<f64>() / 6.0;
    assert!((0.7..1.1).contains(&mean), "{mean}");
    let rows = judged(
        &text("workload = { kind = \"poisson\", rate = 0.1 }"),
        21,
        0,
    )
    .measured;
    let (global, kinds) = (of(&rows, "global"), of(&rows, "kinds"));
    assert_eq!(global.value, kinds.value);
    let Claim::UpperBound(why) = &kinds.claim else {
        panic!("{:?}", kinds.claim);
    };
    assert!(why.contains("kinds"), "{why}");
}

/// Every message that comes when the last target is gone: its pool had time to drain of the packets
/// that kept that target's mass, so the mean is off by far more than its interval.
#[test]
fn targets_that_were_passed_over_make_approximations() {
    let metrics = "[metrics]\nentropy_forward = true\nentropy_backward = true";
    let text = |every: i64, max_alive: i64| {
        let mut scenario = Scenario::parse(&single_mix(5.0, metrics)).unwrap();
        scenario.set("run.measure", "3000s".into()).unwrap();
        scenario.set("targets.every", every.into()).unwrap();
        scenario.set("targets.max_alive", max_alive.into()).unwrap();
        scenario.to_toml().unwrap()
    };
    let names = ["forward", "backward"];
    let all = judged(&text(20, 1000), 5, 0).measured;
    for direction in names {
        let entropy = row(&all, &format!("entropy_{direction}_messages"));
        assert_eq!(entropy.claim, Claim::Exact);
        let none = value(&all, &format!("targets_passed_over_{direction}"));
        assert_eq!(none, 0.0);
    }
    let rows = judged(&text(1, 1), 5, 0).measured;
    for direction in names {
        let entropy = row(&rows, &format!("entropy_{direction}_messages"));
        let Claim::Approximation(why) = &entropy.claim else {
            panic!("{entropy:?}");
        };
        assert!(why.contains("max_alive"), "{why}");
        assert!(value(&rows, &format!("targets_passed_over_{direction}")) > 0.0);
    }
    let name = "entropy_forward_messages";
    let (chosen, right) = (value(&rows, name), value(&all, name));
    assert!(chosen < right - 0.2, "{chosen} {right}");
}
