#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_client::fuzz::fuzz_invitation(data));
