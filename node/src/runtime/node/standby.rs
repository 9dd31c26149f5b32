//! A provider whose mailboxes and state another process has: it waits, and does nothing else. Two nodes of one
//! identity would contradict each other.

use std::path::Path;
use std::time::Duration;

use shoal_proto::NodeId;
use shoal_provider::{PostgresOptions, PostgresStore, StoreError, StoreKey, StoreLimits};

use crate::config::PostgresPlace;
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::stop::Stops;
use crate::state::keys::{
    draw_store_secret, forget_store_secret, keep_store_secret, load_store_secret, token_seed,
};
use crate::state::{Opened, Owner, StateError, check_before, known_takeover, open_postgres};
use crate::{Failure, seeded};

/// Between two tries, each of which waits for as long as its patience.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What it waits for.
pub(super) struct Wanted<'a> {
    pub(super) place: &'a PostgresPlace,
    pub(super) limits: StoreLimits,
    pub(super) dir: &'a Path,
    pub(super) node: NodeId,
    pub(super) issues_tokens: bool,
}

impl Wanted<'_> {
    fn owner(&self) -> Owner {
        Owner {
            node: self.node,
            dir: self.dir.to_owned(),
            issues_tokens: self.issues_tokens,
        }
    }

    fn options(&self, key: StoreKey) -> Result<PostgresOptions, Failure> {
        Ok(PostgresOptions {
            known_takeover: known_takeover(self.dir)?,
            ..self.place.options(key, self.limits.clone())
        })
    }

    /// Looks whether this directory fits the database, before anybody waits for it; and makes the secrets of both, if
    /// both are new. Whether `store.key` was made.
    async fn check(&self) -> Result<(PostgresOptions, bool), Failure> {
        let (secret, missing) = match load_store_secret(self.dir) {
            Ok(secret) => (secret, None),
            Err(missing @ StateError::Missing { .. }) => {
                (draw_store_secret(&mut seeded()?), Some(missing))
            }
            Err(error) => return Err(Failure::usage(error)),
        };
        let is_new = missing.is_some();
        let options = self.options(StoreKey::new(secret.clone(), seeded()?))?;
        match (look(&options, self.owner()).await?, missing) {
            (Ok(true) | Err(StateError::Database(StoreError::Key)), Some(missing)) => {
                return Err(no_key(&self.place.schema, &missing));
            }
            (Err(error), _) => return Err(refused(error)),
            (Ok(_), _) => {}
        }
        if is_new {
            keep_store_secret(self.dir, &secret).map_err(Failure::usage)?;
        }
        if self.issues_tokens {
            token_seed(self.dir, &mut seeded()?).map_err(Failure::usage)?;
        }
        Ok((options, is_new))
    }
}

/// A directory without the key that the database is sealed with.
fn no_key(schema: &str, missing: &StateError) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "the schema {schema} is sealed with a key that this directory does not have ({missing}): copy store.key from the \
         directory of the process that had it before, as well as identity.key and tokens.key"
    ))
}

/// What does not fit is the operator's to mend; what a server does not do may work later.
fn refused(error: StateError) -> Failure {
    match error {
        StateError::Place(_)
        | StateError::Database(
            StoreError::Key | StoreError::Setting(_) | StoreError::Older { .. },
        ) => Failure::usage(error),
        other => Failure::failed(other),
    }
}

async fn look(
    options: &PostgresOptions,
    owner: Owner,
) -> Result<Result<bool, StateError>, Failure> {
    let options = options.clone();
    let looked = tokio::task::spawn_blocking(move || check_before(&options, &owner));
    looked.await.map_err(Failure::failed)
}

/// What has kept it from taking over.
enum Missed {
    Store(StoreError),
    State(StateError),
}

/// Takes the mailboxes and the state over, in this order: nobody writes there any more when they are read.
fn take_over(options: PostgresOptions, owner: &Owner) -> Result<(PostgresStore, Opened), Missed> {
    let store = PostgresStore::open(options.clone()).map_err(Missed::Store)?;
    let opened = open_postgres(&options, store.takeover(), owner).map_err(|error| match error {
        StateError::Overtaken => Missed::Store(StoreError::Busy),
        StateError::Database(error) => Missed::Store(error),
        other => Missed::State(other),
    })?;
    Ok((store, opened))
}

/// Opens both, once no other process has them. None if the node is asked to stop before.
///
/// # Errors
/// What else keeps it from opening; but once it waits, a server that does not answer is waited for too.
pub(super) async fn open(
    wanted: &Wanted<'_>,
    announcer: Announcer,
    stops: &mut Stops,
) -> Result<Option<(PostgresStore, Opened)>, Failure> {
    let (mut options, mut made) = wanted.check().await?;
    let mut told = None;
    loop {
        let (again, owner) = (options.clone(), wanted.owner());
        // They have runtimes of their own, which can't be entered from within this one.
        let opened = tokio::task::spawn_blocking(move || take_over(again, &owner));
        let opened = tokio::select! {
            opened = opened => opened.map_err(Failure::failed)?,
            _ = stops.next() => return Ok(None),
        };
        let error = match opened {
            Ok(both) => {
                if told.is_some() {
                    tracing::info!("the mailboxes are free: this process takes over");
                }
                return Ok(Some(both));
            }
            Err(Missed::Store(error @ StoreError::Busy)) => error,
            Err(Missed::Store(error @ StoreError::Server(_))) if told.is_some() => error,
            Err(Missed::Store(StoreError::Key)) if made => {
                // Two began at once with an empty database, and the other was first.
                forget_store_secret(wanted.dir)?;
                return Err(refused(StateError::Database(StoreError::Key)));
            }
            Err(Missed::Store(error)) => return Err(Failure::failed(error)),
            Err(Missed::State(error)) => return Err(refused(error)),
        };
        if told.as_ref() != Some(&error) {
            let reasons = match &error {
                StoreError::Busy => {
                    // What did not show when there was nothing yet.
                    if std::mem::take(&mut made)
                        && let Err(error) = look(&options, wanted.owner()).await?
                    {
                        if matches!(error, StateError::Database(StoreError::Key)) {
                            forget_store_secret(wanted.dir)?;
                        }
                        return Err(refused(error));
                    }
                    "another process has the mailboxes: this one takes over when it is gone"
                        .to_owned()
                }
                other => other.to_string(),
            };
            tracing::warn!("not ready: {reasons}");
            announcer.say(&Announce::NotReady { reasons });
            told = Some(error);
        }
        options.known_takeover = known_takeover(wanted.dir)?;
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            _ = stops.next() => return Ok(None),
        }
    }
}
