#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_topology::fuzz::fuzz_invitation(data));
