//! `shoal network successor`.

use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::config::{load_network, read_network};
use shoal_node::runtime::{Clock, SUCCESSOR_FILE};
use shoal_node::state::{load_identity, write_atomic, write_new};
use shoal_node::{Exit, Failure};
use shoal_proto::{Epoch, Time};
use shoal_topology::{
    Certified, NetworkParameters, Role, Succession, SuccessionError, Successor, Terms, Trust,
};

use super::changes::{Change, changes};
use crate::cli::args::{SuccessorAdd, SuccessorCommand, SuccessorNew, SuccessorSign};
use crate::cli::directory::whom;
use crate::cli::network::newest;
use crate::cli::output;

/// What each of the commands prints with `--json`.
#[derive(Serialize)]
pub(super) struct Shown {
    file: String,
    hash: String,
    follows: String,
    origin: String,
    epoch: u64,
    /// Seconds since 1970.
    begins: u64,
    /// Of those who sat when it was made.
    signed: usize,
    needed: usize,
    changes: Vec<Change>,
}

impl Shown {
    pub(super) fn of(
        file: &Path,
        successor: &Successor,
        before: &NetworkParameters,
    ) -> Result<Self, Failure> {
        let (signed, needed) = signatures(successor)?;
        let by = successor.succession();
        Ok(Self {
            file: file.display().to_string(),
            hash: successor.hash().to_string(),
            follows: by.follows.to_string(),
            origin: by.origin.to_string(),
            epoch: by.epoch.number(),
            begins: successor.begins().as_secs(),
            signed,
            needed,
            changes: changes(before, successor.params())?,
        })
    }

    pub(super) fn in_words(&self, now: Time) -> String {
        let in_secs = i128::from(self.begins) - i128::from(now.as_secs());
        let when = match in_secs {
            0.. => format!("in {in_secs} s"),
            _ => format!("since {} s", -in_secs),
        };
        let changes = self.changes.iter().map(Change::in_words);
        let changes = Vec::from_iter(changes);
        format!(
            "follows    {}\nhash       {}\ncounts     from epoch {} on, {when}\nsigned     by {} of those who sat when \
             it was made, and {} have to\nchanges\n  {}",
            self.follows,
            self.hash,
            self.epoch,
            self.signed,
            self.needed,
            match changes.as_slice() {
                [] => "nothing".to_owned(),
                all => all.join("\n  "),
            },
        )
    }
}

/// How many of those who sat when it was made have signed, and how many have to.
fn signatures(successor: &Successor) -> Result<(usize, usize), Failure> {
    let trust = Trust::first(successor.params()).map_err(Failure::usage)?;
    let (signed, seats) = (
        successor.succession().signed_by(trust.seats()),
        trust.seats(),
    );
    Ok((signed, seats.quorum()))
}

pub(super) async fn run(command: &SuccessorCommand, json: bool) -> Result<(), Failure> {
    match command {
        SuccessorCommand::New(args) => new(args, json).await,
        SuccessorCommand::Sign(args) => sign(args, json),
        SuccessorCommand::Add(args) => add(args, json),
    }
}

/// Reads a file that follows on this one.
pub(super) fn read(file: &Path, before: &NetworkParameters) -> Result<Successor, Failure> {
    let refused =
        |error: &dyn std::fmt::Display| Failure::usage(anyhow!("{}: {error}", file.display()));
    let text = std::fs::read(file).map_err(|error| refused(&error))?;
    Successor::read(&text, before).map_err(|error| refused(&error))
}

async fn new(args: &SuccessorNew, json: bool) -> Result<(), Failure> {
    let (params, nodes) = whom(&args.whom, newest::MOST)?;
    let asked = newest::ask(nodes, args.whom.timeout).await?;
    let certified = newest::newest(&asked)?;
    let trusts = asked.iter().map(|(node, _)| node.chain().trust());
    let trust = trusts.max_by_key(|trust| trust.since());
    let trust = trust.ok_or_else(|| Failure::failed(anyhow!("nobody was asked")))?;
    let read = read_network(&args.values).map_err(Failure::usage)?;
    let values = read.startable();
    let values =
        values.map_err(|error| Failure::usage(anyhow!("{}: {error}", args.values.display())))?;
    let epoch = begins(&params, certified, args.terms);
    let next = follow(&params, values, trust, epoch)?;
    check_layers(&next, certified)?;
    let successor = Successor::of(next).map_err(Failure::usage)?;
    // As others will: what can't change did not, and the clocks meet.
    let successor = Successor::read(successor.text(), &params).map_err(Failure::usage)?;
    if successor.hash() == params.hash() || changes(&params, successor.params())?.is_empty() {
        let error = anyhow!("{} changes nothing", args.values.display());
        return Err(Failure::usage(error));
    }
    write_new(&args.out, successor.text(), 0o644)?;
    let shown = Shown::of(&args.out, &successor, &params)?;
    let (network, out) = (args.whom.network.display(), &shown.file);
    let words = format!(
        "{}\n\nWrote {out}. Each operator of a member looks at it, and signs:\n  shoal network show {out} --before \
         {network}\n  shoal network successor sign --network {network} --dir DIR {out}",
        shown.in_words(Clock::start().now()),
    );
    output::show(json, &shown, &words)
}

