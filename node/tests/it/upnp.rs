//! A node at home that has its router forward its ports: found by a question to the whole home network, asked, and told
//! to stop. The router is made up, on a machine of its own.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::e2e::{LONG, Place, free_port};
use crate::namespaces::{Space, can_be_had};

const ROUTER: &str = "192.168.7.1";
const HOME: &str = "192.168.7.2";
const OUTSIDE: &str = "9.9.60.1";
/// Where machines ask for others of a kind.
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// Says to who looks for a router that there is one here, and where it is described.
async fn answer_searches(socket: UdpSocket, port: u16) {
    let mut buffer = [0; 1024];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let asked = String::from_utf8_lossy(&buffer[..length]);
        assert!(asked.starts_with("M-SEARCH"), "{asked}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nLOCATION: http://{ROUTER}:{port}/it.xml\r\nSERVER: it\r\nUSN: it\r\n\
             ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
        );
        let sender = UdpSocket::bind((ROUTER, 0)).await.unwrap();
        sender.send_to(answer.as_bytes(), from).await.unwrap();
    }
}

/// Does what routers do, and tells what it was asked.
async fn answer_questions(listener: TcpListener, tell: mpsc::Sender<String>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        let answer = if question.starts_with("GET ") {
            let service = "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
                 <serviceId>it</serviceId><SCPDURL>/it</SCPDURL><controlURL>/it</controlURL>\
                 <eventSubURL>/it</eventSubURL></service>";
            format!(
                "<root><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>\
                 <friendlyName>it</friendlyName><serviceList>{service}</serviceList></device></root>"
            )
        } else {
            let value = format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>");
            format!("<Envelope><Body><Response>{value}</Response></Body></Envelope>")
        };
        let length = answer.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Who asks no more has gone.
        let _ = tell.send(question).await;
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        text += std::str::from_utf8(&piece[..length]).unwrap();
        let is_whole = text.starts_with("GET ") && text.ends_with("\r\n\r\n");
        if is_whole || text.contains("</s:Envelope>") || length == 0 {
            return text;
        }
    }
}

/// The next two questions with this action: which ports they are for, in order.
async fn asked(questions: &mut mpsc::Receiver<String>, action: &str) -> Vec<String> {
    let mut ports = Vec::new();
    while ports.len() < 2 {
        let question = timeout(LONG, questions.recv()).await;
        let question = question.unwrap_or_else(|_| panic!("nobody asks for {action}"));
        let question = question.unwrap();
        if question.contains(&format!("<u:{action} ")) {
            let value = |name: &str| {
                let (_, rest) = question.split_once(&format!("<{name}>")).unwrap();
                rest.split_once('<').unwrap().0.to_owned()
            };
            let (protocol, port) = (value("NewProtocol"), value("NewExternalPort"));
            match action {
                "AddPortMapping" => {
                    let client = value("NewInternalClient");
                    ports.push(format!("{protocol} {port} to {client}"));
                }
                _ => ports.push(format!("{protocol} {port}")),
            }
        }
    }
    ports.sort_unstable();
    ports
}

/// A network's file whose nodes are all on the one machine; the last of them is at home.
async fn network(place: &Place, port: u16) {
    let mut make = vec!["network", "new", "--name", "home", "--out", "network.toml"];
    let nodes = ["mix-1", "mix-2", "mix-3", "provider-4", "provider-5"];
    for (name, number) in nodes.into_iter().zip(1..) {
        let role = name.split_once('-').unwrap().0;
        let outside = format!("9.9.{number}.9");
        let (listen, advertise) = match name {
            "provider-5" => ("0.0.0.0", OUTSIDE),
            _ => (outside.as_str(), outside.as_str()),
        };
        let on = |ip: &str, rest: String| format!("/ip4/{ip}/{rest}");
        let at = [format!("tcp/{port}"), format!("udp/{port}/quic-v1")];
        let at = at.map(|rest| [on(listen, rest.clone()), on(advertise, rest)]);
        place.init_at(role, name, &at).await;
        make.extend(["--from-dir", name]);
    }
    place.json(&make).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_at_home_is_found_asked_told_and_asked_to_stop() {
    if !can_be_had(&[]) {
        return;
    }
    let (place, router, home) = (Place::new(), Space::router(), Space::new());
    home.cable(
        &router,
        ("out", "home"),
        &[[format!("{HOME}/24"), format!("{ROUTER}/24")]],
    );
    home.ip(&format!("route add default via {ROUTER}"));
    let port = free_port();
    network(&place, port).await;
    let file = place.file("provider-5/shoal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nupnp = false\n"));
    std::fs::write(&file, text.replace("\nupnp = false\n", "\nupnp = true\n")).unwrap();

    let (tell, mut questions) = mpsc::channel(64);
    let there = router.runtime();
    let (bound, told) = tokio::sync::oneshot::channel();
    let serving = async move {
        let listener = TcpListener::bind((ROUTER, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = UdpSocket::bind((EVERYBODY, 1900)).await.unwrap();
        let here = ROUTER.parse().unwrap();
        socket.join_multicast_v4(EVERYBODY, here).unwrap();
        bound.send(()).unwrap();
        tokio::join!(
            answer_questions(listener, tell),
            answer_searches(socket, port)
        );
    };
    let serving = tokio::spawn(async move { there.run(serving).await });
    told.await.unwrap();

    let node = place.start_on(&home, "provider-5", &["node", "run"]);
    let ports = [format!("TCP {port}"), format!("UDP {port}")];
    let opened = asked(&mut questions, "AddPortMapping").await;
    assert_eq!(
        opened,
        ports.clone().map(|port| format!("{port} to {HOME}"))
    );

    let asking = async {
        loop {
            let status = crate::node_doctor::status(&place, "provider-5").await.0;
            if status["router"]["forwarded"][0].is_string() {
                return status["router"].clone();
            }
        }
    };
    let status = timeout(LONG, asking).await.expect("nothing is told");
    let at = [
        format!("/ip4/{OUTSIDE}/tcp/{port}"),
        format!("/ip4/{OUTSIDE}/udp/{port}/quic-v1"),
    ];
    assert_eq!(
        status,
        serde_json::json!({ "forwarded": at, "trouble": null })
    );

    node.interrupt();
    assert_eq!(asked(&mut questions, "DeletePortMapping").await, ports);
    assert_eq!(node.stopped().await.code(), Some(0));
    serving.abort();
}
