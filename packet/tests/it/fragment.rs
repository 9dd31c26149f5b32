//! Fragments of messages: cut and encoded.

use shoal_packet::fragment::{
    Envelope, Fragment, FragmentError, MAX_FRAGMENTS, MAX_TEXT_BYTES, split,
};
use shoal_proto::{DropId, MessageId, NodeId, Time};

fn envelope(message: u8) -> Envelope {
    Envelope {
        message: MessageId::new([message; 16]),
        sequence: 7,
        sent_at: Time::from_micros(8 * 60_000_000),
        reply_provider: NodeId::new([9; 32]),
        reply_drop: DropId::new([10; 32]),
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
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
        let mut joined = Vec::new();
        for (fragment, index) in fragments.iter().zip(0..) {
            let encoded = fragment.encode().unwrap();
            assert_eq!(encoded.len(), 1_476);
            let decoded = Fragment::decode(&encoded).unwrap();
            assert_eq!(decoded, *fragment);
            assert_eq!(decoded.envelope, envelope(1));
            assert_eq!((decoded.index, usize::from(decoded.count)), (index, count));
            joined.extend_from_slice(&decoded.text);
        }
        assert_eq!(joined, text(size));
    }
    let found = MAX_TEXT_BYTES + 1;
    assert_eq!(
        split(&envelope(1), &text(found)),
        Err(FragmentError::TextTooLong { found })
    );
}

/// A contact that got finer ones could tell this clock from every other, and know it again.
#[test]
fn only_the_minute_of_writing_travels() {
    let encoded = |micros: u64| {
        let mut envelope = envelope(1);
        envelope.sent_at = Time::from_micros(micros);
        split(&envelope, b"text").unwrap()[0].encode().unwrap()
    };
    let minute = 29_000_000 * 60_000_000;
    assert_eq!(encoded(minute), encoded(minute + 59_999_999));
    assert_ne!(encoded(minute), encoded(minute + 60_000_000));
    let sent_at = |micros| Fragment::decode(&encoded(micros)).unwrap().envelope.sent_at;
    assert_eq!(sent_at(minute + 1), Time::from_micros(minute));
    // The last minute that fits is told in the place of what is later.
    assert_eq!(
        sent_at(u64::MAX).as_micros(),
        u64::from(u32::MAX) * 60_000_000
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
    assert_eq!(altered(99, 3), Err(FragmentError::Field("padding")));
    assert_eq!(altered(98, 0xff), Err(FragmentError::Field("length")));
    // 1264 bytes would fit the blob, and not the first message of a session.
    let mut long = good.to_vec();
    long[98..100].copy_from_slice(&1_264_u16.to_be_bytes());
    assert_eq!(Fragment::decode(&long), Err(FragmentError::Field("length")));
    assert_eq!(altered(1_375, 1), Err(FragmentError::Field("padding")));
    assert_eq!(Fragment::decode(&good[1..]), Err(FragmentError::Length));
    // A second fragment without text.
    let mut empty = good.to_vec();
    empty[19] = 1;
    empty[21] = 2;
    empty[98..].fill(0);
    assert_eq!(
        Fragment::decode(&empty),
        Err(FragmentError::Field("length"))
    );
}
