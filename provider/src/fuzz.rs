//! Entry points for fuzzers: plain functions that take any bytes and must not panic. Compiled for
//! tests, which replay the corpus in `corpus/`, and for fuzzing.

use std::sync::Arc;

use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{Delivery, Payload};
use shoal_proto::size::{PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{Epoch, NodeId, Span, SurbId, Time};
use shoal_topology::NetworkParameters;
use zeroize::Zeroizing;

use crate::{Limits, MemoryStore, Provider, ProviderAction, ProviderInput, Store, StoreLimits};

/// Delivers the bytes to a provider, cut and filled up to plaintexts, and lets it do all that
/// follows for a minute.
///
/// # Panics
/// When the counters do not balance: a mistake in the provider.
pub fn fuzz_delivered(data: &[u8]) {
    let rng = ChaCha20Rng::seed_from_u64(1);
    let params = Arc::new(NetworkParameters::example());
    let mut now = params.genesis;
    let mut store = MemoryStore::new(StoreLimits::default());
    let mut provider = Provider::new(params, NodeId::new([1; 32]), Limits::default(), rng, now);
    for chunk in data.chunks(PLAINTEXT_BYTES) {
        let mut plaintext = chunk.to_vec();
        plaintext.resize(PLAINTEXT_BYTES, 0);
        deliver(&mut provider, now, Some(plaintext));
        deliver(&mut provider, now, Some(chunk.to_vec()));
        deliver(&mut provider, now, None);
    }
    let end = now + Span::from_secs(60);
    while now < end {
        while let Some(action) = provider.poll_action(now) {
            if let ProviderAction::Store { ticket, op } = action {
                for result in store.apply(now, vec![op]) {
                    provider.handle_input(now, ProviderInput::StoreDone { ticket, result });
                }
            }
        }
        now = provider
            .poll_deadline()
            .unwrap_or(end)
            .max(now + Span::from_micros(1));
    }
    assert!(
        provider.counters().balanced(),
        "every packet is counted once"
    );
}

fn deliver<R: CryptoRng>(provider: &mut Provider<R>, now: Time, plaintext: Option<Vec<u8>>) {
    let Ok(payload) = Payload::from_bytes(&[0; PAYLOAD_BYTES]) else {
        return;
    };
    let delivery = Delivery {
        destination: [0; 32],
        id: SurbId::new([1; 16]),
        payload,
        plaintext: plaintext.map(Zeroizing::new),
        epoch: Epoch::new(0),
        arrival: now,
    };
    let checked = provider.checker().check(delivery);
    provider.handle_input(now, ProviderInput::Delivered(checked));
}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[("delivered", fuzz_delivered)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_do_harm(kind in 0u8..8, data in prop::collection::vec(any::<u8>(), 0..5000)) {
            let mut data = data;
            if let Some(first) = data.first_mut() {
                *first = kind;
            }
            fuzz_delivered(&data);
        }
    }
}
