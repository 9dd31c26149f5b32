//! What a node keeps beside mailboxes, in the same schema: rows by kind and key, and replay tags by epoch.
//!
//! Whoever took the mailboxes over may write here ([`Takeover`]). A connection for this holds no lock. It takes a turn
//! instead: it raises the number of its lane in `turns`, if nobody has taken over since, and each transaction proves by
//! that number that no later connection has come and nobody has taken over. It keeps the number's row locked until it has
//! committed, so that who raises it waits for what is being committed, and reads it then.

mod link;
mod rows;
mod tags;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::link::Link;
pub use self::tags::{LoadedTags, TagBatch};
use super::options::PostgresOptions;
use super::session::{dial, enter};
use super::{ANSWER, ROLL_BACK, Takeover, no_answer, schema};
use crate::StoreError;

/// One of the two connections that write, each of which is the only one of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateLane {
    /// Of rows.
    Rows,
    /// Of tags, which packets wait for.
    Tags,
}

impl StateLane {
    const fn number(self) -> i64 {
        match self {
            Self::Rows => 0,
            Self::Tags => 1,
        }
    }
}

/// A row as it is kept.
pub struct StateRow {
    /// What kind it is of.
    pub kind: String,
    /// Which of its kind.
    pub key: Vec<u8>,
    /// What it says; none if it was sealed and can't be opened.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

/// A change of a row.
pub struct StateChange<'a> {
    /// What kind it is of.
    pub kind: &'a str,
    /// Which of its kind.
    pub key: &'a [u8],
    /// What it says from now on; without, it is deleted.
    pub value: Option<&'a [u8]>,
    /// Whether it is a secret, of 64 bytes at most, which is sealed.
    pub secret: bool,
}

/// A writer in one lane.
///
/// A broken connection is made anew. [`StoreError::Busy`] says that another process has taken over:
/// nothing is written any more. All calls wait for the server, and may not be made where tokio runs.
///
/// Memory: what a call hands over, or gives back.
pub struct PostgresState {
    /// Some until it is dropped.
    runtime: Option<Runtime>,
    options: PostgresOptions,
    takeover: Takeover,
    lane: StateLane,
    link: Option<Link>,
    /// A commit was asked for and not answered: it counts or not, and does not come later than the next call.
    uncertain: bool,
}

impl PostgresState {
    /// Connects, and takes the turn in this lane.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has taken over since; or what else [`StoreError`] has.
    pub fn open(
        options: PostgresOptions,
        takeover: Takeover,
        lane: StateLane,
    ) -> Result<Self, StoreError> {
        let mut state = Self {
            runtime: Some(runtime()?),
            options,
            takeover,
            lane,
            link: None,
            uncertain: false,
        };
        state.reach()?;
        Ok(state)
    }

    /// The rows of one kind as they are now, whoever has the mailboxes. None if the schema has not been made.
    ///
    /// # Errors
    /// [`StoreError`], if it is another program's, another release's, or sealed with another key.
    pub fn peek(
        options: &PostgresOptions,
        kind: &str,
    ) -> Result<Option<Vec<StateRow>>, StoreError> {
        runtime()?.block_on(in_time(async {
            let (client, driver) = dial(options).await?;
            let look = async {
                if !schema::is_made(&client, &options.schema, &options.key).await? {
                    return Ok(None);
                }
                enter(&client, options).await?;
                schema::fence(&client, options.known_takeover).await?;
                rows::of_kind(&client, &options.key, kind).await.map(Some)
            };
            let found = look.await;
            driver.abort();
            found
        }))
    }

    /// Whether the last error leaves open whether what was to be written counts. It does not change any more once
    /// another call has succeeded.
    #[must_use]
    pub const fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// Whether the connection has broken, so that the next call makes another.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.link.as_ref().is_none_or(Link::is_broken)
    }

    /// Makes a connection if there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reach(&mut self) -> Result<(), StoreError> {
        if self.is_broken() {
            self.link = None;
            let statements = rows::STATEMENTS.into_iter().chain(tags::STATEMENTS);
            let turn = (self.takeover, self.lane);
            let open = Link::open(&self.options, turn, statements);
            let Some(runtime) = &self.runtime else {
                return Err(closed());
            };
            self.link = Some(runtime.block_on(in_time(open))?);
            // Whatever was being committed has been, or can't be any more.
            self.uncertain = false;
        }
        Ok(())
    }

    /// Does something over the connection, and once more over another one if that breaks: nothing of the former comes any
    /// more then, so it has to be something that may be done twice. If it fails otherwise, the transaction is given up.
    fn with<T>(
        &mut self,
        work: impl AsyncFn(&Link, &PostgresOptions) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let had_one = self.link.is_some();
        match self.once(&work) {
            Err(StoreError::Server(_)) if had_one && self.link.is_none() => self.once(&work),
            done => done,
        }
    }

    fn once<T>(
        &mut self,
        work: &impl AsyncFn(&Link, &PostgresOptions) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reach()?;
        let (Some(runtime), Some(link)) = (&self.runtime, &self.link) else {
            return Err(closed());
        };
        let connection = link.connection();
        connection.settled();
        let done = runtime.block_on(in_time(work(link, &self.options)));
        if done.is_err() {
            let roll_back =
                runtime.block_on(async { timeout(ROLL_BACK, connection.roll_back()).await });
            if !matches!(roll_back, Ok(Ok(()))) {
                self.uncertain = connection.is_committing();
                self.link = None;
            }
        }
        done
    }
}

/// Closes the connection without waiting, so that it may be dropped anywhere.
impl Drop for PostgresState {
    fn drop(&mut self) {
        self.link = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Result<Runtime, StoreError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Io(error.to_string()))
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answered = timeout(ANSWER, work).await;
    answered.unwrap_or_else(|_| Err(no_answer()))
}

fn closed() -> StoreError {
    StoreError::Bug("the state was closed".to_owned())
}
