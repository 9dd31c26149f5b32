//! Closed forms and exact solutions that the simulator is held against, each with its source.
