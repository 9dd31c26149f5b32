//! Entry points for fuzzers: plain functions that take any bytes and must not panic. Compiled for
//! tests, which replay the corpus in `corpus/`, and for fuzzing.

use std::sync::Arc;

use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{Delivery, Payload};
use shoal_proto::size::{PAYLOAD_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{Epoch, NodeId, Span, SurbId, Time};
use shoal_topology::{NetworkParameters, TokenDemand};
use zeroize::Zeroizing;

use crate::offline::copy::{self, CopyError};
use crate::offline::record::{self, Record};
use crate::offline::report::{Report, Step};
use crate::offline::{OfflineStore, StoreStats};
use crate::{
    Due, Issuer, Limits, MemoryStore, Provider, ProviderAction, ProviderInput, Store, StoreError,
    StoreLimits,
};

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
    // Either kind of provider.
    if data.len().is_multiple_of(2) {
        let seed = Zeroizing::new([2; 32]);
        provider = provider.with_issuer(Issuer::new(seed, TokenDemand::Open, Vec::new()));
    }
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

/// Reads the bytes as a copy of a store, and as records without a checksum around them.
///
/// # Panics
/// When what was read is not written as the same bytes.
pub fn fuzz_copy(data: &[u8]) {
    let mut rows = Rows(Vec::new());
    let mut from = data;
    if copy::import(&mut rows, &mut from, &mut |_| {}).is_ok() {
        let mut again = Vec::new();
        let written = copy::export(&rows, &mut again, &mut |_| {});
        assert!(written.is_ok() && again == data, "one store has one copy");
    }
    let mut rest = data;
    while let Some((kind, bytes)) = rest.split_first()
        && let Some((bytes, after)) =
            record::length(*kind).and_then(|length| bytes.split_at_checked(length))
    {
        if let Ok(record) = Record::decode(*kind, bytes) {
            let mut again = Vec::new();
            record.encode(&mut again);
            assert!(again.split_first() == Some((kind, bytes)), "{record:?}");
        }
        rest = after;
    }
}

/// A store that takes any rows.
struct Rows(Vec<Record>);

impl OfflineStore for Rows {
    fn stats(&self) -> Result<StoreStats, StoreError> {
        Err(StoreError::Bug(String::new()))
    }

    fn inventory(&self, _: Time, _: Option<Time>) -> Result<Due, StoreError> {
        Ok(Due::default())
    }

    fn verify(&self, _: &StoreLimits, _: &mut dyn FnMut(Step)) -> Result<Report, StoreError> {
        Ok(Report::default())
    }

    fn read(
        &self,
        each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        self.0.iter().try_for_each(each)
    }

    fn fill(
        &mut self,
        next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
    ) -> Result<(), CopyError> {
        while let Some(record) = next()? {
            self.0.push(record);
        }
        Ok(())
    }
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
const TARGETS: &[check::Target] = &[("copy", fuzz_copy), ("delivered", fuzz_delivered)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The checksum is right, as it is when somebody meant to.
    #[test]
    fn rows_out_of_order_are_no_copy() {
        let mut rows = Rows(Vec::new());
        let mut whole = include_bytes!("../corpus/copy/whole").as_slice();
        copy::import(&mut rows, &mut whole, &mut |_| {}).unwrap();
        rows.0.reverse();
        let mut bytes = Vec::new();
        copy::export(&rows, &mut bytes, &mut |_| {}).unwrap();
        let read = copy::import(&mut rows, &mut bytes.as_slice(), &mut |_| {});
        assert!(matches!(read, Err(CopyError::Damaged(_))), "{read:?}");
    }

    /// Two ways to write one record would be two copies of one store.
    #[test]
    fn a_record_is_written_in_one_way_only() {
        let records = include_bytes!("../corpus/copy/records");
        let mailbox = records.get(1..115).unwrap();
        assert!(Record::decode(b'M', mailbox).is_ok());
        for (at, flag) in [(32, 2), (32, 0xff), (33, 0), (33, 2), (33, 0xff)] {
            let mut other = mailbox.to_vec();
            other[at] = flag;
            assert!(Record::decode(b'M', &other).is_err(), "{flag} at {at}");
        }
        let set = records.get(116..188).unwrap();
        assert!(Record::decode(b'S', set).is_ok());
        for size in [0, 65, 255] {
            let mut other = set.to_vec();
            other[71] = size;
            assert!(Record::decode(b'S', &other).is_err(), "{size}");
        }
        let drop = records.get(189..270).unwrap();
        assert!(Record::decode(b'D', drop).is_ok());
        let mut other = drop.to_vec();
        other[64] = 3;
        assert!(
            Record::decode(b'D', &other).is_err(),
            "neither revoked nor not"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_changed_in_a_copy_it_is_read_or_refused(
            at in 0usize..2000,
            byte: u8,
            cut in 0usize..2500,
        ) {
            let mut whole = include_bytes!("../corpus/copy/whole").to_vec();
            let changed = whole.get_mut(at).map(|old| std::mem::replace(old, byte) != byte);
            let mut rows = Rows(Vec::new());
            let read = copy::import(&mut rows, &mut whole.as_slice(), &mut |_| {});
            prop_assert_eq!(read.is_ok(), changed != Some(true));
            whole.truncate(cut);
            fuzz_copy(&whole);
        }

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
