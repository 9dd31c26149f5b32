//! Every decoder as a plain function that must not panic on any bytes. The corpus lies in
//! `corpus/`, a folder for each function, and the tests replay it.

use shoal_proto::Time;

use crate::{Address, Document, NetworkParameters, SignedDescriptor, adopt_documents};

/// Descriptors from anybody.
pub fn fuzz_descriptor(data: &[u8]) {
    let params = NetworkParameters::example();
    let _ = SignedDescriptor::decode_verified(data, &params, params.genesis);
}

/// Documents from anybody.
pub fn fuzz_document(data: &[u8]) {
    let _ = Document::decode_verified(data, &NetworkParameters::example());
}

/// Answers to a client.
pub fn fuzz_response(data: &[u8]) {
    let params = NetworkParameters::example();
    let now = params.genesis + params.epoch;
    let _ = adopt_documents(&params, &[data.to_vec(), data.to_vec()], now);
    let _ = adopt_documents(&params, &[data.to_vec()], Time::MAX);
}

/// Parameter files.
pub fn fuzz_parameters(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = NetworkParameters::from_toml(text).map(|params| params.hash());
    }
}

/// Addresses in descriptors.
pub fn fuzz_address(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(address) = text.parse::<Address>() {
            assert_eq!(address.to_string(), text, "one spelling for each address");
        }
    }
}
