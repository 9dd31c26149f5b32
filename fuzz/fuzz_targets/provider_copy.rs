#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_provider::fuzz::fuzz_copy(data));
