//! A provider at home: behind a router that translates addresses, with its port forwarded. It listens on a private
//! address, and advertises the router's.

use serde_json::Value;

use crate::e2e::{Daemon, Place, said};
use crate::namespaces::{Space, can_be_had};

/// The others, who are all on one machine of the internet.
const OTHERS: [(&str, &str, &str); 4] = [
    ("mix", "mix-1", "9.9.1.9"),
    ("mix", "mix-2", "9.9.2.9"),
    ("mix", "mix-3", "9.9.3.9"),
    ("provider", "provider-4", "9.9.4.9"),
];
const HOME: &str = "home";
/// Where the router is outside, and where the provider is at home.
const OUTSIDE: &str = "9.9.60.1";
const INSIDE: &str = "192.168.7.2";

/// What a router at home does: it hides who is behind it, lets nobody in, and forwards one port.
const RULES: &str = "
table ip home {
    chain forwarded {
        type nat hook prerouting priority -100
        iifname out tcp dport 4140 dnat to 192.168.7.2
        iifname out udp dport 4140 dnat to 192.168.7.2
    }
    chain hidden {
        type nat hook postrouting priority 100
        oifname out masquerade
    }
    chain in {
        type filter hook forward priority 0; policy drop
        ct state established,related accept
        ct status dnat accept
        iifname home accept
    }
}
";

/// The internet, and a home with a router.
struct Machines {
    world: Space,
    router: Space,
    home: Space,
}

impl Machines {
    fn new() -> Self {
        let (world, router, home) = (Space::new(), Space::router(), Space::new());
        for (_, _, ip) in OTHERS {
            world.ip(&format!("addr add {ip}/32 dev lo"));
        }
        let ends = |one: &str, other: &str| [[format!("{one}/24"), format!("{other}/24")]];
        router.cable(&world, ("out", "line"), &ends(OUTSIDE, "9.9.60.2"));
        home.cable(&router, ("out", "home"), &ends(INSIDE, "192.168.7.1"));
        router.ip("route add default via 9.9.60.2");
        home.ip("route add default via 192.168.7.1");
        router.run("nft", &[RULES]);
        Self {
            world,
            router,
            home,
        }
    }

    fn of(&self, name: &str) -> &Space {
        if name == HOME {
            &self.home
        } else {
            &self.world
        }
    }
}

async fn init(place: &Place, role: &str, dir: &str, at: [&str; 2]) {
    let on = |transport| at.map(|ip| format!("/ip4/{ip}/{transport}"));
    let at = ["tcp/4140", "udp/4140/quic-v1"].map(on);
    place.init_at(role, dir, &at).await;
}

/// Three mixes, and two providers of whom one is at home.
async fn network(place: &Place, machines: &Machines) -> Vec<Daemon> {
    let mut make = vec![
        "network",
        "new",
        "--name",
        "nat",
        "--out",
        "network.toml",
        "--from-dir",
    ];
    for (role, dir, ip) in OTHERS {
        init(place, role, dir, [ip, ip]).await;
        make.push(dir);
    }
    init(place, "provider", HOME, [INSIDE, OUTSIDE]).await;
    make.push(HOME);
    place.json(&make).await;
    let names = OTHERS.iter().map(|(_, dir, _)| *dir).chain([HOME]);
    let start = |name| place.start_on(machines.of(name), name, &["node", "run"]);
    let mut nodes: Vec<Daemon> = names.map(start).collect();
    for node in &mut nodes {
        node.event("ready").await;
    }
    nodes
}

/// How many of the others answer where they say to be, from the outside.
async fn members_that_answer(place: &Place, machines: &Machines) -> String {
    let doctor = ["node", "doctor", "--dir", "mix-1", "--json"];
    let output = place.run_on(&machines.world, &doctor).await;
    let examined: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = examined["findings"].as_array().unwrap().iter();
    let told = findings.filter_map(|one| one["what"].as_str());
    let mut told = told.filter(|what| what.contains("first members that were asked"));
    let told = told.next().unwrap_or_else(|| panic!("{}", said(&output)));
    told.to_owned()
}

/// A client on the internet with these providers.
async fn client(
    place: &Place,
    machines: &Machines,
    (name, entry, mailbox): (&str, &str, &str),
) -> Daemon {
    let mut init = vec!["client", "init", "--network", "network.toml"];
    init.extend(["--dir", name, "--entry", entry, "--mailbox", mailbox]);
    place.json(&init).await;
    let mut daemon = place.start_on(&machines.world, name, &["daemon"]);
    daemon.event("online").await;
    daemon
}

async fn id(place: &Place, name: &str) -> String {
    let status = place.json(&["node", "status", "--dir", name]).await;
    assert_eq!(status["ready"], true, "{status:#}");
    status["node"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_behind_a_router_with_a_forwarded_port_works() {
    if !can_be_had(&["nft"]) {
        return;
    }
    let (place, machines) = (Place::new(), Machines::new());
    let mut daemons = network(&place, &machines).await;
    let told = members_that_answer(&place, &machines).await;
    assert!(told.starts_with("4 of 4"), "{told}");
    let (home, other) = (id(&place, HOME).await, id(&place, "provider-4").await);

    // Alice comes in at home, and Bob's mailbox is there.
    let alice = client(&place, &machines, ("alice", &home, &other)).await;
    let bob = client(&place, &machines, ("bob", &other, &home)).await;
    place.befriend("alice", "bob").await;
    let send = [
        "client",
        "send",
        "--dir",
        "alice",
        "bob",
        "from home",
        "--wait",
        "stored",
    ];
    assert_eq!(place.json(&send).await["state"], "stored");
    let receive = [
        "client",
        "receive",
        "--dir",
        "bob",
        "--wait",
        "--timeout",
        "1m",
    ];
    assert_eq!(place.json(&receive).await["text"], "from home");

    // Without the port nobody comes in.
    machines
        .router
        .run("nft", &["flush chain ip home forwarded"]);
    let told = members_that_answer(&place, &machines).await;
    assert!(told.starts_with("3 of 4"), "{told}");
    daemons.extend([alice, bob]);
    for daemon in &daemons {
        daemon.interrupt();
    }
    for daemon in daemons {
        assert_eq!(daemon.stopped().await.code(), Some(0));
    }
}
