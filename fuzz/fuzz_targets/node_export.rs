#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_node::fuzz::fuzz_export(data));
