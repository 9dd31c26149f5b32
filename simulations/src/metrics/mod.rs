//! Metrics that adversaries and researchers read off a run.
