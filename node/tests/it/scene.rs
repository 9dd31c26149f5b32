//! One scene, played twice: by processes over loopback, and in virtual time. What the two sessions of
//! each tell their users has to be the same, event by event, but for the times.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_client::ClientEvent;
use shoal_harness::{Network, Party};
use shoal_node::control::ControlClient;
use shoal_node::control::protocol::Event;
use shoal_proto::{Epoch, Span};
use shoal_roles::client::SessionEvent;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::e2e::{Daemon, LONG, Place, free_port};

/// Long enough for processes to start before the first freeze.
const EPOCH: Span = Span::from_secs(60);

/// What a session told, as far as both hosts tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// The newest document is of this epoch.
    Documents(u64),
    Attached,
    Detached(String),
    Accepted,
    Sent,
    Stored,
    Received(String),
}

/// What was told, in order: of the network, and of messages. How the two are interleaved is a matter of
/// time. So are a part that is sent again, and a try to attach that finds nobody yet: what follows its
/// like is left out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    network: Vec<Told>,
    messages: Vec<Told>,
}

impl Story {
    fn add(&mut self, told: Option<Told>) {
        let Some(told) = told else { return };
        let of_the_network = matches!(
            told,
            Told::Documents(_) | Told::Attached | Told::Detached(_)
        );
        let chapter = match of_the_network {
            true => &mut self.network,
            false => &mut self.messages,
        };
        if chapter.last() != Some(&told) {
            chapter.push(told);
        }
    }

    fn count(&self, wanted: &Told) -> usize {
        let all = self.network.iter().chain(&self.messages);
        all.filter(|told| *told == wanted).count()
    }
}

fn told_over_loopback(event: Event) -> Option<Told> {
    Some(match event {
        Event::Documents { newest, .. } => Told::Documents(newest),
        Event::Attached { .. } => Told::Attached,
        Event::Detached { reason } => Told::Detached(reason),
        Event::Accepted { .. } => Told::Accepted,
        Event::Sent { .. } => Told::Sent,
        Event::Stored { .. } => Told::Stored,
        Event::Received(received) => Told::Received(received.text),
        _ => return None,
    })
}

fn told_in_virtual_time(event: &SessionEvent) -> Option<Told> {
    Some(match event {
        SessionEvent::Documents { newest, .. } => Told::Documents(newest.number()),
        SessionEvent::Online { .. } => Told::Attached,
        SessionEvent::Offline {
            reason,
            was_online: true,
        } => Told::Detached(reason.to_string()),
        SessionEvent::Client(ClientEvent::Accepted { .. }) => Told::Accepted,
        SessionEvent::Client(ClientEvent::Sent { .. }) => Told::Sent,
        SessionEvent::Client(ClientEvent::Stored { .. }) => Told::Stored,
        SessionEvent::Client(ClientEvent::Received { text, .. }) => {
            Told::Received(String::from_utf8_lossy(text).into_owned())
        }
        _ => return None,
    })
}

/// A client daemon and what it tells.
struct Teller {
    daemon: Daemon,
    events: mpsc::UnboundedReceiver<Event>,
    story: Story,
}

impl Teller {
    async fn start(place: &Place, name: &str) -> Self {
        let mut daemon = place.start(name, &["daemon"]);
        daemon.event("serving").await;
        let mut control = ControlClient::connect(&place.file(name)).await.unwrap();
        control.follow().await.unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test that counts its own events"
        )]
        let (tell, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(event) = control.event().await {
                let _ = tell.send(event);
            }
        });
        Self {
            daemon,
            events,
            story: Story::default(),
        }
    }

    async fn until(&mut self, wanted: Told, times: usize) {
        let waiting = async {
            while self.story.count(&wanted) < times {
                let event = self.events.recv().await.expect("it runs");
                self.story.add(told_over_loopback(event));
            }
        };
        let waited = timeout(2 * LONG, waiting).await;
        assert!(waited.is_ok(), "never {wanted:?}: {:?}", self.story);
    }
}

