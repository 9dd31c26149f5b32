//! `shoal network`.

mod changes;
mod check;
mod findings;
mod members;
mod newest;
mod recovery;
mod show;
mod successor;

use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::config::{NodeConfig, NodeFlags, meant};
use shoal_node::runtime::Clock;
use shoal_node::state::{load_identity, write_new};
use shoal_proto::{Span, Time};
use shoal_topology::{Address, Admission, Families, GenesisMember, NetworkParameters, Role};

use super::args::{AdmissionName, FamiliesName, Network, NetworkNew};
use super::output;

/// What `shoal network new --json` prints.
#[derive(Serialize)]
struct Made {
    file: String,
    name: String,
    hash: String,
    genesis_time: u64,
    epoch: String,
    members: usize,
}

pub(super) async fn run(command: &Network, json: bool) -> Result<(), Failure> {
    match command {
        Network::New(args) => new(args, json),
        Network::Show(args) => show::run(args, json),
        Network::Check(args) => check::run(args, json),
        Network::Recovery(command) => recovery::run(command, json).await,
        Network::Successor(command) => successor::run(command, json).await,
    }
}

fn new(args: &NetworkNew, json: bool) -> Result<(), Failure> {
    let given = args.member.iter().map(|text| parse_member(text));
    let found = args.from_dir.iter().map(|dir| member_from(dir));
    let members = given.chain(found).collect::<Result<Vec<_>, _>>()?;
    let now = Time::from_micros(Clock::start().now().as_secs() * 1_000_000);
    let params = NetworkParameters {
        name: args.name.clone(),
        genesis: now + Span::from_secs(args.genesis_in),
        epoch: args.epoch,
        layers: args.layers,
        admission: match args.admission {
            AdmissionName::Open => Admission::Open,
            AdmissionName::List => Admission::List,
            AdmissionName::Invitation => Admission::Invitation,
        },
        newcomers: args.newcomers,
        work: args.work,
        seat_age: args.seat_age,
        families: match args.families {
            FamiliesName::Any => Families::Any,
            FamiliesName::Both => Families::Both,
        },
        genesis_members: members,
        ..NetworkParameters::example()
    };
    params.validate().map_err(Failure::usage)?;
    params.check_start().map_err(Failure::usage)?;
    write_new(&args.out, params.to_toml().as_bytes(), 0o644)?;
    let made = Made {
        file: args.out.display().to_string(),
        name: params.name.clone(),
        hash: params.hash().to_string(),
        genesis_time: params.genesis.as_secs(),
        epoch: params.epoch.to_string(),
        members: params.genesis_members.len(),
    };
    let file = &made.file;
    let words = format!(
        "Made the network {} of {} nodes in {file}\n  hash  {}\n\nGive every node and every client \
         this file. What would be unwise about it:\n  shoal network check {file}",
        made.name, made.members, made.hash
    );
    output::show(json, &made, &words)
}

/// `ID,ROLE,ADDRESS,…`
fn parse_member(text: &str) -> Result<GenesisMember, Failure> {
    let parse = || {
        let mut parts = text.split(',').map(str::trim);
        let id = parts.next().unwrap_or_default();
        let id = id
            .parse()
            .map_err(|error| anyhow!("`{id}` is not a node id: {error}"))?;
        let role = parts.next().ok_or_else(|| anyhow!("the role is missing"))?;
        let role: Role = role
            .parse()
            .map_err(|()| anyhow!("`{role}` is neither `mix` nor `provider`"))?;
        let address = |text: &str| {
            text.parse::<Address>().map_err(|error| match meant(text) {
                Some(meant) => anyhow!("`{text}` can't be dialled: {error}; write {meant}"),
                None => anyhow!("`{text}` can't be dialled: {error}"),
            })
        };
        let addresses = parts.map(address).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(anyhow!("the addresses are missing"));
        }
        Ok(GenesisMember {
            id,
            role,
            addresses,
            family: None,
        })
    };
    parse()
        .with_context(|| format!("--member {text}"))
        .map_err(Failure::Usage)
}

/// What a directory that `shoal init` made says about its node.
fn member_from(dir: &Path) -> Result<GenesisMember, Failure> {
    let identity = load_identity(dir).map_err(Failure::usage)?;
    let flags = NodeFlags {
        dir: dir.to_owned(),
        ..NodeFlags::default()
    };
    // The file alone: flags and environment are for the one who runs this command.
    let config = NodeConfig::load(&flags, &[]).map_err(Failure::usage)?;
    let addresses = config.dialled().map_err(Failure::usage)?;
    Ok(GenesisMember {
        id: identity.id(),
        role: config.role,
        addresses,
        family: config.family.map(|claim| claim.id()),
    })
}
