//! Commands and replies: their layouts, and what is refused.

use crate::rng;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use shoal_packet::Surb;
use shoal_packet::command::{
    Blob, Command, CommandError, Deposit, DropChange, DropSet, MAX_ACKS, MAX_DROP_CHANGES,
    MailboxPacket, MailboxRequest, ReceiptStatus, Reply, SetSize, Share, StreamEntry, StreamItem,
    TOKEN_WORK_BYTES, TokenAnswer, TokenAsk, TokenProof, TokenRefusal,
};
use shoal_packet::token::{Evaluation, Token, TokenCode};
use shoal_proto::size::{BLOB_BYTES, PLAINTEXT_BYTES, SURB_BYTES, TOKEN_BYTES};
use shoal_proto::{DropId, MailboxId, MessageId, NetworkHash, NodeId, SurbId};

const NETWORK: NetworkHash = NetworkHash::new([1; 32]);
const PROVIDER: NodeId = NodeId::new([2; 32]);

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn surb(fill: u8) -> Surb {
    Surb::from_bytes(&[fill; SURB_BYTES]).unwrap()
}

fn blob(fill: u8) -> Box<Blob> {
    Box::new(Blob::from_bytes(&[fill; BLOB_BYTES]).unwrap())
}

prop_compose! {
    fn deposits()(
        surb_epoch: u8, fill: u8, drop: [u8; 32], message: [u8; 16],
    ) -> Deposit {
        Deposit {
            surb_epoch,
            surb: surb(fill),
            drop: DropId::new(drop),
            message: MessageId::new(message),
            blob: blob(fill.wrapping_add(1)),
        }
    }
}

fn drop_changes() -> impl Strategy<Value = DropChange> {
    let set = |size| move |secret| DropChange::Register(DropSet::new(secret, size));
    prop_oneof![
        any::<[u8; 32]>().prop_map(set(SetSize::Small)),
        any::<[u8; 32]>().prop_map(set(SetSize::Large)),
        any::<[u8; 32]>().prop_map(|id| DropChange::Revoke(DropId::new(id))),
        Just(DropChange::Close),
    ]
}

prop_compose! {
    fn requests()(
        surb_epoch: u8, fill: u8, generation: u64, counter: u64, profile: u8, share in 0..4usize,
        acks in prop::collection::vec(any::<u64>(), 0..=MAX_ACKS),
        drops in prop::collection::vec(drop_changes(), 0..=MAX_DROP_CHANGES),
        token in prop::option::of(any::<[u8; TOKEN_BYTES]>()),
    ) -> MailboxRequest {
        MailboxRequest {
            surb_epoch,
            surbs: [0, 1, 2, 3].map(|index: u8| surb(fill.wrapping_add(index))),
            mailbox: MailboxId::new(owner().verifying_key().to_bytes()),
            generation,
            counter,
            profile,
            share: [Share::First, Share::Second, Share::Minor, Share::Intake][share],
            acks,
            drops,
            token: token.map(|bytes| Token::from_bytes(&bytes).unwrap()),
        }
    }
}

prop_compose! {
    fn asks()(
        surb_epoch: u8, fill: u8, number: u32, blinded: [u8; 32],
        proof in prop_oneof![
            Just(TokenProof::None),
            any::<[u8; TOKEN_WORK_BYTES]>().prop_map(|work| TokenProof::Work(Box::new(work))),
            any::<[u8; 32]>().prop_map(|code| TokenProof::Code(TokenCode::from_bytes(code))),
        ],
    ) -> TokenAsk {
        TokenAsk { surb_epoch, surb: surb(fill), number, blinded, proof }
    }
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        deposits().prop_map(|deposit| Command::Deposit(Box::new(deposit))),
        any::<(u8, u8)>().prop_map(|(surb_epoch, fill)| Command::Dummy {
            surb_epoch,
            surb: surb(fill)
        }),
        Just(Command::Drop),
        any::<[u8; 16]>().prop_map(|id| Command::NodeLoop(SurbId::new(id))),
        requests().prop_map(|request| Command::Mailbox(Box::new(sign(request)))),
        asks().prop_map(|ask| Command::Token(Box::new(ask))),
    ]
}

fn sign(request: MailboxRequest) -> MailboxPacket {
    MailboxPacket::sign(&mut rng(60), &owner(), &NETWORK, &PROVIDER, request).unwrap()
}

