//! What clients ask, believe and are allowed.
