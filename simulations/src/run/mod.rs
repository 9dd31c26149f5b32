//! Runs of a scenario: repetitions on all threads, metrics with their intervals, files.