prop_compose! {
    fn items()(numbers: [u64; 5], stock: u16, entry: Option<(u64, [u8; 32], [u8; 16], u8)>)
    -> StreamItem {
        StreamItem {
            generation: numbers[0],
            number: numbers[1],
            window_highest: numbers[2],
            window_bits: numbers[3],
            refused_bits: numbers[4],
            stock,
            entry: entry.map(|(entry, drop, message, fill)| StreamEntry {
                entry,
                drop: DropId::new(drop),
                message: MessageId::new(message),
                blob: blob(fill),
            }),
        }
    }
}

fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Dummy),
        (any::<[u8; 16]>(), 0..3_usize).prop_map(|(message, status)| Reply::Receipt {
            message: MessageId::new(message),
            status: [
                ReceiptStatus::Stored,
                ReceiptStatus::Refused,
                ReceiptStatus::Full
            ][status],
        }),
        items().prop_map(|item| Reply::Stream(Box::new(item))),
        any::<u64>().prop_map(|generation| Reply::Behind { generation }),
        any::<(u32, [u8; 32], [u8; 64])>().prop_map(|(number, evaluated, proof)| {
            let evaluation = Evaluation { evaluated, proof };
            Reply::Token(TokenAnswer::Issued { number, evaluation })
        }),
        (0..3_usize).prop_map(|why| {
            let all = [
                TokenRefusal::UnknownKey,
                TokenRefusal::Proof,
                TokenRefusal::NotNow,
            ];
            Reply::Token(TokenAnswer::Refused(all[why]))
        }),
    ]
}

/// How many bytes at the end differ with the randomness: where the padding starts.
fn padding(encode: impl Fn(u64) -> Vec<u8>) -> usize {
    let encodings: Vec<_> = (0..8).map(encode).collect();
    let same = |position: usize| {
        encodings
            .iter()
            .all(|bytes| bytes[position] == encodings[0][position])
    };
    PLAINTEXT_BYTES
        - (0..PLAINTEXT_BYTES)
            .take_while(|position| same(*position))
            .count()
}

#[test]
fn layouts_leave_what_the_budget_says() {
    let deposit = Deposit {
        surb_epoch: 1,
        surb: surb(1),
        drop: DropId::new([4; 32]),
        message: MessageId::new([5; 16]),
        blob: blob(7),
    };
    let deposit = Command::Deposit(Box::new(deposit));
    assert_eq!(padding(|seed| deposit.encode(&mut rng(seed)).to_vec()), 13);
    let dummy = Command::Dummy {
        surb_epoch: 1,
        surb: surb(1),
    };
    assert_eq!(
        padding(|seed| dummy.encode(&mut rng(seed)).to_vec()),
        PLAINTEXT_BYTES - 398
    );
    assert_eq!(
        padding(|seed| Command::Drop.encode(&mut rng(seed)).to_vec()),
        PLAINTEXT_BYTES - 1
    );
    let receipt = Reply::Receipt {
        message: MessageId::new([1; 16]),
        status: ReceiptStatus::Stored,
    };
    assert_eq!(
        padding(|seed| receipt.encode(&mut rng(seed)).to_vec()),
        PLAINTEXT_BYTES - 18
    );
    let ask = |proof| {
        let surb = surb(1);
        let (surb_epoch, number, blinded) = (1, 2, [3; 32]);
        Command::Token(Box::new(TokenAsk {
            surb_epoch,
            surb,
            number,
            blinded,
            proof,
        }))
    };
    let work = ask(TokenProof::Work(Box::new([4; TOKEN_WORK_BYTES])));
    let taken = 1 + 1 + SURB_BYTES + 4 + 32 + 1 + 88;
    assert_eq!(
        padding(|seed| work.encode(&mut rng(seed)).to_vec()),
        PLAINTEXT_BYTES - taken
    );
    let none = ask(TokenProof::None);
    assert_eq!(
        padding(|seed| none.encode(&mut rng(seed)).to_vec()),
        PLAINTEXT_BYTES - taken + 88
    );
    // What may be random and what may not ends in front of the signature.
    let token = Token::from_bytes(&[9; TOKEN_BYTES]).unwrap();
    let full = MailboxRequest {
        token: Some(token),
        ..request()
    };
    let sign = |seed| {
        let packet =
            MailboxPacket::sign(&mut rng(seed), &owner(), &NETWORK, &PROVIDER, full.clone());
        Command::Mailbox(Box::new(packet.unwrap()))
            .encode(&mut rng(0))
            .to_vec()
    };
    assert_eq!(padding(sign), 2 + 64);
}

