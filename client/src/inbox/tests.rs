//! An inbox without a client around it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use shoal_packet::fragment::{self, Copies, Envelope, Kind};
use shoal_packet::{DropSite, Sites};
use shoal_proto::{DropId, NetworkHash, NodeId};
use zeroize::Zeroizing;

use super::*;
use crate::invitations::Terms;
use crate::keys::ClientKeys;
use crate::rows::Label;
use crate::seal::{self, Binding};
use crate::sessions::Sessions;

const NETWORK: NetworkHash = NetworkHash::new([0; 32]);

type Part = (MessageId, Vec<u8>);

/// Whose inbox it is.
struct Me {
    identity: Identity,
    sessions: RefCell<Sessions>,
    /// One that is for many.
    invitations: Invitations,
    prekey: PeerKey,
}

fn sessions() -> Sessions {
    Sessions::new(1000, Span::from_secs(60))
}

fn me() -> Me {
    let rng = &mut ChaCha20Rng::seed_from_u64(99);
    let identity = Identity::new(ClientKeys::generate(rng), NETWORK);
    let mut sessions = sessions();
    let mut invitations = Invitations::new(Span::from_secs(60));
    let terms = Terms {
        once: false,
        life: Span::from_secs(60),
        label: Label::default(),
    };
    let place = (0, &BTreeSet::new());
    let now = Time::from_micros(1);
    let made = invitations.make(now, rng, &mut sessions, place, (terms, None));
    let (number, _) = made.unwrap();
    let own = (identity.keys().public(), &NETWORK);
    let status = invitations.status(number, own, &sessions, |_, _| Some(sites()));
    let prekey = status.unwrap().invitation.prekey;
    Me {
        identity,
        sessions: RefCell::new(sessions),
        invitations,
        prekey,
    }
}

fn sites() -> Sites {
    Sites {
        first: DropSite {
            provider: NodeId::new([1; 32]),
            drop: DropId::new([2; 32]),
        },
        second: None,
    }
}

fn fragments(seed: u64, length: usize) -> (ClientKeys, Vec<Part>) {
    let keys = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed));
    let envelope = Envelope {
        kind: Kind::Text,
        message: MessageId::new([seed.to_le_bytes()[0]; 16]),
        sequence: 0,
        sent_at: Time::default(),
        expires: None,
        reply: sites(),
    };
    let parts = fragment::split(&envelope, &vec![9; length], Copies::One).unwrap();
    let parts = parts.iter().map(|part| {
        let mut id = *envelope.message.as_bytes();
        id[15] = part.index.to_le_bytes()[0];
        (MessageId::new(id), part.encode().unwrap().to_vec())
    });
    (keys, parts.collect())
}

/// Each begins a session of its own.
fn arrive(inbox: &mut Inbox, me: &Me, from: &ClientKeys, part: &Part) -> Arrival {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let drop = DropId::new([3; 32]);
    let binding = Binding {
        network: NETWORK,
        drop,
        message: part.0,
    };
    let to = me.identity.keys().public();
    let sealed = sessions().seal(from, (&to, Some(&me.prekey)), &part.1);
    let blob = seal::seal(&mut rng, &to, &binding, &sealed.unwrap().0).unwrap();
    let entry = StreamEntry {
        entry: 0,
        drop,
        message: part.0,
        blob,
    };
    let now = Time::from_micros(1);
    let doors = Doors {
        owner: &me.identity,
        contacts: &mut Contacts::default(),
        invitations: &me.invitations,
        sessions: &mut me.sessions.borrow_mut(),
    };
    inbox.arrive(now, doors, &entry, Vec::new()).arrival
}

#[test]
fn fragments_come_in_any_order_and_once() {
    let me = me();
    let (from, parts) = fragments(1, 3_000);
    let mut inbox = Inbox::new(
        &ClientConfig::new(NodeId::new([1; 32])),
        Span::from_secs(60),
    );
    let mut told = 0;
    for index in [2, 0, 2, 1, 0] {
        match arrive(&mut inbox, &me, &from, &parts[index]) {
            Arrival::New { kept, .. } => {
                inbox.safe(kept);
                let now = Time::from_micros(1);
                if let Some(message) = inbox.next_told(now, &Contacts::default()) {
                    assert_eq!(message.row.text, vec![9; 3_000]);
                    told += 1;
                }
            }
            Arrival::Known => {}
            _ => panic!("neither new nor known"),
        }
    }
    assert_eq!((told, inbox.partials.held()), (1, (0, 0)));
}

