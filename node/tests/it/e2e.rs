//! A network by hand: the commands of the README, each process a real one, on loopback.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::namespaces::Space;

/// How long anything may take that is waited for; far more than it does.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Ports of these tests: above those of demos, below those that the system gives away.
const PORTS: std::ops::Range<u16> = 28_000..32_000;
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port that is free for TCP and UDP on loopback, and not given out twice by this process.
pub(crate) fn free_port() -> u16 {
    let spread = u16::try_from(std::process::id() % 40).unwrap() * 100;
    loop {
        let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (spread + step) % (PORTS.end - PORTS.start);
        let address = ("127.0.0.1", port);
        if std::net::TcpListener::bind(address).is_ok()
            && std::net::UdpSocket::bind(address).is_ok()
        {
            return port;
        }
    }
}

/// The binary, without the environment that could configure it.
pub(crate) fn shoal(arguments: &[&str]) -> Command {
    // Whoever started the tests may have had them ignore SIGHUP. `env` becomes what it starts.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_shoal")]);
    command.args(arguments);
    alone(command)
}

/// The same on a machine of its own. The process is that of the binary.
fn shoal_on(space: &Space, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(space.within());
    command.arg(env!("CARGO_BIN_EXE_shoal")).args(arguments);
    alone(command)
}

fn alone(mut command: Command) -> Command {
    command.stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHOAL_")) {
        command.env_remove(name);
    }
    command
}

/// The shell's lines of a page, a text for each block.
pub(crate) fn sh_blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .collect()
}

/// An invitation in the network of this file by somebody who is never there.
pub(crate) fn nobodys_invitation(network: &Path) -> String {
    let params = shoal_node::config::load_network(network).unwrap();
    let keys = shoal_client::ClientKeys::generate(&mut shoal_node::seeded().unwrap());
    let first = shoal_client::DropSite {
        provider: shoal_proto::NodeId::new([7; 32]),
        drop: shoal_proto::DropId::new([8; 32]),
    };
    let invitation = shoal_client::Invitation {
        network: shoal_client::Invitation::short_network(&params.chain()),
        key: keys.public(),
        // Any sound key will do.
        prekey: keys.public(),
        sites: shoal_client::Sites {
            first,
            second: None,
        },
        once: false,
        expires: shoal_proto::Time::from_micros(4_000_000_000_000_000),
        seen: None,
    };
    invitation.to_string()
}

