//! The binary's parts over real sockets and real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod api_daemon;
mod api_document;
mod api_events;
mod api_guard;
mod api_server;
mod api_support;
#[cfg(target_os = "linux")]
mod bench_mix;
mod chat;
mod cli;
mod cli_directory;
mod cli_files;
mod cli_identity;
mod cli_invite;
mod cli_network;
mod cli_passphrase;
mod cli_recovery;
mod cli_store;
mod cli_successor;
mod config;
mod copies;
mod demo;
mod directory;
mod e2e;
mod files;
mod hangup;
mod kills;
mod link;
mod link_again;
mod local;
mod manual;
mod messagebox;
mod namespaces;
mod nat;
mod net;
mod net_crowded;
mod net_cut;
mod net_families;
mod net_gossip;
mod net_hostile;
mod net_probe;
mod net_support;
mod node_doctor;
mod node_health;
mod readme;
mod relay;
mod scene;
mod state;
mod takeover;
mod threats;
mod upnp;
mod web;