async fn over_loopback() -> [Story; 2] {
    let place = Place::new();
    let epoch = EPOCH.to_string();
    let mut make = vec!["network", "new", "--name", "scene", "--epoch", &epoch];
    make.extend(["--out", "network.toml"]);
    let mut ids = BTreeMap::new();
    let nodes = ["mix-1", "mix-2", "mix-3", "one", "two"];
    for name in nodes {
        let role = if name.starts_with("mix") {
            "mix"
        } else {
            "provider"
        };
        let port = free_port();
        ids.insert(name, place.init(role, name, port, port).await);
        make.extend(["--from-dir", name]);
    }
    place.json(&make).await;
    let mut running: BTreeMap<&str, Daemon> = nodes
        .into_iter()
        .map(|name| (name, place.start_node(name)))
        .collect();
    for node in running.values_mut() {
        node.event("ready").await;
    }
    for (name, entry, mailbox) in [("alice", "one", "two"), ("bob", "two", "one")] {
        let init = ["client", "init", "--network", "network.toml", "--dir", name];
        let at = ["--entry", &ids[entry], "--mailbox", &ids[mailbox]];
        place.json(&[&init[..], &at[..]].concat()).await;
    }
    let (mut alice, mut bob) =
        tokio::join!(Teller::start(&place, "alice"), Teller::start(&place, "bob"));
    alice.until(Told::Attached, 1).await;
    bob.until(Told::Attached, 1).await;
    let send = async |from: &str, to: &str, text: &str| {
        let known = place.json(&["contact", "list", "--dir", from]).await;
        let known = &known["contacts"][0]["key"];
        if known.is_null() {
            place.befriend(from, to).await;
        }
        let send = [
            "client",
            "send",
            "--dir",
            from,
            known.as_str().unwrap_or(to),
            text,
            "--wait",
            "none",
        ];
        place.json(&send).await;
    };
    send("alice", "bob", "first").await;
    alice.until(Told::Stored, 1).await;
    bob.until(Told::Received("first".to_owned()), 1).await;
    for client in [&mut alice, &mut bob] {
        client.until(Told::Documents(1), 1).await;
    }
    // The switch, and the margin in which both epochs count.
    tokio::time::sleep(Duration::from(EPOCH) / 4 + Duration::from(EPOCH) / 8).await;
    let two = running.remove("two").unwrap();
    two.interrupt();
    two.stopped().await;
    bob.until(
        Told::Detached("the connection to the entry provider closed".to_owned()),
        1,
    )
    .await;
    let mut two = place.start_node("two");
    two.event("ready").await;
    bob.until(Told::Attached, 2).await;
    send("bob", "alice", "second").await;
    bob.until(Told::Stored, 1).await;
    alice.until(Told::Received("second".to_owned()), 1).await;
    for client in [&alice, &bob] {
        client.daemon.interrupt();
    }
    [alice.story, bob.story]
}

/// The same in virtual time.
struct Play {
    network: Network,
    stories: BTreeMap<Party, Story>,
}

impl Play {
    fn until(&mut self, client: Party, wanted: &Told, times: usize) {
        for _ in 0..2400 {
            for happening in self.network.take_happenings() {
                let story = self.stories.entry(happening.client).or_default();
                story.add(told_in_virtual_time(&happening.event));
            }
            if self
                .stories
                .get(&client)
                .is_some_and(|story| story.count(wanted) >= times)
            {
                return;
            }
            self.network.run_for(Span::from_millis(100)).unwrap();
        }
        panic!("never {wanted:?}: {:?}", self.stories);
    }
}

fn in_virtual_time() -> [Story; 2] {
    let network = Network::builder(1).mixes(3, 1).providers(2).epoch(EPOCH);
    let network = network
        .client("default", 0, 1)
        .client("default", 1, 0)
        .build()
        .unwrap();
    let clients: Vec<Party> = network.clients().collect();
    let (alice, bob) = (clients[0], clients[1]);
    let two = network.providers().nth(1).unwrap();
    let mut play = Play {
        network,
        stories: BTreeMap::new(),
    };
    assert!(play.network.bring_up(Span::from_secs(20)).unwrap());
    play.until(alice, &Told::Attached, 1);
    play.until(bob, &Told::Attached, 1);
    play.network.send(alice, bob, "first").unwrap();
    play.until(alice, &Told::Stored, 1);
    play.until(bob, &Told::Received("first".to_owned()), 1);
    for client in [alice, bob] {
        play.until(client, &Told::Documents(1), 1);
    }
    let switch = play.network.params().start_of(Epoch::new(1));
    play.network.run_until(switch + Span::from_secs(6)).unwrap();
    play.network.crash(two);
    play.until(
        bob,
        &Told::Detached("the connection to the entry provider closed".to_owned()),
        1,
    );
    play.network.run_for(Span::from_secs(2)).unwrap();
    play.network.start(two).unwrap();
    play.until(bob, &Told::Attached, 2);
    play.network.send(bob, alice, "second").unwrap();
    play.until(bob, &Told::Stored, 1);
    play.until(alice, &Told::Received("second".to_owned()), 1);
    let mut story = |client: Party| play.stories.remove(&client).unwrap();
    [story(alice), story(bob)]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_tell_one_story() {
    let [alice, bob] = in_virtual_time();
    assert_eq!(alice.count(&Told::Stored), 1);
    assert_eq!(bob.count(&Told::Attached), 2);
    let [real_alice, real_bob] = over_loopback().await;
    assert_eq!(real_alice, alice);
    assert_eq!(real_bob, bob);
}
