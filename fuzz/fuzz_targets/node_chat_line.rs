#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_node::fuzz::fuzz_chat_line(data));
