//! Scenarios: one TOML file with topology, rates, adversaries and seed, checked once into a type.
