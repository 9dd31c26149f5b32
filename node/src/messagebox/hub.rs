//! Between programs, boxes and the mixnet: who may ask, whose an identity is, and what goes where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shoal_client::PeerKey;
use shoal_proto::{MessageId, Span};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::auth::{IdentityKey, Keyring, Secret};
use super::db::{Bounds, BoxMessage, BoxSize, Mapped, Outcome, Size, To};
use super::parcel::Parcel;
use super::store::{Store, StoreError};
use crate::runtime::{Arrived, Clock, Unsent, Wish};
use crate::state::{BoxRows, StateError};
use crate::{Failure, seeded};

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// The same recipient, sender and id were there before.
    Duplicate,
    /// No contact is known to be the recipient.
    Unmapped,
    /// The contact that the recipient is is blocked.
    Blocked,
    /// There is no room in the recipient's box, which is one of ours.
    Full,
    /// The client role does not take it, with its words.
    Refused(String),
    /// Our fault, or the disk's.
    Failed(String),
}

impl From<StoreError> for NotSent {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the message box can't be used");
        Self::Failed(error.to_string())
    }
}

/// Why none of several messages was taken: that of these places among them, for this reason.
pub(super) type NoneSent = (Vec<usize>, NotSent);

/// How often the client role is asked again to take what it refused.
const AGAIN: Duration = Duration::from_secs(60);

/// How long: as long as the network's clients try.
const GIVE_UP: Span = Span::from_secs(7 * 24 * 3600);

/// A message that is told at once to who listens.
pub(super) struct Push<'a> {
    pub(super) room: &'a str,
    pub(super) sender: &'a IdentityKey,
    pub(super) id: &'a str,
    /// The message in [`BoxMessage::body`].
    pub(super) body: Value,
}

