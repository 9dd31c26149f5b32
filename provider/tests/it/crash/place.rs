//! What is killed, whatever keeps it: how it is opened, named to another process, and looked at for damage.

use std::path::Path;

use shoal_provider::{Store, StoreAt};

use super::victim::limits;
use crate::operations::key_of_store;

/// Where a store is that is killed again and again.
pub(super) enum Place {
    /// A file.
    File(Box<StoreAt>),
    /// A schema of the tests' server, whose clients are killed.
    #[cfg(feature = "postgres")]
    Postgres(crate::postgres::Server),
}

fn file(at: &StoreAt) -> &Path {
    let StoreAt::Sqlite(path, _) = at else {
        unreachable!("engines")
    };
    path
}

impl Place {
    /// The engine's name.
    pub(super) const fn engine(&self) -> &'static str {
        match self {
            Self::File(at) => at.engine(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres",
        }
    }

    /// As it is told to the process that gets killed.
    pub(super) fn told(&self) -> String {
        match self {
            Self::File(at) => format!("sqlite {}", file(at).display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => format!("postgres {}", server.options(limits()).schema),
        }
    }

    /// Opens what another process was told.
    pub(super) fn open_told(engine: &str, place: &str) -> Box<dyn Store> {
        match engine {
            "sqlite" => {
                let at = StoreAt::Sqlite(place.into(), key_of_store());
                at.open(limits()).unwrap()
            }
            #[cfg(feature = "postgres")]
            "postgres" => {
                let server = crate::postgres::server().expect("the server of who kills");
                let options = shoal_provider::PostgresOptions {
                    schema: place.to_owned(),
                    ..server.options(limits())
                };
                Box::new(shoal_provider::PostgresStore::open(options).unwrap())
            }
            other => panic!("{other}"),
        }
    }

    pub(super) fn open(&self) -> Box<dyn Store> {
        match self {
            Self::File(at) => at.open(limits()).unwrap(),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => Box::new(server.open(limits())),
        }
    }

    /// Whether there is something at all: it may be killed before it begins.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::File(at) => file(at).exists(),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.has_tables(),
        }
    }

    /// What is wrong with it, in words; none of a sound one.
    pub(super) fn damage(&self) -> Option<String> {
        match self {
            Self::File(at) => match at.look() {
                Ok(looked) => {
                    let report = looked.verify(&limits(), &mut |_| {}).unwrap();
                    (!report.is_sound()).then(|| format!("{report:?}"))
                }
                Err(error) => Some(error.to_string()),
            },
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                // Whoever has the mailboxes has waited for the end of who had them before.
                drop(server.open(limits()));
                server.damage()
            }
        }
    }
}
