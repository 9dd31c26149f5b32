//! Where the server is, and how its database is used.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use shoal_proto::Span;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::{StoreError, StoreKey, StoreLimits};

/// How long a connection may take if the connection string says nothing.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the server is, and how its database is used.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Where the server is, as `libpq` writes it: `host=/var/run/postgresql user=shoal`, or a URL.
    pub connection: String,
    /// The schema that all tables are in; made if there is none. Lower-case letters, digits and `_`, at
    /// most 63. Two providers may share a database, not a schema.
    pub schema: String,
    /// What the database is sealed with: the same for all processes that take it over.
    pub key: StoreKey,
    /// The quotas.
    pub limits: StoreLimits,
    /// How long to wait for another process that has the mailboxes.
    pub patience: Span,
    /// Let what is stored, and the password, cross a network in plain text: this engine has no TLS.
    /// Without it the server has to be on this machine.
    pub allow_plaintext: bool,
    /// The number of the last takeover that is known of: a database that knows of fewer is refused.
    pub known_takeover: i64,
}

impl PostgresOptions {
    /// The defaults: the schema `shoal`, 2 s of patience, and a server on this machine.
    #[must_use]
    pub fn new(connection: impl Into<String>, key: StoreKey, limits: StoreLimits) -> Self {
        Self {
            connection: connection.into(),
            schema: "shoal".to_owned(),
            key,
            limits,
            patience: Span::from_secs(2),
            allow_plaintext: false,
            known_takeover: 0,
        }
    }

    /// What the driver connects with.
    ///
    /// # Errors
    /// [`StoreError::Setting`]: one that can't be used, or a server that would be reached in plain text.
    pub(super) fn config(&self) -> Result<Config, StoreError> {
        check_schema(&self.schema)?;
        // What the parser says may quote the string, and a password with it.
        let mut config: Config = self.connection.parse().map_err(|_| {
            setting("the connection string is none: write host=/var/run/postgresql user=shoal")
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(setting("the connection string names no host"));
        }
        if !self.allow_plaintext && !is_local(&config) {
            return Err(setting(
                "the server is on another machine, and this release knows no TLS: use a tunnel (WireGuard, \
                 stunnel, ssh) to it, or allow plain text if the network between is your own",
            ));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("shoal");
        }
        Ok(config)
    }
}

/// Without the connection string, which may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("limits", &self.limits)
            .field("patience", &self.patience)
            .field("allow_plaintext", &self.allow_plaintext)
            .finish_non_exhaustive()
    }
}

fn setting(text: &str) -> StoreError {
    StoreError::Setting(text.to_owned())
}

/// The name stands in statements as it is, so it is one that needs no quotes.
fn check_schema(name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if !starts || name.len() > 63 || !name.chars().all(plain) {
        return Err(setting(
            "a schema has lower-case letters, digits and _ in its name, at most 63",
        ));
    }
    if name == "public" || name == "information_schema" || name.starts_with("pg_") {
        return Err(setting("the mailboxes need a schema of their own"));
    }
    Ok(())
}

/// Whether nothing leaves the machine, whichever of the addresses answers.
fn is_local(config: &Config) -> bool {
    let mut addresses = config.get_hostaddrs().iter();
    let mut hosts = config.get_hosts().iter();
    let host = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|a: IpAddr| a.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    // An address says where a host of the same place in the list is, whatever its name is.
    if config.get_hostaddrs().is_empty() {
        hosts.all(host)
    } else {
        addresses.all(IpAddr::is_loopback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(connection: &str, schema: &str) -> Result<(), StoreError> {
        let options = PostgresOptions {
            schema: schema.to_owned(),
            ..PostgresOptions::new(connection, crate::bench::key(), StoreLimits::default())
        };
        options.config().map(|_| ())
    }

    #[test]
    fn plain_text_stays_on_the_machine_unless_it_is_allowed() {
        for local in [
            "host=/var/run/postgresql user=shoal",
            "postgres://shoal:secret@localhost/shoal",
            "host=127.0.0.1",
            "host=::1",
            "host=db.example hostaddr=127.0.0.1",
        ] {
            assert_eq!(told(local, "shoal"), Ok(()), "{local}");
        }
        for remote in [
            "host=10.0.0.1 password=secret",
            "host=localhost,db.example",
            "host=localhost hostaddr=192.0.2.1",
            "host=/var/run/postgresql,192.0.2.1",
            "postgres://shoal:secret@db.example/shoal",
        ] {
            let error = told(remote, "shoal").unwrap_err().to_string();
            assert!(
                error.contains("TLS") && !error.contains("secret"),
                "{error}"
            );
            let allowed = PostgresOptions {
                allow_plaintext: true,
                ..PostgresOptions::new(remote, crate::bench::key(), StoreLimits::default())
            };
            assert!(allowed.config().is_ok(), "{remote}");
        }
        assert!(told("user=shoal", "shoal").is_err(), "no host");
    }

    #[test]
    fn neither_errors_nor_debug_output_tell_a_password() {
        for broken in ["secret", "host=/tmp secret=1", "host=/tmp password='secret"] {
            let error = told(broken, "shoal").unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let options = PostgresOptions::new(
            "host=/tmp password=secret",
            crate::bench::key(),
            StoreLimits::default(),
        );
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn a_schema_is_one_of_its_own_with_a_plain_name() {
        for good in ["shoal", "_a1"] {
            assert_eq!(told("host=/tmp", good), Ok(()), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "", "public", "pg_toast", "Shoal", "a-b", "a;b", "a\"b", "1a", &long,
        ] {
            assert!(told("host=/tmp", bad).is_err(), "{bad}");
        }
    }
}
