//! A router on this machine, that says what it was asked and answers what a test likes.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use rupnp::http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::DEADLINE;
use crate::upnp::gateway::Location;

/// Its address of the outside.
const OUTSIDE: &str = "9.9.60.1";

/// What a router was asked.
pub(super) struct Question {
    head: String,
    body: String,
}

impl Question {
    /// The action, or nothing of a question for the description.
    pub(super) fn action(&self) -> &str {
        let named = self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("soapaction").then_some(value)
        });
        let named = named.and_then(|value| value.trim().trim_matches('"').split_once('#'));
        named.map_or("", |(_, action)| action)
    }

    pub(super) fn value(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap();
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    pub(super) fn values<const N: usize>(&self, names: [&str; N]) -> [&str; N] {
        names.map(|name| self.value(name))
    }
}

pub(super) enum Answer {
    Says(u16, String),
    Silence,
    /// These, again and again.
    Endless(&'static [u8]),
}

/// A router on this machine.
pub(super) struct Router {
    at: SocketAddrV4,
    asked: mpsc::Receiver<Question>,
    serving: JoinHandle<()>,
}

impl Drop for Router {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Router {
    pub(super) async fn new(answer: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(at) = listener.local_addr().unwrap() else {
            unreachable!("it was bound to IPv4");
        };
        let (tell, asked) = mpsc::channel(1024);
        let answer = Arc::new(answer);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, answer) = (tell.clone(), Arc::clone(&answer));
                tokio::spawn(serve(stream, at, tell, move |question| answer(question)));
            }
        });
        Self { at, asked, serving }
    }

    pub(super) fn location(&self) -> Location {
        Location {
            router: self.at,
            path: PathAndQuery::from_static("/rootDesc.xml"),
        }
    }

    /// The next question of this kind.
    pub(super) async fn next(&mut self, action: &str) -> Question {
        let coming = async {
            loop {
                let question = self.asked.recv().await.unwrap();
                if question.action() == action {
                    return question;
                }
            }
        };
        let coming = tokio::time::timeout(DEADLINE, coming).await;
        coming.unwrap_or_else(|_| panic!("nobody asks for {action}"))
    }

    /// The questions so far of this kind.
    pub(super) fn so_far(&mut self, action: &str) -> Vec<Question> {
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok());
        asked.filter(|asked| asked.action() == action).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    at: SocketAddrV4,
    tell: mpsc::Sender<Question>,
    answer: impl Fn(&Question) -> Answer,
) {
    let Some(question) = read(&mut stream).await else {
        return;
    };
    // As routers do: who names another machine comes by way of a browser.
    let is_named = question.head.contains(&format!("host: {at}\r\n"));
    let answer = match is_named {
        true => answer(&question),
        false => Answer::Says(404, String::new()),
    };
    tell.send(question).await.unwrap();
    match answer {
        Answer::Says(status, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
            // Who asked may have gone away.
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
        Answer::Silence => {}
        Answer::Endless(piece) => {
            let piece = piece.repeat(1024);
            // Enough for the test to fail and this machine to live on.
            for _ in 0..(64 << 20) / piece.len() {
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }
    // Until the other side closes it.
    let _ = stream.read(&mut [0]).await;
}

async fn read(stream: &mut TcpStream) -> Option<Question> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            let (head, body) = (format!("{head}\r\n"), body.to_owned());
            return Some(Question { head, body });
        }
    }
}

/// A router's description, in the form that they have, with this service.
pub(super) fn description(service: &str) -> Answer {
    let device = |kind: &str, within: &str| {
        format!(
            "<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>\
             <friendlyName>a router</friendlyName>{within}</device>"
        )
    };
    let service = format!(
        "<serviceList><service><serviceType>urn:schemas-upnp-org:service:{service}</serviceType>\
         <serviceId>urn:upnp-org:serviceId:it</serviceId><SCPDURL>/it.xml</SCPDURL>\
         <controlURL>/control</controlURL><eventSubURL>/events</eventSubURL></service></serviceList>"
    );
    let connection = device("WANConnectionDevice", &service);
    let wan = device(
        "WANDevice",
        &format!("<deviceList>{connection}</deviceList>"),
    );
    let root = device(
        "InternetGatewayDevice",
        &format!("<deviceList>{wan}</deviceList>"),
    );
    let text = format!(
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">{root}</root>"
    );
    Answer::Says(200, text)
}

/// What an action answers.
pub(super) fn done(action: &str, values: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <u:{action}Response xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">{values}\
         </u:{action}Response></s:Body></s:Envelope>"
    );
    Answer::Says(200, text)
}

/// What a router answers that refuses, with this status and UPnP's code.
pub(super) fn refused(status: u16, code: u16) -> Answer {
    let text = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault>\
         <faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
         <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode></UPnPError>\
         </detail></s:Fault></s:Body></s:Envelope>"
    );
    Answer::Says(status, text)
}

/// A router that does what it is asked.
pub(super) fn willing(question: &Question) -> Answer {
    match question.action() {
        "" => description("WANIPConnection:1"),
        "GetExternalIPAddress" => {
            let value = format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>");
            done("GetExternalIPAddress", &value)
        }
        action => done(action, ""),
    }
}
