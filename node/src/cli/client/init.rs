//! `shoal client init`.

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::config::{ClientConfig, ClientFile, DEFAULT_CLIENT_FILE, Layered, load_network};
use shoal_node::state::keys::CLIENT_FILE;
use shoal_node::state::{StateDir, create_client_keys, write_new};
use shoal_node::{Failure, seeded};
use shoal_proto::NodeId;
use shoal_topology::{GenesisMember, NetworkParameters, Role};
use toml::Value;

use crate::cli::args::ClientInit;
use crate::cli::init::refuse_existing;
use crate::cli::network_copy::NetworkCopy;
use crate::cli::{output, template};

/// What `shoal client init --json` prints.
#[derive(Serialize)]
struct Made {
    dir: String,
    config: String,
    keys: String,
    /// Where the mailboxes will be; empty if they are drawn.
    mailboxes: Vec<String>,
    profile: String,
    next: String,
}

pub(super) fn run(args: &ClientInit, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    check_providers(args, &params)?;
    let path = args.made.dir.join(DEFAULT_CLIENT_FILE);
    let keys = args.made.dir.join(CLIENT_FILE);
    let network = NetworkCopy::of(Some(&args.network), &args.made.dir)?;
    let text = config_text(args)?;
    let layered =
        Layered::<ClientFile>::parse(Some((&path, &text)), &[], &[]).map_err(Failure::usage)?;
    ClientConfig::validate(args.made.dir.clone(), &args.made.dir, layered)
        .map_err(Failure::usage)?;
    let made = [
        Some(path.clone()),
        Some(keys.clone()),
        network.target(&args.made.dir),
    ];
    refuse_existing(&made.into_iter().flatten().collect::<Vec<_>>())?;
    StateDir::create(&args.made.dir)?;
    network.write(&args.made.dir)?;
    create_client_keys(&args.made.dir, &mut seeded()?)?;
    write_new(&path, text.as_bytes(), 0o600)?;
    let made = Made {
        dir: args.made.dir.display().to_string(),
        config: path.display().to_string(),
        keys: keys.display().to_string(),
        mailboxes: args.mailbox.iter().map(ToString::to_string).collect(),
        profile: args.profile.clone(),
        next: format!("shoal daemon --dir {}", args.made.dir.display()),
    };
    let mailboxes = match made.mailboxes.is_empty() {
        true => "drawn when the client is online for the first time".to_owned(),
        false => made.mailboxes.join(", "),
    };
    let words = format!(
        "Made a client in {}\n  configuration  {}\n  keys           {} (keep them secret, keep a \
         backup)\n  mailboxes      {mailboxes}\n\nNext:\n  {}",
        made.dir, made.config, made.keys, made.next
    );
    output::show(json, &made, &words)
}

/// That what was asked for can be: the profile is one of the network's, what is named are providers, and no two
/// of entry and mailboxes are of one family or network: two together could link the owner.
fn check_providers(args: &ClientInit, params: &NetworkParameters) -> Result<(), Failure> {
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

fn config_text(args: &ClientInit) -> Result<String, Failure> {
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
