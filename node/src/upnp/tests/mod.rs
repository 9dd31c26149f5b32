//! The node's side against a router that is made up, over sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod router;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::router::{Answer, Router, description, done, refused, willing};
use super::*;

/// How long a test waits for what has to come.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than that.
const FOR_EVER: Duration = Duration::from_secs(300);
const TCP: &str = "/ip4/9.9.60.1/tcp/4140";
const QUIC: &str = "/ip4/9.9.60.1/udp/4141/quic-v1";

/// Forwards two ports by this router.
fn through(router: &Router, terms: Terms) -> Forwarding {
    forwarding(vec![router.location()], terms, &[TCP, QUIC])
}

fn forwarding(routers: Vec<Location>, terms: Terms, advertised: &[&str]) -> Forwarding {
    let ports = ["/ip4/0.0.0.0/tcp/4140", "/ip4/192.168.1.5/udp/4141/quic-v1"];
    let ports = ports_of(&ports.map(|text| text.parse().unwrap()));
    let advertised: Vec<Address> = advertised
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let find = async move || routers.clone();
    Forwarding::with(ports, find, terms, move || advertised.clone()).unwrap()
}

/// Waits long for answers and asks again late.
fn patient() -> Terms {
    Terms {
        patience: FOR_EVER,
        again: FOR_EVER,
        ..Terms::default()
    }
}

/// What is told first.
async fn told(forwarding: &Forwarding) -> Told {
    let mut told = forwarding.told();
    let first = told.wait_for(|told| *told != Told::default());
    let first = tokio::time::timeout(DEADLINE, first).await;
    first.expect("nothing is told").unwrap().clone()
}

async fn trouble(forwarding: &Forwarding) -> String {
    told(forwarding).await.trouble.unwrap_or_default()
}

/// Stops it, and waits for the thread itself, which has its own deadline.
async fn stopped(forwarding: Forwarding) {
    let Forwarding { stop, ended, .. } = forwarding;
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(DEADLINE, ended).await;
    assert!(ended.is_ok(), "it does not stop");
}

const NAMES: [&str; 3] = ["NewProtocol", "NewExternalPort", "NewRemoteHost"];

