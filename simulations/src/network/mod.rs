//! Scenarios for the real roles in virtual time.
