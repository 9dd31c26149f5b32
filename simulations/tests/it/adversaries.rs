//! What adversaries see and do, on runs.

use std::collections::{BTreeMap, BTreeSet};

use shoal_simulations::engine::{self, Kind};
use shoal_simulations::measure::Claim;
use shoal_simulations::metrics::Judges;
use shoal_simulations::scenario::Scenario;
use shoal_simulations::table::Table;

/// A small network with everything in it, observed by this adversary.
fn scenario(adversary: &str) -> Scenario {
    let text = format!(
        r#"
        run = {{ seed = 5, warm_up = "1s", measure = "20s", drain = "2s" }}
        topology = {{ kind = "stratified", layers = 2, width = 2, providers = 2 }}
        links = {{ delay = "40ms", loss = 0.01 }}
        delay.mixes = {{ distribution = "exponential", mean = "100ms" }}
        mixes.loop_rate = 0.5
        observe.adversary = "eve"
        [[clients]]
        name = "users"
        count = 10
        rates = {{ real = 1.0, loop = 1.0, drop = 0.5 }}
        workload = {{ kind = "poisson", rate = 0.5 }}
        [[adversaries]]
        name = "eve"
        {adversary}
        [targets]
        count = 10
        [metrics]
        entropy_forward = true
        "#
    );
    Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// What was written, and the counts of the run.
fn observed(scenario: &Scenario) -> (Table, Table, engine::Outcome) {
    let folder = tempfile::tempdir().unwrap();
    let plan = scenario.plan(0);
    let mut judges = Judges::new(scenario, &plan, 5, 0, Some(folder.path())).unwrap();
    let outcome = engine::run(&plan, 5, 0, &mut judges).unwrap();
    judges.finish(&outcome).unwrap();
    let read = |name: &str| Table::read(&folder.path().join(name)).unwrap();
    let (seen, truth) = (read("observed_0.parquet"), read("truth_0.parquet"));
    assert_eq!(read("observed_0.csv"), seen);
    assert_eq!(read("truth_0.csv"), truth);
    (seen, truth, outcome)
}

fn column(table: &Table, name: &str) -> Vec<u64> {
    match table.column(name).unwrap() {
        shoal_simulations::table::Values::U64(values) => values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_crossing_is_a_row_and_the_truth_is_apart() {
    let (seen, truth, outcome) = observed(&scenario(""));
    let pseudonyms = column(&seen, "pseudonym");
    assert_eq!(pseudonyms, column(&truth, "pseudonym"));
    let distinct: BTreeSet<u64> = pseudonyms.iter().copied().collect();
    assert_eq!(distinct.len(), pseudonyms.len());
    for secret in ["packet", "kind", "sender", "receiver", "message"] {
        assert!(!seen.has(secret), "{secret}");
    }
    // The engine counts the links of packets that are done; those under way have at most four more.
    let done: u64 = outcome.total.iter().map(|c| c.crossings).sum();
    let under_way: u64 = outcome.total.iter().map(engine::Counters::under_way).sum();
    let rows = seen.rows() as u64;
    assert!(
        (done..=done + 4 * under_way).contains(&rows),
        "{rows} {done} {under_way}"
    );
    assert!(under_way < 60);
    // Lost packets did not arrive.
    let lost: u64 = outcome.total.iter().map(|counters| counters.lost[0]).sum();
    let arrived = seen.numbers("arrived_s").unwrap();
    let without = arrived.iter().filter(|arrival| arrival.is_none()).count();
    assert_eq!(without as u64, lost);
    assert!(lost > 5);
}

#[test]
fn the_rows_of_a_packet_make_its_route() {
    let (seen, truth, outcome) = observed(&scenario(""));
    let nodes: u64 = seen.metadata_value("nodes").unwrap().parse().unwrap();
    assert_eq!(nodes, 8);
    let (from, to) = (column(&seen, "from"), column(&seen, "to"));
    let kinds = truth.column("kind").unwrap();
    let shoal_simulations::table::Values::String(kinds) = kinds else {
        panic!("{kinds:?}");
    };
    let mut routes: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, packet) in column(&truth, "packet").into_iter().enumerate() {
        routes.entry(packet).or_default().push(row);
    }
    let sent = seen.numbers("sent_s").unwrap();
    let mut complete = 0;
    for rows in routes.values_mut() {
        rows.sort_by(|a, b| sent[*a].unwrap().total_cmp(&sent[*b].unwrap()));
        for pair in rows.windows(2) {
            assert_eq!(
                to[pair[0]], from[pair[1]],
                "a packet goes on from where it came"
            );
        }
        let first = rows[0];
        if kinds[first] == "real" {
            assert!(from[first] >= nodes);
            complete += u64::from(to[rows[rows.len() - 1]] >= nodes);
        }
    }
    // Those that arrived, and a few that were lost on the last link.
    let delivered = outcome.total[Kind::Real as usize].delivered;
    assert!((delivered..delivered + 10).contains(&complete));
}

#[test]
fn who_sees_its_own_nodes_only_sees_no_other_link() {
    let (all, _, _) = observed(&scenario(""));
    let own = scenario("sees = \"own_nodes\"\ncorrupt_mixes = { count = 1 }");
    let (seen, _, _) = observed(&own);
    assert!(seen.rows() > 0 && seen.rows() < all.rows());
    let ends: Vec<(u64, u64)> = column(&seen, "from")
        .into_iter()
        .zip(column(&seen, "to"))
        .collect();
    let common = (2..6).find(|mix| ends.iter().all(|(from, to)| from == mix || to == mix));
    assert!(common.is_some());
}

#[test]
fn claims_follow_what_an_adversary_knows() {
    let claim = |adversary: &str| {
        let scenario = scenario(adversary);
        let plan = scenario.plan(0);
        shoal_simulations::adversary::Adversary::all(&scenario, &plan, 5, 0)[0].claim(&plan)
    };
    // Loops go back to the sender's provider, one of two.
    assert_eq!(
        claim("knows = [\"loops\"]"),
        Claim::Approximation("routing constraints ignored".to_owned())
    );
    let blind = claim("sees = \"own_nodes\"\ncorrupt_mixes = { count = 1 }");
    assert!(matches!(blind, Claim::Unsound(_)));
}