#[tokio::test]
async fn each_port_is_forwarded_renewed_and_closed_in_the_end() {
    let mut router = Router::new(willing).await;
    let lease = Duration::from_secs(2);
    let terms = Terms { lease, ..patient() };
    let forwarding = through(&router, terms);
    let inner = [
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    for _ in ["first", "renewed"] {
        let tcp = router.next("AddPortMapping").await;
        assert_eq!(tcp.values(NAMES), ["TCP", "4140", ""]);
        assert_eq!(tcp.values(inner), ["4140", "127.0.0.1", "1", "shoal", "2"]);
        let quic = router.next("AddPortMapping").await;
        assert_eq!(quic.values(NAMES), ["UDP", "4141", ""]);
        assert_eq!(
            quic.values(inner),
            ["4141", "192.168.1.5", "1", "shoal", "2"]
        );
    }
    let told = told(&forwarding).await;
    assert_eq!(told.trouble, None);
    assert_eq!(
        told.forwarded,
        [TCP, QUIC].map(|text| text.parse().unwrap())
    );

    stopped(forwarding).await;
    let closed = router.so_far("DeletePortMapping");
    let mut closed: Vec<_> = closed.iter().map(|asked| asked.values(NAMES)).collect();
    closed.sort_unstable();
    assert_eq!(closed, [["TCP", "4140", ""], ["UDP", "4141", ""]]);
}

#[tokio::test]
async fn a_lease_is_an_hour_and_ports_are_closed_for_who_goes_away() {
    let mut router = Router::new(willing).await;
    let forwarding = through(&router, Terms::default());
    let asked = router.next("AddPortMapping").await;
    assert_eq!(asked.value("NewLeaseDuration"), "3600");
    told(&forwarding).await;
    drop(forwarding);
    router.next("DeletePortMapping").await;
    router.next("DeletePortMapping").await;
}

#[tokio::test]
async fn a_router_that_refuses_is_told_asked_again_and_nothing_of_others_is_closed() {
    for status in [500, 200] {
        let mut router = Router::new(move |question| match question.action() {
            // Another machine has this one.
            "AddPortMapping" if question.value("NewProtocol") == "TCP" => refused(status, 718),
            _ => willing(question),
        })
        .await;
        let again = Duration::from_millis(50);
        let forwarding = through(&router, Terms { again, ..patient() });
        let told = told(&forwarding).await;
        assert_eq!(told.forwarded, [QUIC.parse().unwrap()]);
        let trouble = told.trouble.unwrap();
        let expected = "TCP 4140 is not forwarded: the router refuses";
        assert!(trouble.contains(expected), "{trouble}");
        let expected = "have the router forward TCP 4140 to this machine by hand";
        assert!(trouble.contains(expected), "{trouble}");
        assert!(
            trouble.contains(&format!("others are told {TCP}")),
            "{trouble}"
        );
        // With a lease, and without, and both again.
        router.so_far("");
        for _ in 0..6 {
            router.next("AddPortMapping").await;
        }
        stopped(forwarding).await;
        let closed = router.so_far("DeletePortMapping");
        let closed: Vec<_> = closed.iter().map(|asked| asked.values(NAMES)).collect();
        assert_eq!(closed, [["UDP", "4141", ""]]);
    }
}

#[tokio::test]
async fn a_router_that_knows_no_leases_forwards_for_always() {
    let mut router = Router::new(|question| match question.action() {
        "AddPortMapping" if question.value("NewLeaseDuration") != "0" => refused(500, 725),
        _ => willing(question),
    })
    .await;
    let lease = Duration::from_secs(2);
    let forwarding = through(&router, Terms { lease, ..patient() });
    let mut leases = Vec::new();
    while leases.len() < 6 {
        let asked = router.next("AddPortMapping").await;
        leases.push(asked.value("NewLeaseDuration").to_owned());
    }
    // Once it is known, it is asked for that alone.
    assert_eq!(leases, ["2", "0", "2", "0", "0", "0"]);
    assert_eq!(told(&forwarding).await.trouble, None);
    stopped(forwarding).await;
    assert_eq!(router.so_far("DeletePortMapping").len(), 2);
}

#[tokio::test]
async fn a_router_that_is_silent_holds_nothing_up() {
    let short = Terms {
        patience: Duration::from_millis(200),
        leave: Duration::from_millis(500),
        ..patient()
    };
    for silent in ["", "GetExternalIPAddress", "AddPortMapping"] {
        let router = Router::new(move |question| match question.action() {
            action if action == silent || action == "DeletePortMapping" => Answer::Silence,
            _ => willing(question),
        });
        let router = router.await;
        let forwarding = through(&router, short);
        let trouble = trouble(&forwarding).await;
        assert!(trouble.contains("does not answer in time"), "{trouble}");
        stopped(forwarding).await;
    }
}

#[tokio::test]
async fn who_stops_while_the_router_is_silent_does_not_wait_and_what_may_be_open_is_closed() {
    let mut router = Router::new(|question| match question.action() {
        "AddPortMapping" => Answer::Silence,
        _ => willing(question),
    })
    .await;
    let forwarding = through(&router, patient());
    router.next("AddPortMapping").await;
    stopped(forwarding).await;
    let closed = router.so_far("DeletePortMapping");
    let closed: Vec<_> = closed.iter().map(|asked| asked.values(NAMES)).collect();
    assert_eq!(closed, [["TCP", "4140", ""]]);
}

#[tokio::test]
async fn a_router_that_does_not_say_that_it_has_closed_a_port_is_not_waited_for() {
    let mut router = Router::new(|question| match question.action() {
        "DeletePortMapping" => Answer::Silence,
        _ => willing(question),
    })
    .await;
    let leave = Duration::from_millis(200);
    for alone in [false, true] {
        let forwarding = through(&router, Terms { leave, ..patient() });
        told(&forwarding).await;
        match alone {
            true => stopped(forwarding).await,
            false => forwarding.stop().await,
        }
        assert_eq!(router.so_far("DeletePortMapping").len(), 2);
    }
}

/// A description that goes as deep as an answer has room for.
fn deep() -> Answer {
    const LEVELS: usize = 1080;
    let down = "<deviceType/><friendlyName/><deviceList><a>".repeat(LEVELS);
    let up = "</a></deviceList>".repeat(LEVELS);
    let text = format!("<device>{down}<deviceType/><friendlyName/>{up}</device>");
    assert!(text.len() > 64_000 && text.len() + 100 < usize::try_from(pipe::ANSWER_MOST).unwrap());
    Answer::Says(200, text)
}

#[tokio::test]
async fn nonsense_and_answers_without_end_are_told_at_once() {
    type Asked = fn() -> Answer;
    const SAID: [(&str, Asked); 9] = [
        ("", || Answer::Says(200, String::new())),
        ("", || Answer::Says(200, "<device>".to_owned())),
        ("", || Answer::Says(200, "\u{0}\u{1}<a/>".to_owned())),
        ("", || Answer::Endless(b" ")),
        ("", || Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n<device>")),
        ("", || Answer::Endless(b"HTTP/1.1 200 OK\r\na: b\r\n")),
        ("", deep),
        ("GetExternalIPAddress", || {
            let value = "<NewExternalIPAddress>my house</NewExternalIPAddress>";
            done("GetExternalIPAddress", value)
        }),
        ("AddPortMapping", || {
            Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n<a><Body>")
        }),
    ];
    for (index, (at, said)) in SAID.into_iter().enumerate() {
        let router = Router::new(move |question| match question.action() {
            action if action == at => said(),
            _ => willing(question),
        });
        let router = router.await;
        let forwarding = through(&router, patient());
        let trouble = trouble(&forwarding).await;
        let expected = "what the router answers can't be read";
        assert!(trouble.contains(expected), "{index}: {trouble}");
        stopped(forwarding).await;
    }
}

#[tokio::test]
async fn what_is_no_router_or_has_no_outside_is_told_as_that() {
    let other = Router::new(|_| description("Dimming:1")).await;
    let cut_off = Router::new(|question| match question.action() {
        "GetExternalIPAddress" => {
            let value = "<NewExternalIPAddress>0.0.0.0</NewExternalIPAddress>";
            done("GetExternalIPAddress", value)
        }
        _ => willing(question),
    });
    let cut_off = cut_off.await;
    for router in [&other, &cut_off] {
        let forwarding = through(router, patient());
        let trouble = trouble(&forwarding).await;
        let expected = "no port is forwarded: the router has no connection to the outside";
        assert!(trouble.contains(expected), "{trouble}");
        stopped(forwarding).await;
    }

    let nobody = forwarding(Vec::new(), patient(), &[TCP, QUIC]);
    let trouble = trouble(&nobody).await;
    assert!(trouble.contains("no router answers"), "{trouble}");
    let expected = "have the router forward TCP 4140, UDP 4141 to this machine by hand";
    assert!(trouble.contains(expected), "{trouble}");
    stopped(nobody).await;

    // Beside them there may be one.
    let router = Router::new(willing).await;
    let all = [&other, &cut_off, &router].map(Router::location).to_vec();
    let forwarding = forwarding(all, patient(), &[TCP, QUIC]);
    assert_eq!(told(&forwarding).await.trouble, None);
    stopped(forwarding).await;
}

#[tokio::test]
async fn a_router_that_is_elsewhere_when_it_is_asked_again_is_looked_for() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    let first = Router::new(move |question| match gone.load(Ordering::SeqCst) {
        true => Answer::Says(404, String::new()),
        false => willing(question),
    });
    let (mut first, mut second) = (first.await, Router::new(willing).await);
    let both = [&first, &second].map(Router::location).to_vec();
    let lease = Duration::from_secs(2);
    let forwarding = forwarding(both, Terms { lease, ..patient() }, &[TCP, QUIC]);
    first.next("AddPortMapping").await;
    first.next("AddPortMapping").await;
    is_gone.store(true, Ordering::SeqCst);
    second.next("AddPortMapping").await;
    second.next("AddPortMapping").await;
    stopped(forwarding).await;
    assert_eq!(second.so_far("DeletePortMapping").len(), 2);
}

#[tokio::test]
async fn what_others_are_told_is_held_against_what_the_router_has_outside() {
    let router = Router::new(willing).await;
    let elsewhere = ["/ip4/9.9.60.2/tcp/4140", "/ip6/2620::1/tcp/4140", QUIC];
    let all = forwarding(vec![router.location()], patient(), &elsewhere);
    let trouble = trouble(&all).await;
    let expected = "others are told /ip4/9.9.60.2/tcp/4140, where";
    assert!(trouble.contains(expected), "{trouble}");
    let expected = format!("set `advertise = [\"{TCP}\", \"{QUIC}\"]`");
    assert!(trouble.contains(&expected), "{trouble}");
    stopped(all).await;

    // A second NAT before the router's.
    let behind = Router::new(|question| match question.action() {
        "GetExternalIPAddress" => {
            let value = "<NewExternalIPAddress>100.64.3.2</NewExternalIPAddress>";
            done("GetExternalIPAddress", value)
        }
        _ => willing(question),
    });
    let behind = behind.await;
    let forwarding = through(&behind, patient());
    let told = told(&forwarding).await;
    assert_eq!(told.forwarded.len(), 2);
    let trouble = told.trouble.unwrap();
    let expected = "own address of the outside, 100.64.3.2, is not public";
    assert!(trouble.contains(expected), "{trouble}");
    stopped(forwarding).await;
}

#[tokio::test]
async fn who_listens_on_nothing_that_can_be_forwarded_is_told_so() {
    let none = Forwarding::with(Vec::new(), async || Vec::new(), patient(), Vec::new);
    let none = none.unwrap();
    let trouble = trouble(&none).await;
    assert!(trouble.contains("`listen` names none"), "{trouble}");
    stopped(none).await;
}

#[tokio::test]
async fn what_is_told_changes_with_what_the_router_does() {
    let is_full = Arc::new(AtomicBool::new(false));
    let full = Arc::clone(&is_full);
    let router = Router::new(move |question| match question.action() {
        "AddPortMapping" if full.load(Ordering::SeqCst) => refused(500, 728),
        _ => willing(question),
    });
    let router = router.await;
    let terms = Terms {
        lease: Duration::from_secs(1),
        again: Duration::from_millis(50),
        ..patient()
    };
    let forwarding = through(&router, terms);
    let mut told = forwarding.told();
    for full in [false, true, false] {
        is_full.store(full, Ordering::SeqCst);
        let change = told.wait_for(|told| match full {
            true => told.trouble.is_some() && told.forwarded.is_empty(),
            false => told.trouble.is_none() && told.forwarded.len() == 2,
        });
        let change = tokio::time::timeout(DEADLINE, change).await;
        assert!(change.is_ok(), "{full}");
    }
    stopped(forwarding).await;
}
