//! How the corpus was made: `cargo test -p shoal-packet write_the_corpus -- --ignored` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::command::{
    Blob, Command, Deposit, DropChange, DropSet, MailboxPacket, MailboxRequest, ReceiptStatus,
    Reply, SetSize, Share, StreamEntry, StreamItem, TOKEN_WORK_BYTES, TokenAnswer, TokenAsk,
    TokenProof, TokenRefusal,
};
use crate::fragment::{Copies, Envelope, Kind, split};
use crate::fuzz::node_key;
use crate::token::{IssuerSecret, PendingToken, Token, TokenCode};
use crate::{
    DropSite, Frame, Hop, Sites, SphinxSecret, Unwrapped, build_forward, build_surb, unwrap,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{
    ClientHandle, DropId, Epoch, MailboxId, MessageId, NetworkHash, NodeId, Span, SurbId, Time,
};
use std::fs;
use std::path::{Path, PathBuf};

fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

fn hop(node: u8, secret: &SphinxSecret) -> Hop {
    Hop {
        node: NodeId::new([node; 32]),
        key: secret.public(),
        delay: Span::from_millis(100),
    }
}

fn commands() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut rng = ChaCha20Rng::seed_from_u64(70);
    let owner = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let (network, provider) = (NetworkHash::new([0; 32]), NodeId::new([0; 32]));
    let drop = DropId::new([0; 32]);
    let route = [hop(1, &node_key()), hop(2, &node_key())];
    let handle = ClientHandle::new([3; 32]);
    let (surb, keys) = build_surb(&mut rng, &route, &handle, SurbId::new([4; 16])).unwrap();
    let set = |size| DropChange::Register(DropSet::new([7; 32], size));
    let blob = Box::new(Blob::from_bytes(&[6; BLOB_BYTES]).unwrap());
    let message = MessageId::new([5; 16]);
    let deposit = Command::Deposit(Box::new(Deposit {
        surb_epoch: 1,
        surb: surb.clone(),
        drop,
        message,
        blob: blob.clone(),
    }));
    let request = MailboxRequest {
        surb_epoch: 1,
        surbs: [0; 4].map(|_| surb.clone()),
        mailbox: MailboxId::new([0; 32]),
        generation: 1,
        counter: 2,
        profile: 0,
        share: Share::Second,
        acks: vec![1, 2],
        drops: vec![
            set(SetSize::Small),
            set(SetSize::Large),
            DropChange::Revoke(drop),
        ],
        token: None,
    };
    let issuer = IssuerSecret::derive(&[8; 32], 9).unwrap();
    let (pending, blinded) = PendingToken::blind(&mut rng).unwrap();
    let evaluation = issuer.evaluate(&mut rng, &blinded).unwrap();
    let token = pending.finish(&issuer.public(), &evaluation).unwrap();
    let opening = MailboxRequest {
        token: Some(Token::from_bytes(token.to_bytes().as_slice()).unwrap()),
        ..request.clone()
    };
    let ask = |proof| {
        let surb = surb.clone();
        let ask = TokenAsk {
            surb_epoch: 1,
            surb,
            number: 9,
            blinded,
            proof,
        };
        Command::Token(Box::new(ask))
    };
    let issued = TokenAnswer::Issued {
        number: 9,
        evaluation,
    };
    let mut sign = |request| {
        let packet = MailboxPacket::sign(&mut rng, &owner, &network, &provider, request).unwrap();
        Command::Mailbox(Box::new(packet))
    };
    let (packet, opening) = (sign(request), sign(opening));
    let entry = StreamEntry {
        entry: 1,
        drop,
        message,
        blob: blob.clone(),
    };
    let item = |entry| {
        let item = StreamItem {
            generation: 1,
            number: 2,
            window_highest: 3,
            window_bits: 4,
            refused_bits: 1,
            stock: 5,
            entry,
        };
        Reply::Stream(Box::new(item))
    };
    let receipt = |status| Reply::Receipt { message, status };
    let commands = [
        ("deposit", deposit),
        (
            "dummy",
            Command::Dummy {
                surb_epoch: 1,
                surb: surb.clone(),
            },
        ),
        ("drop", Command::Drop),
        ("node-loop", Command::NodeLoop(SurbId::new([1; 16]))),
        ("mailbox", packet),
        ("mailbox-token", opening),
        ("token", ask(TokenProof::None)),
        (
            "token-work",
            ask(TokenProof::Work(Box::new([3; TOKEN_WORK_BYTES]))),
        ),
        (
            "token-code",
            ask(TokenProof::Code(TokenCode::of(&provider, "code"))),
        ),
    ];
    let replies = [
        ("dummy", Reply::Dummy),
        ("receipt", receipt(ReceiptStatus::Refused)),
        ("receipt-full", receipt(ReceiptStatus::Full)),
        ("stream-idle", item(None)),
        ("behind", Reply::Behind { generation: 7 }),
        ("stream", item(Some(entry))),
        ("token", Reply::Token(issued)),
        (
            "token-refused",
            Reply::Token(TokenAnswer::Refused(TokenRefusal::NotNow)),
        ),
    ];
    let mut files = vec![
        ("surb", "block", surb.to_bytes().to_vec()),
        ("surb", "keys", keys.to_bytes().to_vec()),
    ];
    for (name, command) in commands {
        files.push(("command", name, command.encode(&mut rng).to_vec()));
    }
    for (name, reply) in replies {
        files.push(("reply", name, reply.encode(&mut rng).to_vec()));
    }
    files
}

