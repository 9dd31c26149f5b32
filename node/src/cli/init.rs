//! `shoal init`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use shoal_node::config::{ConfigError, DEFAULT_NODE_FILE, Layered, NodeConfig, NodeFile};
use shoal_node::state::keys::IDENTITY_FILE;
use shoal_node::state::{StateDir, StateError, create_identity, write_new};
use shoal_node::{Failure, seeded};
use shoal_proto::NodeId;
use shoal_topology::{Admission, NetworkParameters};
use toml::Value;

use super::args::{Init, RoleName};
use super::network_copy::NetworkCopy;
use super::{output, template};

/// What `shoal init --json` prints.
#[derive(Serialize)]
struct Made {
    node: String,
    role: &'static str,
    dir: String,
    config: String,
    identity: String,
    next: String,
}

pub(super) fn run(args: &Init, json: bool) -> Result<(), Failure> {
    let dir = &args.made.dir;
    let config = dir.join(DEFAULT_NODE_FILE);
    let network = NetworkCopy::of(args.network.network.as_deref(), dir)?;
    let (text, values) = config_text(args, &config, &network)?;
    let mut made = vec![config.clone(), dir.join(IDENTITY_FILE)];
    made.extend(network.target(dir));
    refuse_existing(&made)?;
    let params = network.params()?;
    match &params {
        Some(params) => drop(values.dialled_in(params).map_err(not_dialled)?),
        None => drop(values.dialled().map_err(not_dialled)?),
    }
    StateDir::create(&args.made.dir)?;
    let identity = create_identity(&args.made.dir, &mut seeded()?)?;
    network.write(dir)?;
    write_new(&config, text.as_bytes(), 0o600)?;
    let next = next_command(args, (&network, params.as_ref()), &identity.id());
    let made = Made {
        node: identity.id().to_string(),
        role: args.role.as_str(),
        dir: args.made.dir.display().to_string(),
        config: config.display().to_string(),
        identity: args.made.dir.join(IDENTITY_FILE).display().to_string(),
        next,
    };
    let words = format!(
        "Made a {} in {}\n  node id        {}\n  configuration  {}\n  identity       {} (keep it \
         secret, keep a backup)\n\nNext:\n  {}",
        made.role, made.dir, made.node, made.config, made.identity, made.next
    );
    output::show(json, &made, &words)
}

/// What is to be dialled is a node's first need: one that nobody can dial does not start.
fn not_dialled(error: ConfigError) -> Failure {
    Failure::Usage(anyhow::anyhow!(
        "{error}\nSay where others reach this machine, once for each of its listeners, as in\n  \
         --advertise /ip4/ADDRESS/tcp/4140 --advertise /ip4/ADDRESS/udp/4140/quic-v1\nor listen on an \
         address of its own instead of all."
    ))
}

/// Refuses before anything is written.
pub(super) fn refuse_existing(paths: &[PathBuf]) -> Result<(), Failure> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(StateError::Exists(path.clone()).into()),
        None => Ok(()),
    }
}

/// The template with the values of the flags, and the valid configuration that it makes.
fn config_text(
    args: &Init,
    path: &Path,
    network: &NetworkCopy,
) -> Result<(String, NodeConfig), Failure> {
    let mut values = vec![("role", Value::String(args.role.as_str().to_owned()))];
    if let Some(network) = network.value()? {
        values.push(("network", network));
    }
    for (key, list) in [
        ("listen", &args.reach.listen),
        ("advertise", &args.reach.advertise),
    ] {
        if !list.is_empty() {
            let items = list.iter().cloned().map(Value::String).collect();
            values.push((key, Value::Array(items)));
        }
    }
    for (key, text) in [
        ("metrics.listen", &args.metrics.metrics),
        ("family", &args.family),
    ] {
        if let Some(text) = text {
            values.push((key, Value::String(text.clone())));
        }
    }
    let template = template::node(matches!(args.role, RoleName::Provider));
    let text = template::fill(template, &values)
        .ok_or_else(|| Failure::Failed(anyhow::anyhow!("the template lacks a key")))?;
    let layered =
        Layered::<NodeFile>::parse(Some((path, &text)), &[], &[]).map_err(Failure::usage)?;
    let config = NodeConfig::validate(args.made.dir.clone(), &args.made.dir, layered);
    Ok((text, config.map_err(Failure::usage)?))
}

fn next_command(
    args: &Init,
    (network, params): (&NetworkCopy, Option<&NetworkParameters>),
    node: &NodeId,
) -> String {
    let dir = args.made.dir.display();
    let run = format!("shoal node run --dir {dir}");
    let awaited = network.awaited(&args.made.dir);
    // The proof is for a network, whose file has to be there first.
    let sign = match &args.family {
        Some(family) if !family.is_empty() && !family.contains(':') => format!(
            "shoal family sign --key FILE --network {} {node}\n  (where the family's key is; put the line \
             that it prints into {}), then\n  ",
            awaited
                .clone()
                .unwrap_or_else(|| args.made.dir.join("network.toml"))
                .display(),
            args.made.dir.join(DEFAULT_NODE_FILE).display()
        ),
        _ => String::new(),
    };
    let invited = |params: &&NetworkParameters| {
        params.admission == Admission::Invitation && !params.is_genesis(node)
    };
    // Nobody else can make it.
    let invite = params.filter(invited).map_or_else(String::new, |_| {
        format!(
            "shoal node invite {node} --dir DIR\n  (by who runs a member; put the line that it prints into {}), then\n  ",
            args.made.dir.join(DEFAULT_NODE_FILE).display()
        )
    });
    match awaited {
        None => format!("{sign}{invite}{run}"),
        Some(file) => format!(
            "shoal network new --name NAME --from-dir {dir} … --out {}\n  (or put the file of an \
             existing network there), then\n  {sign}{run}",
            file.display()
        ),
    }
}
