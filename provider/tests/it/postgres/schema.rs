//! Schemas that are not what they should be, and servers that don't let us in: clear errors, and what is
//! not ours stays as it is.

use crate::operations::key_of_store;
use shoal_provider::{PostgresOptions, PostgresStore, Store, StoreError, StoreLimits};

use super::{Server, server};
use crate::operations::{T0, attend, one, register};

fn error(options: PostgresOptions) -> StoreError {
    match PostgresStore::open(options) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn next_error(server: &Server) -> StoreError {
    error(server.options(StoreLimits::default()))
}

#[test]
fn a_schema_of_another_program_is_refused_and_kept() {
    let Some(server) = server() else { return };
    let schema = server.options(StoreLimits::default()).schema;
    for table in [
        "letters (text text)",
        "meta (application bigint)",
        "meta (application bigint, version bigint, fence bigint)",
    ] {
        server.execute(&format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.{table}"
        ));
        assert!(
            matches!(next_error(&server), StoreError::Foreign(_)),
            "{table}"
        );
        // Fails if there is more than was there before.
        let name = table.split(' ').next().unwrap();
        server.execute(&format!("DROP TABLE {schema}.{name}; DROP SCHEMA {schema}"));
    }
}

#[test]
fn another_version_is_refused() {
    let Some(server) = server() else { return };
    drop(server.store(StoreLimits::default()));
    for (found, advice) in [(99, "newer"), (0, "start empty")] {
        server.execute(&format!("UPDATE meta SET version = {found}"));
        let error = next_error(&server);
        assert_eq!(error, StoreError::Version { found, known: 4 });
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn whoever_may_not_write_is_told_so() {
    let Some(server) = server() else { return };
    let mut store = server.store(StoreLimits::default());
    one(&mut store, T0, attend(1, 1, &[], &[register(1)]));
    let schema = server.options(StoreLimits::default()).schema;
    // Roles are the whole server's.
    let role = format!("reader_{schema}");
    server.execute(&format!("CREATE ROLE {role} LOGIN"));
    let options = PostgresOptions::new(
        format!(
            "{} user={role} options='-c lock_timeout=9s'",
            server.connection
        ),
        key_of_store(),
        StoreLimits::default(),
    );
    // Neither a schema of its own, nor ours.
    let ours = PostgresOptions {
        schema,
        ..options.clone()
    };
    drop(store);
    for options in [options.clone(), ours] {
        let error = error(options);
        assert!(matches!(error, StoreError::Rights(_)), "{error}");
    }
    server.execute(&format!(
        "ALTER ROLE {role} SET default_transaction_read_only = on"
    ));
    server.execute(&format!("GRANT CREATE ON DATABASE postgres TO {role}"));
    let read_only = error(options);
    assert!(matches!(read_only, StoreError::Rights(_)), "{read_only}");
    server.execute(&format!(
        "REVOKE CREATE ON DATABASE postgres FROM {role}; DROP ROLE {role}"
    ));
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!(
        "host={} user=shoal password=secret",
        directory.path().display()
    );
    let told = error(PostgresOptions::new(
        nowhere,
        key_of_store(),
        StoreLimits::default(),
    ));
    assert!(matches!(told, StoreError::Server(_)), "{told}");
    assert!(!told.to_string().contains("secret"), "{told}");
    let Some(server) = server() else { return };
    let other = format!("{} dbname=nowhere", server.connection);
    let told = error(PostgresOptions::new(
        other,
        key_of_store(),
        StoreLimits::default(),
    ));
    assert!(matches!(told, StoreError::Server(_)), "{told}");
}

#[test]
fn a_server_that_would_lose_what_it_answered_is_refused() {
    let Some(server) = super::Own::new() else {
        return;
    };
    let options = PostgresOptions::new(&server.connection, key_of_store(), StoreLimits::default());
    drop(PostgresStore::open(options.clone()).unwrap());
    server.set("fsync = off");
    let told = error(options);
    assert!(matches!(told, StoreError::Setting(_)), "{told}");
}

#[test]
fn a_store_may_be_dropped_where_tokio_runs() {
    let Some(server) = server() else { return };
    let store = server.store(StoreLimits::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move { drop(store) });
    assert_eq!(server.open(StoreLimits::default()).usage().entries, 0);
}