/// A directory with the directories of nodes and clients in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.to_its_end(shoal(arguments)).await
    }

    /// The same on a machine of its own.
    pub(crate) async fn run_on(&self, space: &Space, arguments: &[&str]) -> Output {
        self.to_its_end(shoal_on(space, arguments)).await
    }

    async fn to_its_end(&self, mut command: Command) -> Output {
        command.current_dir(self.path());
        timeout(2 * LONG, command.output())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// Runs what somebody would paste into a shell, and waits for all that it starts.
    pub(crate) async fn paste(&self, script: &str, patience: Duration) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_shoal")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &format!("set -euo pipefail\n{script}\nwait\n")]);
        bash.current_dir(self.path());
        bash.env("PATH", format!("{}:{path}", binary.display()));
        bash.process_group(0);
        bash.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = Command::from(bash).spawn().unwrap();
        let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        let ended = timeout(patience, child.wait_with_output()).await;
        // Whatever is left of it: nothing, if all went well.
        let left = kill_process_group(group, Signal::KILL);
        let output = ended.expect("it ends").unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(left.is_err(), "something goes on running");
        output
    }

    /// Runs a command that succeeds, and gives what it prints with `--json`.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.run(&arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            said(&output),
            self.logs()
        );
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// A node that listens on this port and says that it is reached at that one. Gives its id.
    pub(crate) async fn init(&self, role: &str, dir: &str, listen: u16, advertise: u16) -> String {
        let at = [listen, advertise].map(|port| format!("/ip4/127.0.0.1/tcp/{port}"));
        self.init_at(role, dir, &[at]).await
    }

    /// The same with any addresses, each with where it is reached.
    pub(crate) async fn init_at(&self, role: &str, dir: &str, at: &[[String; 2]]) -> String {
        let mut make = vec!["init", "--role", role, "--dir", dir];
        make.extend(["--network", "network.toml", "--metrics", "127.0.0.1:0"]);
        for [listen, advertise] in at {
            make.extend(["--listen", listen, "--advertise", advertise]);
        }
        let made = self.json(&make).await;
        made["node"].as_str().unwrap().to_owned()
    }

    /// Starts a daemon of this directory; its log is the file `name.log`.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Daemon {
        self.start_with(name, arguments, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_with(
        &self,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &Path)],
    ) -> Daemon {
        let mut command = shoal(arguments);
        command.envs(variables.iter().copied());
        self.daemon(name, command)
    }

    /// The same as [`Self::start`] on a machine of its own.
    pub(crate) fn start_on(&self, space: &Space, name: &str, arguments: &[&str]) -> Daemon {
        self.daemon(name, shoal_on(space, arguments))
    }

    fn daemon(&self, name: &str, mut command: Command) -> Daemon {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.file(&format!("{name}.log")))
            .unwrap();
        command.args(["--json", "--stop-with-stdin", "--dir", name]);
        command.current_dir(self.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        Daemon {
            name: name.to_owned(),
            _stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    pub(crate) fn start_node(&self, name: &str) -> Daemon {
        self.start(name, &["node", "run"])
    }

    /// Starts a client daemon and waits until it is attached.
    pub(crate) async fn start_client(&self, name: &str) -> Daemon {
        let mut daemon = self.start(name, &["daemon"]);
        daemon.event("online").await;
        daemon
    }

    /// An invitation for many by a client whose daemon is online, once who has it is heard.
    pub(crate) async fn invitation(&self, name: &str) -> String {
        let open = [
            "client",
            "wait",
            "--for",
            "open",
            "--timeout",
            "1m",
            "--dir",
            name,
        ];
        self.json(&open).await;
        let status = self.json(&["client", "status", "--dir", name]).await;
        assert_eq!(status["open"], true);
        let invite = ["contact", "invite", "--reusable", "--dir", name];
        let told = self.json(&invite).await;
        told["invitation"].as_str().unwrap().to_owned()
    }

    /// One accepts what the other made, and calls that one by its name.
    pub(crate) async fn accept(&self, who: &str, whom: &str, invitation: &str) {
        let accept = ["contact", "accept", "--label", whom, "--dir", who];
        self.json(&[&accept[..], &[invitation]].concat()).await;
    }

    /// Both have daemons that are online: the one accepts an invitation of the other, and calls that one by its name.
    pub(crate) async fn befriend(&self, who: &str, whom: &str) {
        let invitation = self.invitation(whom).await;
        self.accept(who, whom, &invitation).await;
    }

    /// An invitation by somebody in the network of `network.toml` who is never there, at a provider of nobody's.
    pub(crate) fn nobodys_invitation(&self) -> String {
        nobodys_invitation(&self.file("network.toml"))
    }

    /// What a daemon has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(&format!("{name}.log"))).unwrap_or_default()
    }

    /// The end of each log, for when something fails.
    fn logs(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.path()).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines.len().saturating_sub(5);
                let _ = writeln!(all, "{}: {}", path.display(), lines[last..].join("\n  "));
            }
        }
        all
    }
}

