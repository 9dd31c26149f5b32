//! Fragments of messages: cut, encoded, and joined from any that are enough.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shoal_packet::fragment::{
    Copies, Envelope, Fragment, FragmentError, Kind, MAX_FRAGMENTS, MAX_TEXT_BYTES, SHARD_BYTES,
    Shape, join, parity, split,
};
use shoal_packet::{DropSite, Sites};
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use shoal_proto::{DropId, MessageId, NodeId, Time};
use zeroize::Zeroizing;

/// Where the fields of the layout begin.
const INDEX: usize = 18;
const COUNT: usize = 20;
const EXTRA: usize = 22;
const LENGTH: usize = 168;
const PART: usize = 172;

type Parts = BTreeMap<u16, Zeroizing<Vec<u8>>>;

const BOTH: [Copies; 2] = [Copies::One, Copies::Two];

fn envelope(message: u8) -> Envelope {
    let site = |fill| DropSite {
        provider: NodeId::new([fill; 32]),
        drop: DropId::new([fill + 1; 32]),
    };
    Envelope {
        kind: Kind::Text,
        message: MessageId::new([message; 16]),
        sequence: 7,
        sent_at: Time::from_micros(8 * 60_000_000),
        expires: (message > 100).then(|| Time::from_micros(9 * 60_000_000)),
        reply: Sites {
            first: site(9),
            second: message.is_multiple_of(2).then(|| site(11)),
        },
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn parts(fragments: &[Fragment]) -> Parts {
    let part = |it: &Fragment| (it.index, it.part.clone());
    fragments.iter().map(part).collect()
}

#[test]
fn texts_of_every_size_are_cut_and_joined() {
    let sizes = [
        0,
        1,
        1_168,
        1_169,
        1_170,
        2 * 1_169,
        2 * 1_169 + 1,
        MAX_TEXT_BYTES,
    ];
    let counts = [1, 1, 1, 1, 2, 2, 3, MAX_FRAGMENTS];
    let cases = sizes.into_iter().zip(counts);
    for ((size, count), copies) in cases.flat_map(|case| BOTH.map(|copies| (case, copies))) {
        let envelope = envelope(size as u8);
        let fragments = split(&envelope, &text(size), copies).unwrap();
        let shape = Shape::of(size, copies).unwrap();
        assert_eq!(usize::from(shape.count()), count);
        assert_eq!(fragments.len(), usize::from(shape.total()));
        for (fragment, index) in fragments.iter().zip(0..) {
            let encoded = fragment.encode().unwrap();
            assert_eq!(encoded.len(), 1_343);
            let decoded = Fragment::decode(&encoded).unwrap();
            assert_eq!(decoded, *fragment);
            assert_eq!(decoded.envelope, envelope);
            let second = usize::from(index) >= count && copies == Copies::Two;
            assert_eq!(shape.is_second(index), second);
            assert_eq!((decoded.index, decoded.shape), (index, shape));
        }
        // Those with text are the text as it is.
        let texts = fragments[..count].iter().flat_map(|it| it.part.to_vec());
        assert_eq!(texts.collect::<Vec<_>>(), text(size));
        assert_eq!(*join(shape, &parts(&fragments)).unwrap(), text(size));
    }
    let found = MAX_TEXT_BYTES + 1;
    assert_eq!(
        split(&envelope(1), &text(found), Copies::Two),
        Err(FragmentError::TextTooLong { found })
    );
}

#[test]
fn three_of_parity_come_with_ten_of_text_and_none_with_one() {
    let counts = [1, 2, 3, 4, 6, 7, 10, 11, 20, 64];
    assert_eq!(counts.map(parity), [0, 1, 1, 2, 2, 3, 3, 4, 6, 20]);
}

/// The chance that more of `all` are lost than `spare`, if each is with `loss`.
fn short(all: u16, spare: u16, loss: f64) -> f64 {
    let mut chance = (1.0 - loss).powi(i32::from(all));
    let mut enough = 0.0;
    for lost in 0..=spare {
        enough += chance;
        chance *= f64::from(all - lost) / f64::from(lost + 1) * loss / (1.0 - loss);
    }
    1.0 - enough
}

/// What the documentation of `parity` promises.
#[test]
fn at_five_per_cent_of_loss_one_message_in_seventy_waits_for_a_try_at_most() {
    for count in 2..=MAX_FRAGMENTS as u16 {
        let all = count + parity(count);
        assert!(short(all, parity(count), 0.05) < 0.0141, "{count}");
    }
    assert!((0.000_2..0.000_3).contains(&short(26, 6, 0.05)));
    assert!((0.01..0.011).contains(&short(26, 6, 1.0 - 0.95 * 0.95)));
    assert!((0.64..0.65).contains(&short(20, 0, 0.05)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_as_many_as_have_text_give_it_back(
        count in 1..=MAX_FRAGMENTS,
        cut in 0..1_169_usize,
        order in Just((0..128_u16).collect::<Vec<_>>()).prop_shuffle(),
        copies in prop::sample::select(&BOTH[..]),
    ) {
        let text = text(count * 1_169 - cut);
        let fragments = split(&envelope(1), &text, copies).unwrap();
        let shape = fragments[0].shape;
        prop_assert_eq!(usize::from(shape.count()), count);
        let come = order.into_iter().filter(|index| *index < shape.total());
        let come: Vec<_> = come.take(count).map(|it| fragments[usize::from(it)].clone()).collect();
        let mut parts = parts(&come);
        let joined = join(shape, &parts);
        prop_assert!(joined.as_deref() == Ok(&text));
        // One fewer is too few.
        parts.pop_first();
        prop_assert_eq!(join(shape, &parts), Err(FragmentError::Apart));
    }

    /// A sender may send what it likes: that is another text, or none.
    #[test]
    fn parity_of_something_else_is_some_text_of_this_length_or_none(
        length in 1_170..9_000_usize,
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        copies in prop::sample::select(&BOTH[..]),
    ) {
        let fragments = split(&envelope(1), &text(length), copies).unwrap();
        let shape = fragments[0].shape;
        let mut come: Vec<_> = fragments.into_iter().rev().take(usize::from(shape.count())).collect();
        for (place, byte) in wrong {
            come[0].part[place.index(SHARD_BYTES)] ^= byte;
        }
        match join(shape, &parts(&come)) {
            Ok(text) => prop_assert_eq!(text.len(), length),
            Err(error) => prop_assert_eq!(error, FragmentError::Apart),
        }
    }
}

#[test]
fn every_count_is_joined_from_all_of_its_parity() {
    for count in 1..=MAX_FRAGMENTS {
        for copies in BOTH {
            let text = text(count * 1_169 - 5);
            let mut come = parts(&split(&envelope(1), &text, copies).unwrap());
            while come.len() > count {
                come.pop_first();
            }
            let shape = Shape::of(text.len(), copies).unwrap();
            assert!(*join(shape, &come).unwrap() == text);
            // Of two copies, either provider alone has the message.
            let second = come.keys().all(|index| shape.is_second(*index));
            assert_eq!(second, copies == Copies::Two);
        }
    }
}

#[test]
fn the_copy_of_a_short_text_is_the_text() {
    let fragments = split(&envelope(1), b"text", Copies::Two).unwrap();
    let [first, second] = &fragments[..] else {
        panic!("not two");
    };
    let shape = first.shape;
    assert_eq!((shape.count(), shape.extra()), (1, 1));
    let of = |index, part: &[u8]| Parts::from([(index, Zeroizing::new(part.to_vec()))]);
    assert_eq!(*join(shape, &of(0, &first.part)).unwrap(), b"text");
    assert_eq!(*join(shape, &of(1, &second.part)).unwrap(), b"text");
    // Nothing hides behind it.
    let mut longer = second.part.to_vec();
    longer[4] = 1;
    assert_eq!(join(shape, &of(1, &longer)), Err(FragmentError::Apart));
}

#[test]
fn what_is_no_message_is_told() {
    let fragments = split(&envelope(1), &text(3_000), Copies::One).unwrap();
    let shape = fragments[0].shape;
    assert_eq!((shape.count(), shape.total()), (3, 4));
    let whole = parts(&fragments[1..]);
    let is_apart = |parts: &Parts| join(shape, parts) == Err(FragmentError::Apart);
    assert!(!is_apart(&whole));
    // The byte that no text reaches is 0 in each shard, and so in parity of them.
    let mut altered = whole.clone();
    altered.get_mut(&3).unwrap()[SHARD_BYTES - 1] ^= 1;
    assert!(is_apart(&altered));
    for (index, length) in [(1, 1_168), (2, 1_169), (3, 1_169)] {
        let mut other = whole.clone();
        other.get_mut(&index).unwrap().resize(length, 0);
        assert!(is_apart(&other), "{index}");
    }
    let mut beyond = whole.clone();
    let last = beyond.remove(&3).unwrap();
    beyond.insert(4, last);
    assert!(is_apart(&beyond));
}

#[test]
fn a_notice_is_one_packet() {
    let notice = Envelope {
        kind: Kind::Notice,
        ..envelope(102)
    };
    let most = text(TEXT_BYTES_PER_PACKET);
    for copies in BOTH {
        for text in [&b""[..], b"text", &most] {
            for fragment in split(&notice, text, copies).unwrap() {
                let bytes = fragment.encode().unwrap();
                assert_eq!(Fragment::decode(&bytes), Ok(fragment));
            }
        }
    }
    let longer = text(TEXT_BYTES_PER_PACKET + 1);
    let text = Envelope {
        kind: Kind::Text,
        ..notice
    };
    let [notice, text] =
        [notice, text].map(|it| split(&it, &longer, Copies::One).unwrap()[0].clone());
    assert_eq!(notice.encode(), Err(FragmentError::Field("length")));
    let mut bytes = text.encode().unwrap().to_vec();
    bytes[1] = 2;
    let refused = Err(FragmentError::Field("length"));
    assert_eq!(Fragment::decode(&bytes), refused);
}

/// A contact that got finer ones could tell this clock from every other, and know it again.
#[test]
fn only_the_minute_of_writing_travels() {
    let encoded = |micros: u64| {
        let mut envelope = envelope(1);
        envelope.sent_at = Time::from_micros(micros);
        split(&envelope, b"text", Copies::One).unwrap()[0]
            .encode()
            .unwrap()
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
    let good = split(&envelope(1), b"text", Copies::One).unwrap()[0]
        .encode()
        .unwrap();
    let altered = |position: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[position] = value;
        Fragment::decode(&bytes)
    };
    assert!(Fragment::decode(&good).is_ok());
    // Those before had more room, or no parity.
    for other in [1, 2, 3, 5] {
        assert_eq!(altered(0, other), Err(FragmentError::Version(other)));
    }
    // A notice and data of a program, as they are.
    for (other, kind) in [(2, Kind::Notice), (3, Kind::Data)] {
        assert!(altered(1, other).is_ok_and(|it| it.envelope.kind == kind));
    }
    for other in [0, 4] {
        assert_eq!(altered(1, other), Err(FragmentError::Kind(other)));
    }
    assert_eq!(altered(INDEX + 1, 1), Err(FragmentError::Field("index")));
    for count in [0, 2, 65] {
        let error = Err(FragmentError::Field("count"));
        assert_eq!(altered(COUNT + 1, count), error);
    }
    assert_eq!(altered(EXTRA + 1, 2), Err(FragmentError::Field("extra")));
    // One of two copies, as it is.
    assert!(altered(EXTRA + 1, 1).is_ok_and(|it| it.shape.copies() == Copies::Two));
    // One byte of text becomes padding.
    assert_eq!(altered(LENGTH + 3, 3), Err(FragmentError::Field("padding")));
    // Another length is of another count, or of none.
    assert_eq!(altered(LENGTH + 2, 5), Err(FragmentError::Field("count")));
    assert_eq!(altered(LENGTH, 0xff), Err(FragmentError::Field("length")));
    assert_eq!(altered(1_342, 1), Err(FragmentError::Field("padding")));
    assert_eq!(Fragment::decode(&good[1..]), Err(FragmentError::Length));
}

#[test]
fn a_long_messages_fragments_say_the_same_of_it() {
    let fragments = split(&envelope(1), &text(3_000), Copies::One).unwrap();
    for (number, fragment) in fragments.iter().enumerate() {
        let good = fragment.encode().unwrap().to_vec();
        for (at, wrong, name) in [
            (INDEX, [4, 0xffff], "index"),
            (COUNT, [2, 4], "count"),
            (EXTRA, [0, 2], "extra"),
        ] {
            for value in wrong {
                let mut bytes = good.clone();
                bytes[at..at + 2].copy_from_slice(&u16::to_be_bytes(value));
                let error = Err(FragmentError::Field(name));
                assert_eq!(Fragment::decode(&bytes), error, "{number}");
            }
        }
        let mut long = good.clone();
        long[LENGTH..PART].copy_from_slice(&(MAX_TEXT_BYTES as u32 + 1).to_be_bytes());
        let error = Err(FragmentError::Field("length"));
        assert_eq!(Fragment::decode(&long), error);
        // Behind text or parity there are zeros.
        let mut behind = good.clone();
        behind[PART + fragment.part.len()] = 1;
        let error = Err(FragmentError::Field("padding"));
        assert_eq!(Fragment::decode(&behind), error);
    }
}

#[test]
fn what_does_not_go_together_is_not_encoded() {
    let good = split(&envelope(1), &text(3_000), Copies::One).unwrap();
    let mut short = good[0].clone();
    short.part.truncate(1_168);
    assert_eq!(short.encode(), Err(FragmentError::Field("length")));
    let mut beyond = good[3].clone();
    beyond.index = 4;
    assert_eq!(beyond.encode(), Err(FragmentError::Field("index")));
}
