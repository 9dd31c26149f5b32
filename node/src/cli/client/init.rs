//! `shoal client init`.

use anyhow::anyhow;
use serde::Serialize;
use shoal_client::{Change, ClientKeys};
use shoal_node::config::{ClientConfig, ClientFile, DEFAULT_CLIENT_FILE, Layered, load_network};
use shoal_node::state::keys::CLIENT_FILE;
use shoal_node::state::{CLIENT_DB_FILE, ClientKeyFile, StateDir, create_client_keys, write_new};
use shoal_node::{Failure, seeded};
use shoal_proto::NodeId;
use shoal_topology::{GenesisMember, NetworkParameters, Role};
use toml::Value;

use crate::cli::args::{Choice, ClientInit, NewClient};
use crate::cli::init::refuse_existing;
use crate::cli::network_copy::NetworkCopy;
use crate::cli::{output, secret, template};

/// What `shoal client init --json` prints.
#[derive(Serialize)]
pub(in crate::cli) struct Made {
    dir: String,
    config: String,
    keys: String,
    /// The key by which contacts know this client, base58.
    key: String,
    /// Where the mailboxes will be; empty if they are drawn.
    mailboxes: Vec<String>,
    profile: String,
    /// Whether keys and messages are under a passphrase.
    sealed: bool,
    next: String,
}

/// What a client is made of.
pub(in crate::cli) struct Parts {
    pub(in crate::cli) keys: ClientKeys,
    /// Its configuration.
    pub(in crate::cli) config: String,
    /// What is in its database from the beginning.
    pub(in crate::cli) rows: Vec<Change>,
}

pub(super) fn run(args: &ClientInit, json: bool) -> Result<(), Failure> {
    let parts = Parts {
        keys: ClientKeys::generate(&mut seeded()?),
        config: config(&args.new, &args.choice)?,
        rows: Vec::new(),
    };
    let made = make(&args.new, &parts)?;
    let words = made.in_words("Made a client");
    output::show(json, &made, &words)
}

/// The configuration of a client that is to be so, if the network allows it.
pub(in crate::cli) fn config(new: &NewClient, choice: &Choice) -> Result<String, Failure> {
    let params = load_network(&new.network).map_err(Failure::usage)?;
    check_providers(choice, &params)?;
    config_text(choice)
}

/// Makes a client's directory. Nothing is written if anything of it is there, or wrong.
pub(in crate::cli) fn make(new: &NewClient, parts: &Parts) -> Result<Made, Failure> {
    let dir = &new.made.dir;
    let path = dir.join(DEFAULT_CLIENT_FILE);
    let keys = dir.join(CLIENT_FILE);
    let network = NetworkCopy::of(Some(&new.network), dir)?;
    let layered = Layered::<ClientFile>::parse(Some((&path, &parts.config)), &[], &[]);
    let config = ClientConfig::validate(dir.clone(), dir, layered.map_err(Failure::usage)?)
        .map_err(Failure::usage)?;
    let mut files = vec![path.clone(), keys.clone()];
    files.extend(network.target(dir));
    if !parts.rows.is_empty() {
        // Rows of before are another client's, or an older state of this one.
        files.push(dir.join(CLIENT_DB_FILE));
    }
    refuse_existing(&files)?;
    // Whoever names a file for it wants one.
    let passphrase = match new.passphrase || new.from.passphrase_file.is_some() {
        true => Some(secret::new_or_given(&new.from)?),
        false => None,
    };
    StateDir::create(dir)?;
    network.write(dir)?;
    let (with, rng) = (
        passphrase.as_ref().map(secret::at_usual_cost),
        &mut seeded()?,
    );
    let secrets = create_client_keys(dir, &parts.keys, with, rng)?;
    if !parts.rows.is_empty() {
        let held = StateDir::open(dir)?;
        // Settles what a change of the passphrase that was cut off has left here.
        ClientKeyFile::open(&held)?;
        secrets.open_db(dir, rng)?.apply(&parts.rows)?;
    }
    // The last, because no daemon starts without it.
    write_new(&path, parts.config.as_bytes(), 0o600)?;
    Ok(Made {
        dir: dir.display().to_string(),
        config: path.display().to_string(),
        keys: keys.display().to_string(),
        key: parts.keys.public().to_string(),
        mailboxes: config
            .core
            .mailboxes
            .iter()
            .map(ToString::to_string)
            .collect(),
        profile: config.core.profile,
        sealed: passphrase.is_some(),
        next: format!("shoal daemon --dir {}", dir.display()),
    })
}

impl Made {
    pub(in crate::cli) fn in_words(&self, what: &str) -> String {
        let mailboxes = match self.mailboxes.is_empty() {
            true => "drawn when the client is online for the first time".to_owned(),
            false => self.mailboxes.join(", "),
        };
        let keep = match self.sealed {
            true => "under the passphrase, as all else that is secret; keep a backup",
            false => "keep them secret, keep a backup",
        };
        format!(
            "{what} in {}\n  configuration  {}\n  keys           {} ({keep})\n  mailboxes      \
             {mailboxes}\n\nNext:\n  {}",
            self.dir, self.config, self.keys, self.next
        )
    }
}

/// That what was asked for can be: the profile is one of the network's, what is named are providers, and no two
/// of entry and mailboxes are of one family or network: two together could link the owner.
fn check_providers(args: &Choice, params: &NetworkParameters) -> Result<(), Failure> {
    if params.profile(&args.profile).is_none() {
        let known = params
            .profiles
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let (name, profile) = (&params.name, &args.profile);
        return Err(Failure::Usage(anyhow!(
            "the network {name} has no profile `{profile}`; it has: {known}"
        )));
    }
    let member = |id: &NodeId| params.genesis_members.iter().find(|it| it.id == *id);
    let entry = args.entry.iter().map(|id| ("--entry", id));
    let named: Vec<_> = entry
        .chain(args.mailbox.iter().map(|id| ("--mailbox", id)))
        .collect();
    let no_provider = |id: &NodeId| member(id).is_some_and(|it| it.role != Role::Provider);
    if let Some((flag, _)) = named.iter().find(|(_, id)| no_provider(id)) {
        return Err(Failure::Usage(anyhow!(
            "{flag} names a node that the network's file lists as a mix; name a provider, or leave it out"
        )));
    }
    let ties = |id: &NodeId| member(id).map(GenesisMember::ties).unwrap_or_default();
    for (index, (flag, id)) in named.iter().enumerate() {
        for (other, with) in named.iter().skip(index + 1) {
            if id == with || ties(id).meet(&ties(with)).is_some() {
                return Err(Failure::Usage(anyhow!(
                    "{flag} and {other} are of one family, or in one network (/24, or /48 for IPv6): the two \
                     together could tell whose mailbox it is; name another, or leave one of them out"
                )));
            }
        }
    }
    Ok(())
}

fn config_text(args: &Choice) -> Result<String, Failure> {
    let mut values = vec![
        (
            "mailboxes",
            Value::Array(
                args.mailbox
                    .iter()
                    .map(|id| Value::String(id.to_string()))
                    .collect(),
            ),
        ),
        ("profile", Value::String(args.profile.clone())),
    ];
    if let Some(entry) = args.entry {
        values.push(("entry", Value::String(entry.to_string())));
    }
    template::fill(template::CLIENT, &values)
        .ok_or_else(|| Failure::Failed(anyhow!("the template lacks a key")))
}
