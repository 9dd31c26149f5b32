#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_simulations::scenario::fuzz::fuzz_scenario(data));
