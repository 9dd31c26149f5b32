//! `shoal demo`.

use shoal_node::Failure;
use shoal_node::demo::{DemoOptions, run as run_demo};

use super::args::Demo;
use super::output;

pub(super) async fn run(args: Demo, json: bool) -> Result<(), Failure> {
    let message = match args.message {
        Some(text) if text == "-" => Some(output::read_text(shoal_client::MAX_TEXT_BYTES).await?),
        Some(text) => {
            output::check_length(text.len(), shoal_client::MAX_TEXT_BYTES)?;
            Some(text)
        }
        None => None,
    };
    run_demo(DemoOptions {
        message,
        json,
        keep: args.keep,
        web: args.web,
        dir: args.dir,
    })
    .await
}
