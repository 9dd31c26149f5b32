//! `shoal init`.

use std::path::Path;

use serde::Serialize;
use shoal_node::config::{DEFAULT_NODE_FILE, Layered, NodeConfig, NodeFile, load_network};
use shoal_node::state::keys::IDENTITY_FILE;
use shoal_node::state::{StateDir, StateError, create_identity, write_new};
use shoal_node::{Failure, seeded};
use toml::Value;

use super::args::{Init, RoleName};
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
    let config = args.made.dir.join(DEFAULT_NODE_FILE);
    let (text, values) = config_text(args, &config)?;
    refuse_existing(&[&config, &args.made.dir.join(IDENTITY_FILE)])?;
    if let Some(network) = args
        .network
        .network
        .as_deref()
        .filter(|network| network.exists())
    {
        let params = load_network(network).map_err(Failure::usage)?;
        // What is to be dialled may be set later, but what is set has to fit.
        if values.dialled().is_ok() {
            values.dialled_in(&params).map_err(Failure::usage)?;
        }
    }
    StateDir::create(&args.made.dir).map_err(Failure::failed)?;
    let identity = create_identity(&args.made.dir, &mut seeded()?).map_err(Failure::failed)?;
    write_new(&config, text.as_bytes(), 0o600).map_err(Failure::failed)?;
    let next = next_command(args);
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

/// Refuses before anything is written.
pub(super) fn refuse_existing(paths: &[&Path]) -> Result<(), Failure> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(Failure::failed(StateError::Exists((*path).to_owned()))),
        None => Ok(()),
    }
}

/// The path as the file will say it: whole, because the file may be read from anywhere.
pub(super) fn whole(path: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(path).map_err(Failure::usage)?;
    whole.into_os_string().into_string().map_err(|path| {
        Failure::Usage(anyhow::anyhow!(
            "{} is not valid UTF-8",
            Path::new(&path).display()
        ))
    })
}

/// The template with the values of the flags, and the valid configuration that it makes.
fn config_text(args: &Init, path: &Path) -> Result<(String, NodeConfig), Failure> {
    let mut values = vec![("role", Value::String(args.role.as_str().to_owned()))];
    if let Some(network) = &args.network.network {
        values.push(("network", Value::String(whole(network)?)));
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

fn next_command(args: &Init) -> String {
    let (role, dir) = (args.role.as_str(), args.made.dir.display());
    match &args.network.network {
        Some(network) if network.exists() => format!("shoal node run --role {role} --dir {dir}"),
        network => {
            let default = args.made.dir.join("network.toml");
            let out = network.as_ref().unwrap_or(&default).display();
            format!(
                "shoal network new --name NAME --from-dir {dir} … --out {out}\n  (or put the file \
                 of an existing network there), then\n  shoal node run --role {role} --dir {dir}"
            )
        }
    }
}
