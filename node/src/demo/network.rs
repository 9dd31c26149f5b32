//! The demo's network: set up and started with the commands that an operator would give.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::books::Books;
use super::children::Process;
use super::ports::Ports;
use super::report::Narrator;
use super::workplace::Workplace;
use crate::Failure;
use crate::control::ControlClient;
use crate::page::PageLink;

/// Mixes: three layers of two.
pub(super) const MIXES: usize = 6;
/// Providers: Alice's and Bob's mailboxes are at two, so a third is an entry for both.
pub(super) const PROVIDERS: usize = 3;
/// How long a node may take to answer for its metrics.
const METRICS_PATIENCE: Duration = Duration::from_secs(5);

/// A node of the demo.
struct Node {
    name: String,
    role: &'static str,
    metrics: u16,
}

/// The processes and their directory.
pub(super) struct Network {
    workplace: Workplace,
    pub(super) narrator: Narrator,
    nodes: Vec<Node>,
    running: Vec<Process>,
    ports: Option<Ports>,
    /// Where the pages of clients are, by name, if they are to be served.
    pages: Option<BTreeMap<String, u16>>,
}

impl Network {
    pub(super) fn new(workplace: Workplace, narrator: Narrator, pages: bool) -> Self {
        Self {
            workplace,
            narrator,
            nodes: Vec::new(),
            running: Vec::new(),
            ports: None,
            pages: pages.then(BTreeMap::new),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.workplace.path()
    }

    /// `shoal init` for every node, then one network file of all.
    pub(super) async fn set_up(&mut self) -> Result<(), Failure> {
        let mut ports = Ports::reserve(std::process::id()).map_err(Failure::failed)?;
        let mut next = || {
            ports
                .next()
                .ok_or_else(|| Failure::failed(anyhow::anyhow!("too few ports reserved")))
        };
        let names = (1..=MIXES)
            .map(|n| (format!("mix-{n}"), "mix"))
            .chain((1..=PROVIDERS).map(|n| (format!("provider-{n}"), "provider")));
        let mut addresses = Vec::new();
        for (name, role) in names {
            addresses.push((name.clone(), role, next()?));
            self.nodes.push(Node {
                name,
                role,
                metrics: next()?,
            });
        }
        self.ports = Some(ports);
        let file = self.network_file();
        let mut make = vec![
            "network".into(),
            "new".into(),
            "--name".into(),
            "demo".into(),
        ];
        for ((name, role, port), node) in addresses.into_iter().zip(&self.nodes) {
            let dir = self.workplace.of(&name);
            let tcp = format!("/ip4/127.0.0.1/tcp/{port}");
            let quic = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
            let metrics = format!("127.0.0.1:{}", node.metrics);
            shoal(&[
                "init",
                "--role",
                role,
                "--dir",
                &dir,
                "--network",
                &file,
                "--listen",
                &tcp,
                "--listen",
                &quic,
                "--advertise",
                &tcp,
                "--advertise",
                &quic,
                "--metrics",
                &metrics,
            ])
            .await?;
            make.extend(["--from-dir".into(), dir]);
        }
        make.extend(["--out".into(), file]);
        shoal(&make.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Starts every node, and waits until each is a member and has its links.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                break;
            };
            let (name, role) = (node.name.clone(), node.role);
            let dir = self.workplace.of(&name);
            self.run(&name, &["node", "run", "--role", role, "--dir", &dir])?;
        }
        let mut layers: Vec<Vec<&str>> = vec![Vec::new(); 4];
        for process in &mut self.running {
            let ready = process.wait_for("ready").await.map_err(Failure::failed)?;
            let layer = ready["layer"].as_u64().unwrap_or(0) as usize;
            if let Some(layer) = layers.get_mut(layer) {
                layer.push(&process.name);
            }
        }
        for (layer, names) in layers.iter().enumerate().skip(1) {
            self.narrator
                .line(&format!("  layer {layer}: {}", names.join(", ")));
        }
        if let Some(providers) = layers.first() {
            self.narrator
                .line(&format!("  providers: {}", providers.join(", ")));
        }
        Ok(())
    }

    /// `shoal client init`.
    pub(super) async fn make_client(&self, name: &str) -> Result<(), Failure> {
        let (dir, file) = (self.workplace.of(name), self.network_file());
        shoal(&["client", "init", "--dir", &dir, "--network", &file]).await?;
        Ok(())
    }

    /// What `shoal contact invite` prints, once who is invited is heard.
    pub(super) async fn invite(&mut self, name: &str, whom: &str) -> Result<String, Failure> {
        let dir = self.workplace.of(name);
        if let Some(process) = self.running.iter_mut().find(|it| it.name == name) {
            process.wait_for("open").await.map_err(Failure::failed)?;
        }
        let told = shoal(&["contact", "invite", "--dir", &dir, "--label", whom]).await?;
        told["invitation"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| {
                Failure::failed(anyhow::anyhow!(
                    "`shoal contact invite` printed no invitation"
                ))
            })
    }

    /// `shoal contact accept`.
    pub(super) async fn accept(
        &self,
        name: &str,
        invitation: &str,
        whom: &str,
    ) -> Result<(), Failure> {
        let dir = self.workplace.of(name);
        let accept = ["contact", "accept", "--dir", &dir, "--label", whom];
        shoal(&[&accept[..], &[invitation]].concat())
            .await
            .map(drop)
    }

