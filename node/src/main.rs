//! The command line of `shoal`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shoal_node::cli::main()
}
