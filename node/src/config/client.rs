//! A client's configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shoal_proto::{NodeId, Span};

use super::error::{ConfigError, Problems};
use super::layers::{Layered, Override};
use super::log::LogConfig;
use super::node::Metrics;
use super::ranges;
use super::read::read_own_text;

/// Name of a client's configuration file in its directory.
pub const DEFAULT_CLIENT_FILE: &str = "client.toml";

/// What `entry` says to leave the choice to the client.
const RANDOM: &str = "random";

/// What `api.listen` says for the Unix socket only.
const NONE: &str = "none";

/// A client's configuration file: every key with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientFile {
    /// The file with the network parameters, relative to this file.
    pub network: PathBuf,
    /// Node ids of the providers that keep the mailboxes, one or two; empty to have them drawn.
    pub mailboxes: Vec<String>,
    /// What providers have told the user that open mailboxes to nobody else: `NODE_ID=code` for each.
    pub codes: Vec<String>,
    /// Node id of the provider to enter by, or `random`.
    pub entry: String,
    /// A profile of the network parameters.
    pub profile: String,
    /// How messages are sent.
    pub messages: Messages,
    /// The local API.
    pub api: Api,
    /// The message box.
    pub messagebox: MessageBoxListen,
    /// The HTTP server for metrics.
    pub metrics: Metrics,
    /// The log.
    pub log: LogConfig,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address and port of the local API over TCP, besides the Unix socket; `none` for the socket only.
    pub listen: String,
}

/// `[messagebox]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageBoxListen {
    /// Address and port of the message box, for programs of that world on this machine; `none` for nowhere.
    pub listen: String,
}

impl Default for MessageBoxListen {
    fn default() -> Self {
        Self {
            listen: NONE.to_owned(),
        }
    }
}

/// `[messages]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Messages {
    /// How long a message is tried until the receiver's mailbox has it.
    pub keep: Span,
    /// How many lines of each conversation are kept for who shows it, besides those that are unread or on their way.
    pub history: u32,
}

impl Default for ClientFile {
    fn default() -> Self {
        Self {
            network: PathBuf::from("network.toml"),
            mailboxes: Vec::new(),
            codes: Vec::new(),
            entry: RANDOM.to_owned(),
            profile: "default".to_owned(),
            messages: Messages::default(),
            api: Api::default(),
            messagebox: MessageBoxListen::default(),
            metrics: Metrics {
                listen: String::new(),
                ..Metrics::default()
            },
            log: LogConfig::default(),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: NONE.to_owned(),
        }
    }
}

/// An address to listen on that is this machine's own, or none.
fn loopback(
    key: &'static str,
    what: &str,
    text: &str,
    port: u16,
) -> Result<Option<SocketAddr>, ConfigError> {
    if matches!(text, NONE | "") {
        return Ok(None);
    }
    let invalid = |message| Err(ConfigError::invalid(key, message));
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
        Ok(address) => invalid(format!(
            "{address} can be reached by others, and {what} is for this machine only: listen on 127.0.0.1 or \
             [::1], or say `{NONE}`"
        )),
        Err(_) => invalid(format!(
            "`{text}` is neither `{NONE}` nor an address and a port, as in 127.0.0.1:{port} or [::1]:{port}"
        )),
    }
}

impl Default for Messages {
    fn default() -> Self {
        let core = shoal_client::ClientConfig::default();
        Self {
            keep: core.time_to_live,
            history: 1000,
        }
    }
}

/// What flags say about a client's configuration.
#[derive(Clone, Debug, Default)]
pub struct ClientFlags {
    /// The client's directory.
    pub dir: PathBuf,
    /// The configuration file, if it is not `client.toml` in the directory.
    pub config: Option<PathBuf>,
    /// Values that replace those of the file and the environment.
    pub overrides: Vec<Override>,
}

/// A client's configuration, valid and complete.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The state directory: keys, messages, the socket of the local API.
    pub dir: PathBuf,
    /// The file with the network parameters.
    pub network: PathBuf,
    /// What the client role works with: providers, profile, waits, bounds.
    pub core: shoal_client::ClientConfig,
    /// How many lines of each conversation are kept.
    pub history: usize,
    /// Where the local API is served over TCP; none, the default, for the Unix socket only.
    pub api: Option<SocketAddr>,
    /// Where the message box is served; none, the default, for nowhere.
    pub messagebox: Option<SocketAddr>,
    /// Where `/metrics` is served; none, the default, for nowhere.
    pub metrics: Option<SocketAddr>,
    /// The log.
    pub log: LogConfig,
    /// Variables that look like ours and set nothing, each with the nearest that would.
    pub ignored_variables: Vec<(String, Option<String>)>,
}

