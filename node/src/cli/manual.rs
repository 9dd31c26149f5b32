//! `shoal completions` and `shoal man`: what a shell and `man` know of the commands, made from what the
//! help texts are made from.

use anyhow::Context;
use clap::CommandFactory;
use shoal_node::Failure;

use super::args::{Cli, Completions, Man};
use super::output;

pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shoal", &mut script);
    print(script)
}

pub(super) fn man(args: &Man) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
        rendered.map_err(Failure::failed)?;
        return print(page);
    };
    let made = std::fs::create_dir_all(dir);
    made.and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
        .with_context(|| format!("can't write the pages into {}", dir.display()))
        .map_err(Failure::Failed)?;
    output::print(&format!("wrote the pages into {}", dir.display()))
}

fn print(text: Vec<u8>) -> Result<(), Failure> {
    let text = String::from_utf8(text).map_err(Failure::failed)?;
    output::print(text.trim_end())
}
