//! What the hub does with a client role that is not there.

#![allow(clippy::unwrap_used, reason = "tests")]

use shoal_proto::Time;
use tokio::time::{Duration, timeout};

use super::super::db::tests::{contact, key};
use super::*;

struct Scene {
    hub: Arc<Hub>,
    wishes: mpsc::Receiver<Wish>,
    arrived: mpsc::Sender<Arrived>,
    _dir: tempfile::TempDir,
}

fn scene(bounds: Bounds) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let (wishes_in, wishes) = mpsc::channel(16);
    let (arrived, come) = mpsc::channel(16);
    let hub = Arc::new(Hub::open(BoxRows::open(dir.path()).unwrap(), bounds, wishes_in).unwrap());
    let taking = Arc::clone(&hub);
    tokio::spawn(async move { taking.take_in(come).await });
    let letting = Arc::clone(&hub);
    tokio::spawn(async move { letting.let_out().await });
    Scene {
        hub,
        wishes,
        arrived,
        _dir: dir,
    }
}

fn parcel(sender: IdentityKey, recipient: IdentityKey, id: &str) -> Parcel {
    Parcel {
        sender,
        recipient,
        name: "inbox".to_owned(),
        id: id.to_owned(),
        body: "{\"message\":\"hello\"}".to_owned(),
    }
}

impl Scene {
    async fn arrive(&self, number: u8, from: PeerKey, data: Vec<u8>) {
        let message = MessageId::new([number; 16]);
        let come = Arrived {
            message,
            from,
            data: data.into(),
            sent_at: Time::default(),
        };
        self.arrived.send(come).await.unwrap();
    }

    async fn wish(&mut self) -> Wish {
        let wish = timeout(Duration::from_secs(20), self.wishes.recv()).await;
        wish.expect("a wish").unwrap()
    }

    /// The client role is asked to send this, and says so.
    async fn takes(&mut self, to: &IdentityKey, id: &str, outcome: Result<(), Unsent>) {
        let Wish::Send { data, answer, .. } = self.wish().await else {
            panic!("it is sent");
        };
        let parcel = Parcel::decode(&data).unwrap();
        assert!(parcel.recipient == *to);
        assert_eq!(parcel.id, id);
        answer.send(outcome).unwrap();
    }

