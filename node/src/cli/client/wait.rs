//! `shoal client wait`.

use serde::Serialize;
use shoal_node::Failure;
use shoal_node::control::protocol::{Event, Request, Response, Status};

use super::ask::{ask, connect, connect_when_up, failed, late, strange, within};
use crate::cli::args::{ClientWait, Until};
use crate::cli::output;

/// What `shoal client wait --json` prints.
#[derive(Serialize)]
struct Come {
    state: &'static str,
}

pub(super) async fn run(args: &ClientWait, json: bool) -> Result<(), Failure> {
    let state = args.until.as_str();
    let what_is_late = format!("the client daemon is not {state} yet");
    within(late(args.timeout), &what_is_late, until(args)).await?;
    output::show(json, &Come { state }, state)
}

const fn is_there(until: Until, status: &Status) -> bool {
    match until {
        Until::Serving => true,
        Until::Online => status.online,
        Until::Open => status.open,
    }
}

async fn until(args: &ClientWait) -> Result<(), Failure> {
    let mut events = connect_when_up(&args.place).await?;
    if args.until == Until::Serving {
        // It listens before it has read its database: an answer says that it has.
        return ask(&mut events, Request::Status).await.map(drop);
    }
    // Before its state is asked for, so that no change comes unseen after it.
    events.follow().await.map_err(failed)?;
    let mut control = connect(&args.place).await?;
    loop {
        match ask(&mut control, Request::Status).await? {
            Response::Status(status) if is_there(args.until, &status) => return Ok(()),
            Response::Status(_) => {}
            other => return Err(strange(&other)),
        }
        loop {
            match events.event().await.map_err(failed)? {
                Event::Attached { .. } | Event::Opened | Event::Missed { .. } => break,
                _ => {}
            }
        }
    }
}