#[test]
fn a_flood_of_fragments_is_its_senders_loss() {
    let me = me();
    let mut config = ClientConfig::new(NodeId::new([1; 32]));
    config.limits.partial_fragments = 8;
    let mut inbox = Inbox::new(&config, Span::from_secs(60));
    let (honest, parts) = fragments(1, 3_000);
    arrive(&mut inbox, &me, &honest, &parts[0]);
    let mut deleted = 0;
    for seed in 2..30 {
        let (_, flood) = fragments(seed, 3_000);
        let (flooder, _) = fragments(50, 0);
        let Arrival::New { changes, .. } = arrive(&mut inbox, &me, &flooder, &flood[0]) else {
            panic!("new");
        };
        deleted += changes
            .iter()
            .filter(|change| change.value.is_none())
            .count();
        assert!(inbox.partials.held().1 <= 8);
    }
    assert_eq!((deleted as u64, inbox.discarded()), (21, 21));
    arrive(&mut inbox, &me, &honest, &parts[1]);
    let Arrival::New { kept, .. } = arrive(&mut inbox, &me, &honest, &parts[2]) else {
        panic!("new");
    };
    assert!(kept.complete.is_some());
}

#[test]
fn a_contradicting_fragment_changes_nothing() {
    let me = me();
    let (from, parts) = fragments(1, 3_000);
    let mut inbox = Inbox::new(
        &ClientConfig::new(NodeId::new([1; 32])),
        Span::from_secs(60),
    );
    arrive(&mut inbox, &me, &from, &parts[0]);
    let mut other = parts[0].clone();
    other.0 = MessageId::new([7; 16]);
    other.1[200] ^= 1;
    assert!(matches!(
        arrive(&mut inbox, &me, &from, &other),
        Arrival::Bad
    ));
}

fn inbox(change: impl FnOnce(&mut Limits)) -> Inbox {
    let mut config = ClientConfig::new(NodeId::new([1; 32]));
    change(&mut config.limits);
    Inbox::new(&config, Span::from_secs(60))
}

/// What a host keeps.
#[derive(Default)]
struct Disk(BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>);

