//! `shoal-sim`: simulates mixnets and measures their anonymity, latency and cost. The command line
//! and nothing else.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
