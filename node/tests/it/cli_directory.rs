//! `shoal directory`: of a network that runs, and of nodes that are not as they should be.

use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rustix::process::Signal;
use serde_json::Value;
use shoal_node::net::{FrameSink, Mode, NetConfig, NetEvent, NetLimits, spawn};
use shoal_node::runtime::Clock;
use shoal_packet::Frame;
use shoal_proto::{NetworkHash, NodeId, Time, wire};
use shoal_topology::{Address, Identity, NetworkParameters, Reach, Role};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::directory::Made;
use crate::e2e::{Daemon, LONG, Place, free_port, said, shoal, signal};

/// Long enough for nodes to agree while tests run beside them.
const EPOCH: &str = "20s";

/// `shoal directory watch`, line by line.
struct Watching {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = shoal(&["directory", "watch", "--json", "--network", "network.toml"]);
        command.args(arguments).current_dir(place.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next of these events, and all that came before it.
    async fn event(&mut self, wanted: &str) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        let waiting = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).expect("a JSON object a line");
                if event["event"] == wanted {
                    return event;
                }
                before.push(event);
            }
            panic!("it ended, and there was no {wanted}: {before:?}");
        };
        let event = timeout(2 * LONG, waiting).await;
        let event = event.unwrap_or_else(|_| panic!("no {wanted}"));
        (event, before)
    }
}

/// Three mixes and two providers that are ready; of five seats four decide.
async fn running(place: &Place) -> Vec<(Daemon, String)> {
    let mut make = vec!["network", "new", "--name", "dir", "--out", "network.toml"];
    make.extend(["--epoch", EPOCH, "--from-dir"]);
    let names = ["mix-1", "mix-2", "mix-3", "prov-1", "prov-2"];
    let mut sources = Vec::new();
    for name in names {
        let role = if name.starts_with("mix") {
            "mix"
        } else {
            "provider"
        };
        let port = free_port();
        let id = place.init(role, name, port, port).await;
        sources.push(format!("/ip4/127.0.0.1/tcp/{port}/p2p/{id}"));
    }
    make.extend(names);
    place.json(&make).await;
    let mut nodes = Vec::from_iter(names.iter().map(|name| place.start_node(name)));
    for node in &mut nodes {
        node.event("ready").await;
    }
    nodes.into_iter().zip(sources).collect()
}

