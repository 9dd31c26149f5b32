//! `shoal provider store`: the mailboxes of a provider that does not run.

mod copies;
mod place;
mod stats;
mod verify;

use shoal_node::Failure;

use super::args::{Provider, ProviderStore};

pub(super) async fn run(command: Provider, json: bool) -> Result<(), Failure> {
    let Provider::Store(command) = command;
    match command {
        ProviderStore::Stats(args) => stats::run(args, json).await,
        ProviderStore::Verify(args) => verify::run(args, json).await,
        ProviderStore::Export(args) => copies::export(&args, json).await,
        ProviderStore::Import(args) => copies::import(&args, json).await,
    }
}