/// A daemon that runs. Its standard input is a pipe that ends with the test.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    _stdin: ChildStdin,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// Waits until it announces this.
    pub(crate) async fn event(&mut self, wanted: &str) -> Value {
        self.event_within(wanted, LONG).await
    }

    pub(crate) async fn event_within(&mut self, wanted: &str, patience: Duration) -> Value {
        let waiting = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).expect("a JSON object a line");
                if event["event"] == wanted {
                    return event;
                }
            }
            panic!("{} ended and was never {wanted}", self.name);
        };
        timeout(patience, waiting)
            .await
            .unwrap_or_else(|_| panic!("{} is not {wanted}", self.name))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    pub(crate) fn interrupt(&self) {
        signal(&self.child, Signal::INT);
    }

    /// Waits until it says that it stopped, and has.
    pub(crate) async fn stopped(mut self) -> ExitStatus {
        self.event("stopped").await;
        timeout(LONG, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(id.try_into().unwrap()))
        .expect("it runs");
    kill_process(pid, signal).unwrap();
}

pub(crate) fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{out}{err}", output.status)
}

const MIXES: [&str; 3] = ["mix-1", "mix-2", "mix-3"];
const PROVIDERS: [&str; 2] = ["provider-4", "provider-5"];

/// Makes and starts three mixes and two providers.
pub(crate) async fn by_hand(place: &Place) -> Vec<Daemon> {
    let mut make = vec![
        "network",
        "new",
        "--name",
        "try",
        "--out",
        "network.toml",
        "--from-dir",
    ];
    for (dir, role) in MIXES
        .iter()
        .map(|dir| (*dir, "mix"))
        .chain(PROVIDERS.iter().map(|dir| (*dir, "provider")))
    {
        let port = free_port();
        place.init(role, dir, port, port).await;
        make.push(dir);
    }
    let made = place.json(&make).await;
    assert_eq!(made["members"], 5);
    let names = MIXES.iter().chain(&PROVIDERS);
    let mut nodes: Vec<Daemon> = names.map(|name| place.start_node(name)).collect();
    let mut layers = Vec::new();
    for node in &mut nodes {
        layers.push(node.event("ready").await["layer"].as_u64());
    }
    layers.sort_unstable();
    assert_eq!(layers, [None, None, Some(1), Some(2), Some(3)]);
    nodes
}

pub(crate) async fn stop(daemons: Vec<Daemon>) {
    for daemon in &daemons {
        daemon.interrupt();
    }
    for daemon in daemons {
        let name = daemon.name.clone();
        assert_eq!(daemon.stopped().await.code(), Some(0), "{name}");
    }
}

