use std::path::Path;

use serde::Serialize;
use toml::Value;

use super::args::{Init, RoleName};
use super::{CliError, output, seeded, template};
use crate::config::{DEFAULT_NODE_FILE, Layered, NodeConfig, NodeFile, load_network};
use crate::state::keys::IDENTITY_FILE;
use crate::state::{StateDir, StateError, create_identity, write_new};

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

pub(super) fn run(args: &Init, json: bool) -> Result<(), CliError> {
    let config = args.dir.join(DEFAULT_NODE_FILE);
    let text = config_text(args, &config)?;
    refuse_existing(&[&config, &args.dir.join(IDENTITY_FILE)])?;
    if let Some(network) = args.network.as_deref().filter(|network| network.exists()) {
        load_network(network).map_err(CliError::usage)?;
    }
    StateDir::create(&args.dir).map_err(CliError::failed)?;
    let identity = create_identity(&args.dir, &mut seeded()?).map_err(CliError::failed)?;
    write_new(&config, text.as_bytes(), 0o600).map_err(CliError::failed)?;
    let next = next_command(args);
    let made = Made {
        node: identity.id().to_string(),
        role: args.role.as_str(),
        dir: args.dir.display().to_string(),
        config: config.display().to_string(),
        identity: args.dir.join(IDENTITY_FILE).display().to_string(),
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
pub(super) fn refuse_existing(paths: &[&Path]) -> Result<(), CliError> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(CliError::failed(StateError::Exists((*path).to_owned()))),
        None => Ok(()),
    }
}

/// The path as the file will say it: whole, because the file may be read from anywhere.
pub(super) fn whole(path: &Path) -> Result<String, CliError> {
    let whole = std::path::absolute(path).map_err(CliError::usage)?;
    whole.into_os_string().into_string().map_err(|path| {
        CliError::Usage(anyhow::anyhow!(
            "{} is not valid UTF-8",
            Path::new(&path).display()
        ))
    })
}

/// The template with the values of the flags, which must make a valid configuration.
fn config_text(args: &Init, path: &Path) -> Result<String, CliError> {
    let mut values = vec![("role", Value::String(args.role.as_str().to_owned()))];
    if let Some(network) = &args.network {
        values.push(("network", Value::String(whole(network)?)));
    }
    for (key, list) in [("listen", &args.listen), ("advertise", &args.advertise)] {
        if !list.is_empty() {
            let items = list.iter().cloned().map(Value::String).collect();
            values.push((key, Value::Array(items)));
        }
    }
    for (key, text) in [("metrics.listen", &args.metrics), ("family", &args.family)] {
        if let Some(text) = text {
            values.push((key, Value::String(text.clone())));
        }
    }
    let template = template::node(matches!(args.role, RoleName::Provider));
    let text = template::fill(template, &values)
        .ok_or_else(|| CliError::Failed(anyhow::anyhow!("the template lacks a key")))?;
    let layered =
        Layered::<NodeFile>::parse(Some((path, &text)), &[], &[]).map_err(CliError::usage)?;
    NodeConfig::validate(args.dir.clone(), &args.dir, layered).map_err(CliError::usage)?;
    Ok(text)
}

fn next_command(args: &Init) -> String {
    let (role, dir) = (args.role.as_str(), args.dir.display());
    match &args.network {
        Some(network) if network.exists() => format!("shoal node run --role {role} --dir {dir}"),
        network => {
            let default = args.dir.join("network.toml");
            let out = network.as_ref().unwrap_or(&default).display();
            format!(
                "shoal network new --name NAME --from-dir {dir} … --out {out}\n  (or put the file \
                 of an existing network there), then\n  shoal node run --role {role} --dir {dir}"
            )
        }
    }
}