/// An independent reading of the documented layout: BLAKE2b of domain, mailbox, secret and number.
#[test]
fn an_id_is_the_hash_of_mailbox_secret_and_number() {
    use blake2::{Blake2b256, Digest};
    let mailbox = MailboxId::new([3; 32]);
    let set = DropSet::new([4; 32], SetSize::Large);
    let bytes = [&b"shoal drop id 3"[..], &[3; 32], &[4; 32], &[1, 2]].concat();
    let expected: [u8; 32] = Blake2b256::digest(&bytes).into();
    assert_eq!(set.id(&mailbox, 0x0102), DropId::new(expected));
    let ids: std::collections::BTreeSet<_> = set.ids(&mailbox).map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 256);
    let small = DropSet::new([4; 32], SetSize::Small);
    assert_eq!(small.ids(&mailbox).count(), 64);
    // Another mailbox, or another secret, has none of them.
    let other = MailboxId::new([5; 32]);
    assert!(set.ids(&other).all(|(_, id)| !ids.contains(&id)));
    let secret = DropSet::new([5; 32], SetSize::Large);
    assert!(secret.ids(&mailbox).all(|(_, id)| !ids.contains(&id)));
}

/// With the identity as key, R the identity and S zero, every message verifies unless the
/// verification is strict: a mailbox that belongs to everybody.
#[test]
fn keys_of_low_order_sign_nothing() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&identity).unwrap();
    let parsed = ed25519_dalek::Signature::from_bytes(&signature);
    assert!(ed25519_dalek::Verifier::verify(&key, b"anything", &parsed).is_ok());

    let encoded = Command::Mailbox(Box::new(sign(request()))).encode(&mut rng(61));
    let mut forged = encoded.to_vec();
    let mailbox = 2 + 4 * SURB_BYTES;
    forged[mailbox..mailbox + 32].copy_from_slice(&identity);
    forged[PLAINTEXT_BYTES - 64..].copy_from_slice(&signature);
    let Ok(Command::Mailbox(forged)) = Command::decode(&forged) else {
        panic!("not a mailbox packet");
    };
    assert_eq!(forged.request().mailbox, MailboxId::new(identity));
    assert!(!forged.verify(&NETWORK, &PROVIDER));
}

fn request() -> MailboxRequest {
    MailboxRequest {
        surb_epoch: 1,
        surbs: [1, 2, 3, 4].map(surb),
        mailbox: MailboxId::new([0; 32]),
        generation: 2,
        counter: 3,
        profile: 0,
        share: Share::First,
        acks: vec![7; MAX_ACKS],
        drops: vec![DropChange::Register(DropSet::new([8; 32], SetSize::Large)); MAX_DROP_CHANGES],
        token: None,
    }
}

#[test]
fn every_byte_of_a_mailbox_packet_is_signed() {
    let packet = sign(request());
    assert!(packet.verify(&NETWORK, &PROVIDER));
    assert!(!packet.verify(&NetworkHash::new([9; 32]), &PROVIDER));
    assert!(!packet.verify(&NETWORK, &NodeId::new([9; 32])));
    assert_eq!(
        packet.request().mailbox.as_bytes(),
        owner().verifying_key().as_bytes()
    );
    let encoded = Command::Mailbox(Box::new(packet)).encode(&mut rng(62));
    assert_eq!(encoded.len(), PLAINTEXT_BYTES);
    for position in (0..1_584).step_by(97).chain(1_584..PLAINTEXT_BYTES) {
        let mut altered = encoded.to_vec();
        altered[position] ^= 1;
        if let Ok(Command::Mailbox(packet)) = Command::decode(&altered) {
            assert!(!packet.verify(&NETWORK, &PROVIDER), "byte {position}");
        }
    }
}

#[test]
fn too_much_for_a_packet_is_refused() {
    let mut acks = request();
    acks.acks.push(1);
    let mut drops = request();
    drops.drops.push(DropChange::Revoke(DropId::new([1; 32])));
    for request in [acks, drops] {
        let result = MailboxPacket::sign(&mut rng(64), &owner(), &NETWORK, &PROVIDER, request);
        assert!(matches!(result, Err(CommandError::TooMany { .. })));
    }
}