    async fn read(&mut self) -> u8 {
        match self.wish().await {
            Wish::Read(message) => message.as_bytes()[0],
            Wish::Send { .. } | Wish::Blocked { .. } => panic!("nothing is sent"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_not_acknowledged_until_there_is() {
    let bounds = Bounds {
        messages: 1,
        ..Bounds::default()
    };
    let mut scene = scene(bounds);
    let (me, other, friend) = (key(), key(), contact());
    for (number, id) in [(1, "a"), (2, "b"), (3, "c")] {
        let data = parcel(other, me, id).encode().unwrap();
        scene.arrive(number, friend, data).await;
    }
    // What is no message takes nobody's room.
    scene.arrive(4, friend, b"x".to_vec()).await;
    assert_eq!(scene.read().await, 1);
    assert_eq!(scene.read().await, 4);
    assert_eq!(scene.hub.waiting(), 2);
    assert!(scene.wishes.is_empty());
    let hub = Arc::clone(&scene.hub);
    for number in [2, 3] {
        let found = hub.list(me, "inbox".to_owned(), true).await.unwrap();
        assert_eq!(found.len(), 1);
        let id = found[0].id.clone();
        assert_eq!(hub.acknowledge(me, vec![id]).await.unwrap(), 1);
        assert_eq!(scene.read().await, number);
    }
    assert_eq!(scene.hub.waiting(), 0);
    assert_eq!(
        hub.list(me, "inbox".to_owned(), true).await.unwrap()[0].id,
        "c"
    );
    assert_eq!(hub.counters.malformed.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once_the_client_role_has_it_and_not_before() {
    let mut scene = scene(Bounds::default());
    let (me, other, friend) = (key(), key(), contact());
    let hub = Arc::clone(&scene.hub);
    assert_eq!(
        hub.send(vec![parcel(me, other, "a")]).await,
        Err((vec![0], NotSent::Unmapped))
    );
    assert!(hub.map(other, friend).await.unwrap());
    let sending = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { hub.send(vec![parcel(me, other, "a")]).await }
    });
    let Wish::Send { to, data, answer } = scene.wish().await else {
        panic!("it is sent");
    };
    assert!(to == friend && Parcel::decode(&data).unwrap() == parcel(me, other, "a"));
    // The same once more, while nobody knows yet.
    assert_eq!(
        hub.send(vec![parcel(me, other, "a")]).await,
        Err((vec![0], NotSent::Duplicate))
    );
    assert!(!sending.is_finished());
    let full = Unsent::Refused("full".to_owned());
    answer.send(Err(full)).unwrap();
    let refused = NotSent::Refused("full".to_owned());
    assert_eq!(sending.await.unwrap(), Err((vec![0], refused)));
    // It was not taken, so it is no duplicate.
    let sending = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { hub.send(vec![parcel(me, other, "a")]).await }
    });
    let Wish::Send { answer, .. } = scene.wish().await else {
        panic!("it is sent");
    };
    answer.send(Ok(())).unwrap();
    assert_eq!(sending.await.unwrap(), Ok(()));
    assert_eq!(
        hub.send(vec![parcel(me, other, "a")]).await,
        Err((vec![0], NotSent::Duplicate))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn between_own_identities_nothing_leaves_and_only_who_listens_is_told() {
    let scene = scene(Bounds::default());
    let [me, mine, stranger] = [key(), key(), key()];
    let hub = &scene.hub;
    assert!(
        !hub.admits(&me, true).await.unwrap(),
        "a page is never adopted"
    );
    assert!(hub.admits(&me, false).await.unwrap());
    assert!(hub.admits(&me, true).await.unwrap());
    assert!(!hub.admits(&stranger, false).await.unwrap());
    assert!(hub.allow(mine, false).await.unwrap());
    let (told_in, told) = std::sync::mpsc::sync_channel(8);
    let listen = |connection: u64, identity: &IdentityKey, name: &str| {
        let told = told_in.clone();
        let tell = Box::new(move |push: &Push<'_>| {
            let what = format!("{connection} {} {}", push.id, push.body);
            told.try_send(what).unwrap();
        });
        assert!(hub.join(connection, identity, name, tell));
    };
    listen(1, &mine, "inbox");
    listen(2, &mine, "another");
    listen(3, &me, "inbox");
    assert_eq!(hub.send(vec![parcel(me, mine, "a")]).await, Ok(()));
    assert_eq!(
        hub.send(vec![parcel(me, mine, "a")]).await,
        Err((vec![0], NotSent::Duplicate))
    );
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["1 a \"hello\""]);
    hub.leave(1, None);
    assert_eq!(hub.send(vec![parcel(me, mine, "b")]).await, Ok(()));
    assert_eq!(told.try_iter().count(), 0);
    assert!(scene.wishes.is_empty());
    // What was told can be acknowledged, and what was not can not.
    let ids = ["a", "b"].map(str::to_owned).to_vec();
    assert_eq!(hub.acknowledge(mine, ids).await.unwrap(), 1);
}

/// To several: nothing goes anywhere if one of them is in the way, and what was taken is handed on until the client role
/// has it, whatever it says at first.
#[tokio::test(flavor = "multi_thread")]
async fn to_several_all_or_none_and_it_is_handed_on_until_it_is_taken() {
    let mut scene = scene(Bounds::default());
    let (me, [a, b, stranger]) = (key(), [key(), key(), key()]);
    let [friend, other] = [contact(), contact()];
    let hub = Arc::clone(&scene.hub);
    assert!(hub.allow(me, false).await.unwrap());
    assert!(hub.map(a, friend).await.unwrap() && hub.map(b, other).await.unwrap());
    let send = |to: &[IdentityKey], id: &str| {
        let parcels = to.iter().map(|to| parcel(me, *to, id));
        let (hub, parcels) = (Arc::clone(&hub), Vec::from_iter(parcels));
        tokio::spawn(async move { hub.send(parcels).await })
    };
    let unmapped = send(&[a, stranger, me], "x").await.unwrap();
    assert_eq!(unmapped, Err((vec![1], NotSent::Unmapped)));
    for blocked in [BTreeSet::from([other]), BTreeSet::new()] {
        let sending = send(&[a, me, b], "x");
        let Wish::Blocked { contacts, answer } = scene.wish().await else {
            panic!("it asks");
        };
        assert!(contacts == [friend, other]);
        let none = blocked.is_empty();
        answer.send(blocked).unwrap();
        match none {
            true => assert_eq!(sending.await.unwrap(), Ok(())),
            false => assert_eq!(sending.await.unwrap(), Err((vec![2], NotSent::Blocked))),
        }
        let own = hub.list(me, "inbox".to_owned(), false).await.unwrap();
        assert_eq!(own.len(), usize::from(none));
    }
    // The first is refused for now, and in nobody's way.
    let full = || Err(Unsent::Refused("full".to_owned()));
    scene.takes(&a, "x", full()).await;
    scene.takes(&b, "x", Ok(())).await;
    let again = send(&[a, b], "x");
    let Wish::Blocked { answer, .. } = scene.wish().await else {
        panic!("it asks");
    };
    answer.send(BTreeSet::new()).unwrap();
    assert_eq!(again.await.unwrap(), Err((vec![0], NotSent::Duplicate)));
    // It is handed over again with what comes next, if a minute is not over before; and no more once it is taken.
    for (id, before) in [("y", Some("x")), ("z", None)] {
        let sending = send(&[b, me], id);
        let Wish::Blocked { answer, .. } = scene.wish().await else {
            panic!("it asks");
        };
        answer.send(BTreeSet::new()).unwrap();
        assert_eq!(sending.await.unwrap(), Ok(()));
        if let Some(before) = before {
            scene.takes(&a, before, Ok(())).await;
        }
        scene.takes(&b, id, Ok(())).await;
    }
}