impl ClientConfig {
    /// Reads the file, lays environment and flags over it, and checks the whole.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(
        flags: &ClientFlags,
        environment: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let path = flags
            .config
            .clone()
            .unwrap_or_else(|| flags.dir.join(DEFAULT_CLIENT_FILE));
        let text = read_own_text(&path).map_err(|error| ConfigError::Read {
            advice: match error.is_missing() {
                true => ": `shoal client init` makes it",
                false => "",
            },
            path: path.clone(),
            error,
        })?;
        let layered =
            Layered::<ClientFile>::parse(Some((&path, &text)), environment, &flags.overrides)?;
        let base = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        Self::validate(flags.dir.clone(), &base, layered)
    }

    /// Checks values that parsed, and makes them into what the client works with.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for each key that can't be right.
    pub fn validate(
        dir: PathBuf,
        base: &Path,
        layered: Layered<ClientFile>,
    ) -> Result<Self, ConfigError> {
        let origins = layered.origins.clone();
        Self::checked(dir, base, layered).map_err(|error| error.located(&origins))
    }

    fn checked(
        dir: PathBuf,
        base: &Path,
        layered: Layered<ClientFile>,
    ) -> Result<Self, ConfigError> {
        let file = &layered.values;
        let mut wrong = Problems::default();
        let mailboxes = wrong.keep(mailboxes(&file.mailboxes));
        let codes = wrong.keep(codes(&file.codes));
        let entry = match file.entry.as_str() {
            RANDOM | "" => None,
            text => wrong.keep(node_id("entry", text)),
        };
        let both = |entry: &NodeId| mailboxes.iter().flatten().any(|mailbox| mailbox == entry);
        if entry.as_ref().is_some_and(both) {
            let message = "is a mailbox's provider too; the two jobs together show it who reads \
                           which mailbox, so choose another, or `random`";
            wrong.push(ConfigError::invalid("entry", message));
        }
        ranges::check(ranges::of_client(file), &mut wrong);
        let api = wrong.keep(loopback("api.listen", "the API", &file.api.listen, 4150));
        let listen = &file.messagebox.listen;
        let messagebox = wrong.keep(loopback(
            "messagebox.listen",
            "the message box",
            listen,
            4151,
        ));
        let metrics = wrong.keep(file.metrics.address());
        let (Some(mailboxes), Some(codes), Some(api), Some(messagebox), Some(metrics)) =
            (mailboxes, codes, api, messagebox, metrics)
        else {
            return Err(wrong.into_error());
        };
        wrong.finish()?;
        let core = shoal_client::ClientConfig {
            entry,
            mailboxes,
            codes,
            profile: file.profile.clone(),
            time_to_live: file.messages.keep,
            ..shoal_client::ClientConfig::default()
        };
        Ok(Self {
            dir,
            network: layered.resolve("network", base, &file.network),
            core,
            history: file.messages.history as usize,
            api,
            messagebox,
            metrics,
            log: file.log,
            ignored_variables: layered.ignored,
        })
    }
}

fn codes(texts: &[String]) -> Result<BTreeMap<NodeId, String>, ConfigError> {
    let code = |text: &String| {
        let (id, code) = text.split_once('=').ok_or_else(|| {
            let message =
                "is for each provider its node id, an equals sign and its code: \"NODE_ID=code\"";
            ConfigError::invalid("codes", message)
        })?;
        Ok((node_id("codes", id.trim())?, code.trim().to_owned()))
    };
    texts.iter().map(code).collect()
}

fn mailboxes(texts: &[String]) -> Result<Vec<NodeId>, ConfigError> {
    let mut ids = Vec::new();
    for text in texts {
        let id = node_id("mailboxes", text)?;
        if ids.contains(&id) {
            let message = format!("names {id} twice; name two providers, or one");
            return Err(ConfigError::invalid("mailboxes", message));
        }
        ids.push(id);
    }
    if ids.len() > 2 {
        let message = "names more than two providers; what is sent to you is left at two at most";
        return Err(ConfigError::invalid("mailboxes", message));
    }
    Ok(ids)
}

fn node_id(key: &'static str, text: &str) -> Result<NodeId, ConfigError> {
    text.parse()
        .map_err(|error| ConfigError::invalid(key, format!("`{text}` is not a node id: {error}")))
}
