//! `shoal network recovery`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::config::{load_network, read_recovery, with_recovery};
use shoal_node::state::{load_identity, write_atomic, write_new};
use shoal_proto::NodeId;
use shoal_topology::agreement::MAX_SEATS;
use shoal_topology::{Recovery, RecoveryFile};

use crate::cli::args::{self, RecoveryAdd, RecoveryNew, RecoverySign};
use crate::cli::directory::whom;
use crate::cli::network::newest;
use crate::cli::output;

/// What each of the commands prints with `--json`.
#[derive(Serialize)]
struct Shown {
    file: String,
    network: String,
    height: u64,
    document: String,
    seats: String,
    members: Vec<NodeId>,
    signed: usize,
    needed: usize,
}

impl Shown {
    fn of(file: &Path, network: String, recovery: &Recovery) -> Self {
        Self {
            file: file.display().to_string(),
            network,
            height: recovery.height.number(),
            document: recovery.document.to_string(),
            seats: bs58::encode(recovery.seats).into_string(),
            members: recovery.members.iter().map(|member| member.id).collect(),
            signed: recovery.signed(),
            needed: recovery.needed(),
        }
    }

    fn in_words(&self) -> String {
        format!(
            "network   {}\ngoes on   from height {}, document {}\nseats     {}, {} members\nsigned    by {} of \
             them, and {} have to",
            self.network,
            self.height,
            self.document,
            self.seats,
            self.members.len(),
            self.signed,
            self.needed,
        )
    }
}

pub(super) async fn run(command: &args::Recovery, json: bool) -> Result<(), Failure> {
    match command {
        args::Recovery::New(args) => new(args, json).await,
        args::Recovery::Sign(args) => sign(args, json),
        args::Recovery::Add(args) => add(args, json),
    }
}

async fn new(args: &RecoveryNew, json: bool) -> Result<(), Failure> {
    let (params, nodes) = whom(&args.whom, newest::MOST)?;
    let asked = newest::ask(nodes, args.whom.timeout).await?;
    let document = &newest::newest(&asked)?.document;
    let members = match args.member.is_empty() {
        true => left(document.members().map(|member| member.id), &args.without)?,
        false => args.member.clone(),
    };
    let network = params.chain();
    let recovery = Recovery::new(network, document, &members).map_err(Failure::usage)?;
    let shown = Shown::of(&args.out, network.to_string(), &recovery);
    let file = RecoveryFile { network, recovery };
    write_new(&args.out, file.to_toml().as_bytes(), 0o644)?;
    let words = format!(
        "{}\n\nWrote {}. Look with the other operators whether nobody has a newer document; then each of those \
         that it names:\n  shoal network recovery sign --network {} --dir DIR {}",
        shown.in_words(),
        shown.file,
        args.whom.network.display(),
        shown.file
    );
    output::show(json, &shown, &words)
}

/// All members but these, each of which is one.
fn left(all: impl Iterator<Item = NodeId>, without: &[NodeId]) -> Result<Vec<NodeId>, Failure> {
    let mut left = BTreeSet::from_iter(all);
    for id in without {
        if !left.remove(id) {
            let error = anyhow!("--without {id}: it is no member in the newest document");
            return Err(Failure::usage(error));
        }
    }
    if left.len() > MAX_SEATS {
        let error = anyhow!(
            "{} members are left, and {MAX_SEATS} can decide: name them with --member",
            left.len()
        );
        return Err(Failure::usage(error));
    }
    Ok(left.into_iter().collect())
}

fn sign(args: &RecoverySign, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    let identity = load_identity(&args.dir).map_err(Failure::usage)?;
    let mut file = read_recovery(&args.file, &params).map_err(Failure::usage)?;
    file.recovery
        .sign(&file.network, &identity)
        .map_err(Failure::usage)?;
    write_atomic(&args.file, file.to_toml().as_bytes(), 0o644)?;
    let shown = Shown::of(&args.file, file.network.to_string(), &file.recovery);
    let next = match file.recovery.check(&file.network) {
        Ok(()) => format!(
            "Enough have signed. Put it into the network's file:\n  shoal network recovery add --network {} {}",
            args.network.display(),
            shown.file
        ),
        Err(_) => format!("Send {} to the next one.", shown.file),
    };
    output::show(json, &shown, &format!("{}\n\n{next}", shown.in_words()))
}

fn add(args: &RecoveryAdd, json: bool) -> Result<(), Failure> {
    let params = load_network(&args.network).map_err(Failure::usage)?;
    let mut all: Option<RecoveryFile> = None;
    for path in &args.files {
        let read = read_recovery(path, &params).map_err(Failure::usage)?;
        match &mut all {
            None => all = Some(read),
            Some(all) => {
                let merged = all.recovery.merge(&read.recovery);
                merged.map_err(|error| Failure::usage(anyhow!("{}: {error}", path.display())))?;
            }
        }
    }
    let Some(file) = all else {
        return Err(Failure::usage(anyhow!("no recovery was named")));
    };
    if params.recoveries.contains(&file.recovery) {
        let shown = Shown::of(&args.network, file.network.to_string(), &file.recovery);
        return output::show(json, &shown, "It is in the network's file already.");
    }
    let text = with_recovery(&args.network, &file.recovery).map_err(Failure::usage)?;
    let mode = std::fs::metadata(&args.network).map_or(0o644, |it| it.permissions().mode() & 0o777);
    write_atomic(&args.network, text.as_bytes(), mode)?;
    let shown = Shown::of(&args.network, file.network.to_string(), &file.recovery);
    let words = format!(
        "{}\n\nIt is in {} now. Give that file to every node and every client, and start them again.",
        shown.in_words(),
        shown.file
    );
    output::show(json, &shown, &words)
}
