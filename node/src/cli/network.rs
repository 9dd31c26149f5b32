//! `shoal network`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::config::{NodeConfig, NodeFlags, load_network, meant};
use shoal_node::runtime::Clock;
use shoal_node::state::{load_identity, write_new};
use shoal_proto::{Span, Time};
use shoal_topology::{Address, GenesisMember, NetworkParameters, Role};

use super::args::{Network, NetworkNew};
use super::cost::Cost;
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

/// What `shoal network show --json` prints.
#[derive(Serialize)]
struct Shown {
    name: String,
    hash: String,
    genesis_time: u64,
    epoch: String,
    epoch_now: u64,
    epoch_ends_in_secs: f64,
    layers: u8,
    mean_delay: String,
    mixes: usize,
    providers: usize,
    profiles: BTreeMap<String, Cost>,
}

pub(super) fn run(command: &Network, json: bool) -> Result<(), Failure> {
    match command {
        Network::New(args) => new(args, json),
        Network::Show { file } => show(file, json),
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
        genesis_members: members,
        ..NetworkParameters::example()
    };
    params.validate().map_err(Failure::usage)?;
    check_members(&params)?;
    write_new(&args.out, params.to_toml().as_bytes(), 0o644)?;
    let made = Made {
        file: args.out.display().to_string(),
        name: params.name.clone(),
        hash: params.hash().to_string(),
        genesis_time: params.genesis.as_secs(),
        epoch: params.epoch.to_string(),
        members: params.genesis_members.len(),
    };
    let words = format!(
        "Made the network {} of {} nodes in {}\n  hash  {}\n\nGive every node and every client this \
         file.",
        made.name, made.members, made.file, made.hash
    );
    output::show(json, &made, &words)
}

/// A network that could never form a path is a mistake.
fn check_members(params: &NetworkParameters) -> Result<(), Failure> {
    let count = |role| {
        params
            .genesis_members
            .iter()
            .filter(|member| member.role == role)
            .count()
    };
    let (mixes, providers) = (count(Role::Mix), count(Role::Provider));
    if mixes < usize::from(params.layers) || providers < 2 {
        return Err(Failure::Usage(anyhow!(
            "a network of {} layers starts with {} mixes or more, one for each layer, and with 2 \
             providers or more, because a client enters by another than keeps its mailbox; here \
             are {mixes} and {providers}",
            params.layers,
            params.layers,
        )));
    }
    Ok(())
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

fn show(file: &Path, json: bool) -> Result<(), Failure> {
    let params = load_network(file).map_err(Failure::usage)?;
    let now = Clock::start().now();
    let epoch = params.epoch_at(now);
    let count = |role| {
        params
            .genesis_members
            .iter()
            .filter(|member| member.role == role)
            .count()
    };
    let profiles = params.profiles.iter();
    let shown = Shown {
        name: params.name.clone(),
        hash: params.hash().to_string(),
        genesis_time: params.genesis.as_secs(),
        epoch: params.epoch.to_string(),
        epoch_now: epoch.number(),
        epoch_ends_in_secs: params.start_of(epoch.next()).since(now).as_secs_f64(),
        layers: params.layers,
        mean_delay: params.mean_delay.to_string(),
        mixes: count(Role::Mix),
        providers: count(Role::Provider),
        profiles: profiles
            .map(|(name, p)| (name.clone(), Cost::estimate(&params, p)))
            .collect(),
    };
    output::show(json, &shown, &in_words(&shown))
}

fn in_words(shown: &Shown) -> String {
    let mut words = format!(
        "network    {}\nhash       {}\nepoch      {} now, {} long, the next in {:.0} s\nlayers     \
         {} of mixes, mean delay {}\nstarts     with {} mixes and {} providers\n\n\
         {:<12} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        shown.name,
        shown.hash,
        shown.epoch_now,
        shown.epoch,
        shown.epoch_ends_in_secs,
        shown.layers,
        shown.mean_delay,
        shown.mixes,
        shown.providers,
        "profile",
        "up kB/s",
        "down kB/s",
        "GB/day",
        "p50 s",
        "p99 s",
    );
    for (name, cost) in &shown.profiles {
        // Writing to a string does not fail.
        let _ = writeln!(
            words,
            "{name:<12} {:>9.1} {:>9.1} {:>9.2} {:>9.1} {:>9.1}",
            cost.up_bytes_per_sec / 1e3,
            cost.down_bytes_per_sec / 1e3,
            cost.gigabytes_per_day,
            cost.p50_secs,
            cost.p99_secs,
        );
    }
    words.push_str(
        "\nTimes are estimates for a text of one packet, links of 40 ms, and a receiver who is \
         online.\nThe anonymity set is the clients of one profile that are online together.",
    );
    words
}
