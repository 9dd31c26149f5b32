//! Two mailboxes, one of whose providers dies.

use std::collections::BTreeMap;

use shoal_client::{Alarm, ClientEvent};
use shoal_harness::{LinkDelay, Network, Party};
use shoal_proto::{MessageId, Span, Time};

use crate::support::{START, close_books, secs};

const CLIENTS: usize = 8;

/// Five providers: clients enter by the first two, and have their mailboxes at two of the other three.
fn network(seed: u64) -> Network {
    let mut builder = Network::builder(seed)
        .mixes(3, 2)
        .providers(5)
        .epoch(secs(600))
        .loop_rate(0.1)
        .link_delay(LinkDelay::Fixed(Span::from_millis(40)));
    for client in 0..CLIENTS {
        let mailboxes = [[2, 3], [3, 4], [4, 2], [3, 2]][client % 4];
        builder = builder.client_with("default", Some(client % 2), &mailboxes);
    }
    let mut network = builder.build().unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(30)).unwrap();
    network
}

/// When texts were accepted, by whom they are for and what they say, and when they were read.
#[derive(Default)]
struct Texts {
    accepted: BTreeMap<MessageId, Time>,
    read: BTreeMap<MessageId, (Time, usize)>,
    alarmed: Option<Time>,
}

impl Texts {
    fn look(&mut self, network: &mut Network) {
        for happening in network.take_happenings() {
            let at = happening.at;
            match happening.client_event() {
                Some(ClientEvent::Accepted { message, .. }) => {
                    self.accepted.insert(*message, at);
                }
                Some(ClientEvent::Received { message, .. }) => {
                    self.read.entry(*message).or_insert((at, 0)).1 += 1;
                }
                Some(ClientEvent::Alarm(Alarm::StreamPaused(_))) => {
                    // Of the slowest.
                    self.alarmed = Some(at);
                }
                _ => {}
            }
        }
    }

    /// How many have not been read.
    fn lost(&self) -> usize {
        let read = |id: &&MessageId| self.read.contains_key(*id);
        self.accepted.keys().filter(|id| !read(id)).count()
    }

    /// How long those took that were accepted from then on, in seconds.
    fn took(&self, from: Time) -> Vec<f64> {
        let all = self.accepted.iter().filter(|(_, at)| **at >= from);
        let took = all.filter_map(|(id, at)| Some(self.read.get(id)?.0.since(*at)));
        took.map(Span::as_secs_f64).collect()
    }
}

/// Each sends to each other in turn, a text in three seconds.
fn send_for(network: &mut Network, texts: &mut Texts, rounds: usize) {
    let clients: Vec<Party> = network.clients().collect();
    for round in 0..rounds {
        for (place, from) in clients.iter().enumerate() {
            let to = clients[(place + 1 + round % (CLIENTS - 1)) % CLIENTS];
            network.send(*from, to, format!("{place} {round}")).unwrap();
        }
        network.run_for(secs(3)).unwrap();
        texts.look(network);
    }
}

#[test]
fn a_provider_that_dies_takes_no_text_with_it() {
    let mut network = network(70);
    let mut texts = Texts::default();
    send_for(&mut network, &mut texts, 10);
    let before = texts.accepted.len();
    // With all that is under way, waits there, or is on its way from there.
    let dead = network.providers().nth(2).unwrap();
    let died = network.now();
    network.crash(dead);
    send_for(&mut network, &mut texts, 125);
    assert_eq!(texts.accepted.len() - before, 1000);
    // Five minutes, or until all are read and a minute more, in which none may come again.
    for _ in 0..24 {
        network.run_for(secs(10)).unwrap();
        texts.look(&mut network);
        if texts.lost() == 0 {
            break;
        }
    }
    network.run_for(secs(60)).unwrap();
    texts.look(&mut network);
    assert_eq!(texts.lost(), 0);
    assert!(
        texts.read.values().all(|(_, times)| *times == 1),
        "each once"
    );
    let alarmed = texts.alarmed.unwrap();
    let took = texts.took(alarmed);
    let quantile = |took: &[f64], q| shoal_stats::quantile(took, q).unwrap();
    println!(
        "{} texts; the last alarm {:.1} s after the provider's death; of {} texts since p50 {:.2} s, p90 {:.2} s, \
         p99 {:.2} s; of all since its death p99 {:.2} s",
        texts.accepted.len(),
        alarmed.since(died).as_secs_f64(),
        took.len(),
        quantile(&took, 0.5),
        quantile(&took, 0.9),
        quantile(&took, 0.99),
        quantile(&texts.took(died), 0.99),
    );
    assert!(quantile(&took, 0.99) < 12.0);
    close_books(&mut network);
}