type Tell = Box<dyn Fn(&Push<'_>) + Send>;

/// Who listens on a connection, and to which boxes.
pub(super) struct Listener {
    identity: IdentityKey,
    boxes: BTreeSet<String>,
    tell: Tell,
}

/// Boxes that one connection may listen to.
const ROOMS: usize = 64;

/// What happened that nobody is told of otherwise, since the start.
#[derive(Default)]
pub(super) struct Counters {
    /// Requests of identities that are not allowed.
    pub(super) strangers: AtomicU64,
    /// Messages under an identity key that is somebody else's.
    pub(super) not_theirs: AtomicU64,
    /// Messages to nobody who is allowed here.
    pub(super) nobody: AtomicU64,
    /// Data that is no message.
    pub(super) malformed: AtomicU64,
    /// Messages to several recipients that the client role refused for a week.
    pub(super) given_up: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The middle of the message box.
pub(crate) struct Hub {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Clock,
    wishes: mpsc::Sender<Wish>,
    allowed: Mutex<BTreeMap<IdentityKey, bool>>,
    /// Messages that are being handed over, so that none is twice at once.
    underway: Mutex<BTreeSet<[u8; 32]>>,
    listeners: Mutex<BTreeMap<u64, Listener>>,
    /// Messages that wait in the client role for room in a box.
    waiting: Mutex<BTreeMap<MessageId, Arrived>>,
    /// There is room again.
    freed: Notify,
    /// Something is to be handed to the client role.
    leaving: Notify,
    pub(super) counters: Counters,
}

impl Hub {
    /// Opens what there is in these rows. The daemon's own identity is drawn if there is none yet.
    pub(super) fn open(
        rows: BoxRows,
        bounds: Bounds,
        wishes: mpsc::Sender<Wish>,
    ) -> Result<Self, Failure> {
        let mut rng = seeded()?;
        let first = Store::open(rows, bounds, |db| {
            let secret = db.secret(|| Secret::generate(&mut rng))?;
            Ok((secret, db.allowed()))
        });
        let (store, (secret, allowed)) = first?;
        let keyring = Keyring::new(secret, seeded()?).map_err(Failure::failed)?;
        Ok(Self {
            store,
            keyring: Arc::new(keyring),
            clock: Clock::start(),
            wishes,
            allowed: Mutex::new(allowed.into_iter().collect()),
            underway: Mutex::default(),
            listeners: Mutex::default(),
            waiting: Mutex::default(),
            freed: Notify::new(),
            leaving: Notify::new(),
            counters: Counters::default(),
        })
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Closes the database. Blocks until what is queued is done.
    pub(super) fn close(&self) {
        lock(&self.listeners).clear();
        self.store.close();
    }

    // --- Who may ask ---

    /// Whether somebody whose identity is proven may ask. If nobody may yet, the first one is adopted, unless it is a page
    /// in a browser: any page that the user looks at can draw a key and sign with it.
    pub(super) async fn admits(
        &self,
        identity: &IdentityKey,
        from_page: bool,
    ) -> Result<bool, StoreError> {
        let (known, any) = {
            let allowed = lock(&self.allowed);
            (allowed.contains_key(identity), !allowed.is_empty())
        };
        if known {
            return Ok(true);
        }
        if !any && !from_page && self.allow(*identity, true).await? {
            tracing::warn!(
                "the first program that came to the message box is let in from now on, and no other: \
                 `shoal messagebox status` shows its identity key"
            );
            return Ok(true);
        }
        add(&self.counters.strangers);
        Ok(false)
    }

    /// Lets an identity ask; false if there are too many, or, if it is to be adopted, any.
    pub(super) async fn allow(
        &self,
        identity: IdentityKey,
        adopt: bool,
    ) -> Result<bool, StoreError> {
        self.change_allowed(move |db| db.allow(&identity, adopt))
            .await
    }

    /// Lets an identity ask no more; false if it could not.
    pub(super) async fn disallow(&self, identity: IdentityKey) -> Result<bool, StoreError> {
        lock(&self.listeners).retain(|_, it| it.identity != identity);
        self.change_allowed(move |db| db.disallow(&identity)).await
    }

    async fn change_allowed(
        &self,
        change: impl FnOnce(&mut super::db::BoxDb) -> Result<bool, StateError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let work = move |db: &mut super::db::BoxDb| Ok((change(db)?, db.allowed()));
        let (done, all) = self.store.run(work).await?;
        *lock(&self.allowed) = all.into_iter().collect();
        Ok(done)
    }

    /// The identities that may ask, and whether each was adopted.
    pub(super) fn allowed(&self) -> Vec<(IdentityKey, bool)> {
        lock(&self.allowed)
            .iter()
            .map(|(key, adopted)| (*key, *adopted))
            .collect()
    }

    // --- Whose an identity is ---

    pub(super) async fn mapped(&self) -> Result<Vec<Mapped>, StoreError> {
        self.store.run(|db| Ok(db.mapped())).await
    }

    pub(super) async fn map(
        &self,
        identity: IdentityKey,
        contact: PeerKey,
    ) -> Result<bool, StoreError> {
        self.store.run(move |db| db.map(&identity, &contact)).await
    }

    pub(super) async fn unmap(&self, identity: IdentityKey) -> Result<bool, StoreError> {
        self.store.run(move |db| db.unmap(&identity)).await
    }

    // --- What is sent ---

    /// Takes messages, all or none: when this returns, they are on disk, here in boxes, or on their way to the client
    /// role's outbox, or, if it is one alone, there. It goes on if nobody waits for it any more.
    pub(super) async fn send(self: &Arc<Self>, parcels: Vec<Parcel>) -> Result<(), NoneSent> {
        let hub = Arc::clone(self);
        let sending = tokio::spawn(async move { hub.take(parcels).await });
        let ended = sending.await;
        ended.unwrap_or_else(|_| Err((Vec::new(), stopping())))
    }

    async fn take(&self, parcels: Vec<Parcel>) -> Result<(), NoneSent> {
        let mut alone = Vec::new();
        for (place, parcel) in parcels.iter().enumerate() {
            let own = Underway::of(self, parcel.hash(true));
            alone.push(own.ok_or((vec![place], NotSent::Duplicate))?);
        }
        let routed = self.route(parcels).await?;
        if let [(To::Contact(contact), parcel)] = &routed[..] {
            let handed = self.hand_over(*contact, parcel.clone()).await;
            return handed.map_err(|error| (vec![0], error));
        }
        self.refuse_blocked(&routed).await?;
        let (copy, now) = (routed.clone(), self.clock.now());
        let taken = self.store.run(move |db| db.take_all(&copy, now)).await;
        let taken = taken.map_err(|error| (Vec::new(), error.into()))?;
        let here = taken.map_err(|(place, outcome)| {
            let why = match (outcome, routed.get(place)) {
                (Outcome::Full, Some((To::Contact(_), _))) => {
                    let words = "too many messages to several recipients wait for the client role: try again later";
                    NotSent::Refused(words.to_owned())
                }
                (Outcome::Full, _) => NotSent::Full,
                _ => NotSent::Duplicate,
            };
            (vec![place], why)
        })?;
        self.leaving.notify_one();
        for (place, number) in here {
            if let Some((_, parcel)) = routed.get(place) {
                self.push(number, parcel).await;
            }
        }
        Ok(())
    }

    /// Where each goes.
    async fn route(&self, parcels: Vec<Parcel>) -> Result<Vec<(To, Parcel)>, NoneSent> {
        let own = self.allowed().into_iter().map(|(key, _)| key);
        let own: BTreeSet<IdentityKey> = own.collect();
        let work = move |db: &mut super::db::BoxDb| {
            let to = |parcel: &Parcel| match own.contains(&parcel.recipient) {
                true => Some(To::Here),
                false => db.contact_of(&parcel.recipient).map(To::Contact),
            };
            let routes = parcels.into_iter().map(|parcel| (to(&parcel), parcel));
            Ok(Vec::from_iter(routes))
        };
        let routes = self.store.run(work).await;
        let routes = routes.map_err(|error| (Vec::new(), error.into()))?;
        let places = (0..routes.len()).filter(|place| routes[*place].0.is_none());
        let unmapped = Vec::from_iter(places);
        if !unmapped.is_empty() {
            return Err((unmapped, NotSent::Unmapped));
        }
        let known = routes
            .into_iter()
            .filter_map(|(to, parcel)| Some((to?, parcel)));
        Ok(known.collect())
    }

    /// Whether each of these recipients is of a contact that is blocked.
    pub(super) async fn blocked(&self, recipients: Vec<IdentityKey>) -> Result<Vec<bool>, NotSent> {
        let work = move |db: &mut super::db::BoxDb| {
            let contacts = recipients.iter().map(|it| db.contact_of(it));
            Ok(Vec::from_iter(contacts))
        };
        let contacts = self.store.run(work).await?;
        let known = Vec::from_iter(contacts.iter().flatten().copied());
        let blocked = self.blocked_of(known).await?;
        let is = |contact: &Option<PeerKey>| contact.is_some_and(|it| blocked.contains(&it));
        Ok(contacts.iter().map(is).collect())
    }

    /// Those of these contacts that are blocked.
    async fn blocked_of(&self, contacts: Vec<PeerKey>) -> Result<BTreeSet<PeerKey>, NotSent> {
        if contacts.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (answer, wait) = oneshot::channel();
        let wish = Wish::Blocked { contacts, answer };
        self.wishes.send(wish).await.map_err(|_| stopping())?;
        wait.await.map_err(|_| stopping())
    }

    async fn refuse_blocked(&self, routed: &[(To, Parcel)]) -> Result<(), NoneSent> {
        let contact = |to: &To| match to {
            To::Contact(contact) => Some(*contact),
            To::Here => None,
        };
        let contacts = routed.iter().filter_map(|(to, _)| contact(to));
        let blocked = self.blocked_of(contacts.collect()).await;
        let blocked = blocked.map_err(|error| (Vec::new(), error))?;
        let places = routed.iter().enumerate().filter_map(|(place, (to, _))| {
            contact(to).filter(|it| blocked.contains(it)).map(|_| place)
        });
        let places = Vec::from_iter(places);
        match places.is_empty() {
            true => Ok(()),
            false => Err((places, NotSent::Blocked)),
        }
    }

    /// One message, straight to the client role, which says what it thinks of it.
    async fn hand_over(&self, to: PeerKey, parcel: Parcel) -> Result<(), NotSent> {
        let copy = parcel.clone();
        if self.store.run(move |db| Ok(db.was_sent(&copy))).await? {
            return Err(NotSent::Duplicate);
        }
        let data = parcel
            .encode()
            .ok_or_else(|| NotSent::Refused("a name is too long".to_owned()))?;
        self.ask_to_send(to, data).await?;
        // Should this be lost, the recipient's daemon knows the message when it comes again.
        Ok(self.store.run(move |db| db.sent(&parcel)).await?)
    }

    async fn ask_to_send(&self, to: PeerKey, data: Vec<u8>) -> Result<(), NotSent> {
        let (answer, wait) = oneshot::channel();
        let wish = Wish::Send { to, data, answer };
        self.wishes.send(wish).await.map_err(|_| stopping())?;
        match wait.await.map_err(|_| stopping())? {
            Ok(()) => Ok(()),
            Err(Unsent::NoContact) => Err(NotSent::Unmapped),
            Err(Unsent::Blocked) => Err(NotSent::Blocked),
            Err(Unsent::Refused(words)) => Err(NotSent::Refused(words)),
        }
    }

    /// How many messages to several recipients the client role does not have yet.
    pub(super) async fn leaving(&self) -> Result<u64, StoreError> {
        let all = self.store.run(|db| Ok(db.leaving()));
        Ok(all.await?.len() as u64)
    }

    /// Hands to the client role what was taken for several recipients, again and again until it has it.
    pub(super) async fn let_out(&self) {
        loop {
            match self.round().await {
                Ok(true) => self.leaving.notified().await,
                // The time has no part in when anything is sent: that is the client role's.
                Ok(false) => {
                    let _ = timeout(AGAIN, self.leaving.notified()).await;
                }
                Err(StoreError::Stopped) => return,
                Err(error @ StoreError::State(_)) => {
                    tracing::error!(%error, "a message to several recipients can't be handed on");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Each once, so that none is in the way of another. Whether nothing is left.
    async fn round(&self) -> Result<bool, StoreError> {
        let mut all = true;
        for number in self.store.run(|db| Ok(db.leaving())).await? {
            let Some((to, since, data)) = self.store.run(move |db| db.parcel(number)).await? else {
                continue;
            };
            match self.ask_to_send(to, data.to_vec()).await {
                Ok(()) => {}
                Err(NotSent::Failed(_)) => return Err(StoreError::Stopped),
                Err(_) if self.clock.now().since(since) < GIVE_UP => {
                    all = false;
                    continue;
                }
                Err(_) => {
                    add(&self.counters.given_up);
                    tracing::warn!(
                        "a message to several recipients was refused by the client role for a week, and is given up"
                    );
                }
            }
            // Should this be lost, it is handed over once more, and known where it comes to.
            self.store.run(move |db| db.left(number)).await?;
        }
        Ok(all)
    }

    // --- What has come ---

    /// Takes in what comes until nothing can any more.
    pub(super) async fn take_in(&self, mut arrived: mpsc::Receiver<Arrived>) {
        loop {
            tokio::select! {
                come = arrived.recv() => match come {
                    Some(come) => self.store_arrived(come).await,
                    None => return,
                },
                () = self.freed.notified() => {
                    let waiting = std::mem::take(&mut *lock(&self.waiting));
                    for come in waiting.into_values() {
                        self.store_arrived(come).await;
                    }
                }
            }
        }
    }

    /// Only what is on disk here, or never will be, is acknowledged to the client role. What finds no room waits there,
    /// where there may be so many of a contact's; the rest of the contact's waits at the mailbox.
    async fn store_arrived(&self, come: Arrived) {
        let Some(parcel) = Parcel::decode(&come.data) else {
            add(&self.counters.malformed);
            tracing::warn!("a contact has sent something to the message box that is no message");
            return self.read(come.message).await;
        };
        let (from, times) = (come.from, (come.sent_at, self.clock.now()));
        let copy = parcel.clone();
        let outcome = self
            .store
            .run(move |db| db.receive(&from, &copy, times))
            .await;
        match outcome {
            Ok(Outcome::Stored(number)) => self.push(number, &parcel).await,
            Ok(Outcome::Duplicate) => {}
            Ok(Outcome::NotTheirs) => {
                add(&self.counters.not_theirs);
                tracing::warn!(
                    "a contact has written under an identity key that is somebody else's: refused"
                );
            }
            Ok(Outcome::NobodyHere) => {
                add(&self.counters.nobody);
                tracing::warn!(
                    "a contact has written to an identity key that is not allowed here: refused"
                );
            }
            Ok(Outcome::Full) => return self.wait(come),
            Err(error) => {
                tracing::error!(%error, "a message for the message box can't be stored");
                return self.wait(come);
            }
        }
        self.read(come.message).await;
    }

    fn wait(&self, come: Arrived) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() {
            tracing::warn!(
                "there is no room in the message box: what comes waits until something is acknowledged"
            );
        }
        waiting.insert(come.message, come);
    }

    async fn read(&self, message: MessageId) {
        // The daemon stops: then it is told again, and known.
        let _ = self.wishes.send(Wish::Read(message)).await;
    }

    pub(super) fn waiting(&self) -> u64 {
        lock(&self.waiting).len() as u64
    }

    // --- Who listens ---

    /// Has a connection hear of messages in a box of this identity. False if it listens to as many as it may.
    pub(super) fn join(
        &self,
        connection: u64,
        identity: &IdentityKey,
        name: &str,
        tell: Tell,
    ) -> bool {
        let mut listeners = lock(&self.listeners);
        let listener = listeners.entry(connection).or_insert_with(|| Listener {
            identity: *identity,
            boxes: BTreeSet::new(),
            tell,
        });
        if listener.identity != *identity
            || listener.boxes.len() >= ROOMS && !listener.boxes.contains(name)
        {
            return false;
        }
        listener.boxes.insert(name.to_owned());
        true
    }

    pub(super) fn leave(&self, connection: u64, name: Option<&str>) {
        let mut listeners = lock(&self.listeners);
        match (name, listeners.get_mut(&connection)) {
            (Some(name), Some(listener)) => drop(listener.boxes.remove(name)),
            (None, _) => drop(listeners.remove(&connection)),
            (Some(_), None) => {}
        }
    }

    async fn push(&self, number: u64, parcel: &Parcel) {
        let hears =
            |it: &Listener| it.identity == parcel.recipient && it.boxes.contains(&parcel.name);
        if !lock(&self.listeners).values().any(hears) {
            return;
        }
        // What was told can be acknowledged.
        match self.store.run(move |db| db.show(number)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::error!(%error, "a message is listed and not told"),
        }
        let room = format!("{}-{}", parcel.recipient, parcel.name);
        let body: Value = serde_json::from_str(&parcel.body).unwrap_or_default();
        let push = Push {
            room: &room,
            sender: &parcel.sender,
            id: &parcel.id,
            body: body.get("message").cloned().unwrap_or_default(),
        };
        for listener in lock(&self.listeners).values().filter(|it| hears(it)) {
            (listener.tell)(&push);
        }
    }

    // --- What is in boxes ---

    /// What is in a box; with `mark`, it can be acknowledged from then on.
    pub(super) async fn list(
        &self,
        of: IdentityKey,
        name: String,
        mark: bool,
    ) -> Result<Vec<BoxMessage>, StoreError> {
        self.store.run(move |db| db.list(&of, &name, mark)).await
    }

    pub(super) async fn acknowledge(
        &self,
        of: IdentityKey,
        ids: Vec<String>,
    ) -> Result<usize, StoreError> {
        let gone = self.store.run(move |db| db.acknowledge(&of, &ids)).await?;
        if gone > 0 {
            self.freed.notify_one();
        }
        Ok(gone)
    }

    pub(super) async fn boxes(&self) -> Result<Vec<BoxSize>, StoreError> {
        self.store.run(|db| Ok(db.boxes())).await
    }

    pub(super) async fn size(&self) -> Result<Size, StoreError> {
        self.store.run(|db| Ok(db.size())).await
    }
}

/// A message that is being handed over, until this is dropped.
struct Underway<'a>(&'a Hub, [u8; 32]);

impl<'a> Underway<'a> {
    fn of(hub: &'a Hub, hash: [u8; 32]) -> Option<Self> {
        let new = lock(&hub.underway).insert(hash);
        // Made only if it is new: what is dropped takes the hash away.
        new.then(|| Self(hub, hash))
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        lock(&self.0.underway).remove(&self.1);
    }
}

fn stopping() -> NotSent {
    NotSent::Failed("the daemon is stopping".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
