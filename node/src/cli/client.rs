//! `shoal client`, and `shoal daemon`.

mod ask;
mod entries;
mod history;
pub(super) mod init;
mod message;
mod outgoing;
mod passphrase;
mod profile;
mod receive;
mod send;
mod stop;
mod trust;
mod wait;

use shoal_node::Failure;
use shoal_node::config::{ClientConfig, ClientFlags, LogLevel};
use shoal_node::control::protocol::{Place, Request, Response, Status};
use shoal_node::runtime::{self, Announcer, Outside};

use self::ask::ask_once;
pub(super) use self::ask::{
    ask_at, ask_for_done, connect, existing, failed, late, strange, within,
};
use super::args::{self, Client, ClientDaemon, ClientStatus};
use super::launch::{directory, environment, overrides, path_text, start_logging};
use super::output;

pub(super) async fn run(command: Client, json: bool) -> Result<(), Failure> {
    match command {
        Client::Init(args) => init::run(&args, json),
        Client::Passphrase(args) => passphrase::run(&args, json),
        Client::Address(_) => Err(Failure::usage(anyhow::anyhow!(
            "there are no addresses any more: `shoal contact invite` makes an invitation to give to somebody"
        ))),
        Client::Entries(args) => entries::run(&args, json),
        Client::Trust(args) => trust::run(&args, json),
        Client::Profile(args) => profile::run(&args, json),
        Client::Run(_) => Err(Failure::usage(anyhow::anyhow!(
            "`shoal client run` is `shoal daemon` now, with the same flags"
        ))),
        Client::Send(args) => send::run(args, json).await,
        Client::Receive(args) => receive::run(args, json).await,
        Client::Status(args) => status(&args, json).await,
        Client::History(args) => history::run(&args, json).await,
        Client::Outgoing(args) => outgoing::run(&args, json).await,
        Client::Wait(args) => wait::run(&args, json).await,
        Client::Stop(args) => stop::run(&args, json).await,
    }
}

/// Where the client is, before other flags.
pub(super) fn flags_of(place: &args::Place) -> ClientFlags {
    ClientFlags {
        dir: directory(place),
        config: place.config.clone(),
        overrides: Vec::new(),
    }
}

fn load(args: &ClientDaemon, log_level: Option<LogLevel>) -> Result<ClientConfig, Failure> {
    let texts = [
        (
            "network",
            "network",
            path_text("--network", args.network.network.as_deref())?,
        ),
        ("entry", "entry", args.entry.clone()),
        ("profile", "profile", args.profile.clone()),
        ("api", "api.listen", args.api.clone()),
        ("messagebox", "messagebox.listen", args.messagebox.clone()),
        ("metrics", "metrics.listen", args.metrics.metrics.clone()),
        (
            "log-level",
            "log.level",
            log_level.map(|level| level.as_str().to_owned()),
        ),
    ];
    let mut flags = flags_of(&args.place);
    flags.overrides = overrides(texts);
    ClientConfig::load(&flags, &environment()?).map_err(Failure::usage)
}

/// `shoal daemon`.
pub(super) async fn daemon(
    args: ClientDaemon,
    log_level: Option<LogLevel>,
    json: bool,
) -> Result<(), Failure> {
    let config = load(&args, log_level)?;
    let stop_with_stdin = args.daemon.stop_with_stdin;
    // Before the daemon has anything to do: somebody may be at a terminal.
    let passphrase = passphrase::of_daemon(&config.dir, &args.from)?;
    let again = move || load(&args, log_level).map(|config| config.log);
    let outside = Outside {
        announcer: Announcer { json },
        stop_with_stdin,
        reload: Some(start_logging(
            &config.log,
            &config.ignored_variables,
            ("the log's level is", again),
        )?),
        ..Outside::default()
    };
    runtime::run_client(config, passphrase, outside).await
}

async fn status(args: &ClientStatus, json: bool) -> Result<(), Failure> {
    match ask_once(&args.place, args.timeout.timeout, Request::Status).await? {
        Response::Status(status) => output::show(json, &status, &in_words(&status)),
        other => Err(strange(&other)),
    }
}

/// Where this client is written to, or will be, or was.
fn place_in_words(place: &Place) -> String {
    let who = match place.audience.as_str() {
        "contacts" => "for contacts",
        "strangers" => "for who has an invitation",
        _ => "for all, at the providers that you name",
    };
    let stage = match place.stage.as_str() {
        "coming" => ", which will take the place of the present one",
        "left" => ", left: read until all write elsewhere",
        "closing" => ", closed: read until it is empty",
        _ => "",
    };
    let mailboxes = place.mailboxes.iter().map(|mailbox| {
        let how = match (mailbox.waits_for_token, mailbox.open, mailbox.troubled) {
            (true, ..) => " (waits for a token)",
            (_, false, _) if !matches!(&*place.stage, "left" | "closing") => " (not open yet)",
            (_, _, true) => " (in trouble)",
            _ => "",
        };
        format!("\n             {}{how}", mailbox.provider)
    });
    let mailboxes: String = mailboxes.collect();
    format!("mailboxes  {who}{stage}:{mailboxes}")
}

fn in_words(status: &Status) -> String {
    let none = || "none".to_owned();
    let count = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut lines = vec![
        format!("network    {} ({})", status.network, status.network_hash),
        format!("online     {}", if status.online { "yes" } else { "no" }),
        format!("profile    {}", status.profile),
        format!("entry      {}", status.entry.clone().unwrap_or_else(none)),
        format!(
            "epoch      {}, document of {}",
            status.epoch,
            status
                .document_epoch
                .map_or_else(none, |epoch| epoch.to_string())
        ),
        match status.held {
            0 => format!("unread     {}", status.unread),
            held => format!(
                "unread     {}, of which {held} wait for what was written before",
                status.unread
            ),
        },
        format!(
            "on the way {} ({} packets wait for a receipt)",
            status.on_the_way, status.on_the_way_packets
        ),
        format!(
            "since start {} stored, {} expired",
            status.stored, status.expired
        ),
        format!(
            "sent       {} real, {} dummies, {} loops, {} drops, {} to the mailbox",
            count("sent_real"),
            count("sent_dummy"),
            count("sent_loop"),
            count("sent_drop"),
            count("sent_mailbox"),
        ),
    ];
    let places = status.places.iter().map(place_in_words);
    let places: Vec<_> = match status.places.is_empty() {
        true => vec![format!("mailboxes  {}", none())],
        false => places.collect(),
    };
    // Behind the entry.
    lines.splice(4..4, places);
    lines.extend(
        status
            .alarms
            .iter()
            .map(|alarm| format!("ALARM      {alarm}")),
    );
    lines.join("\n")
}
