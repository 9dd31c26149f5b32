//! Fragments of messages: cut, encoded and put together again.

use crate::rng;
use proptest::prelude::*;
use shoal_packet::fragment::{
    Envelope, FRAGMENT_BYTES, Fragment, FragmentError, MAX_FRAGMENTS, MAX_TEXT_BYTES, split,
};
use shoal_packet::reassembly::{Reassembly, ReassemblyError, ReassemblyLimits, Whole};
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use shoal_proto::{DropId, MessageId, NodeId, Span, Time};
use zeroize::Zeroizing;

fn envelope(message: u8) -> Envelope {
    Envelope {
        message: MessageId::new([message; 16]),
        sequence: 7,
        sent_at: Time::from_micros(8),
        reply_provider: NodeId::new([9; 32]),
        reply_drop: DropId::new([10; 32]),
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn limits() -> ReassemblyLimits {
    ReassemblyLimits {
        messages: 4,
        bytes: 0,
        lifetime: Span::from_secs(10),
    }
}

#[test]
fn texts_of_every_size_are_cut_and_joined() {
    let sizes = [
        0,
        1,
        1_262,
        1_263,
        1_264,
        2 * 1_263,
        2 * 1_263 + 1,
        MAX_TEXT_BYTES,
    ];
    for (size, count) in sizes.into_iter().zip([1, 1, 1, 1, 2, 2, 3, MAX_FRAGMENTS]) {
        let fragments = split(&envelope(1), &text(size)).unwrap();
        assert_eq!(fragments.len(), count);
        let mut reassembly = Reassembly::new(limits());
        let mut whole = None;
        for fragment in &fragments {
            assert!(whole.is_none());
            let encoded = fragment.encode().unwrap();
            assert_eq!(encoded.len(), 1_376);
            let decoded = Fragment::decode(&encoded).unwrap();
            assert_eq!(decoded, *fragment);
            whole = reassembly.insert(Time::default(), &(), decoded).unwrap();
        }
        let whole = whole.unwrap();
        assert_eq!(whole.text.as_slice(), text(size));
        assert_eq!(whole.envelope, envelope(1));
        assert!(reassembly.is_empty());
        assert_eq!(reassembly.bytes(), 0);
    }
    let found = MAX_TEXT_BYTES + 1;
    assert_eq!(
        split(&envelope(1), &text(found)),
        Err(FragmentError::TextTooLong { found })
    );
}

#[test]
fn a_fragment_has_one_encoding() {
    let good = split(&envelope(1), b"text").unwrap()[0].encode().unwrap();
    let altered = |position: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[position] = value;
        Fragment::decode(&bytes)
    };
    assert_eq!(altered(0, 2), Err(FragmentError::Version(2)));
    assert_eq!(altered(1, 2), Err(FragmentError::Kind(2)));
    assert_eq!(altered(19, 1), Err(FragmentError::Field("index")));
    assert_eq!(altered(21, 0), Err(FragmentError::Field("count")));
    assert_eq!(altered(21, 65), Err(FragmentError::Field("count")));
    // Not the last one, and still short.
    assert_eq!(altered(21, 2), Err(FragmentError::Field("length")));
    // One byte of text becomes padding.
    assert_eq!(altered(103, 3), Err(FragmentError::Field("padding")));
    assert_eq!(altered(102, 0xff), Err(FragmentError::Field("length")));
    // 1264 bytes would fit the blob, and not the first message of a session.
    let mut long = good.to_vec();
    long[102..104].copy_from_slice(&1_264_u16.to_be_bytes());
    assert_eq!(Fragment::decode(&long), Err(FragmentError::Field("length")));
    assert_eq!(altered(1_375, 1), Err(FragmentError::Field("padding")));
    assert_eq!(Fragment::decode(&good[1..]), Err(FragmentError::Length));
    // A second fragment without text.
    let mut empty = good.to_vec();
    empty[19] = 1;
    empty[21] = 2;
    empty[102..].fill(0);
    assert_eq!(
        Fragment::decode(&empty),
        Err(FragmentError::Field("length"))
    );
}

#[test]
fn copies_change_nothing_and_contradictions_are_refused() {
    let fragments = split(&envelope(1), &text(3_000)).unwrap();
    let mut reassembly = Reassembly::new(limits());
    let now = Time::default();
    for _ in 0..3 {
        assert_eq!(reassembly.insert(now, &1, fragments[0].clone()), Ok(None));
    }
    assert_eq!(reassembly.bytes(), TEXT_BYTES_PER_PACKET);
    let mut other_text = fragments[0].clone();
    other_text.text = Zeroizing::new(vec![0; TEXT_BYTES_PER_PACKET]);
    let mut other_count = fragments[1].clone();
    other_count.count = 4;
    let mut other_time = fragments[1].clone();
    other_time.envelope.sent_at = Time::from_micros(9);
    for fragment in [other_text, other_count, other_time] {
        let result = reassembly.insert(now, &1, fragment);
        assert_eq!(result, Err(ReassemblyError::Contradiction));
    }
    let mut impossible = fragments[1].clone();
    impossible.index = 3;
    assert!(matches!(
        reassembly.insert(now, &1, impossible),
        Err(ReassemblyError::Fragment(FragmentError::Field("index")))
    ));
    // Somebody else's fragment of the same name is not part of it.
    assert_eq!(reassembly.insert(now, &2, fragments[1].clone()), Ok(None));
    assert_eq!(reassembly.insert(now, &1, fragments[2].clone()), Ok(None));
    let whole = reassembly
        .insert(now, &1, fragments[1].clone())
        .unwrap()
        .unwrap();
    assert_eq!(whole.text.as_slice(), text(3_000));
}

#[test]
fn a_flood_is_its_senders_own_loss() {
    let mut reassembly = Reassembly::new(limits());
    let now = Time::default();
    let honest = split(&envelope(1), &text(2_000)).unwrap();
    assert_eq!(
        reassembly.insert(now, &"honest", honest[0].clone()),
        Ok(None)
    );
    for message in 2..=100 {
        let fragment = split(&envelope(message), &text(2_000)).unwrap().remove(0);
        assert_eq!(reassembly.insert(now, &"flood", fragment), Ok(None));
        assert!(reassembly.len() <= 4);
    }
    assert_eq!(reassembly.discarded(), 99 - 3);
    assert!(
        reassembly
            .insert(now, &"honest", honest[1].clone())
            .unwrap()
            .is_some()
    );
}

#[test]
fn text_is_bounded_too() {
    let limits = ReassemblyLimits {
        messages: 100,
        bytes: 0,
        lifetime: Span::from_secs(10),
    };
    let mut reassembly = Reassembly::new(limits);
    for message in 0..10 {
        let fragments = split(&envelope(message), &text(MAX_TEXT_BYTES)).unwrap();
        for fragment in fragments.into_iter().skip(1) {
            assert_eq!(
                reassembly.insert(Time::default(), &message, fragment),
                Ok(None)
            );
            assert!(reassembly.bytes() <= MAX_TEXT_BYTES);
        }
    }
    assert!(reassembly.discarded() >= 8);
}

#[test]
fn unfinished_messages_end() {
    let mut reassembly = Reassembly::new(limits());
    let fragments = split(&envelope(1), &text(2_000)).unwrap();
    let start = Time::from_micros(5);
    assert_eq!(reassembly.insert(start, &1, fragments[0].clone()), Ok(None));
    let end = start + Span::from_secs(10);
    assert_eq!(reassembly.next_expiry(), Some(end));
    reassembly.expire(end - Span::from_micros(1));
    assert_eq!(reassembly.len(), 1);
    reassembly.expire(end);
    assert_eq!(
        (reassembly.len(), reassembly.bytes(), reassembly.discarded()),
        (0, 0, 1)
    );
    assert_eq!(reassembly.next_expiry(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_with_copies_gives_the_text(size in 0..20_000_usize, order in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let fragments = split(&envelope(1), &text(size)).unwrap();
        let mut reassembly = Reassembly::new(limits());
        let mut wholes: Vec<Whole> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let picked = order.iter().map(|index| index.index(fragments.len()));
        for index in picked.chain(0..fragments.len()) {
            // Once complete, what comes again would start anew.
            if seen.len() == fragments.len() {
                break;
            }
            seen.insert(index);
            wholes.extend(reassembly.insert(Time::default(), &(), fragments[index].clone()).unwrap());
        }
        prop_assert_eq!(wholes.len(), 1);
        prop_assert_eq!(wholes[0].text.as_slice(), text(size));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(seed: u64, head in prop::collection::vec(0..=2_u8, 0..104)) {
        let mut bytes = [0; FRAGMENT_BYTES];
        rand::Rng::fill_bytes(&mut rng(seed), &mut bytes);
        bytes[..head.len()].copy_from_slice(&head);
        shoal_packet::fuzz::fuzz_fragment(&bytes);
        bytes[104..].fill(0);
        shoal_packet::fuzz::fuzz_fragment(&bytes);
    }

    #[test]
    fn any_stream_of_fragments_stays_in_bounds(data in prop::collection::vec(0..8_u8, 0..600)) {
        shoal_packet::fuzz::fuzz_reassembly(&data);
    }
}