impl Disk {
    fn save(&mut self, changes: Vec<Change>) {
        for change in changes {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    fn count(&self, table: Table) -> usize {
        self.0.keys().filter(|(of, _)| *of == table).count()
    }

    fn restart(&self) -> Inbox {
        let rows = self.0.iter().map(|((table, key), value)| Row {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        });
        let mut again = inbox(|_| {});
        again
            .restore(&rows.collect::<Vec<_>>(), Time::from_micros(1))
            .unwrap();
        again
    }
}

/// A part comes and is saved; the message whose turn it is then.
fn take(inbox: &mut Inbox, disk: &mut Disk, from: &ClientKeys, part: &Part) -> Option<Told> {
    let Arrival::New { changes, kept, .. } = arrive(inbox, &me(), from, part) else {
        panic!("it is new");
    };
    disk.save(changes);
    inbox.safe(kept);
    inbox.next_told(Time::from_micros(1), &Contacts::default())
}

fn is_spare(inbox: &mut Inbox, from: &ClientKeys, part: &Part) -> bool {
    matches!(arrive(inbox, &me(), from, part), Arrival::Spare)
}

#[test]
fn any_three_of_four_are_the_message_and_the_fourth_is_spare_from_then_on() {
    for left_out in 0..4 {
        let (from, parts) = fragments(1, 3_000);
        assert_eq!(parts.len(), 4);
        let (mut inbox, mut disk) = (inbox(|_| {}), Disk::default());
        let mut told = None;
        for (_, part) in parts.iter().enumerate().filter(|(it, _)| *it != left_out) {
            assert!(told.is_none());
            told = take(&mut inbox, &mut disk, &from, part);
        }
        let told = told.expect("three came");
        assert_eq!(told.row.text, vec![9; 3_000], "{left_out}");
        disk.save(told.changes);
        let late = &parts[left_out];
        // Told, told and restarted, read, read and restarted.
        assert!(is_spare(&mut inbox, &from, late));
        assert!(is_spare(&mut disk.restart(), &from, late));
        disk.save(inbox.read(&told.key.message));
        assert!(is_spare(&mut inbox, &from, late));
        assert!(is_spare(&mut disk.restart(), &from, late));
        for table in [Table::Partial, Table::Inbox] {
            assert_eq!(disk.count(table), 0, "{table}");
        }
        assert_eq!(inbox.partials.held(), (0, 0));
    }
}

/// Of one packet too: it may come again under another name, at the other mailbox.
#[test]
fn a_message_of_one_packet_is_told_once() {
    let (from, parts) = fragments(1, 1_169);
    let (mut inbox, mut disk) = (inbox(|_| {}), Disk::default());
    let told = take(&mut inbox, &mut disk, &from, &parts[0]).unwrap();
    disk.save(inbox.read(&told.key.message));
    let again = (MessageId::new([77; 16]), parts[0].1.clone());
    assert!(is_spare(&mut inbox, &from, &again));
    assert!(is_spare(&mut disk.restart(), &from, &again));
}

/// Or it would lie at the mailbox, and be pushed, as long as nobody reads.
#[test]
fn what_is_spare_takes_no_share() {
    let (from, parts) = fragments(1, 3_000);
    let mut inbox = inbox(|limits| limits.unread_of_one = 1);
    let mut disk = Disk::default();
    for part in &parts[..3] {
        take(&mut inbox, &mut disk, &from, part);
    }
    assert_eq!(inbox.unread(), 1);
    assert!(is_spare(&mut inbox, &from, &parts[3]));
}

#[test]
fn parity_of_something_else_is_its_senders_loss() {
    // The last byte of a shard, which the text of the one that is missing does not reach: these are no message.
    let (from, mut parts) = fragments(1, 3_000);
    parts[3].1[172 + 1_169] ^= 1;
    let (mut inbox, mut disk) = (inbox(|_| {}), Disk::default());
    for part in [&parts[3], &parts[1]] {
        assert!(take(&mut inbox, &mut disk, &from, part).is_none());
    }
    let Arrival::Spoilt { changes, kept } = arrive(&mut inbox, &me(), &from, &parts[0]) else {
        panic!("they are of no text");
    };
    disk.save(changes);
    assert!(!inbox.safe(kept));
    // It takes no room, and what still comes of it begins nothing.
    assert_eq!((inbox.partials.held(), inbox.unread()), ((0, 0), 0));
    assert_eq!(
        (disk.count(Table::Partial), disk.count(Table::Inbox)),
        (0, 0)
    );
    assert!(is_spare(&mut inbox, &from, &parts[2]));
    assert!(is_spare(&mut disk.restart(), &from, &parts[2]));
    // Another byte: what the first three say is the message, though others would say something else.
    let (from, mut parts) = fragments(2, 3_000);
    parts[3].1[172] ^= 1;
    for part in [&parts[3], &parts[1]] {
        assert!(take(&mut inbox, &mut disk, &from, part).is_none());
    }
    let told = take(&mut inbox, &mut disk, &from, &parts[0]).expect("three came");
    assert_eq!(told.row.text.len(), 3_000);
    assert!(told.row.text != vec![9; 3_000]);
    assert!(is_spare(&mut inbox, &from, &parts[2]));
}

#[test]
fn what_could_not_be_saved_is_saved_with_the_next_part_and_leaves_none_behind() {
    let (from, parts) = fragments(1, 3_000);
    let (mut inbox, mut disk) = (inbox(|_| {}), Disk::default());
    for part in &parts[..2] {
        assert!(take(&mut inbox, &mut disk, &from, part).is_none());
    }
    let Arrival::New { kept, .. } = arrive(&mut inbox, &me(), &from, &parts[2]) else {
        panic!("it is new");
    };
    inbox.forget(&kept);
    assert_eq!(disk.count(Table::Partial), 2);
    let told = take(&mut inbox, &mut disk, &from, &parts[3]).expect("now it is saved");
    assert_eq!(told.row.text, vec![9; 3_000]);
    assert_eq!(
        (disk.count(Table::Partial), disk.count(Table::Done)),
        (0, 1)
    );
    assert!(is_spare(&mut inbox, &from, &parts[2]));
}

/// A part that comes while the message is being saved tells of it no second time.
#[test]
fn a_message_is_safe_once() {
    let (from, parts) = fragments(1, 3_000);
    let (mut inbox, mut disk) = (inbox(|_| {}), Disk::default());
    for part in &parts[..2] {
        take(&mut inbox, &mut disk, &from, part);
    }
    let kept = [2, 3].map(|index| {
        let arrival = arrive(&mut inbox, &me(), &from, &parts[index]);
        let Arrival::New { kept, .. } = arrival else {
            panic!("not safe yet");
        };
        kept
    });
    assert_eq!(kept.map(|it| inbox.safe(it)), [true, false]);
}
