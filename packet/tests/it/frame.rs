//! Frames, as packets and on the last link.

use crate::{rng, route};
use proptest::prelude::*;
use shoal_packet::{Frame, Packet, PacketError, Payload, build_forward};
use shoal_proto::size::{FRAME_BYTES, PACKET_BYTES, PAYLOAD_BYTES};
use shoal_proto::{Epoch, SurbId};

#[test]
fn every_frame_has_one_size_and_names_its_epoch() {
    let mut rng = rng(40);
    let (_, route) = route(&mut rng, 5);
    let packet = build_forward(&mut rng, &route, b"text").unwrap();
    let payload = Payload::from_bytes(&[3; PAYLOAD_BYTES]).unwrap();
    let frames = [
        Frame::new(Epoch::new(0x1234), packet.clone()),
        Frame::last_link(&mut rng, 0x34, SurbId::new([9; 16]), payload.clone()),
        Frame::filler(&mut rng, 0x34),
    ];
    for frame in &frames {
        assert_eq!(frame.as_bytes().len(), 2_397);
        assert_eq!(frame.epoch_byte(), 0x34);
        assert_eq!(Frame::from_bytes(frame.as_bytes()).unwrap(), *frame);
    }
    assert_eq!(frames[0].clone().into_packet(), packet);
    let (id, read) = frames[1].clone().into_last_link();
    assert!(id == SurbId::new([9; 16]) && read == payload);
}

#[test]
fn nothing_in_a_last_frame_repeats_but_what_must() {
    let mut rng = rng(41);
    let payload = Payload::from_bytes(&[3; PAYLOAD_BYTES]).unwrap();
    let [a, b] =
        [0; 2].map(|_| Frame::last_link(&mut rng, 1, SurbId::new([9; 16]), payload.clone()));
    assert_ne!(a.as_bytes()[17..349], b.as_bytes()[17..349]);
    assert_eq!(a.as_bytes()[..17], b.as_bytes()[..17]);
    let [a, b] = [0; 2].map(|_| Frame::filler(&mut rng, 1));
    for part in [1..17, 17..349, 349..FRAME_BYTES] {
        assert_ne!(a.as_bytes()[part.clone()], b.as_bytes()[part]);
    }
}

#[test]
fn other_sizes_are_refused() {
    for length in [0, 1, FRAME_BYTES - 1, FRAME_BYTES + 1] {
        let expected = PacketError::Length {
            expected: FRAME_BYTES,
            found: length,
        };
        assert_eq!(Frame::from_bytes(&vec![0; length]), Err(expected));
    }
    assert!(Packet::from_bytes(&[0; PACKET_BYTES + 1]).is_err());
    assert!(Payload::from_bytes(&[0; PAYLOAD_BYTES - 1]).is_err());
}

#[test]
fn debug_tells_nothing() {
    let frame = Frame::filler(&mut rng(42), 1);
    assert_eq!(
        format!("{frame:?} {:?}", frame.clone().into_packet()),
        "Frame(..) Packet(..)"
    );
}

proptest! {
    #[test]
    fn any_bytes_of_the_right_size_are_a_frame(seed: u64) {
        let mut bytes = [0; FRAME_BYTES];
        rand::Rng::fill_bytes(&mut rng(seed), &mut bytes);
        let frame = Frame::from_bytes(&bytes).unwrap();
        prop_assert_eq!(frame.as_bytes(), &bytes);
        let (id, payload) = frame.clone().into_last_link();
        prop_assert_eq!(id.as_bytes().as_slice(), &bytes[1..17]);
        prop_assert_eq!(payload.as_bytes().as_slice(), &bytes[349..]);
        let packet = frame.into_packet();
        prop_assert_eq!(packet.as_bytes().as_slice(), &bytes[1..]);
    }
}
