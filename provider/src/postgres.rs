//! The store in a PostgreSQL database.

mod connection;
mod expire;
mod failure;
mod load;
mod offline;
mod options;
mod reads;
mod save;
mod schema;
mod session;
mod sheet;
mod state;
mod work;

use std::time::Duration;

use futures::future::try_join;
use shoal_proto::Time;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

pub(crate) use self::offline::OfflinePostgres;
pub use self::options::PostgresOptions;
use self::session::Session;
pub use self::state::{LoadedTags, PostgresState, StateChange, StateLane, StateRow, TagBatch};
use self::work::{Held, Work};
use crate::StoreError;
use crate::store::{Store, StoreOp, StoreOutcome, StoreResult, Usage, without_puts};
use crate::times::micros;

/// A server that has not answered a group of operations by then is given up.
const ANSWER: Duration = Duration::from_secs(30);
/// The same for what gives up a transaction.
const ROLL_BACK: Duration = Duration::from_secs(2);

/// A store in a PostgreSQL database, for a provider that outgrows one machine.
///
/// Each group of operations is one transaction with `synchronous_commit=on`. Runs of deposits and
/// commands are decided in memory: their rows are fetched in two round trips (one without deposits
/// and new sets of drop ids) and written in another, however many there are.
///
/// One process has the mailboxes of a schema, by an advisory lock that lasts as long as its connection.
/// A broken connection is made anew with the next group, and the lock is taken again: the store goes on if nobody had
/// the mailboxes meanwhile, and is [`StoreError::Busy`] for good if somebody had. If it breaks while a group is being
/// committed, nobody knows whether that counts: all of it is answered with an error, and what was stored
/// is found when it is put again.
///
/// What is deleted stays in the server's files until they are vacuumed and written over, and in its log.
///
/// [`Store::apply`] waits for the server: it may not be called where tokio runs.
///
/// Memory: the rows, operations and answers of one group.
pub struct PostgresStore {
    /// Some until the store is dropped.
    runtime: Option<Runtime>,
    options: PostgresOptions,
    session: Option<Session>,
    takeover: Takeover,
    usage: Usage,
}

/// That a process took a schema over: what it writes there counts until another does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takeover(i64);

impl Takeover {
    /// Takeovers of the schema so far, this one included.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl PostgresStore {
    /// Connects, takes the mailboxes, and makes the tables if there are none. It may not be called where
    /// tokio runs.
    ///
    /// # Errors
    /// [`StoreError`]: another process has the mailboxes, the schema is not ours or was written by another
    /// release, or the server is not there or refuses. A schema that is not ours stays as it is.
    pub fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Io(error.to_string()))?;
        let session = runtime.block_on(connect(&options, None))?;
        Ok(Self {
            runtime: Some(runtime),
            options,
            usage: session.held.usage,
            takeover: Takeover(session.fence()),
            session: Some(session),
        })
    }

    /// The takeover by which this store has the mailboxes.
    #[must_use]
    pub const fn takeover(&self) -> Takeover {
        self.takeover
    }

    /// The group in one transaction. On an error nothing of it is kept, or it is unknown.
    fn group(&mut self, now: Time, ops: &[StoreOp]) -> Result<Vec<StoreOutcome>, StoreError> {
        let Some(runtime) = &self.runtime else {
            return Err(StoreError::Bug("the store was closed".to_owned()));
        };
        runtime.block_on(async {
            if let Some(session) = &mut self.session {
                match attempt(session, &mut self.options, now, ops).await {
                    Ok(outcomes) => {
                        self.usage = session.held.usage;
                        return Ok(outcomes);
                    }
                    Err(Failed { error, lost, again }) => {
                        if lost {
                            self.session = None;
                        }
                        if !again {
                            return Err(error);
                        }
                    }
                }
            }
            let session = self
                .session
                .insert(connect(&self.options, Some(self.takeover)).await?);
            self.usage = session.held.usage;
            let result = attempt(session, &mut self.options, now, ops).await;
            if let Err(Failed { lost: true, .. }) = result {
                self.session = None;
            } else {
                self.usage = session.held.usage;
            }
            result.map_err(|failed| failed.error)
        })
    }
}

