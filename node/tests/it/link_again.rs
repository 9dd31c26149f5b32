//! What somebody sees on a client's link that is cut again and again, and of a client whose process stops
//! and starts: a relay between real processes compares one that idles with two that write to each
//! other, and with one that is broken on purpose.
//!
//! In half a minute there are few cuts, so that what is compared is what passes on the connections.
//! How long it takes until there is a new one is compared in virtual time, with hundreds of each
//! (`harness/tests/it/link_hours.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_node::control::protocol::{Accept, Invite, Request, Response};
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{Span, Time};
use shoal_stats as stats;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::e2e::Daemon;
use crate::link::{Judgement, Scene, attach, rejecting, steps, write};
use crate::relay::{Connection, frames};

/// Connections of each client that are watched, and how long each is.
const CONNECTIONS: usize = 8;
const WATCHED: Duration = Duration::from_millis(2500);
/// A client could send what has waited as soon as it is connected again; the broken one sends so many
/// frames.
const BURST: usize = 10;
/// They are looked for in this time after the first frame.
const SOON: Span = Span::from_millis(250);
/// Most bytes of what two ends agree on for a stream, with the headers.
const AGREED_BYTES: usize = 600;
/// Fewest frames up of a client: the mean, 432, less six standard deviations.
const FEWEST: usize = 300;

/// What was seen of some clients' connections.
#[derive(Default)]
struct Seen {
    up: Vec<Vec<Time>>,
    down: Vec<Vec<Time>>,
}

impl Seen {
    /// Finds the frames of a connection up to this moment. Before the first there is what the two ends
    /// agree on.
    fn add(&mut self, connection: &Connection, to: Time) {
        assert!(connection.is_open(), "the client stayed");
        let record = connection.record(Time::default(), to);
        for (messages, seen) in [(record.up, &mut self.up), (record.down, &mut self.down)] {
            let first = messages.iter().position(|m| m.bytes > FRAME_BYTES);
            let mut messages = messages[first.expect("frames came")..].to_vec();
            // The last of what they agree on can share the message of the first frames.
            let found = (0..AGREED_BYTES).find_map(|_| {
                let found = frames(&messages).ok();
                messages[0].bytes -= 1;
                found
            });
            let found = found.expect("the bytes are frames of one size");
            seen.push(found.at);
        }
    }

    fn gaps(connections: &[Vec<Time>]) -> Vec<f64> {
        connections
            .iter()
            .flat_map(|frames| steps(frames))
            .collect()
    }

    /// Frames after the first one of each connection, and the seconds in which they came.
    fn count(connections: &[Vec<Time>]) -> (u64, f64) {
        let frames: usize = connections.iter().map(|frames| frames.len() - 1).sum();
        let seconds = connections.iter().map(|frames| {
            let ends = frames.first().zip(frames.last());
            ends.map_or(0.0, |(first, last)| last.since(*first).as_secs_f64())
        });
        (frames as u64, seconds.sum())
    }

    /// The same, soon after the first one.
    fn soon(connections: &[Vec<Time>]) -> (u64, f64) {
        let soon = |frames: &Vec<Time>| {
            let after = frames.iter().skip(1);
            after.filter(|at| at.since(frames[0]) < SOON).count()
        };
        let frames: usize = connections.iter().map(soon).sum();
        (frames as u64, SOON.as_secs_f64() * connections.len() as f64)
    }
}

/// The gaps between frames on a connection, how many there are, and how many soon after the first.
fn judge(idle: &Seen, other: &Seen) -> Judgement {
    let gaps = |a: &[Vec<Time>], b: &[Vec<Time>]| {
        stats::ks_two_sample(&Seen::gaps(a), &Seen::gaps(b))
            .unwrap()
            .p_value
    };
    let counts = |a: &[Vec<Time>], b: &[Vec<Time>]| {
        stats::poisson_two_sample(Seen::count(a), Seen::count(b))
    };
    let soon =
        |a: &[Vec<Time>], b: &[Vec<Time>]| stats::poisson_two_sample(Seen::soon(a), Seen::soon(b));
    BTreeMap::from([
        ("gaps up", gaps(&idle.up, &other.up)),
        ("gaps down", gaps(&idle.down, &other.down)),
        ("count up", counts(&idle.up, &other.up)),
        ("count down", counts(&idle.down, &other.down)),
        ("soon up", soon(&idle.up, &other.up)),
        ("soon down", soon(&idle.down, &other.down)),
    ])
}

