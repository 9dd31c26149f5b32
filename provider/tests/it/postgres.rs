//! The PostgreSQL server of the tests, if there is one: `.ci/postgres` makes it.

mod crash;
mod offline;
mod plans;
mod schema;
mod sound;
mod standby;
mod state;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::operations::key_of_store;
use shoal_proto::Span;
use shoal_provider::{PostgresOptions, PostgresStore, StoreLimits};
use tokio_postgres::{Client, NoTls};

/// The connection string of the server.
const SERVER: &str = "SHOAL_POSTGRES";
/// With `yes`, a test that finds no server fails.
const DEMANDED: &str = "SHOAL_POSTGRES_DEMANDED";

static SCHEMAS: AtomicU64 = AtomicU64::new(0);

/// Schemas of one test, which are removed after it.
pub struct Server {
    connection: String,
    name: String,
    stores: Cell<u64>,
    names: RefCell<BTreeSet<String>>,
}

/// The server; none where there is none.
pub fn server() -> Option<Server> {
    let Ok(connection) = std::env::var(SERVER) else {
        let demanded = std::env::var(DEMANDED).is_ok_and(|demanded| demanded == "yes");
        assert!(
            !demanded,
            "{SERVER} names no server: run the tests by .ci/postgres"
        );
        return None;
    };
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    Some(Server {
        connection,
        name: format!("test_{}_{number}", std::process::id()),
        stores: Cell::new(0),
        names: RefCell::default(),
    })
}

impl Server {
    /// How the last schema is opened.
    pub fn options(&self, limits: StoreLimits) -> PostgresOptions {
        let schema = format!("{}_{}", self.name, self.stores.get());
        // By its name the connections of one test are told from those of others.
        let connection = format!("{} application_name={schema}", self.connection);
        PostgresOptions {
            schema,
            // The server notices late that a process is gone when the machine is busy.
            patience: Span::from_secs(5),
            ..PostgresOptions::new(connection, key_of_store(), limits)
        }
    }

    /// An empty store in a schema of its own.
    pub fn store(&self, limits: StoreLimits) -> PostgresStore {
        self.stores.set(self.stores.get() + 1);
        self.open(limits)
    }

    /// How the store of a name is opened.
    pub fn named(&self, name: &str) -> PostgresOptions {
        let mut options = self.options(StoreLimits::default());
        options.schema = format!("{}_{name}", self.name);
        self.names.borrow_mut().insert(options.schema.clone());
        options
    }

    /// The last one again.
    pub fn open(&self, limits: StoreLimits) -> PostgresStore {
        PostgresStore::open(self.options(limits)).unwrap()
    }

    /// Ends the connections of all stores in the last schema, as a network would.
    pub fn cut(&self) {
        let schema = self.options(StoreLimits::default()).schema;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted \
             AND (classid::bigint << 32 | objid::bigint) = hashtextextended('shoal mailboxes {schema}', 0)"
        ));
    }

    /// Ends all connections but those that have the mailboxes.
    pub fn cut_state(&self) {
        let schema = self.options(StoreLimits::default()).schema;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{schema}' \
             AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
        ));
    }

    /// Runs statements beside the stores, where the last one has its tables.
    pub fn execute(&self, sql: &str) {
        self.execute_in(&self.options(StoreLimits::default()).schema, sql);
    }

    /// The same in another schema.
    pub fn execute_in(&self, schema: &str, sql: &str) {
        ask(&self.connection, async move |client| {
            let path = format!("SET search_path TO {schema}");
            client.batch_execute(&path).await.unwrap();
            client.batch_execute(sql).await.unwrap();
        });
    }
}

fn ask(connection: &str, then: impl AsyncFnOnce(Client)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(connection, NoTls).await.unwrap();
        tokio::spawn(connection);
        then(client).await;
    });
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed may have left the server dead; the schemas die with it.
        if std::thread::panicking() {
            return;
        }
        let numbered = (0..=self.stores.get()).map(|store| format!("{}_{store}", self.name));
        for schema in numbered.chain(self.names.take()) {
            ask(&self.connection, async move |client| {
                let sql = format!(
                    "SET client_min_messages = error; DROP SCHEMA IF EXISTS {schema} CASCADE"
                );
                client.batch_execute(&sql).await.unwrap();
            });
        }
    }
}

/// A server of one test alone, which it may kill. It is gone when this is dropped, or the process.
pub struct Own {
    pub connection: String,
    control: String,
    script: Child,
}

impl Own {
    /// None where there is no server at all.
    pub fn new() -> Option<Self> {
        server()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/postgres");
        let tell = r#"echo "$SHOAL_POSTGRES"; echo "$SHOAL_POSTGRES_CONTROL"; cat"#;
        let mut script = Command::new(script)
            .args(["sh", "-c", tell])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        Some(Self {
            connection: line(),
            control: line(),
            script,
        })
    }

    /// Stops the server as a crash would, or starts it.
    pub fn control(&self, verb: &str) {
        let status = Command::new(&self.control).arg(verb).status().unwrap();
        assert!(status.success(), "{verb}");
    }

    /// Changes a setting of the server.
    pub fn set(&self, setting: &str) {
        let sql = format!("ALTER SYSTEM SET {setting}");
        for sql in [sql.as_str(), "SELECT pg_reload_conf()"] {
            ask(&self.connection, async move |client| {
                client.batch_execute(sql).await.unwrap();
            });
        }
        // It is read by and by.
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
