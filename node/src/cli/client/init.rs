//! `shoal client init`.

use anyhow::anyhow;
use rand::RngExt;
use serde::Serialize;
use shoal_node::config::{ClientConfig, ClientFile, DEFAULT_CLIENT_FILE, Layered, load_network};
use shoal_node::state::keys::CLIENT_FILE;
use shoal_node::state::{StateDir, create_client_keys, write_new};
use shoal_node::{Failure, seeded};
use shoal_proto::NodeId;
use shoal_topology::{GenesisMember, NetworkParameters, Role};
use toml::Value;

use super::address::own_address;
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
    mailbox: String,
    profile: String,
    address: String,
    next: String,
}

pub(super) fn run(args: &ClientInit, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    let mailbox = choose_mailbox(args, &params)?;
    let path = args.made.dir.join(DEFAULT_CLIENT_FILE);
    let keys = args.made.dir.join(CLIENT_FILE);
    let network = NetworkCopy::of(Some(&args.network), &args.made.dir)?;
    let text = config_text(args, &mailbox)?;
    let layered =
        Layered::<ClientFile>::parse(Some((&path, &text)), &[], &[]).map_err(Failure::usage)?;
    let config = ClientConfig::validate(args.made.dir.clone(), &args.made.dir, layered);
    let config = config.map_err(Failure::usage)?;
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
        mailbox: mailbox.to_string(),
        profile: args.profile.clone(),
        address: own_address(&config)?.address,
        next: format!("shoal client run --dir {}", args.made.dir.display()),
    };
    let words = format!(
        "Made a client in {}\n  configuration  {}\n  keys           {} (keep them secret, keep a \
         backup)\n  mailbox at     {}\n  address        {}\n\nNext:\n  {}",
        made.dir, made.config, made.keys, made.mailbox, made.address, made.next
    );
    output::show(json, &made, &words)
}

/// The provider that was asked for, or one at random, but none of the entry's family or network: the two together
/// could link the owner.
fn choose_mailbox(args: &ClientInit, params: &NetworkParameters) -> Result<NodeId, Failure> {
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
    let members = params.genesis_members.iter();
    let ties = |id: &NodeId| {
        let member = members.clone().find(|member| member.id == *id);
        member.map(GenesisMember::ties).unwrap_or_default()
    };
    let apart = |mailbox: &NodeId| {
        let entry = args.entry.as_ref();
        entry.is_none_or(|entry| entry != mailbox && ties(entry).meet(&ties(mailbox)).is_none())
    };
    let no_provider = |id: &NodeId| {
        members
            .clone()
            .any(|member| member.id == *id && member.role != Role::Provider)
    };
    let named = [("--mailbox", args.mailbox), ("--entry", args.entry)];
    if let Some((flag, _)) = named
        .iter()
        .find(|(_, id)| id.as_ref().is_some_and(&no_provider))
    {
        return Err(Failure::Usage(anyhow!(
            "{flag} names a node that the network's file lists as a mix; name a provider, or leave it out"
        )));
    }
    if let Some(mailbox) = args.mailbox {
        return apart(&mailbox).then_some(mailbox).ok_or_else(|| {
            Failure::Usage(anyhow!(
                "--entry and --mailbox are of one family, or in one network (/24, or /48 for IPv6): the two \
                 together could tell whose mailbox it is; name another, or leave one of them out"
            ))
        });
    }
    let providers: Vec<NodeId> = members
        .clone()
        .filter(|member| member.role == Role::Provider && apart(&member.id))
        .map(|member| member.id)
        .collect();
    let index = match providers.len() {
        0 => None,
        count => Some(seeded()?.random_range(0..count)),
    };
    index
        .and_then(|index| providers.get(index))
        .copied()
        .ok_or_else(|| {
            Failure::Usage(anyhow!(
                "the network file names no provider that could keep the mailbox; name one with \
             --mailbox"
            ))
        })
}

fn config_text(args: &ClientInit, mailbox: &NodeId) -> Result<String, Failure> {
    let mut values = vec![
        ("mailbox", Value::String(mailbox.to_string())),
        ("profile", Value::String(args.profile.clone())),
    ];
    if let Some(entry) = args.entry {
        values.push(("entry", Value::String(entry.to_string())));
    }
    template::fill(template::CLIENT, &values)
        .ok_or_else(|| Failure::Failed(anyhow!("the template lacks a key")))
}
