//! `docs/directory/seats.md` has the numbers that follow from its definitions, and vectors.

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NetworkHash, NodeId};
use shoal_topology::Identity;
use shoal_topology::agreement::{Height, Holder, MAX_SEATS, Reveal, Seats, Seed, VrfKey};

const PAGE: &str = include_str!("../../../docs/directory/seats.md");

fn assert_has(table: &str) {
    assert!(
        PAGE.contains(table),
        "docs/directory/seats.md is to have\n{table}"
    );
}

fn holder(id: NodeId) -> Holder {
    Holder {
        id,
        key: id,
        vrf: None,
    }
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// That the first `k` of `seats` in a random order are bad and the next is not, for k from 0 to `bad`.
fn leading(seats: usize, bad: usize) -> Vec<f64> {
    let mut before = 1.0;
    let chance = |k: usize| {
        let left = float(seats - k);
        let here = before * float(seats - bad) / left;
        before *= float(bad - k) / left;
        here
    };
    (0..=bad).map(chance).collect()
}

/// Mean number of leading bad seats.
fn mean_leading(seats: usize, bad: usize) -> f64 {
    float(bad) / float(seats - bad + 1)
}

#[test]
fn the_page_says_what_withholding_gives() {
    let mut table = String::new();
    for percent in [10, 20, 30] {
        let bad = MAX_SEATS * percent / 100;
        let chances = leading(MAX_SEATS, bad);
        let mean = |of: fn(f64) -> f64| {
            let each = chances.iter().enumerate();
            each.map(|(k, chance)| chance * of(float(k + 1)))
                .sum::<f64>()
        };
        assert!((mean(|_| 1.0) - 1.0).abs() < 1e-12);
        let leading = mean_leading(MAX_SEATS, bad);
        assert!((mean(|seeds| seeds) - 1.0 - leading).abs() < 1e-12);
        let (bits, seeds, ahead) = (mean(f64::log2), 1.0 + leading, 1.0 / (1.0 - leading));
        table += &format!(
            "| {percent}% | {bits:.3} | {seeds:.3} | {ahead:.3} | {:.2} |\n",
            ahead.log2()
        );
    }
    assert_has(&table);
}

/// The order in which seats really propose has as many bad ones in front as the page reckons with.
#[test]
fn so_many_bad_seats_come_first() {
    const DRAWS: u32 = 5_000;
    let id = |seed| Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed)).id();
    let seats = Seats::first(NetworkHash::new([1; 32]), (0..40).map(id)).unwrap();
    let bad = Vec::from_iter(seats.all().take(12));
    let chances = leading(40, 12);
    let mut counts = [0_u32; 13];
    for number in 0..DRAWS {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let order = seats.proposers(&Seed::new(bytes));
        counts[order.iter().take_while(|seat| bad.contains(seat)).count()] += 1;
    }
    // Four standard deviations, where a count is expected to be large enough to have one.
    for (k, (count, chance)) in counts.iter().zip(chances).take(5).enumerate() {
        let mean = f64::from(DRAWS) * chance;
        let tolerance = 4.0 * (mean * (1.0 - chance)).sqrt();
        assert!(
            (f64::from(*count) - mean).abs() < tolerance,
            "{k}: {count}, not {mean}"
        );
    }
}

/// Logarithms of the factorials up to this one.
fn factorials(most: usize) -> Vec<f64> {
    let mut last = 0.0;
    let mut all = vec![last];
    all.extend((1..=most).map(|n| {
        last += float(n).ln();
        last
    }));
    all
}

/// That `least` or more of the seats drawn from so many members are bad.
fn hypergeometric(members: usize, bad: usize, least: usize) -> f64 {
    let logs = factorials(members);
    let choose = |n: usize, k: usize| logs[n] - logs[k] - logs[n - k];
    let chance = |k: usize| {
        let ways = choose(bad, k) + choose(members - bad, MAX_SEATS - k);
        (ways - choose(members, MAX_SEATS)).exp()
    };
    let chances = Vec::from_iter((0..=MAX_SEATS.min(bad)).map(chance));
    assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    chances[least..].iter().rev().sum()
}

/// The same when there are so many members that one more makes no difference.
fn binomial(share: f64, least: usize) -> f64 {
    let logs = factorials(MAX_SEATS);
    let chance = |k: usize| {
        let ways = logs[MAX_SEATS] - logs[k] - logs[MAX_SEATS - k];
        (ways + float(k) * share.ln() + float(MAX_SEATS - k) * (1.0 - share).ln()).exp()
    };
    let chances = Vec::from_iter((0..=MAX_SEATS).map(chance));
    assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    chances[least..].iter().rev().sum()
}

fn shown(chance: f64) -> String {
    match chance < 0.01 {
        true => format!("2^{:.1}", chance.log2()),
        false => format!("{:.1}%", chance * 100.0),
    }
}

#[test]
fn the_page_says_how_often_a_third_of_the_seats_is_bad() {
    let ids = (0..400).map(|seed| Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed)).id());
    let seats = Seats::first(NetworkHash::new([1; 32]), ids).unwrap();
    let least = seats.third();
    assert_eq!((least, seats.count() - least), (134, seats.quorum() - 1));
    let mut table = String::new();
    for percent in [20, 25, 30] {
        let drawn = |members: usize| shown(hypergeometric(members, members * percent / 100, least));
        let many = shown(binomial(float(percent) / 100.0, least));
        table += &format!(
            "| {percent}% | {} | {} | {many} |\n",
            drawn(1_000),
            drawn(10_000)
        );
    }
    assert_has(&table);
    // As whole numbers of unlimited size have it.
    let exact = [
        (2_000, 6.816_045_060_083_522e-11),
        (2_500, 6.235_744_963_922_891e-5),
    ];
    for (bad, exact) in exact {
        let computed = hypergeometric(10_000, bad, least);
        assert!(
            (computed / exact - 1.0).abs() < 1e-8,
            "{computed}, not {exact}"
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_page_has_vectors() {
    let network = NetworkHash::new([1; 32]);
    let height = Height::new(7);
    let key = VrfKey::from_bytes(&[2; 32]);
    let first = Seed::first(&network);
    let input = first.input(height);
    let reveal = Reveal::new(&key, &first, (height, 0));
    let output = reveal.proof.verify(&key.public(), &input).unwrap();
    let next = reveal.verify(&first, height, &key.public()).unwrap();
    let mut members = Vec::from_iter((0..500).map(|number: u16| {
        let secret: [u8; 32] = [number.to_be_bytes(); 16].concat().try_into().unwrap();
        Identity::from_bytes(&secret).id()
    }));
    let all = Seats::draw(network, members.iter().copied().map(holder), &next).unwrap();
    members.retain(|member| all.of(member).is_none());
    members.sort_unstable();
    let few = |ids: &[NodeId]| {
        let heads = ids.iter().map(|id| hex(&id.as_bytes()[..4]));
        Vec::from_iter(heads).join(" ")
    };
    let order = all.proposers(&next);
    let proposers = Vec::from_iter(order[..4].iter().map(|seat| all.holder(*seat).unwrap().id));
    let vectors = [
        ("first seed", hex(first.as_bytes())),
        ("input", hex(&input)),
        ("public key", hex(key.public().as_bytes())),
        ("proof", hex(reveal.proof.as_bytes())),
        ("output", hex(output.as_bytes())),
        ("next seed", hex(next.as_bytes())),
        ("without a seat", few(&members[..4])),
        ("proposers", few(&proposers)),
    ];
    let lines = vectors.map(|(name, value)| format!("{name:<15}{value}\n"));
    assert_has(&lines.concat());
}
