//! `shoal-sim completions` and `shoal-sim man`: what a shell and `man` know of the commands, made from what
//! the help texts are made from.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CommandResult, Exit};

/// Prints the completions of a shell.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim completions bash > ~/.local/share/bash-completion/completions/shoal-sim
  shoal-sim completions fish > ~/.config/fish/completions/shoal-sim.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Writes the manual: one page for each command into a folder, or the first page to standard output.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim man | man -l -
  shoal-sim man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder, which is made if it is not there. Pages that are in it are replaced.
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &Completions) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shoal-sim", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(Exit::Done)
}

pub(crate) fn man(args: &Man) -> CommandResult {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(command, dir)?;
        eprintln!("wrote the pages into {}", dir.display());
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print!("{}", String::from_utf8(page)?);
    }
    Ok(Exit::Done)
}
