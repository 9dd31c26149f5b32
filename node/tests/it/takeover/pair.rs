//! Two processes of one provider, with directories of their own and one database, as an operator runs them: they take over
//! from each other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use super::server::Server;
use crate::e2e::{Daemon, LONG, Place, free_port, said, stop};

/// How long a takeover may take here, far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network of three mixes and three providers, of which the last is a pair.
struct World {
    place: Place,
    server: Server,
    nodes: Vec<Daemon>,
}

const PAIR: [&str; 2] = ["left", "right"];

impl World {
    /// With all but the pair running. The two listen at one address, as with one that moves along, or at two.
    async fn new(server: Server, one_address: bool) -> Self {
        let place = Place::new();
        let mut make = vec!["network", "new", "--name", "pair", "--out", "network.toml"];
        make.push("--from-dir");
        for (dir, role) in [
            ("mix-1", "mix"),
            ("mix-2", "mix"),
            ("mix-3", "mix"),
            ("entry", "provider"),
            ("other-mail", "provider"),
            (PAIR[0], "provider"),
        ] {
            let port = free_port();
            place.init(role, dir, port, port).await;
            make.push(dir);
        }
        place.json(&make).await;
        let names = ["mix-1", "mix-2", "mix-3", "entry", "other-mail"];
        let nodes = names.iter().map(|name| place.start_node(name)).collect();
        let world = Self {
            place,
            server,
            nodes,
        };
        // What an operator does for the second.
        if one_address {
            world.copy(&["shoal.toml", "identity.key"]);
        } else {
            let port = free_port();
            world.place.init("provider", PAIR[1], port, port).await;
            fs::remove_file(world.file(PAIR[1], "identity.key")).unwrap();
            world.copy(&["identity.key"]);
        }
        world
    }

    fn file(&self, dir: &str, name: &str) -> std::path::PathBuf {
        self.place.file(dir).join(name)
    }

