//! A whole network on loopback, each node a process of its own that runs what an operator would
//! run, and a message from Alice to Bob, who does not exist yet when it is stored.

mod books;
pub(crate) mod children;
mod network;
pub(crate) mod ports;
mod report;
mod story;
mod workplace;

use std::path::PathBuf;
use std::time::Duration;

use self::network::Network;
use self::report::{Narrator, Outcome};
use self::workplace::Workplace;
use crate::Failure;
use crate::page::{self, PageLink};

/// The text that Alice sends if the user gives none.
const GREETING: &str = "Hello Bob. Nobody on the way knows that this is from me, nor that it is \
                        for you. The mailbox does not know either.";

/// Longest that the story may take, from an empty directory to the reply. A long text takes longer:
/// see [`patience`].
const PATIENCE: Duration = Duration::from_secs(90);
/// What each further fragment may add.
const PER_FRAGMENT: Duration = Duration::from_secs(5);

/// What the demo is asked to do.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// The text that Alice sends; none for the demo's own.
    pub message: Option<String>,
    /// Print one JSON object at the end, and nothing else on standard output.
    pub json: bool,
    /// Leave the network up.
    pub keep: bool,
    /// Leave it up with Alice's and Bob's pages served, give their links, and open them if there is a display.
    pub web: bool,
    /// Where the state directories go; a temporary directory if none.
    pub dir: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure::Interrupted`] at SIGINT or SIGTERM; else what went wrong, and where the logs are. No
/// child process is left behind in any case.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let text = options
        .message
        .clone()
        .unwrap_or_else(|| GREETING.to_owned());
    check(&text)?;
    let stop = crate::runtime::stop_requested(false, None).map_err(Failure::failed)?;
    tokio::pin!(stop);
    let narrator = Narrator::new(options.json);
    let workplace = Workplace::create(options.dir.as_deref())?;
    let mut network = Network::new(workplace, narrator, options.web);

    let told = tokio::select! {
        told = tokio::time::timeout(patience(&text), story::tell(&mut network, &text)) => told
            .unwrap_or_else(|_| Err(Failure::unreachable(anyhow::anyhow!("the demo took too long")))),
        () = &mut stop => Err(Failure::Interrupted),
    };
    match told {
        Ok(outcome) => {
            let shown = show(&options, &network, &outcome).await;
            if shown.is_ok() && (options.keep || options.web) {
                network.explain_use();
                stop.await;
            }
            network.stop().await;
            network.remove_unless(options.keep || options.dir.is_some());
            shown
        }
        Err(error) => {
            network.stop().await;
            if matches!(error, Failure::Interrupted) {
                network.remove_unless(options.dir.is_some());
            } else {
                narrator.line(&format!("the logs are in {}", network.dir().display()));
            }
            Err(error)
        }
    }
}

fn check(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("the message is empty")));
    }
    let most = shoal_client::MAX_TEXT_BYTES;
    if text.len() > most {
        return Err(Failure::usage(anyhow::anyhow!(
            "the message has {} bytes, at most {most} fit",
            text.len()
        )));
    }
    Ok(())
}

fn patience(text: &str) -> Duration {
    let fragments = text
        .len()
        .div_ceil(shoal_proto::size::TEXT_BYTES_PER_PACKET);
    PATIENCE + PER_FRAGMENT * u32::try_from(fragments).unwrap_or(u32::MAX)
}

/// How it went, and the pages if they are wanted.
async fn show(options: &DemoOptions, network: &Network, outcome: &Outcome) -> Result<(), Failure> {
    let pages = match options.web {
        true => network.pages().await?,
        false => Vec::new(),
    };
    report(options, network.narrator, outcome, &pages)?;
    for (name, page) in &pages {
        network.narrator.line(&format!("{name}: {}", page.url()));
    }
    if !pages.is_empty() {
        network.narrator.line(&format!(
            "Each link opens once, within ten minutes; for others: shoal web --dir {}/alice",
            network.dir().display()
        ));
    }
    if page::has_display() {
        for (name, page) in &pages {
            if let Err(error) = page.open().await {
                let words = format!("no browser was opened for {name} ({error}): open the link");
                network.narrator.line(&words);
            }
        }
    }
    Ok(())
}

fn report(
    options: &DemoOptions,
    narrator: Narrator,
    outcome: &Outcome,
    pages: &[(&str, PageLink)],
) -> Result<(), Failure> {
    if options.json {
        narrator.json(outcome, pages);
    } else {
        narrator.summary(outcome);
    }
    if outcome.complete() {
        return Ok(());
    }
    Err(Failure::failed(anyhow::anyhow!(
        "the books of the nodes do not balance"
    )))
}
