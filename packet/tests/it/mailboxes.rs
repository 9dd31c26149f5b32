//! The vectors of docs/vectors/mailboxes.json: what owners, senders and providers of mailboxes say to each other,
//! byte by byte.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rand::{TryCryptoRng, TryRng};
use serde_json::{Value, json};
use shoal_packet::command::{
    Blob, Command, Deposit, DropChange, DropSet, MailboxPacket, MailboxRequest, ReceiptStatus,
    Reply, SetSize, Share, StreamEntry, StreamItem, TOKEN_WORK_BYTES, TokenAnswer, TokenAsk,
    TokenProof, TokenRefusal,
};
use shoal_packet::fragment::{Copies, Envelope, Fragment, Kind, split};
use shoal_packet::token::{IssuerSecret, PendingToken, Token, TokenCode};
use shoal_packet::{DropSite, Sites, Surb};
use shoal_proto::size::{BLOB_BYTES, PLAINTEXT_BYTES, SURB_BYTES};
use shoal_proto::{DropId, MailboxId, MessageId, NetworkHash, NodeId, Time};

const NETWORK: NetworkHash = NetworkHash::new([1; 32]);
const PROVIDER: NodeId = NodeId::new([2; 32]);

/// Random bytes of 0xee, so that it shows where they are.
struct Padding;

impl TryRng for Padding {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0xeeee_eeee)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0xeeee_eeee_eeee_eeee)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0xee);
        Ok(())
    }
}

impl TryCryptoRng for Padding {}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn surb(fill: u8) -> Surb {
    Surb::from_bytes(&[fill; SURB_BYTES]).unwrap()
}

fn blob() -> Box<Blob> {
    Box::new(Blob::from_bytes(&[0xbb; BLOB_BYTES]).unwrap())
}

fn commands(mailbox: &MailboxId, owner: &SigningKey) -> Vec<(&'static str, Command)> {
    let set = DropSet::new([4; 32], SetSize::Small);
    let deposit = Deposit {
        surb_epoch: 7,
        surb: surb(0x50),
        drop: set.id(mailbox, 0),
        message: MessageId::new([0x60; 16]),
        blob: blob(),
    };
    let request = MailboxRequest {
        surb_epoch: 7,
        surbs: [0x51, 0x52, 0x53, 0x54].map(surb),
        mailbox: *mailbox,
        generation: 0x0102_0304_0506_0708,
        counter: 9,
        profile: 1,
        share: Share::Second,
        acks: vec![10, 11],
        drops: vec![
            DropChange::Register(DropSet::new([5; 32], SetSize::Large)),
            DropChange::Revoke(set.id(mailbox, 1)),
            DropChange::Close,
        ],
        token: None,
    };
    let opening = MailboxRequest {
        token: Some(tokens().token),
        ..request.clone()
    };
    let for_newcomers = MailboxRequest {
        share: Share::Intake,
        ..request.clone()
    };
    let sign = |request| {
        let packet = MailboxPacket::sign(&mut Padding, owner, &NETWORK, &PROVIDER, request);
        Command::Mailbox(Box::new(packet.unwrap()))
    };
    let ask = |proof| {
        Command::Token(Box::new(TokenAsk {
            surb_epoch: 7,
            surb: surb(0x55),
            number: 690,
            blinded: tokens().blinded,
            proof,
        }))
    };
    let work = TokenProof::Work(Box::new([0x56; TOKEN_WORK_BYTES]));
    vec![
        ("deposit", Command::Deposit(Box::new(deposit))),
        ("mailbox", sign(request)),
        ("mailbox_for_newcomers", sign(for_newcomers)),
        ("mailbox_with_token", sign(opening)),
        ("token", ask(TokenProof::None)),
        ("token_for_work", ask(work)),
        (
            "token_for_code",
            ask(TokenProof::Code(TokenCode::of(&PROVIDER, "a code"))),
        ),
    ]
}

/// A token, and how it comes about.
struct Tokens {
    seed: [u8; 32],
    issuer: IssuerSecret,
    pending: PendingToken,
    blinded: [u8; 32],
    answer: TokenAnswer,
    token: Token,
}

fn tokens() -> Tokens {
    let seed = [0x57; 32];
    let issuer = IssuerSecret::derive(&seed, 690).unwrap();
    let (pending, blinded) = PendingToken::blind(&mut crate::rng(57)).unwrap();
    let evaluation = issuer.evaluate(&mut crate::rng(58), &blinded).unwrap();
    Tokens {
        token: pending.finish(&issuer.public(), &evaluation).unwrap(),
        answer: TokenAnswer::Issued {
            number: 690,
            evaluation,
        },
        seed,
        issuer,
        pending,
        blinded,
    }
}

