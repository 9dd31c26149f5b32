//! Proposes a network that fits its users' needs, and says what it costs.