/// A daemon, its connection and what was seen of it.
struct Client {
    name: &'static str,
    daemon: Daemon,
    connection: Arc<Connection>,
    /// Whom its user writes to.
    to: Option<String>,
}

impl Client {
    async fn start(scene: &Scene, name: &'static str) -> Self {
        let (daemon, connection) = scene.client(name, &[]).await;
        Self {
            name,
            daemon,
            connection,
            to: None,
        }
    }

    /// Has it a contact of this name: who the other one is.
    async fn meet(&mut self, other: &Self, scene: &Scene) {
        let mut theirs = scene.control(other.name).await;
        let invited = theirs.ask(Request::Invite(Invite::default())).await;
        let Ok(Response::Invited(invited)) = invited else {
            panic!("{invited:?}")
        };
        let accept = Accept {
            invitation: invited.invitation,
            label: other.name.to_owned(),
        };
        let mut control = scene.control(self.name).await;
        control.ask(Request::Accept(accept)).await.unwrap();
        self.to = Some(other.name.to_owned());
    }

    /// The user writes until the watch is over, if they do.
    async fn live(&self, scene: &Scene, over: watch::Receiver<bool>) {
        if let Some(to) = self.to.clone() {
            let control = scene.control(self.name).await;
            let sends = write(control, to, scene.clock, over).await;
            assert!(!sends.is_empty());
        }
    }

    /// The connection ends, or the process; and there is a new one.
    async fn again(self, scene: &Scene, restart: bool) -> Self {
        let before = scene.relay.count();
        let mut daemon = self.daemon;
        if restart {
            daemon.interrupt();
            assert!(daemon.stopped().await.success());
            daemon = scene.place.start_client(self.name).await;
        } else {
            self.connection.cut();
        }
        let connection = scene.connection(before, daemon.id()).await;
        Self {
            daemon,
            connection,
            ..self
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cut_or_a_restart_tells_nothing_of_what_the_user_does() {
    let scene = Scene::set_up().await;
    let mut idle = Client::start(&scene, "idle").await;
    let mut one = Client::start(&scene, "one").await;
    let mut other = Client::start(&scene, "other").await;
    one.meet(&other, &scene).await;
    other.meet(&one, &scene).await;
    let [mut of_idle, mut of_busy, mut of_broken] = [(); 3].map(|()| Seen::default());
    for number in 0..CONNECTIONS {
        let before = scene.relay.count();
        let (params, clock) = (&scene.params, scene.clock);
        let (mut broken, inbound) = attach(params, clock, scene.entry, scene.mailbox).await;
        let broken_connection = scene.connection(before, std::process::id()).await;
        broken.burst(BURST);
        let (over, watching) = watch::channel(false);
        let (_nobody, to_nobody) = mpsc::channel(1);
        let breaking = tokio::spawn(broken.run(inbound, to_nobody, watching.clone()));
        let watched = async {
            sleep(WATCHED).await;
            let to = clock.now();
            over.send(true).unwrap();
            to
        };
        let (to, (), ()) = tokio::join!(
            watched,
            one.live(&scene, watching.clone()),
            other.live(&scene, watching)
        );
        of_idle.add(&idle.connection, to);
        of_busy.add(&one.connection, to);
        of_busy.add(&other.connection, to);
        of_broken.add(&broken_connection, to);
        breaking.await.unwrap();
        let restart = number % 2 == 1;
        (idle, one, other) = tokio::join!(
            idle.again(&scene, restart),
            one.again(&scene, restart),
            other.again(&scene, restart)
        );
    }
    for seen in [&of_idle, &of_busy, &of_broken] {
        assert!(Seen::count(&seen.up).0 > FEWEST as u64);
    }
    let (correct, found) = (judge(&of_idle, &of_busy), judge(&of_idle, &of_broken));
    println!("correct: {correct:?}\nbroken:  {found:?}");
    assert_eq!(rejecting(&correct), [""; 0], "{correct:?}");
    let found = rejecting(&found);
    assert!(found.contains(&"soon up"), "only {found:?}");
}
