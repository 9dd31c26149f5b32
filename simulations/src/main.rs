//! `shoal-sim`: simulates mixnets and measures their anonymity, latency and cost. The command line
//! and nothing else.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
