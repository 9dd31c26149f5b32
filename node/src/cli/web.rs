//! `shoal web`.

use serde::Serialize;
use shoal_node::control::ControlError;
use shoal_node::page::PageLink;
use shoal_node::{Exit, Failure};

use super::args::Web;
use super::client::{connect, failed, late, within};
use super::launch::directory;
use super::output;

/// What `shoal web --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    link: &'a str,
    opened: bool,
}

pub(super) async fn run(args: &Web, json: bool) -> Result<(), Failure> {
    let asked = async { connect(&args.place).await?.page_link().await.map_err(shut) };
    let timeout = late(Some(args.timeout));
    let given = within(timeout, "the client daemon did not answer in time", asked).await?;
    let link = PageLink::of(&directory(&args.place), given);
    if args.open {
        link.open().await.map_err(|error| {
            Failure::failed(anyhow::anyhow!(
                "no browser was opened ({error}); open the link yourself: `shoal web` without --open prints it"
            ))
        })?;
    }
    let link = link.url();
    let opened = args.open;
    output::show(json, &Shown { link, opened }, link)
}

/// Nothing but that the door is shut can be refused.
fn shut(error: ControlError) -> Failure {
    match error {
        ControlError::Refused(_) => Failure::other(Exit::Unreachable, error),
        other => failed(other),
    }
}