fn packets() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut rng = ChaCha20Rng::seed_from_u64(71);
    let route = [hop(1, &node_key()), hop(2, &node_key())];
    let forward = build_forward(&mut rng, &route, b"text").unwrap();
    let Ok(Unwrapped::Forward { packet, .. }) = unwrap(&node_key(), forward.clone(), |_| true)
    else {
        panic!("not forward");
    };
    let Ok(Unwrapped::Final { payload, .. }) = unwrap(&node_key(), packet.clone(), |_| true) else {
        panic!("not final");
    };
    let last = Frame::last_link(&mut rng, 1, SurbId::new([1; 16]), payload);
    let mut routing = [0; 360];
    routing[..4].copy_from_slice(&[1, 0, 1, 4]);
    let mut delivery = routing;
    delivery[0] = 2;
    let mut low_order = [0; 32];
    low_order[0] = 1;
    let mixture = [&[11], &forward.as_bytes()[..], packet.as_bytes(), &[0; 348]].concat();
    let mut packets = vec![
        ("batch", "mixture", mixture),
        ("batch", "one", [&[0], &forward.as_bytes()[..]].concat()),
        ("sealed", "forward", routing.to_vec()),
        ("sealed", "final", delivery.to_vec()),
        ("sealed", "version", [1, 0, 1, 3].to_vec()),
        ("sealed", "flag", [3, 0, 1, 4].to_vec()),
        ("packet", "forward", forward.as_bytes().to_vec()),
        ("packet", "final", packet.as_bytes().to_vec()),
        ("packet", "low-order", vec![0; 348]),
        (
            "frame",
            "packet",
            Frame::new(Epoch::new(1), forward).as_bytes().to_vec(),
        ),
        ("frame", "last-link", last.as_bytes().to_vec()),
        ("routing", "forward", routing.to_vec()),
        ("routing", "final", delivery.to_vec()),
        ("routing", "version", [1, 1, 1, 4].to_vec()),
        ("key", "good", node_key().public().as_bytes().to_vec()),
        ("key", "low-order", low_order.to_vec()),
        ("key", "not-canonical", vec![0xff; 32]),
    ];
    let site = |fill| DropSite {
        provider: NodeId::new([fill; 32]),
        drop: DropId::new([fill; 32]),
    };
    let envelope = Envelope {
        kind: Kind::Text,
        message: MessageId::new([1; 16]),
        sequence: 1,
        sent_at: Time::from_micros(60_000_000),
        expires: None,
        reply: Sites {
            first: site(1),
            second: Some(site(2)),
        },
    };
    let fragments = split(&envelope, &[b'a'; 1_300], Copies::One).unwrap();
    let copies = split(&envelope, b"text", Copies::Two).unwrap();
    let notice = Envelope {
        kind: Kind::Notice,
        ..envelope
    };
    let notice = split(&notice, b"", Copies::One).unwrap();
    let names = ["first", "last", "parity", "copied", "copy", "notice"];
    let all = fragments.iter().chain(&copies).chain(&notice);
    for (name, fragment) in names.into_iter().zip(all) {
        packets.push(("fragment", name, fragment.encode().unwrap().to_vec()));
    }
    packets
}

#[test]
#[ignore = "writes the corpus anew"]
fn write_the_corpus() {
    for (target, name, data) in commands().into_iter().chain(packets()) {
        fs::create_dir_all(directory(target)).unwrap();
        fs::write(directory(target).join(name), data).unwrap();
    }
}
