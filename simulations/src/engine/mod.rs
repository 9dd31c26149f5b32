//! The engine: packets through a network in windows of virtual time, and what adversaries make of what they see.