fn replies(mailbox: &MailboxId) -> Vec<(&'static str, Reply)> {
    let message = MessageId::new([0x60; 16]);
    let receipt = |status| Reply::Receipt { message, status };
    let item = |entry| {
        Reply::Stream(Box::new(StreamItem {
            generation: 0x0102_0304_0506_0708,
            number: 3,
            window_highest: 9,
            window_bits: 0xff,
            refused_bits: 1,
            stock: 40,
            entry,
        }))
    };
    let entry = StreamEntry {
        entry: 12,
        drop: DropSet::new([4; 32], SetSize::Small).id(mailbox, 0),
        message,
        blob: blob(),
    };
    vec![
        ("stored", receipt(ReceiptStatus::Stored)),
        ("refused", receipt(ReceiptStatus::Refused)),
        ("full", receipt(ReceiptStatus::Full)),
        ("stream_idle", item(None)),
        ("stream_entry", item(Some(entry))),
        ("behind", Reply::Behind { generation: 5 }),
        ("token", Reply::Token(tokens().answer)),
        (
            "no_token",
            Reply::Token(TokenAnswer::Refused(TokenRefusal::NotNow)),
        ),
    ]
}

fn fragments() -> Vec<Fragment> {
    let site = |fill| DropSite {
        provider: NodeId::new([fill; 32]),
        drop: DropId::new([fill + 1; 32]),
    };
    let envelope = Envelope {
        kind: Kind::Text,
        message: MessageId::new([0x70; 16]),
        sequence: 3,
        sent_at: Time::from_micros(29_000_000 * 60_000_000),
        expires: None,
        reply: Sites {
            first: site(0x20),
            second: Some(site(0x30)),
        },
    };
    let notice = Envelope {
        kind: Kind::Notice,
        expires: Some(Time::from_micros(29_000_600 * 60_000_000)),
        ..envelope
    };
    let text = split(&envelope, b"a short text", Copies::Two).unwrap();
    let notice = split(&notice, b"", Copies::One).unwrap();
    text.into_iter().chain(notice).collect()
}

fn made() -> Value {
    let owner = SigningKey::from_bytes(&[3; 32]);
    let mailbox = MailboxId::new(owner.verifying_key().to_bytes());
    let sets = [(SetSize::Small, [4; 32]), (SetSize::Large, [5; 32])];
    let ids = sets.map(|(size, secret)| {
        let set = DropSet::new(secret, size);
        let numbers = [0, 1, size.count() - 1];
        let ids = numbers.map(|number| json!([number, hex(set.id(&mailbox, number).as_bytes())]));
        json!({"secret": hex(&secret), "size": size.count(), "ids": ids})
    });
    let commands = commands(&mailbox, &owner);
    let commands = commands.iter().map(|(name, command)| {
        (
            (*name).to_owned(),
            hex(&command.encode(&mut Padding)).into(),
        )
    });
    let replies = replies(&mailbox);
    let replies = replies
        .iter()
        .map(|(name, reply)| ((*name).to_owned(), hex(&reply.encode(&mut Padding)).into()));
    let Tokens {
        seed,
        issuer,
        pending,
        token,
        ..
    } = tokens();
    let fragments = fragments();
    let fragments = fragments
        .iter()
        .map(|it| Value::from(hex(&it.encode().unwrap())));
    json!({
        "about": "Layouts are in docs/mailboxes.md. Random bytes are 0xee here.",
        "network": hex(NETWORK.as_bytes()),
        "provider": hex(PROVIDER.as_bytes()),
        "owner_key": hex(&[3; 32]),
        "mailbox": hex(mailbox.as_bytes()),
        "sets": ids,
        "token": {
            "issuer_seed": hex(&seed),
            "number": issuer.public().number(),
            "issuer_key": hex(issuer.public().as_bytes()),
            "kept": hex(pending.to_bytes().as_slice()),
            "token": hex(token.to_bytes().as_slice()),
            "spent": hex(&token.spent()),
        },
        "commands": commands.collect::<serde_json::Map<_, _>>(),
        "replies": replies.collect::<serde_json::Map<_, _>>(),
        "fragments": fragments.collect::<Vec<_>>(),
    })
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/mailboxes.json")
}

#[test]
fn the_vectors_are_what_is_said() {
    let made = made();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        fs::write(file(), text).unwrap();
    }
    let kept: Value = serde_json::from_slice(&fs::read(file()).unwrap()).unwrap();
    assert_eq!(
        kept, made,
        "write it anew with UPDATE_DOCS=1, and say so to who has the old one"
    );
}

#[test]
fn the_vectors_read_back() {
    let kept: Value = serde_json::from_slice(&fs::read(file()).unwrap()).unwrap();
    let owner = SigningKey::from_bytes(&[3; 32]);
    let mailbox = MailboxId::new(owner.verifying_key().to_bytes());
    for (name, command) in commands(&mailbox, &owner) {
        let bytes = unhex(&kept["commands"][name]);
        assert_eq!(bytes.len(), PLAINTEXT_BYTES);
        let read = Command::decode(&bytes).unwrap();
        if let Command::Mailbox(packet) = &read {
            assert!(packet.verify(&NETWORK, &PROVIDER));
        }
        assert!(read == command, "{name}");
    }
    for (name, reply) in replies(&mailbox) {
        let read = Reply::decode(&unhex(&kept["replies"][name])).unwrap();
        assert!(read == reply, "{name}");
    }
    for (bytes, fragment) in kept["fragments"]
        .as_array()
        .unwrap()
        .iter()
        .zip(fragments())
    {
        assert!(Fragment::decode(&unhex(bytes)).unwrap() == fragment);
    }
}
