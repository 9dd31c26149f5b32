//! The command line of `shoal`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
