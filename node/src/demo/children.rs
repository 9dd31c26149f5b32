//! The child processes of the demo.
//!
//! Each child holds the read end of a pipe as its standard input and stops when it closes. The kernel
//! closes it however the demo ends, so no child stays behind, after a crash or `kill -9` either.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a child may take to stop orderly before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// A running child.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this same binary with `args`; its log goes to `log`.
    pub(crate) fn start(name: &str, args: &[&str], log: &Path) -> io::Result<Self> {
        let log = std::fs::File::create(log)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .args(["--json", "--stop-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("the child has no standard output"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Its process id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next event that the child announces. None when it ended.
    pub(crate) async fn event(&mut self) -> io::Result<Option<Value>> {
        while let Some(line) = self.lines.next_line().await? {
            if let Ok(value) = serde_json::from_str(&line) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Waits for the event of this name; an error if the child ends first.
    pub(crate) async fn wait_for(&mut self, event: &str) -> io::Result<Value> {
        while let Some(value) = self.event().await? {
            if value["event"] == event {
                return Ok(value);
            }
        }
        let status = self.child.wait().await?;
        Err(io::Error::other(format!(
            "{} ended ({status}) before it was {event}",
            self.name
        )))
    }

    /// Lets the child stop orderly, and kills it if it does not.
    pub(crate) async fn stop(mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        // Its last words must not block it.
        let drain = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let stopped = async { tokio::join!(self.child.wait(), drain).0 };
        if let Ok(status) = timeout(STOP_PATIENCE, stopped).await {
            return status;
        }
        self.child.kill().await?;
        self.child.wait().await
    }
}