    /// `shoal daemon`, until the daemon is attached; gives who asks it.
    pub(super) async fn start_client(&mut self, name: &str) -> Result<ControlClient, Failure> {
        let dir = self.workplace.of(name);
        let mut daemon = vec!["daemon", "--dir", &dir];
        let page = self.page_of(name)?.map(|port| format!("127.0.0.1:{port}"));
        if let Some(page) = &page {
            daemon.extend(["--api", page]);
        }
        self.run(name, &daemon)?;
        if let Some(process) = self.running.last_mut() {
            process.wait_for("online").await.map_err(Failure::failed)?;
        }
        self.control(name).await
    }

    /// At which port a client's page is, at each of its starts; none if it has none.
    fn page_of(&mut self, name: &str) -> Result<Option<u16>, Failure> {
        let Some(pages) = &mut self.pages else {
            return Ok(None);
        };
        if let Some(port) = pages.get(name) {
            return Ok(Some(*port));
        }
        let port = self.ports.as_mut().and_then(Ports::next);
        let port =
            port.ok_or_else(|| Failure::failed(anyhow::anyhow!("too few ports reserved")))?;
        pages.insert(name.to_owned(), port);
        Ok(Some(port))
    }

    /// Links to the pages of the clients that run, by name.
    pub(super) async fn pages(&self) -> Result<Vec<(&str, PageLink)>, Failure> {
        let mut pages = Vec::new();
        for name in self.pages.iter().flat_map(BTreeMap::keys) {
            let dir = self.workplace.path().join(name);
            let given = async { ControlClient::connect(&dir).await?.page_link().await };
            let given = given.await.map_err(Failure::failed)?;
            pages.push((name.as_str(), PageLink::of(&dir, given)));
        }
        Ok(pages)
    }

    /// Stops one process.
    pub(super) async fn stop_one(&mut self, name: &str) -> Result<(), Failure> {
        if let Some(at) = self.running.iter().position(|it| it.name == name) {
            self.running
                .remove(at)
                .stop()
                .await
                .map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Another one who asks a client's daemon.
    pub(super) async fn control(&self, name: &str) -> Result<ControlClient, Failure> {
        let dir = self.workplace.path().join(name);
        ControlClient::connect(&dir)
            .await
            .map_err(Failure::unreachable)
    }

    fn run(&mut self, name: &str, args: &[&str]) -> Result<(), Failure> {
        let log = self.workplace.path().join(format!("{name}.log"));
        let process = Process::start(name, args, &log).map_err(Failure::failed)?;
        self.running.push(process);
        Ok(())
    }

    /// What the nodes' metrics say.
    pub(super) async fn books(&self) -> Result<Books, Failure> {
        let mut books = Books::default();
        for node in &self.nodes {
            let page = tokio::time::timeout(METRICS_PATIENCE, scrape(node.metrics)).await;
            let page = page.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            let page = page.map_err(|error| {
                Failure::failed(anyhow::anyhow!("no metrics from {}: {error}", node.name))
            })?;
            books.add(&node.name, &page);
        }
        Ok(books)
    }

    /// Stops everything, the clients first.
    pub(super) async fn stop(&mut self) {
        let stopping = self.running.drain(..).rev().map(|process| async {
            let name = process.name.clone();
            (name, process.stop().await)
        });
        for (name, status) in futures::future::join_all(stopping).await {
            match status {
                Ok(status) if status.success() => {}
                Ok(status) => self.narrator.line(&format!("{name} ended badly: {status}")),
                Err(error) => self
                    .narrator
                    .line(&format!("{name} could not be stopped: {error}")),
            }
        }
    }

    /// Deletes the directory unless it is to stay.
    pub(super) fn remove_unless(&self, stay: bool) {
        if !stay {
            self.workplace.remove();
        }
    }

    /// How to use the network that was left up.
    pub(super) fn explain_use(&self) {
        let [alice, bob] = ["alice", "bob"].map(|name| self.workplace.of(name));
        self.narrator.line(&format!(
            "\nThe network stays up until Ctrl-C. In another terminal:\n\
             \x20 shoal client send --dir {alice} Bob 'Hi Bob'\n\
             \x20 shoal client receive --dir {bob} --wait\n\
             \x20 shoal client status --dir {alice}\n\
             or with `cargo run --` in place of `shoal`. Logs: {}/*.log\n\
             Processes: {}",
            self.dir().display(),
            self.running
                .iter()
                .filter_map(|process| Some(format!("{} {}", process.name, process.id()?)))
                .collect::<Vec<_>>()
                .join(", "),
        ));
    }

    fn network_file(&self) -> String {
        self.workplace.of("network.toml")
    }
}

/// Runs one command of this same binary to its end and gives what it prints with `--json`.
async fn shoal(args: &[&str]) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let output = Command::new(program)
        .args(args)
        .arg("--json")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Failure::failed)?;
    if !output.status.success() {
        return Err(Failure::failed(anyhow::anyhow!(
            "`shoal {}` failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    serde_json::from_slice(&output.stdout).map_err(Failure::failed)
}

/// Fetches a metrics page from loopback.
async fn scrape(port: u16) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.take(1 << 22).read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other("not a metrics page")),
    }
}
