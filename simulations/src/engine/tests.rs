//! Tests of the engine as a whole.

use super::*;

/// One layer or more of uniform mixes without providers, one class of saturated clients.
pub(super) fn plan(layers: &[usize], clients: u32, rate: f64, mean: f64, link: f64) -> Plan {
    Plan {
        network: Network {
            routes: Routes::Stratified,
            layers: layers.iter().map(|width| vec![1.0; *width]).collect(),
            providers: 0,
            mix_delay: Delay::Exponential { mean },
            provider_delay: Delay::Exponential { mean },
            server: None,
            mix_loops: 0.0,
        },
        links: Links::all(&Link::Constant(link), layers.len()),
        classes: vec![Class {
            count: clients,
            real: rate,
            loops: 0.0,
            drops: 0.0,
            dummies: true,
            workload: Workload::Saturated,
            receivers: Receivers::Uniform,
            buffer: 100,
            churn: None,
        }],
        trace: Vec::new(),
        phases: Phases {
            warm_up: 20.0 * mean,
            measurement: 1000.0 * mean,
            drain: 40.0 * mean,
        },
        droppers: Vec::new(),
        targets: None,
        groups: Vec::new(),
        bin: None,
    }
}

#[test]
fn a_mix_is_a_queue_with_infinitely_many_servers() {
    let mut plan = plan(&[1], 10, 0.5, 1.0, 0.0);
    plan.phases.measurement = 50_000.0;
    let outcome = run(&plan, 1, 0, &mut ()).unwrap();
    let pool = outcome.occupancy[0];
    assert!((pool.mean - 5.0).abs() < 0.1, "{pool:?}");
    assert!((pool.variance - 5.0).abs() < 0.2, "{pool:?}");
    assert!((pool.arrival_rate - 5.0).abs() < 0.1, "{pool:?}");
    let latency = outcome.latency(Kind::Real, false);
    assert!((latency.mean().unwrap() - 1.0).abs() < 0.02);
    assert!((latency.quantile(0.5).unwrap() - 0.6931).abs() < 0.02);
    assert_eq!(outcome.measured(Kind::Real).under_way(), 0);
    assert_eq!(outcome.hops, 2 * outcome.total[0].delivered);
}
