//! What a node keeps while it runs, in files and in PostgreSQL: the same cases in both places, what only a database can do,
//! and two processes of one identity that take over from each other. Without a server, which `.ci/postgres` makes, the
//! cases are those of files.

mod kept;
#[cfg(feature = "postgres")]
mod owner;
#[cfg(feature = "postgres")]
mod pair;
mod place;
#[cfg(feature = "postgres")]
mod server;
