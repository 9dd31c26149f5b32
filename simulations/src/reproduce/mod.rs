//! Published figures, reproduced.
