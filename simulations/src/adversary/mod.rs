//! Adversaries: what they see, what they have corrupted and how that is placed, and what they know.
