//! Whether nodes say the truth about themselves.
