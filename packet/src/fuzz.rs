//! Entry points for fuzzers, one for each decoder: none may panic on any bytes. A libFuzzer
//! target is one line around each; the corpus in `corpus/` is replayed by the tests.
