//! The way to the page: a link that opens it once, and a file that leads there.
//!
//! A browser is started with the file, and not with the link: what a program is started with, everybody on the machine
//! can read as long as it runs.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use zeroize::Zeroizing;

use crate::control;

/// Name of the file that leads to the page, in a client's directory. Until it is opened it is as secret as the token.
pub const LINK_FILE: &str = "page.html";

/// What opens a file as the user has set it.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// The page of a client.
pub struct PageLink {
    dir: PathBuf,
    url: Zeroizing<String>,
}

impl PageLink {
    /// For the client of this directory, whose daemon gave this.
    #[must_use]
    pub fn of(dir: &Path, given: control::PageLink) -> Self {
        Self {
            dir: dir.to_owned(),
            url: Zeroizing::new(given.link),
        }
    }

    /// The link. Who opens it, once, can do all that the client can.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes the file that leads to the page, for nobody else to read, and has the user's browser open it.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] if there is nothing to open it with.
    pub async fn open(&self) -> io::Result<()> {
        let file = self.write()?;
        let mut opener = Command::new(OPENER);
        let opener = opener.arg(file).stdin(Stdio::null());
        // What browsers say is not ours to pass on.
        let opened = opener.stdout(Stdio::null()).stderr(Stdio::null()).status();
        match opened.await?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("`{OPENER}` found no browser"))),
        }
    }

    fn write(&self) -> io::Result<PathBuf> {
        let path = self.dir.join(LINK_FILE);
        // It may be of an earlier link, or of another mode.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        // An address on loopback and hexadecimal: nothing in it has to be escaped.
        let page = Zeroizing::new(format!(
            "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"refresh\" content=\"0; url={0}\"><title>Shoal</title><a href=\"{0}\">Shoal</a>\n",
            *self.url
        ));
        file.write_all(page.as_bytes())?;
        Ok(path)
    }
}

/// Whether there is a screen on which a browser could be shown.
#[must_use]
pub fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
