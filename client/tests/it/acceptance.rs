//! Frames from the entry that are not what they should be.

use rand::Rng;
use shoal_client::ClientInput;
use shoal_packet::{Frame, Payload};
use shoal_proto::SurbId;
use shoal_proto::size::{FRAME_BYTES, PAYLOAD_BYTES};

use crate::world::{World, params, secs};

#[test]
fn random_frames_are_filler() {
    let mut world = World::new(1, params(3600));
    let who = world.add(0, "quick");
    world.attach(who, 1);
    world.run(secs(2.0));
    for _ in 0..200 {
        let mut bytes = [0; FRAME_BYTES];
        world.rng.fill_bytes(&mut bytes);
        world.input(who, ClientInput::Frame(Frame::from_bytes(&bytes).unwrap()));
    }
    world.input(
        who,
        ClientInput::Frame(Frame::from_bytes(&[0; FRAME_BYTES]).unwrap()),
    );
    assert_eq!(world.hosts[who].client.counters().filler, 201);
}

#[test]
fn an_altered_payload_is_corrupted_and_its_identifier_used_up() {
    let mut world = World::new(2, params(3600));
    let who = world.add(0, "quick");
    world.attach(who, 1);
    world.tamper = true;
    world.run(secs(5.0));
    let before = world.hosts[who].client.counters();
    assert!(before.corrupted > 10);
    assert_eq!(
        before.loops_returned + before.answers_dummy + before.stream_items,
        0
    );
    // The same identifiers again find nothing.
    for (id, payload) in world.tampered.clone() {
        let frame = Frame::last_link(&mut world.rng, 0, id, payload);
        world.input(who, ClientInput::Frame(frame));
    }
    let after = world.hosts[who].client.counters();
    // Those that were still on their way are altered, too; the rest find nothing.
    assert_eq!(after.corrupted, world.tampered.len() as u64);
    assert_eq!(after.filler, before.filler + before.corrupted);
}

pub(crate) fn altered(id: SurbId, payload: &Payload) -> (SurbId, Payload) {
    let mut bytes = *payload.as_bytes();
    bytes[PAYLOAD_BYTES / 2] ^= 1;
    (id, Payload::from_bytes(&bytes).unwrap())
}