/// What keeps a node from starting is said, with the exit code of its kind.
async fn refusals(place: &Place) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    place.init("mix", "unlucky", port, port).await;
    let output = place.run(&["node", "run", "--dir", "unlucky"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the port is taken"), "{error}");
    assert!(
        error.contains(&format!("/ip4/127.0.0.1/tcp/{port}")),
        "{error}"
    );

    let output = place.run(&["node", "run", "--dir", "mix-1"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("mix-1"), "{error}");
    assert!(error.contains("another process"), "{error}");
}

/// A copy of Bob's directory is started elsewhere: what he runs says so, by its exit codes too. Gives the
/// copy, stopped and started again as Bob.
async fn taken_over(place: &Place, bob: Daemon, send: &[&str]) -> Daemon {
    place.json(&["client", "stop", "--dir", "bob"]).await;
    assert_eq!(bob.stopped().await.code(), Some(0));
    std::fs::create_dir(place.file("copy")).unwrap();
    std::fs::set_permissions(place.file("copy"), Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(place.file("bob")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, place.file("copy").join(path.file_name().unwrap())).unwrap();
    }
    let mut bob = place.start_client("bob").await;
    // Before, nobody can tell which of the two is the newer one.
    let heard = async {
        let status = ["client", "status", "--dir", "bob"];
        let all = |status: &Value| {
            let places = status["places"].as_array().unwrap().iter();
            let mut mailboxes = places.flat_map(|place| place["mailboxes"].as_array().unwrap());
            mailboxes.all(|mailbox| mailbox["heard"] == true)
        };
        while !all(&place.json(&status).await) {}
    };
    timeout(LONG, heard).await.expect("the mailboxes listen");
    let receive = ["client", "receive", "--wait", "--timeout", "1m", "--dir"];
    let to_bob = [&receive[..], &["bob"]].concat();

    let copy = place.start_client("copy").await;
    bob.event("superseded").await;
    let output = place.run(&to_bob).await;
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    let status = place.json(&["client", "status", "--dir", "bob"]).await;
    assert_eq!(status["online"], true, "its link shows nothing");
    // That, and that two providers are too few for two mailboxes.
    assert_eq!(status["alarms"].as_array().unwrap().len(), 2, "{status}");
    place.json(send).await;
    let to_copy = [&receive[..], &["copy"]].concat();
    assert_eq!(place.json(&to_copy).await["sequence"], 1);
    bob.interrupt();
    assert_eq!(bob.stopped().await.code(), Some(10));

    place.json(&["client", "stop", "--dir", "copy"]).await;
    assert_eq!(copy.stopped().await.code(), Some(0));
    place.start_client("bob").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_by_hand_delivers_to_somebody_who_was_offline() {
    let place = Place::new();
    let mut nodes = by_hand(&place).await;
    refusals(&place).await;

    place
        .json(&[
            "client",
            "init",
            "--dir",
            "alice",
            "--network",
            "network.toml",
        ])
        .await;
    place
        .json(&[
            "client",
            "init",
            "--dir",
            "bob",
            "--network",
            "network.toml",
        ])
        .await;
    // Bob is there until he has made an invitation for one, and gone when it is used.
    let bob = place.start_client("bob").await;
    let wait = ["client", "wait", "--for", "open", "--dir", "bob"];
    place.json(&wait).await;
    let invite = ["contact", "invite", "--label", "Alice", "--dir", "bob"];
    let invited = place.json(&invite).await;
    let bobs = place.json(&["client", "status", "--dir", "bob"]).await;
    stop(vec![bob]).await;
    let alice = place.start_client("alice").await;
    place
        .accept("alice", "Bob", invited["invitation"].as_str().unwrap())
        .await;
    let send = [
        "client",
        "send",
        "--dir",
        "alice",
        "Bob",
        "Hello Bob",
        "--wait",
        "stored",
    ];
    let sent = place.json(&send).await;
    assert_eq!(sent["state"], "stored");
    assert!(sent["stored_ms"].is_u64() && sent["fragments"] == 1);

    // What is stored survives that every provider stops; Bob is away.
    stop(nodes.split_off(MIXES.len())).await;
    nodes.extend(PROVIDERS.map(|name| place.start_node(name)));
    for provider in &mut nodes[MIXES.len()..] {
        provider.event("ready").await;
    }

    let bob = place.start_client("bob").await;
    let receive = ["client", "receive", "--wait", "--timeout", "1m", "--dir"];
    let read = place.json(&[&receive[..], &["bob"]].concat()).await;
    assert_eq!(read["text"], "Hello Bob");
    assert_eq!(read["message"], sent["message"]);
    assert_eq!(read["hops"].as_array().unwrap().len(), 4);

    assert_eq!(
        (&read["name"], &read["verified"]),
        (&"Alice".into(), &false.into())
    );
    let numbers = async |dir: &str, who: &str| {
        let shown = place.json(&["contact", "show", "--dir", dir, who]).await;
        shown["safety_number"].as_str().unwrap().to_owned()
    };
    let number = numbers("alice", "Bob").await;
    assert_eq!(number, numbers("bob", "Alice").await);
    let verify = ["contact", "verify", "--dir", "bob", "Alice", "--number"];
    let verified = place.json(&[&verify[..], &[&number]].concat()).await;
    assert_eq!(verified["verified"], true);
    let differs = place.run(&[&verify[..], &["01234"]].concat()).await;
    assert_eq!(differs.status.code(), Some(1), "{}", said(&differs));
    let invitations = ["contact", "invitations", "--dir", "bob"];
    let used = place.json(&invitations).await;
    assert_eq!(used["invitations"][0]["guest"], read["from"]);
    let answer = place
        .json(&["client", "send", "--dir", "bob", "Alice", "Hello Alice"])
        .await;
    assert_eq!(answer["state"], "stored");
    let raw = [&receive[..], &["alice", "--raw", "--keep"]].concat();
    let raw = place.run(&raw).await;
    assert_eq!(raw.stdout, b"Hello Alice", "{}", said(&raw));
    let answered = place.json(&[&receive[..], &["alice"]].concat()).await;
    assert_eq!(answered["text"], "Hello Alice");
    assert_eq!(answered["from"], bobs["key"]);
    // Both sides have all of it; of what Alice wrote Bob's is not told as delivered by who has not verified her.
    for (dir, whom, own) in [
        ("alice", "Bob", [true, false]),
        ("bob", "Alice", [false, true]),
    ] {
        let history = place.json(&["client", "history", "--dir", dir, whom]).await;
        let lines = history["lines"].as_array().unwrap();
        let texts: Vec<_> = lines.iter().map(|line| &line["text"]).collect();
        assert_eq!(texts, ["Hello Bob", "Hello Alice"]);
        let whose: Vec<_> = lines.iter().map(|line| line["own"] == true).collect();
        assert_eq!(whose, own, "{history}");
        assert!(
            lines.iter().all(|line| line["state"] != "unread"),
            "{history}"
        );
    }
    let clear = ["client", "history", "--dir", "alice", "Bob", "--clear"];
    assert_eq!(place.json(&clear).await["cleared"], true);
    let history = place.json(&clear[..5]).await;
    assert_eq!(history["lines"], serde_json::json!([]));

    for name in ["alice", "bob"] {
        let status = place.json(&["client", "status", "--dir", name]).await;
        assert_eq!(status["online"], true);
        assert_eq!(status["network"], "try");
        assert_ne!(status["entry"], status["mailboxes"][0]);
        assert_eq!(status["outgoing"][0]["state"], "stored");
        // A slow disk makes the mailbox answer before it can say "stored": then it is asked again.
        let counters = &status["counters"];
        let count = |name: &str| counters[name].as_u64().unwrap();
        // Beside the text that it was accepted, and what the two agree on.
        let sent = count("sent_real") - count("retransmissions");
        assert!((1..=4).contains(&sent), "{status}");
    }

    let bob = taken_over(&place, bob, &send).await;

    let entries = ["client", "entries", "--dir", "alice"];
    let output = place.run(&entries).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("another process"), "{error}");
    let status = place.json(&["client", "status", "--dir", "alice"]).await;

    // By a signal, and by a request.
    stop(vec![alice]).await;
    let kept = place.json(&entries).await;
    assert_eq!(kept["entries"], serde_json::json!([status["entry"]]));
    assert_eq!(kept["days_left"], 89);
    let draw_again = [&entries[..], &["--draw-again"]].concat();
    assert_eq!(place.json(&draw_again).await["forgotten"], true);
    assert_eq!(place.json(&entries).await["entries"], serde_json::json!([]));
    let trust = ["client", "trust", "--dir", "alice"];
    let kept = place.json(&trust).await;
    assert!(
        kept["newest"]["height"].as_u64() >= kept["since"].as_u64(),
        "{kept}"
    );
    assert!(kept["since"].as_u64() >= Some(1), "{kept}");
    let forget = [&trust[..], &["--forget"]].concat();
    assert_eq!(place.json(&forget).await["forgotten"], true);
    assert_eq!(place.json(&trust).await["since"], serde_json::Value::Null);
    place.json(&["client", "stop", "--dir", "bob"]).await;
    assert_eq!(bob.stopped().await.code(), Some(0));
    stop(nodes).await;
}
