//! The proposals of `advise`, where the answer is known.

use shoal_simulations::advise::{self, Answer, Latencies, Proposal, Request, Thoroughness, screen};

const TINY: Thoroughness = Thoroughness {
    front: 3,
    repetitions: 2,
    finalists: 2,
    final_repetitions: 4,
    targets: 60,
    hops: 1e5,
};

fn proposal(request: &Request) -> Proposal {
    let answer = advise::advise(request, &mut |_| {}).unwrap();
    let Answer::Proposal(proposal) = answer else {
        panic!("nothing fits {request:?}");
    };
    *proposal
}

/// Nobody corrupt, no links, far more users than packets in flight, and a bound on the path: the
/// min-entropy is log2(rate d / mode(L)), where mode(L) is the largest value of the density of an
/// Erlang variable of shape L and mean delay 1, and the bound gives d = p99 / q(L + 1) with q its
/// 99% point, for the entry provider delays too. So the best L makes q(L + 1) mode(L) least:
/// 8.406 x 0.3679 = 3.092 for two layers, 2.719, 2.600, 2.561, 2.557 for six, 2.570 for seven. With
/// three layers at most, three.
#[test]
fn the_known_optimum_is_found() {
    let request = Request {
        latency: Latencies::Path,
        link: 0.0,
        message_rate: 0.0,
        max_corrupt_path: 1.0,
        min_width: 1,
        mix_capacity: 1e12,
        max_layers: 12,
        ..Request::new(1_000_000_000, 0.002 * 14.571, 0.5, 0.0)
    };
    // The rate does not change with the layers: it is the highest that the bandwidth allows.
    let best = screen(&request).into_iter().next().unwrap();
    assert!((5..=7).contains(&best.layers), "{best:?}");
    let three = Request {
        max_layers: 3,
        ..request.clone()
    };
    let best_of_three = screen(&three).into_iter().next().unwrap();
    assert_eq!(best_of_three.layers, 3);
    let gain = best.screened_bits - best_of_three.screened_bits;
    let closed = shoal_simulations::math::log2(2.719 / 2.557);
    assert!((gain - closed).abs() < 0.05, "{gain} is not {closed}");
}

/// As above with the engine: few packets in flight per user, and two or three layers.
#[test]
fn the_simulation_agrees_with_the_closed_form_about_the_optimum() {
    let request = Request {
        latency: Latencies::Path,
        link: 0.0,
        message_rate: 0.0,
        max_corrupt_path: 1.0,
        min_width: 1,
        max_layers: 3,
        mix_capacity: 1e12,
        thoroughness: Thoroughness {
            front: 6,
            finalists: 3,
            ..TINY
        },
        ..Request::new(400, 8.406 * 0.5, 10_000.0, 0.0)
    };
    let proposal = proposal(&request);
    let closed = proposal.network.closed_form(400.0);
    assert!(
        (proposal.bits.mean - closed).abs() < 0.3,
        "{:?} and {closed} by closed form",
        proposal.bits
    );
    assert!(proposal.network.layers >= 2, "{:?}", proposal.network);
}

#[test]
fn more_users_or_more_latency_never_lower_the_answer() {
    let base = Request {
        thoroughness: TINY,
        max_layers: 4,
        ..Request::new(200, 5.0, 30_000.0, 0.2)
    };
    let more_users = Request {
        users: 500,
        ..base.clone()
    };
    let more_time = Request {
        p99: 8.0,
        ..base.clone()
    };
    let before = proposal(&base);
    for more in [more_users, more_time] {
        let after = proposal(&more);
        assert!(
            after.bits.high >= before.bits.low,
            "{:?}, then {:?}",
            before.bits,
            after.bits
        );
    }
    // Once more: the same bytes.
    assert_eq!(proposal(&base), before);
}

#[test]
fn what_is_asked_in_vain_names_what_binds() {
    let request = Request {
        max_mixes: Some(3),
        ..Request::new(500, 5.0, 30_000.0, 0.2)
    };
    let answer = advise::advise(&request, &mut |_| {}).unwrap();
    let Answer::Infeasible(infeasible) = &answer else {
        panic!("{answer:?}");
    };
    let mixes = infeasible.binding.iter().find(|r| r.constraint == "mixes");
    // 0.2^3 is within one in a hundred, and three layers of two are six.
    assert!(
        mixes.is_some_and(|r| (r.needed - 6.0).abs() < 1e-9),
        "{infeasible:?}"
    );
    assert!(answer.to_string().contains("mixes"));
}

#[test]
fn it_never_says_that_something_is_secure() {
    let request = Request {
        thoroughness: TINY,
        max_layers: 3,
        ..Request::new(100, 5.0, 30_000.0, 0.1)
    };
    let proposal = proposal(&request);
    let text = proposal.to_string().to_lowercase();
    assert!(
        !text.contains("secure") && text.contains("not modelled"),
        "{text}"
    );
    let json = serde_json::to_string(&proposal).unwrap();
    assert!(!json.to_lowercase().contains("secure"));
    assert_eq!(proposal.sensitivity.len(), 2);
}