    fn copy(&self, names: &[&str]) {
        use std::os::unix::fs::PermissionsExt as _;
        let to = self.place.file(PAIR[1]);
        if !to.exists() {
            fs::create_dir(&to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
        }
        for name in names {
            fs::copy(self.file(PAIR[0], name), to.join(name)).unwrap();
        }
    }

    fn start(&self, name: &str) -> Daemon {
        let variables = [
            ("SHOAL_STORAGE_ENGINE", Path::new("postgres")),
            ("SHOAL_STORAGE_POSTGRES", Path::new(&self.server.connection)),
            (
                "SHOAL_STORAGE_POSTGRES_SCHEMA",
                Path::new(&self.server.schema),
            ),
        ];
        self.place.start_with(name, &["node", "run"], &variables)
    }

    /// The pair, of which the first is ready and the second waits.
    async fn start_pair(&self) -> (Daemon, Daemon) {
        let mut first = self.start(PAIR[0]);
        first.event("ready").await;
        self.copy(&["store.key", "tokens.key"]);
        let mut second = self.start(PAIR[1]);
        let waits = second.event("not_ready").await;
        assert!(
            waits["reasons"]
                .as_str()
                .unwrap()
                .contains("another process")
        );
        (first, second)
    }

    async fn status(&self, dir: &str) -> Value {
        let status = ["node", "status", "--dir", dir, "--json"];
        let output = self.place.run(&status).await;
        assert!(!output.stdout.is_empty(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn id(&self, dir: &str) -> String {
        self.status(dir).await["node"].as_str().unwrap().to_owned()
    }

    /// Alice, who has nothing to do with the pair, and Bob, who has his mailbox there and whom she knows.
    async fn clients(&self, pair: &str) -> (Daemon, Daemon) {
        let entry = self.id("entry").await;
        let other = self.id("other-mail").await;
        for (name, mailbox) in [("alice", other.as_str()), ("bob", pair)] {
            let init = ["client", "init", "--network", "network.toml", "--dir", name];
            let at = ["--entry", &entry, "--mailbox", mailbox];
            self.place.json(&[&init[..], &at[..]].concat()).await;
        }
        let alice = self.place.start_client("alice").await;
        let bob = self.place.start_client("bob").await;
        self.place.befriend("alice", "bob").await;
        (alice, bob)
    }

    async fn stored(&self, text: &str) {
        let send = [
            "client", "send", "--dir", "alice", "bob", text, "--wait", "stored",
        ];
        self.place.json(&send).await;
    }

    /// Waits until Bob has this.
    async fn received(&self, text: &str) {
        let receive = [
            "client",
            "receive",
            "--wait",
            "--timeout",
            "1m",
            "--dir",
            "bob",
        ];
        let output = self.place.run(&receive).await;
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(words.contains(text), "{}", said(&output));
    }

    /// The numbers of the own descriptor, and the epochs' keys, as the database has them.
    fn kept(&self) -> (u64, String) {
        let number = self.server.sql(
            "SELECT encode(value, 'hex') FROM @.state_rows WHERE kind = 'meta' AND convert_from(key, 'UTF8') = 'sequence'",
        );
        let keys = self.server.sql(
            "SELECT string_agg(encode(key, 'hex') || encode(value, 'hex'), ',' ORDER BY key) FROM @.state_rows \
             WHERE kind = 'key'",
        );
        (u64::from_str_radix(&number, 16).unwrap(), keys)
    }

    fn tags(&self) -> u64 {
        let tags = "SELECT coalesce(sum(length(tags)) / 32, 0) FROM @.tag_batches";
        self.server.sql(tags).parse().unwrap()
    }
}

/// Kills the one, and gives how long it takes until the other is ready.
async fn takes_over(dying: Daemon, next: &mut Daemon) -> Duration {
    dying.signal(Signal::KILL);
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let killed = std::time::Instant::now();
    next.event_within("ready", PATIENCE).await;
    drop(dying);
    killed.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_killed_goes_on_as_the_other_process() {
    let Some(server) = Server::new() else { return };
    let world = World::new(server, true).await;
    let (mut active, mut waiting) = world.start_pair().await;
    let id = world.id(PAIR[0]).await;
    let (alice, bob) = world.clients(&id).await;
    // He is away when it is sent.
    world.place.json(&["client", "stop", "--dir", "bob"]).await;
    assert_eq!(bob.stopped().await.code(), Some(0));
    for round in 0..4 {
        let text = format!("message {round}");
        world.stored(&text).await;
        let (number, keys) = world.kept();
        let tags = world.tags();
        assert!(tags > 0, "packets came");
        let took = takes_over(active, &mut waiting).await;
        println!(
            "takeover {round}: ready {} ms after the kill",
            took.as_millis()
        );
        let status = world.status(PAIR[(round + 1) % 2]).await;
        assert_eq!(
            (&status["ready"], &status["node"]),
            (&true.into(), &id.as_str().into())
        );
        let (number_after, keys_after) = world.kept();
        assert!(number_after >= number, "{number_after} after {number}");
        assert_eq!(keys_after, keys, "the keys of the epochs are the same");
        assert!(world.tags() >= tags, "no tag is lost");
        // The other stands by from now on.
        active = waiting;
        waiting = world.start(PAIR[round % 2]);
        waiting.event("not_ready").await;
        let bob = world.place.start_client("bob").await;
        world.received(&text).await;
        world.place.json(&["client", "stop", "--dir", "bob"]).await;
        assert_eq!(bob.stopped().await.code(), Some(0));
    }
    // What is stopped in good order is taken over as well.
    active.interrupt();
    waiting.event_within("ready", PATIENCE).await;
    assert_eq!(active.stopped().await.code(), Some(0));
    stop(vec![waiting, alice]).await;
    stop(world.nodes).await;
}

/// A process that hangs while its connections are cut is overtaken; when it goes on, it notices, and stands by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hung_and_goes_on_stands_by() {
    let Some(server) = Server::new() else { return };
    let world = World::new(server, false).await;
    let (mut first, mut second) = world.start_pair().await;
    let (before, _) = world.kept();
    first.signal(Signal::STOP);
    world.server.cut(true);
    second.event_within("ready", PATIENCE).await;
    // It says where it is, by the next number.
    wait_until(|| world.kept().0 > before).await;
    let (number, keys) = world.kept();
    first.signal(Signal::CONT);
    // It may miss its neighbours first.
    loop {
        let told = first.event("not_ready").await;
        if told["reasons"]
            .as_str()
            .unwrap()
            .contains("another process")
        {
            break;
        }
    }
    let log = world.place.log(PAIR[0]);
    assert!(log.contains("another process has taken over"), "{log}");
    // It has written nothing, and the other goes on.
    assert_eq!(world.kept(), (number, keys));
    assert_eq!(world.status(PAIR[1]).await["ready"], true);
    // And back.
    let took = takes_over(second, &mut first).await;
    println!(
        "after it hung: ready {} ms after the kill",
        took.as_millis()
    );
    wait_until(|| world.kept().0 > number).await;
    stop(vec![first]).await;
    stop(world.nodes).await;
}

/// Each process has an address of its own, as on two machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_at_another_address_is_told_to_the_others() {
    let Some(server) = Server::new() else { return };
    let world = World::new(server, false).await;
    let (first, mut second) = world.start_pair().await;
    let id = world.id(PAIR[0]).await;
    let (alice, bob) = world.clients(&id).await;
    let (number, _) = world.kept();
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let killed = std::time::Instant::now();
    let took = takes_over(first, &mut second).await;
    println!(
        "at another address: ready {} ms after the kill",
        took.as_millis()
    );
    world.stored("after").await;
    world.received("after").await;
    println!(
        "at another address: a message through it {} ms after the kill",
        killed.elapsed().as_millis()
    );
    // It says where it is now.
    wait_until(|| world.kept().0 > number).await;
    stop(vec![second, alice, bob]).await;
    stop(world.nodes).await;
}

/// What a directory lacks is said, and nothing is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_without_the_right_files_says_what_to_copy() {
    let Some(server) = Server::new() else { return };
    let world = World::new(server, true).await;
    let mut first = world.start(PAIR[0]);
    first.event("ready").await;
    let run = async |dir: &str| {
        let mut command = crate::e2e::shoal(&["node", "run", "--dir", dir]);
        command.current_dir(world.place.path());
        command.env("SHOAL_STORAGE_ENGINE", "postgres");
        command.env("SHOAL_STORAGE_POSTGRES", &world.server.connection);
        command.env("SHOAL_STORAGE_POSTGRES_SCHEMA", &world.server.schema);
        let output = timeout(LONG, command.output())
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = run(PAIR[1]).await;
    assert!(error.contains("copy store.key"), "{error}");
    assert!(!world.file(PAIR[1], "store.key").exists(), "none was made");
    // Another one.
    fs::copy(world.file(PAIR[0], "store.key"), world.place.file("kept")).unwrap();
    world
        .place
        .init("provider", "other", free_port(), free_port())
        .await;
    let sqlite = world.place.start_node("other");
    wait_until(|| world.file("other", "store.key").exists()).await;
    drop(sqlite);
    fs::copy(
        world.file("other", "store.key"),
        world.file(PAIR[1], "store.key"),
    )
    .unwrap();
    let error = run(PAIR[1]).await;
    assert!(error.contains("sealed with another key"), "{error}");
    // What has mailboxes in a file and not their key.
    fs::remove_file(world.file("other", "store.key")).unwrap();
    let output = world.place.run(&["node", "run", "--dir", "other"]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("store.key does not exist"), "{error}");
    assert!(!world.file("other", "store.key").exists(), "none was made");
    // The one that was in PostgreSQL does not go on in files.
    first.interrupt();
    assert_eq!(first.stopped().await.code(), Some(0));
    let output = world.place.run(&["node", "run", "--dir", PAIR[0]]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("state-in-postgres"), "{error}");
    stop(world.nodes).await;
}

async fn wait_until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, waiting).await.expect("in time");
}