fn id(source: &str) -> &str {
    source.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_runs_is_shown_verified_and_watched() {
    let place = Place::new();
    let nodes = running(&place).await;
    let (mix, provider) = (nodes[0].1.clone(), nodes[3].1.clone());

    let show = ["directory", "show", "--network", "network.toml"];
    let shown = place.json(&show).await;
    assert_eq!(shown["node"], id(&provider), "a provider is asked first");
    assert_eq!(shown["in_force"], true);
    let members = shown["members"].as_array().unwrap();
    let layers = Vec::from_iter(members.iter().map(|member| member["layer"].as_u64()));
    assert_eq!(layers, [None, None, Some(1), Some(2), Some(3)]);
    assert!(members.iter().all(|member| member["newcomer"] == false));
    let signed = &shown["certificate"];
    let missing = signed["missing"].as_array().unwrap().len();
    assert_eq!(
        (&signed["seats"], &signed["needed"]),
        (&5.into(), &4.into())
    );
    assert_eq!(signed["signed"].as_u64().unwrap() as usize + missing, 5);
    assert_eq!(shown["term"]["next_handover_height"], 24);
    assert!(shown["clock_ahead_secs"].as_f64().unwrap().abs() < 2.0);

    let words = place.run(&[&show[..], &["--node", &mix]].concat()).await;
    let text = said(&words);
    assert!(words.status.success(), "{text}");
    for (_, source) in &nodes {
        let address = source.split("/p2p/").next().unwrap();
        let member = |line: &str| line.starts_with(id(source)) && line.ends_with(address);
        assert!(text.lines().any(member), "{source}: {text}");
    }
    for words in [
        "5 members",
        "of 5 seats in round",
        "the next handover is at height 24",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let verified = place
        .json(&["directory", "verify", "--network", "network.toml"])
        .await;
    assert_eq!(verified["verified"], true);
    let all = verified["nodes"].as_array().unwrap();
    assert_eq!(all.len(), 5);
    let answered = |node: &Value| node["unheard"].is_null() && node["handovers_followed"] == 1;
    assert!(all.iter().all(answered), "{verified:#}");

    let mut counted = Watching::start(&place, &["--count", "2"]);
    let mut watching = Watching::start(&place, &["--node", &mix, "--node", &provider]);
    let (first, before) = watching.event("document").await;
    assert_eq!((before.len(), first["members"].as_u64()), (0, Some(5)));
    let (second, before) = watching.event("document").await;
    assert_eq!(before, Vec::<Value>::new(), "all went well");
    let next = first["height"].as_u64().map(|height| height + 1);
    assert_eq!(second["height"].as_u64(), next);
    for changed in ["came", "gone", "moved"] {
        assert_eq!(second[changed].as_array().unwrap().len(), 0, "{second}");
    }
    for _ in 0..2 {
        counted.event("document").await;
    }
    let ended = timeout(LONG, counted.child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));

    // Of five seats three are left, which is too few.
    for (node, _) in &nodes[1..3] {
        node.interrupt();
    }
    let (missing, _) = watching.event("missing").await;
    let old = missing["in_force"].as_u64().unwrap();
    assert_eq!(missing["epoch"].as_u64(), Some(old + 1));
    let shown = place.json(&show).await;
    assert_eq!(shown["in_force"], true);
    assert_eq!(shown["epoch"].as_u64(), Some(old));
    let words = said(&place.run(&show).await);
    assert!(words.contains("so it stays in force"), "{words}");
    nodes[0].0.interrupt();
    let (silent, _) = watching.event("silent").await;
    assert_eq!(silent["id"], id(&mix));
    signal(&watching.child, Signal::INT);
    let ended = timeout(LONG, watching.child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
}

/// What a made-up node does when it is asked.
#[derive(Clone)]
enum Reply {
    Bytes(Vec<u8>),
    /// The question waits for ever.
    Nothing,
    Refusal,
}

struct Deaf;

impl FrameSink for Deaf {
    fn frame(&self, _: NodeId, _: Frame) {}
    fn malformed(&self, _: NodeId) {}
}

/// A node that speaks as one of this network, and answers what it is told to. Runs as long as it is kept.
struct Fake {
    source: String,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    async fn new(network: NetworkHash, seed: u8, reply: Reply) -> Self {
        Self::at(
            network,
            &Identity::from_bytes(&[seed; 32]),
            free_port(),
            reply,
        )
        .await
    }

    async fn at(network: NetworkHash, who: &Identity, port: u16, reply: Reply) -> Self {
        let address = format!("/ip4/127.0.0.1/tcp/{port}");
        let config = NetConfig {
            secret: who.to_bytes(),
            names: network.into(),
            reach: Reach::ANY,
            clock: Clock::start(),
            mode: Mode::Node,
            listen: vec![address.parse().unwrap()],
            limits: NetLimits::default(),
        };
        let (net, mut events) = spawn(config, Arc::new(Deaf)).unwrap();
        let source = format!("{address}/p2p/{}", who.id());
        let task = tokio::spawn(async move {
            let mut waiting = Vec::new();
            while let Some(event) = events.recv().await {
                let NetEvent::Request { channel, .. } = event else {
                    continue;
                };
                match &reply {
                    Reply::Bytes(bytes) => net.respond(channel, bytes.clone()),
                    Reply::Nothing => waiting.push(channel),
                    Reply::Refusal => drop(channel),
                }
            }
        });
        Self { source, task }
    }
}

fn now() -> Time {
    Clock::start().now()
}

fn write(place: &Place, params: &NetworkParameters) {
    std::fs::write(place.file("network.toml"), params.to_toml()).unwrap();
}

async fn ask(place: &Place, command: &str, sources: &[&str], flags: &[&str]) -> Output {
    let mut arguments = vec!["directory", command, "--network", "network.toml"];
    arguments.extend(["--timeout", "2s"]);
    for source in sources {
        arguments.extend(["--node", source]);
    }
    arguments.extend(flags);
    place.run(&arguments).await
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn bytes(answer: &wire::SyncResponse) -> Reply {
    Reply::Bytes(answer.encode_to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_did_not_sign_newcomers_and_whose_turn_it_was_are_shown() {
    let place = Place::new();
    let mut made = Made::new(now(), 3, 24);
    let mix = made.mix();
    let node = made.remove(&mix);
    // The one in force lists a mix that the one before does not.
    made.documents.truncate(1);
    made.next(1);
    made.network.nodes.insert(mix, node);
    let document = made.next(2);
    let provider = made.network.ids(Role::Provider).next().unwrap();
    made.remove(&provider);
    write(&place, &made.network.params);
    let network = made.network.params.hash();
    let fake = Fake::new(network, 1, bytes(&made.answer(now(), &made.documents))).await;
    let output = ask(&place, "show", &[&fake.source], &["--json"]).await;
    let shown = object(&output);
    assert_eq!(shown["hash"], document.hash().to_string());
    let signed = &shown["certificate"];
    assert_eq!(signed["missing"], serde_json::json!([provider]));
    assert_eq!(
        (&signed["signed"], &signed["seats"]),
        (&7.into(), &8.into())
    );
    assert_eq!(shown["proposed_in_round"], 0);
    assert!(shown["proposer"].is_string(), "{shown:#}");
    assert_eq!(shown["chain"].as_array().unwrap().len(), 3);
    let members = shown["members"].as_array().unwrap();
    let newcomers = members.iter().filter(|member| member["newcomer"] == true);
    let newcomers = Vec::from_iter(newcomers.map(|member| &member["id"]));
    assert_eq!(newcomers, [&mix.to_string()]);
    let words = said(&ask(&place, "show", &[&fake.source], &[]).await);
    let new = format!("{:<44}  mix       new", mix.to_string());
    for part in [&new, &format!("not by   {provider}"), "1 of them new"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_contradict_each_other_end_it_with_twelve() {
    let place = Place::new();
    let mut made = Made::new(now(), 2, 24);
    let mix = made.mix();
    made.network.nodes.get_mut(&mix).unwrap().capacity_class = 7;
    let one = made.documents.clone();
    let other = made.after(Some(Arc::clone(&one[0])), 1);
    write(&place, &made.network.params);
    let network = made.network.params.hash();
    let forked = [Arc::clone(&one[0]), Arc::clone(&other)];
    let [one_side, other_side] = [&one[..], &forked].map(|it| bytes(&made.answer(now(), it)));
    let honest = Fake::new(network, 1, one_side).await;
    let liar = Fake::new(network, 2, other_side).await;
    let both = [honest.source.as_str(), liar.source.as_str()];

    let alone = ask(&place, "verify", &both[..1], &["--json"]).await;
    assert_eq!(alone.status.code(), Some(0), "{}", said(&alone));
    let output = ask(&place, "verify", &both, &["--json"]).await;
    assert_eq!(output.status.code(), Some(12), "{}", said(&output));
    let verified = object(&output);
    assert_eq!(verified["verified"], false);
    let found = verified["contradictions"].as_array().unwrap();
    let hashes = [one[1].hash().to_string(), other.hash().to_string()];
    for clash in found {
        let clash = clash.as_str().unwrap();
        assert!(hashes.iter().all(|hash| clash.contains(hash)), "{clash}");
    }
    assert_eq!(found.len(), 2, "of a height and of an epoch");
    let words = ask(&place, "verify", &both, &[]).await;
    let (out, err) = (&words.stdout, &words.stderr);
    assert!(String::from_utf8_lossy(out).contains("CONTRADICTION: two documents of height 2"));
    assert!(String::from_utf8_lossy(err).contains("Send nothing over this network"));

    let watched = ask(&place, "watch", &both, &["--json", "--count", "1"]).await;
    assert_eq!(watched.status.code(), Some(12), "{}", said(&watched));
    let told = String::from_utf8_lossy(&watched.stdout).into_owned();
    let contradictions = told.lines().filter(|line| line.contains("contradiction"));
    assert_eq!(contradictions.count(), 2, "{told}");

    // One node that shows both.
    let all = [Arc::clone(&one[0]), Arc::clone(&one[1]), other];
    let torn = Fake::new(network, 3, bytes(&made.answer(now(), &all))).await;
    let output = ask(&place, "show", &[&torn.source], &[]).await;
    assert_eq!(output.status.code(), Some(12), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_is_not_shown() {
    let place = Place::new();
    let made = Made::new(now(), 2, 24);
    write(&place, &made.network.params);
    let network = made.network.params.hash();
    let good = made.answer(now(), &made.documents);
    let mut forged = good.clone();
    *forged.documents[1].last_mut().unwrap() ^= 1;
    let mut leap = good.clone();
    leap.handovers.clear();
    let elsewhere = Made::new(now(), 2, 23);
    assert_ne!(elsewhere.network.params.hash(), network);
    let foreign = elsewhere.answer(now(), &elsewhere.documents);
    let garbage = wire::SyncResponse {
        documents: vec![vec![0xff; 1000]],
        ..good.clone()
    };
    let cases = [
        (forged, "signature"),
        (leap, "the handover at height 1 is missing"),
        (foreign, "not the document that was asked for"),
        (garbage, "not the canonical encoding"),
    ];
    for (seed, (answer, words)) in (1..).zip(cases) {
        let fake = Fake::new(network, seed, bytes(&answer)).await;
        let output = ask(&place, "show", &[&fake.source], &[]).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(12), "{words}: {}", said(&output));
        assert!(
            error.contains("does not verify") && error.contains(words),
            "{error}"
        );
        assert!(output.stdout.is_empty());
        let output = ask(&place, "verify", &[&fake.source], &["--json"]).await;
        assert_eq!(output.status.code(), Some(12), "{}", said(&output));
        let verified = object(&output);
        let fault = verified["nodes"][0]["fault"].as_str().unwrap();
        assert!(fault.contains(words), "{fault}");
    }
    // Nothing at all is no lie.
    let empty = wire::SyncResponse {
        now_us: now().as_micros(),
        ..Default::default()
    };
    let fake = Fake::new(network, 9, bytes(&empty)).await;
    for command in ["show", "verify"] {
        let output = ask(&place, command, &[&fake.source], &[]).await;
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        assert!(said(&output).contains("document yet"), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_slow_or_another_is_told_apart_and_nothing_hangs() {
    let place = Place::new();
    let made = Made::new(now(), 1, 24);
    write(&place, &made.network.params);
    let network = made.network.params.hash();
    let good = bytes(&made.answer(now(), &made.documents));
    let other = NetworkHash::new([7; 32]);
    let nonsense = Fake::new(network, 1, Reply::Bytes(vec![0xff; 5000])).await;
    let nothing = Fake::new(network, 2, Reply::Nothing).await;
    let refusal = Fake::new(network, 3, Reply::Refusal).await;
    let foreign = Fake::new(other, 4, good.clone()).await;
    let right = Fake::new(network, 5, good).await;
    let (address, _) = right.source.split_once("/p2p/").unwrap();
    let another = format!("{address}/p2p/{}", id(&nonsense.source));
    let dead = format!(
        "/ip4/127.0.0.1/tcp/{}/p2p/{}",
        free_port(),
        id(&nonsense.source)
    );
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    let mute_source = format!(
        "/ip4/127.0.0.1/tcp/{mute_port}/p2p/{}",
        id(&nonsense.source)
    );
    let hash = format!("of another network, whose hash is {other}");
    let cases = [
        (nonsense.source.as_str(), "its answer makes no sense"),
        (&nothing.source, "it has not answered within 2s"),
        (&refusal.source, "it refused to answer"),
        (&foreign.source, &hash),
        (&another, "another node answers at its address"),
        (&dead, "nobody answers there"),
        (&mute_source, "it has not been connected within 2s"),
    ];
    for (source, words) in cases {
        let sources = [source];
        let asking = ask(&place, "show", &sources, &["--json"]);
        let output = timeout(Duration::from_secs(20), asking).await;
        let output = output.unwrap_or_else(|_| panic!("{words}: it hangs"));
        assert_eq!(output.status.code(), Some(3), "{words}: {}", said(&output));
        let error = object(&output)["error"].clone();
        assert_eq!(error["kind"], "unreachable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{words}: {message}");
        // One that answers is heard in spite of it.
        let output = ask(&place, "show", &[source, &right.source], &[]).await;
        assert_eq!(output.status.code(), Some(0), "{words}: {}", said(&output));
        let output = ask(&place, "verify", &[source, &right.source], &["--json"]).await;
        assert_eq!(output.status.code(), Some(3), "{words}: {}", said(&output));
        let verified = object(&output);
        assert_eq!(verified["verified"], true);
        assert!(
            verified["nodes"][0]["unheard"]
                .as_str()
                .unwrap()
                .contains(words)
        );
    }
}

/// Without `--node`, the network's file says whom to ask: providers first, and the next if one is not there.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_members_are_asked_in_turn() {
    let place = Place::new();
    let mut made = Made::new(now(), 1, 24);
    let mut params = (*made.network.params).clone();
    let mut ports = Vec::new();
    for member in &mut params.genesis_members {
        let port = free_port();
        ports.push((member.role, member.id, port));
        let port = port.try_into().unwrap();
        member.addresses = vec![Address::tcp([127, 0, 0, 1].into(), port)];
    }
    made.network.params = Arc::new(params);
    made.documents.clear();
    made.next(0);
    write(&place, &made.network.params);
    let reply = bytes(&made.answer(now(), &made.documents));
    let network = made.network.params.hash();
    let silent = ask(&place, "show", &[], &[]).await;
    assert_eq!(silent.status.code(), Some(3), "{}", said(&silent));
    let error = said(&silent);
    assert_eq!(error.matches("nobody answers there").count(), 8, "{error}");
    let mut there = Vec::new();
    for role in [Role::Mix, Role::Provider] {
        let (_, id, port) = ports.iter().rfind(|(its, ..)| *its == role).unwrap();
        let identity = &made.network.nodes[id].identity;
        there.push(Fake::at(network, identity, *port, reply.clone()).await);
        let output = ask(&place, "show", &[], &["--json"]).await;
        assert_eq!(object(&output)["node"], id.to_string(), "{}", said(&output));
    }
    let output = ask(&place, "verify", &[], &["--nodes", "2", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let verified = object(&output);
    let unheard = Vec::from_iter(
        verified["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["unheard"].is_string()),
    );
    assert_eq!(unheard, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_before_anybody_is_asked() {
    let place = Place::new();
    let output = ask(&place, "show", &[], &[]).await;
    assert_eq!(output.status.code(), Some(2), "no file: {}", said(&output));
    write(&place, &Made::new(now(), 1, 24).network.params);
    let id = Identity::from_bytes(&[1; 32]).id();
    let node = format!("/ip4/127.0.0.1/tcp/1/p2p/{id}");
    for (command, arguments) in [
        ("show", vec!["--node", "/ip4/127.0.0.1/tcp/1"]),
        ("show", vec!["--timeout", "1h"]),
        ("verify", vec!["--node", &node, "--nodes", "3"]),
        ("watch", vec!["--count", "0"]),
    ] {
        let mut all = vec!["directory", command, "--network", "network.toml"];
        all.extend(&arguments);
        let output = place.run(&all).await;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}