#[test]
fn unused_slots_look_like_used_ones() {
    let empty = MailboxRequest {
        acks: vec![],
        drops: vec![],
        ..request()
    };
    let encoded = Command::Mailbox(Box::new(sign(empty))).encode(&mut rng(65));
    // Past the fixed fields there is nothing but random bytes and kinds of changes.
    let acks = 2 + 4 * SURB_BYTES + 32 + 8 + 8 + 1 + 1 + 1;
    let zeros = encoded[acks..acks + 8 * MAX_ACKS]
        .iter()
        .filter(|byte| **byte == 0)
        .count();
    assert!(zeros < 8, "{zeros} zeros");
    // Three kinds of changes, and that there is no token.
    let rest = &encoded[acks + 8 * MAX_ACKS..PLAINTEXT_BYTES - 64];
    let zeros = rest.iter().filter(|byte| **byte == 0).count();
    assert!((4..12).contains(&zeros), "{zeros} zeros");
}

#[test]
fn wrong_fields_are_named() {
    let mut rng = rng(66);
    let mut bytes = Command::Drop.encode(&mut rng).to_vec();
    bytes[0] = 99;
    assert_eq!(Command::decode(&bytes), Err(CommandError::Kind(99)));
    assert_eq!(Reply::decode(&bytes), Err(CommandError::Kind(99)));
    for length in [0, 1, PLAINTEXT_BYTES - 1, PLAINTEXT_BYTES + 1] {
        assert_eq!(Command::decode(&vec![1; length]), Err(CommandError::Length));
        assert_eq!(Reply::decode(&vec![1; length]), Err(CommandError::Length));
    }
    let mut bytes = Command::Mailbox(Box::new(sign(request())))
        .encode(&mut rng)
        .to_vec();
    let acks = 2 + 4 * SURB_BYTES + 32 + 8 + 8 + 1 + 1;
    bytes[acks - 1] = 4;
    assert_eq!(Command::decode(&bytes), Err(CommandError::Field("share")));
    bytes[acks - 1] = 1;
    bytes[acks] = MAX_ACKS as u8 + 1;
    assert_eq!(
        Command::decode(&bytes),
        Err(CommandError::Field("number of acks"))
    );
    bytes[acks] = MAX_ACKS as u8;
    bytes[acks + 1 + 8 * MAX_ACKS] = 5;
    assert_eq!(
        Command::decode(&bytes),
        Err(CommandError::Field("kind of drop change"))
    );
    bytes[acks + 1 + 8 * MAX_ACKS] = 0;
    let token = acks + 1 + 8 * MAX_ACKS + 33 * MAX_DROP_CHANGES;
    bytes[token] = 2;
    assert_eq!(
        Command::decode(&bytes),
        Err(CommandError::Field("presence of a token"))
    );
    let ask = TokenAsk {
        surb_epoch: 1,
        surb: surb(1),
        number: 2,
        blinded: [3; 32],
        proof: TokenProof::None,
    };
    let mut bytes = Command::Token(Box::new(ask)).encode(&mut rng).to_vec();
    bytes[2 + SURB_BYTES + 36] = 3;
    assert_eq!(
        Command::decode(&bytes),
        Err(CommandError::Field("kind of proof"))
    );
    let refused = Reply::Token(TokenAnswer::Refused(TokenRefusal::NotNow));
    let mut bytes = refused.encode(&mut rng).to_vec();
    bytes[1] = 4;
    assert_eq!(
        Reply::decode(&bytes),
        Err(CommandError::Field("whether a token was issued"))
    );
    let receipt = Reply::Receipt {
        message: MessageId::new([1; 16]),
        status: ReceiptStatus::Stored,
    };
    let mut bytes = receipt.encode(&mut rng).to_vec();
    bytes[17] = 0;
    assert_eq!(
        Reply::decode(&bytes),
        Err(CommandError::Field("status of a receipt"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn commands_round_trip(command in commands(), seed: u64) {
        let encoded = command.encode(&mut rng(seed));
        prop_assert_eq!(encoded.len(), PLAINTEXT_BYTES);
        let decoded = Command::decode(&encoded).unwrap();
        prop_assert!(decoded == command);
        if let Command::Mailbox(packet) = &decoded {
            prop_assert!(packet.verify(&NETWORK, &PROVIDER));
        }
    }

    #[test]
    fn requests_round_trip(request in requests()) {
        let encoded = Command::Mailbox(Box::new(sign(request.clone()))).encode(&mut rng(0));
        let Ok(Command::Mailbox(decoded)) = Command::decode(&encoded) else {
            panic!("not a mailbox packet");
        };
        prop_assert!(decoded.into_request() == request);
    }

    #[test]
    fn replies_round_trip(reply in replies(), seed: u64) {
        let encoded = reply.encode(&mut rng(seed));
        prop_assert_eq!(encoded.len(), PLAINTEXT_BYTES);
        prop_assert!(Reply::decode(&encoded).unwrap() == reply);
    }
}
