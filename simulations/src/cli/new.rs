//! `shoal-sim new`: writes a commented scenario.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::Args;
use shoal_simulations::scenario::{PRESETS, Preset};

use super::{CommandResult, Exit};

/// Writes a commented scenario from a preset.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim new --list
  shoal-sim new loopix -o mine.toml
  shoal-sim new loopix -o - | grep -v '^#'")]
pub(crate) struct New {
    /// The preset's name.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// The file to write, which must not exist yet; by default NAME.toml. `-` is standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Lists the presets.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(command: &New) -> CommandResult {
    let Some(name) = command.name.as_ref().filter(|_| !command.list) else {
        for preset in PRESETS {
            println!("{:<12} {}", preset.name, preset.about);
        }
        return Ok(Exit::Done);
    };
    let Some(preset) = Preset::find(name) else {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        eprintln!("no preset {name:?}: must be one of {}", names.join(", "));
        return Ok(Exit::Refused);
    };
    let named = || PathBuf::from(format!("{name}.toml"));
    let path = command.output.clone().unwrap_or_else(named);
    if path.as_os_str() == "-" {
        print!("{}", preset.text);
        return Ok(Exit::Done);
    }
    let opened = OpenOptions::new().write(true).create_new(true).open(&path);
    match opened {
        Ok(mut file) => file.write_all(preset.text.as_bytes())?,
        Err(error) => {
            eprintln!(
                "{}: {error} (choose another name with --output)",
                path.display()
            );
            return Ok(Exit::Refused);
        }
    }
    // Not to standard output, which may be going into a file of its own.
    eprintln!("wrote {}", path.display());
    Ok(Exit::Done)
}