/// The first epoch of the term that begins so many terms after the newest document, if no epoch is lost until then.
fn begins(params: &NetworkParameters, newest: &Certified, terms: u64) -> Epoch {
    let document = &newest.document;
    let ends = Terms::of(params).end(document.height().next()).number();
    let first = ends + u64::from(params.term).saturating_mul(terms - 1) + 1;
    let further = first.saturating_sub(document.height().number());
    Epoch::new(document.epoch().number().saturating_add(further))
}

/// These values, as a file that follows.
fn follow(
    before: &NetworkParameters,
    values: NetworkParameters,
    trust: &Trust,
    epoch: Epoch,
) -> Result<NetworkParameters, Failure> {
    let start = before.start_of(epoch);
    let since = values.epoch.scale(epoch.number(), 1);
    if start.as_micros() < since.as_micros() {
        let error = anyhow!(
            "epoch: {} epochs of {} would have begun before 1970: the epoch can't become that long",
            epoch.number(),
            values.epoch
        );
        return Err(Failure::usage(error));
    }
    let seats = trust.seats();
    let holders = seats.all().filter_map(|seat| seats.holder(seat).copied());
    let succession = Succession {
        follows: before.hash(),
        origin: before.chain(),
        epoch,
        height: trust.since(),
        seats: holders.collect(),
        signatures: Vec::new(),
    };
    Ok(NetworkParameters {
        genesis: start - since,
        succession: Some(succession),
        ..values
    })
}

/// Without a mix for each layer there would be no document any more.
fn check_layers(next: &NetworkParameters, newest: &Certified) -> Result<(), Failure> {
    let members = newest.document.members();
    let mixes = members.filter(|member| member.role == Role::Mix).count();
    if mixes < usize::from(next.layers) {
        let error = anyhow!(
            "layers = {}: there are {mixes} mixes, so that a layer would be empty",
            next.layers
        );
        return Err(Failure::usage(error));
    }
    Ok(())
}

fn sign(args: &SuccessorSign, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    let identity = load_identity(&args.dir).map_err(Failure::usage)?;
    let successor = read(&args.file, &params)?;
    remember(&args.dir, &successor)?;
    let successor = successor.sign(&identity).map_err(Failure::usage)?;
    write_atomic(&args.file, successor.text(), 0o644)?;
    let shown = Shown::of(&args.file, &successor, &params)?;
    let next = match shown.signed >= shown.needed {
        true => format!(
            "Enough have signed. Give it to a node:\n  shoal network successor add --network {} --dir DIR {}",
            args.network.display(),
            shown.file
        ),
        false => format!("Send {} to the next one.", shown.file),
    };
    let words = format!("{}\n\n{next}", shown.in_words(Clock::start().now()));
    output::show(json, &shown, &words)
}

/// What the operator of a directory has signed: `FOLLOWS HASH` a line.
const SIGNED: &str = "signed-successors.txt";

/// Takes down what is about to be signed. Of two files that follow on one, and that enough sign, some would go by the
/// one and some by the other.
fn remember(dir: &Path, successor: &Successor) -> Result<(), Failure> {
    let path = dir.join(SIGNED);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::usage(anyhow!("{}: {error}", path.display()))),
    };
    let follows = successor.succession().follows.to_string();
    let hash = successor.hash().to_string();
    let lines = before.lines().filter_map(|line| line.split_once(' '));
    let mut others = lines.filter(|(of, signed)| *of == follows && *signed != hash);
    if let Some((_, other)) = others.next() {
        let error = anyhow!(
            "another file that follows on the same one was signed here, with the hash {other}: if both counted, the \
             network would part. Take its line out of {} only if nobody has that file",
            path.display()
        );
        return Err(Failure::usage(error));
    }
    let text = format!("{before}{follows} {hash}\n");
    write_atomic(&path, text.as_bytes(), 0o644)?;
    Ok(())
}

fn add(args: &SuccessorAdd, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    // It has to be a node's directory.
    load_identity(&args.dir).map_err(Failure::usage)?;
    let mut all: Option<Successor> = None;
    for path in &args.files {
        let next = read(path, &params)?;
        all = Some(match all {
            None => next,
            Some(all) => {
                let merged = all.merge(&next);
                merged.map_err(|error| Failure::usage(anyhow!("{}: {error}", path.display())))?
            }
        });
    }
    let Some(successor) = all else {
        return Err(Failure::usage(anyhow!("no file was named")));
    };
    let (signed, needed) = signatures(&successor)?;
    if signed < needed {
        return Err(Failure::usage(SuccessionError::Unsigned { signed, needed }));
    }
    if successor.begins() <= Clock::start().now() {
        let error = anyhow!("its epoch has begun: make one that begins later");
        return Err(Failure::other(Exit::Late, error));
    }
    let path = args.dir.join(SUCCESSOR_FILE);
    write_atomic(&path, successor.text(), 0o644)?;
    let shown = Shown::of(&path, &successor, &params)?;
    let words = format!(
        "{}\n\nIt is in {} now. The node takes it at SIGHUP, or when it starts, and gives it to all others.",
        shown.in_words(Clock::start().now()),
        shown.file
    );
    output::show(json, &shown, &words)
}
