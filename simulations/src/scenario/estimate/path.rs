//! How long packets are on their way, by drawing some.

use rand_chacha::ChaCha8Rng;

use crate::engine::{Link, Plan, Routes};
use crate::seed;

/// Paths that are drawn: enough for a few percent.
const DRAWN: usize = 512;

/// The way of a packet: the time at which it has crossed each link, from its sending, in seconds.
pub(super) struct Way {
    pub(super) crossed: Vec<f64>,
    /// The part of the whole that is on links.
    pub(super) on_links: f64,
}

impl Way {
    pub(super) fn time(&self) -> f64 {
        self.crossed.last().copied().unwrap_or(0.0)
    }
}

/// Ways of packets that go to a client, or for those that end at the last provider without the last
/// link. The same plan gives the same ones.
pub(super) fn draw(plan: &Plan) -> Vec<Way> {
    let mut rng = seed::generator(0, 0, "paths of estimates", 0);
    (0..DRAWN).map(|_| one(plan, &mut rng)).collect()
}

fn one(plan: &Plan, rng: &mut ChaCha8Rng) -> Way {
    let (network, links) = (&plan.network, &plan.links);
    let providers = network.providers > 0;
    let stages = plan.stages().len();
    let mut way = Way {
        crossed: Vec::with_capacity(stages + 1),
        on_links: 0.0,
    };
    let mut time = 0.0;
    let mut cross = |time: &mut f64, link: &Link, rng: &mut ChaCha8Rng| {
        let delay = drawn(link, rng);
        *time += delay;
        way.on_links += delay;
        way.crossed.push(*time);
    };
    cross(&mut time, &links.ingress, rng);
    let served = network.server.map_or(0.0, |server| 1.0 / server.rate);
    for stage in 0..stages {
        let is_provider = providers && (stage == 0 || stage + 1 == stages);
        if is_provider {
            time += network.provider_delay.draw(rng);
        } else {
            let visits = match network.routes {
                Routes::Free { hops } => hops,
                Routes::Stratified | Routes::Cascade => 1,
            };
            for visit in 0..visits {
                if visit > 0 {
                    cross(&mut time, &links.wrap, rng);
                }
                time += served + network.mix_delay.draw(rng);
            }
        }
        cross(
            &mut time,
            links.between.get(stage).unwrap_or(&links.egress),
            rng,
        );
    }
    way
}

/// Of a matrix the mean: where a packet goes is not drawn.
fn drawn(link: &Link, rng: &mut ChaCha8Rng) -> f64 {
    match link {
        Link::Constant(seconds) => *seconds,
        Link::Random { least, extra } => least + extra.draw(rng),
        Link::Matrix { .. } => link.mean(),
    }
}
