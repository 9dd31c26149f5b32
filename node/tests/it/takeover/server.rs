//! The PostgreSQL server of the tests, if there is one.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use shoal_node::state::{Opened, Owner, StateError, check_before, known_takeover, open_postgres};
use shoal_proto::{NodeId, Span};
use shoal_provider::{PostgresOptions, PostgresStore, StoreError, StoreKey, StoreLimits};
use zeroize::Zeroizing;

static SCHEMAS: AtomicU64 = AtomicU64::new(0);

pub(super) const NODE: NodeId = NodeId::new([5; 32]);

/// A schema of one test, which is removed after it.
pub(super) struct Server {
    pub(super) connection: String,
    pub(super) schema: String,
    control: String,
}

impl Server {
    /// None where there is no server.
    pub(super) fn new() -> Option<Self> {
        let Ok(connection) = std::env::var("SHOAL_POSTGRES") else {
            let demanded = std::env::var("SHOAL_POSTGRES_DEMANDED").is_ok_and(|it| it == "yes");
            assert!(!demanded, "run the tests by .ci/postgres");
            return None;
        };
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let schema = format!("node_{}_{number}", std::process::id());
        Some(Self {
            connection: format!("{connection} application_name={schema}"),
            schema,
            control: std::env::var("SHOAL_POSTGRES_CONTROL").unwrap(),
        })
    }

    /// Runs a statement, in which `@` is the schema. What it prints.
    pub(super) fn sql(&self, sql: &str) -> String {
        let sql = sql.replace('@', &self.schema);
        let output = Command::new(&self.control).args(["sql", &sql]).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends the connections of this schema: that which has the mailboxes, or the others.
    pub(super) fn cut(&self, with_lock: bool) {
        let not = if with_lock { "" } else { "NOT" };
        self.sql(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '@' AND pid {not} IN \
             (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
        ));
    }

    pub(super) fn options(&self, key: u8) -> PostgresOptions {
        let secret = Zeroizing::new([key; 32]);
        let key = StoreKey::new(secret, ChaCha20Rng::seed_from_u64(key.into()));
        PostgresOptions {
            schema: self.schema.clone(),
            patience: Span::from_secs(5),
            ..PostgresOptions::new(&self.connection, key, StoreLimits::default())
        }
    }

    /// What a process does to take over, with this directory.
    pub(super) fn take_over(&self, owner: &Owner) -> Result<(PostgresStore, Opened), StateError> {
        let options = PostgresOptions {
            known_takeover: known_takeover(&owner.dir)?,
            ..self.options(1)
        };
        check_before(&options, owner)?;
        let store = PostgresStore::open(options.clone())?;
        let opened = open_postgres(&options, store.takeover(), owner)?;
        Ok((store, opened))
    }
}

pub(super) fn owner(dir: &Path) -> Owner {
    Owner {
        node: NODE,
        dir: dir.to_owned(),
        issues_tokens: false,
    }
}

/// What keeps somebody from taking over.
pub(super) fn refusal(taken: Result<(PostgresStore, Opened), StateError>) -> String {
    match taken {
        Ok(_) => panic!("it took over"),
        Err(StateError::Database(StoreError::Server(error))) => panic!("{error}"),
        Err(error) => error.to_string(),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS @ CASCADE");
        }
    }
}
