//! The engines that every property of a store is held against.

use shoal_provider::{Store, StoreLimits};

/// Makes an empty store.
pub type Make<'a> = &'a dyn Fn(StoreLimits) -> Box<dyn Store>;

/// A property for each engine, as a test with its name.
macro_rules! on_all_engines {
    ($($property:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $property() {
                super::$property(&|limits| Box::new(shoal_provider::MemoryStore::new(limits)));
            })+
        }
        mod sqlite {
            $(#[test] fn $property() {
                let directory = tempfile::tempdir().unwrap();
                let count = std::cell::Cell::new(0);
                super::$property(&|limits| {
                    count.set(count.get() + 1);
                    let path = directory.path().join(format!("{}.db", count.get()));
                    Box::new(crate::operations::sqlite_store(&path, limits))
                });
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test] fn $property() {
                let Some(server) = crate::postgres::server() else { return };
                super::$property(&|limits| Box::new(server.store(limits)));
            })+
        }
    };
}

pub(crate) use on_all_engines;
