//! Reply blocks and their replies.

use crate::{rng, route, travel};
use shoal_packet::{
    Backend, PacketError, Payload, Surb, SurbKeys, Unwrapped, build_forward, build_surb,
};
use shoal_proto::size::{PLAINTEXT_BYTES, SURB_BYTES};
use shoal_proto::{ClientHandle, SurbId};

const HANDLE: ClientHandle = ClientHandle::new([5; 32]);
const ID: SurbId = SurbId::new([4; 16]);

#[test]
fn replies_arrive_at_the_handle_and_only_their_creator_reads_them() {
    let mut rng = rng(30);
    for hops in 2..=5 {
        let (secrets, route) = route(&mut rng, hops);
        for length in [0, 1, PLAINTEXT_BYTES] {
            let (surb, keys) = build_surb(&mut rng, &route, &HANDLE, ID).unwrap();
            assert_eq!(keys.id(), ID);
            let surb = Surb::from_bytes(&surb.to_bytes()).unwrap();
            assert_eq!(surb.first_hop(), route[0].node);
            let text = vec![0x55; length];
            let (next, packet) = surb.clone().into_packet(&text).unwrap();
            assert_eq!(next, route[0].node);
            for backend in Backend::ALL {
                let same = surb.clone().into_packet_on(backend, &text).unwrap();
                assert_eq!(same, (next, packet.clone()), "{backend}");
            }
            let Unwrapped::Final {
                destination,
                id,
                payload,
            } = travel(&secrets, &route, packet)
            else {
                panic!("not final");
            };
            assert_eq!((destination, id), (*HANDLE.as_bytes(), ID));
            assert!(payload.plaintext().is_none(), "the final hop reads a reply");
            assert_eq!(keys.open(&payload).unwrap().as_slice(), text);
            for backend in Backend::ALL {
                let opened = keys.open_on(backend, &payload).unwrap();
                assert_eq!(opened.as_slice(), text, "{backend}");
            }
        }
    }
}

/// The final hop's view of a payload, all that could tell kinds of packets apart.
fn looks_like_noise(payload: &Payload) -> bool {
    let zeros = payload.as_bytes().iter().filter(|byte| **byte == 0).count();
    payload.plaintext().is_none() && zeros < 40
}

#[test]
fn a_loop_looks_like_a_reply_to_the_entry_provider() {
    let mut rng = rng(31);
    // Client loop: E, 1, 2, 3, E. Reply: M's way 1, 2, 3, E.
    let (mut secrets, mut route) = route(&mut rng, 5);
    secrets[0] = secrets[4].clone();
    route[0] = route[4].clone();
    let mut at_provider = |first: usize| {
        let (surb, keys) = build_surb(&mut rng, &route[first..], &HANDLE, ID).unwrap();
        let (_, packet) = surb.into_packet(&[0; PLAINTEXT_BYTES]).unwrap();
        match travel(&secrets[first..], &route[first..], packet) {
            Unwrapped::Final {
                destination,
                id,
                payload,
            } => (destination, id, payload, keys),
            Unwrapped::Forward { .. } => panic!("not final"),
        }
    };
    let (client_loop, reply) = (at_provider(0), at_provider(1));
    assert_eq!((client_loop.0, client_loop.1), (reply.0, reply.1));
    for (_, _, payload, keys) in [client_loop, reply] {
        assert!(looks_like_noise(&payload));
        assert_eq!(
            keys.open(&payload).unwrap().as_slice(),
            [0; PLAINTEXT_BYTES]
        );
    }
    // A loop in the forward form would be told apart.
    let packet = build_forward(&mut rng, &route, &[0; PLAINTEXT_BYTES]).unwrap();
    let Unwrapped::Final { payload, .. } = travel(&secrets, &route, packet) else {
        panic!("not final");
    };
    assert!(!looks_like_noise(&payload));
}

#[test]
fn altered_or_foreign_replies_do_not_open() {
    let mut rng = rng(32);
    let (secrets, route) = route(&mut rng, 4);
    let (surb, keys) = build_surb(&mut rng, &route, &HANDLE, ID).unwrap();
    let (_, other) = build_surb(&mut rng, &route, &HANDLE, ID).unwrap();
    let (_, packet) = surb.into_packet(b"reply").unwrap();
    let Unwrapped::Final { payload, .. } = travel(&secrets, &route, packet) else {
        panic!("not final");
    };
    assert_eq!(other.open(&payload), Err(PacketError::Unreadable));
    for position in [0, 1_000, 2_047] {
        let mut bytes = *payload.as_bytes();
        bytes[position] ^= 1;
        let altered = Payload::from_bytes(&bytes).unwrap();
        assert_eq!(keys.open(&altered), Err(PacketError::Unreadable));
    }
    let kept = SurbKeys::from_bytes(&keys.to_bytes()).unwrap();
    assert_eq!(kept.open(&payload).unwrap().as_slice(), b"reply");
    for found in [0, 16, 31, 33, 112] {
        let damaged = SurbKeys::from_bytes(&vec![1; found]);
        assert_eq!(damaged.err(), Some(PacketError::Keys { found }));
    }
}

#[test]
fn impossible_reply_blocks_are_refused() {
    let mut rng = rng(33);
    let (_, route) = route(&mut rng, 6);
    // One hop could read the reply.
    for (hops, found) in [(0..0, 0), (0..1, 1), (0..6, 6)] {
        let result = build_surb(&mut rng, &route[hops], &HANDLE, ID);
        assert_eq!(result.err(), Some(PacketError::Route { least: 2, found }));
    }
    let zero = build_surb(&mut rng, &route[..3], &HANDLE, SurbId::new([0; 16]));
    assert_eq!(zero.err(), Some(PacketError::ZeroIdentifier));
    let (surb, _) = build_surb(&mut rng, &route[..3], &HANDLE, ID).unwrap();
    let long = surb.into_packet(&[0; PLAINTEXT_BYTES + 1]);
    assert_eq!(
        long.err(),
        Some(PacketError::Plaintext {
            found: PLAINTEXT_BYTES + 1
        })
    );
    for length in [0, SURB_BYTES - 1, SURB_BYTES + 1, SURB_BYTES + 16] {
        assert!(Surb::from_bytes(&vec![1; length]).is_err());
    }
}
