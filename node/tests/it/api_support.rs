//! The local API as a program has it that has no library for it: bytes on a stream.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use shoal_node::control::SOCKET_FILE;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::e2e::LONG;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        let kind = self.headers.get("content-type").map(String::as_str);
        assert_eq!(kind, Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a refusal, which has words too.
    pub(crate) fn code(&self) -> String {
        assert!(self.status >= 400, "{self:?}");
        let told = self.json();
        assert!(!told["message"].as_str().unwrap().is_empty());
        told["code"].as_str().unwrap().to_owned()
    }
}

/// A connection.
pub(crate) struct Raw<S>(pub(crate) BufReader<S>);

impl Raw<UnixStream> {
    pub(crate) async fn unix(dir: &Path) -> Self {
        let stream = UnixStream::connect(dir.join(SOCKET_FILE)).await;
        Self(BufReader::new(stream.unwrap()))
    }
}

impl Raw<TcpStream> {
    pub(crate) async fn tcp(address: &str) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(BufReader::new(stream.unwrap()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Writes; that nobody reads it any more is no failure.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.get_mut().write_all(bytes.as_ref()).await;
    }

    /// Asks; none if the connection ends.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Option<Answer> {
        self.write(request).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(LONG, self.read())
            .await
            .expect("an answer, or the end")
    }

    /// Whether the other side closes it.
    pub(crate) async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(LONG, self.0.read_to_end(&mut rest)).await;
        read.is_ok() && rest.is_empty()
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let first = self.line().await?;
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let body = Vec::new();
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    async fn read(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        if let Some(length) = answer.headers.get("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut answer.body).await.ok()?;
        } else if answer.headers.contains_key("transfer-encoding") {
            loop {
                let length = self.line().await?;
                let length = usize::from_str_radix(&length, 16).unwrap();
                let mut piece = vec![0; length + 2];
                self.0.read_exact(&mut piece).await.ok()?;
                answer.body.extend_from_slice(&piece[..length]);
                if length == 0 {
                    break;
                }
            }
        }
        Some(answer)
    }
}

/// A request without a body.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> String {
    request("GET", path, headers)
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// A request with a body in JSON.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let length = body.len().to_string();
    let own = [
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
    ];
    request("POST", path, &[&own[..], headers].concat()) + body
}