async fn connect(
    options: &PostgresOptions,
    again: Option<Takeover>,
) -> Result<Session, StoreError> {
    let late = ANSWER.saturating_add(options.patience.into());
    let fence = again.map(Takeover::number);
    match timeout(late, Session::open(options, fence)).await {
        Ok(session) => session,
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> StoreError {
    StoreError::Server(format!("it has not answered for {} s", ANSWER.as_secs()))
}

/// A group that was not done.
struct Failed {
    error: StoreError,
    /// The connection is of no use any more.
    lost: bool,
    /// It broke before anything could have been kept, maybe long ago: another may do the same.
    again: bool,
}

async fn attempt(
    session: &mut Session,
    options: &mut PostgresOptions,
    now: Time,
    ops: &[StoreOp],
) -> Result<Vec<StoreOutcome>, Failed> {
    let Ok(result) = timeout(ANSWER, transaction(session, options, now, ops)).await else {
        return Err(Failed {
            error: no_answer(),
            lost: true,
            again: false,
        });
    };
    let error = match result {
        Ok((outcomes, held)) => {
            session.held = held;
            return Ok(outcomes);
        }
        Err(error) => error,
    };
    // What can still be given up is whole.
    let whole = matches!(
        timeout(ROLL_BACK, session.connection().roll_back()).await,
        Ok(Ok(()))
    );
    Err(Failed {
        lost: !whole || error == StoreError::Busy,
        again: !whole && !session.connection().is_committing(),
        error,
    })
}

async fn transaction(
    session: &Session,
    options: &mut PostgresOptions,
    now: Time,
    ops: &[StoreOp],
) -> Result<(Vec<StoreOutcome>, Held), StoreError> {
    let (limits, key) = (&options.limits, &mut options.key);
    let mut held = session.held;
    let mut outcomes = Vec::with_capacity(ops.len());
    let mut begin = Some(session.begin(ops.iter().any(Kind::writes)));
    let mut runs = ops
        .chunk_by(|a, b| Kind::of(a).is_run(Kind::of(b)))
        .peekable();
    let mut committed = false;
    while let Some(run) = runs.next() {
        let begin = begin.take();
        match run.first().map(Kind::of) {
            Some(Kind::Write) => {
                let sheet = after(begin, load::load(session, key, limits, run)).await?;
                let mut work = Work::new(sheet, limits, key, &mut held, now);
                for op in run {
                    outcomes.push(work.perform(op)?);
                }
                committed = runs.peek().is_none();
                save::save(session, work.key, &work.sheet, committed).await?;
            }
            Some(Kind::Read) => {
                outcomes.extend(after(begin, reads::read(session, key, micros(now), run)).await?);
            }
            Some(Kind::Expire) => {
                let expire = expire::expire(session, key, limits, &mut held, now);
                outcomes.push(after(begin, expire).await?);
            }
            Some(Kind::Check) => {
                after(begin, session.touch()).await?;
                outcomes.push(StoreOutcome::Writable);
            }
            None => {}
        }
    }
    if !committed && begin.is_none() {
        session.connection().commit().await?;
    }
    Ok((outcomes, held))
}

/// Does something in the same round trip with the beginning of the transaction, if it has not begun.
async fn after<T>(
    begin: Option<impl Future<Output = Result<(), StoreError>>>,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match begin {
        Some(begin) => try_join(begin, work).await.map(|((), done)| done),
        None => work.await,
    }
}

/// What may be done together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
    Expire,
    Check,
}

impl Kind {
    const fn of(op: &StoreOp) -> Self {
        match op {
            StoreOp::Put { .. } | StoreOp::Attend { .. } | StoreOp::Claim(_) => Self::Write,
            StoreOp::Waiting { .. } | StoreOp::List { .. } | StoreOp::Inventory { .. } => {
                Self::Read
            }
            StoreOp::Expire => Self::Expire,
            StoreOp::Check => Self::Check,
        }
    }

    fn writes(op: &StoreOp) -> bool {
        Self::of(op) != Self::Read
    }

    fn is_run(self, next: Self) -> bool {
        self == next && matches!(self, Self::Write | Self::Read)
    }
}

impl Store for PostgresStore {
    fn apply(&mut self, now: Time, ops: Vec<StoreOp>) -> Vec<StoreResult> {
        match self.group(now, &ops) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(full) if full.is_full() => without_puts(ops, &full, |rest| self.group(now, rest)),
            Err(error) => vec![Err(error); ops.len()],
        }
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

/// Closes the connection without waiting, so that a store may be dropped anywhere.
impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.session = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
