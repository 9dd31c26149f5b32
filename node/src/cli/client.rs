mod init;
mod receive;
mod send;

use std::time::Duration;

use anyhow::anyhow;
use shoal_client::Client as Core;
use shoal_proto::Span;

use super::args::{Client, ClientRun, Place};
use super::node::{directory, overrides, path_text, start_logging};
use super::{CliError, environment, output, seeded};
use crate::config::{ClientConfig, ClientFlags, LogLevel, load_network};
use crate::control::protocol::{
    MessageState, Outgoing, OwnAddress, RefusalCode, Request, Response, Status,
};
use crate::control::{ControlClient, ControlError, unexpected};
use crate::runtime::{self, Announcer, Clock, Outside};
use crate::state::load_client_keys;

pub(super) async fn run(
    command: Client,
    log_level: Option<LogLevel>,
    json: bool,
) -> Result<(), CliError> {
    match command {
        Client::Init(args) => init::run(&args, json),
        Client::Address { place } => address(&place, json),
        Client::Run(args) => daemon(args, log_level, json).await,
        Client::Send(args) => send::run(args, json).await,
        Client::Receive(args) => receive::run(args, json).await,
        Client::Status { place } => status(&place, json).await,
        Client::Stop { place } => stop(&place, json).await,
    }
}

async fn daemon(args: ClientRun, log_level: Option<LogLevel>, json: bool) -> Result<(), CliError> {
    let texts = [
        ("network", "network", path_text(args.network.as_deref())),
        ("entry", "entry", args.entry.clone()),
        ("profile", "profile", args.profile.clone()),
        ("metrics", "metrics.listen", args.metrics.clone()),
        (
            "log-level",
            "log.level",
            log_level.map(|level| level.as_str().to_owned()),
        ),
    ];
    let mut flags = flags(&args.place);
    flags.overrides = overrides(texts);
    let config = ClientConfig::load(&flags, &environment()).map_err(CliError::usage)?;
    start_logging(&config.log, &config.ignored_variables)?;
    let outside = Outside {
        announcer: Announcer { json },
        stop_with_stdin: args.daemon.stop_with_stdin,
    };
    runtime::run_client(config, outside).await
}

fn flags(place: &Place) -> ClientFlags {
    ClientFlags {
        dir: directory(place),
        config: place.config.clone(),
        overrides: Vec::new(),
    }
}

/// The address follows from the keys and the configuration: no daemon has to run.
fn address(place: &Place, json: bool) -> Result<(), CliError> {
    let config = ClientConfig::load(&flags(place), &environment()).map_err(CliError::usage)?;
    let own = own_address(&config)?;
    output::show(json, &own, &own.address)
}

/// The address that this configuration and the keys beside it give.
fn own_address(config: &ClientConfig) -> Result<OwnAddress, CliError> {
    let params = load_network(&config.network).map_err(CliError::usage)?;
    let keys = load_client_keys(&config.dir).map_err(CliError::usage)?;
    let key = keys.public().to_string();
    let now = Clock::start().now();
    let core = Core::new(
        params.into(),
        config.core.clone(),
        keys,
        seeded()?,
        &[],
        now,
    );
    let core = core.map_err(CliError::usage)?;
    Ok(OwnAddress {
        address: core.address(now).to_string(),
        key,
        mailbox: config.core.mailbox_provider.to_string(),
    })
}

async fn status(place: &Place, json: bool) -> Result<(), CliError> {
    match ask(&mut connect(place).await?, Request::Status).await? {
        Response::Status(status) => output::show(json, &status, &in_words(&status)),
        other => Err(failed(unexpected(&other))),
    }
}

async fn stop(place: &Place, json: bool) -> Result<(), CliError> {
    match ask(&mut connect(place).await?, Request::Stop).await? {
        Response::Done => output::show(json, &Response::Done, "stopping"),
        other => Err(failed(unexpected(&other))),
    }
}

fn in_words(status: &Status) -> String {
    let none = || "none".to_owned();
    let waiting =
        |message: &&Outgoing| matches!(message.state, MessageState::Queued | MessageState::Sent);
    let waiting = status.outgoing.iter().filter(waiting).count();
    let count = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut lines = vec![
        format!("network    {} ({})", status.network, status.network_hash),
        format!("online     {}", if status.online { "yes" } else { "no" }),
        format!("profile    {}", status.profile),
        format!("entry      {}", status.entry.clone().unwrap_or_else(none)),
        format!("mailbox    {}", status.mailbox),
        format!(
            "epoch      {}, document of {}",
            status.epoch,
            status
                .document_epoch
                .map_or_else(none, |epoch| epoch.to_string())
        ),
        format!("unread     {}", status.unread),
        format!("on the way {waiting}"),
        format!(
            "sent       {} real, {} dummies, {} loops, {} drops, {} to the mailbox",
            count("sent_real"),
            count("sent_dummy"),
            count("sent_loop"),
            count("sent_drop"),
            count("sent_mailbox"),
        ),
    ];
    lines.extend(
        status
            .alarms
            .iter()
            .map(|alarm| format!("ALARM      {alarm}")),
    );
    lines.join("\n")
}

async fn connect(place: &Place) -> Result<ControlClient, CliError> {
    ControlClient::connect(&directory(place))
        .await
        .map_err(failed)
}

async fn ask(client: &mut ControlClient, request: Request) -> Result<Response, CliError> {
    client.ask(request).await.map_err(failed)
}

/// What a failed request means for the exit code.
fn failed(error: ControlError) -> CliError {
    match error {
        ControlError::NotRunning(_) | ControlError::Closed => CliError::unreachable(error),
        ControlError::Refused(ref refusal) if refusal.code == RefusalCode::Invalid => {
            CliError::usage(error)
        }
        other => CliError::failed(other),
    }
}

/// Waits, but not past the time allowed, nor past Ctrl-C.
async fn within<T>(
    timeout: Option<Span>,
    late: &str,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let late = || CliError::Unreachable(anyhow!("{late}"));
    let bounded = async {
        match timeout {
            Some(span) => {
                let limit = tokio::time::timeout(Duration::from(span), work);
                limit.await.unwrap_or_else(|_| Err(late()))
            }
            None => work.await,
        }
    };
    tokio::select! {
        done = bounded => done,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(CliError::Interrupted),
            Err(error) => Err(CliError::failed(error)),
        },
    }
}
