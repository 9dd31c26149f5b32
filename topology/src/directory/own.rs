//! The own descriptors and keys: made in time, safe on disk before anybody hears of them, deleted
//! when no document needs them.

use rand::{CryptoRng, RngExt};
use shoal_proto::{Epoch, NodeId, Span, Time};
use zeroize::Zeroizing;

use super::pool::{pause, sooner};
use super::read::descriptor_gossip;
use super::seat_keys::SeatKeys;
use super::{Directory, DirectoryAction, DirectoryChange, DirectoryWarning};
use crate::agreement::Height;
use crate::{
    Descriptor, DescriptorError, NetworkParameters, PACKET_VERSION, Role, SignedDescriptor,
    TokenTerms,
};

/// What the node keeps about its own descriptors.
pub(super) struct Own {
    /// The highest sequence number that was used, here or, as far as is known, anywhere.
    sequence: u64,
    /// When to issue the next descriptor.
    issue_at: Time,
    /// When to publish the latest descriptor again, because it could not be published.
    publish_at: Option<Time>,
    failures: u32,
    latest: Option<Vec<u8>>,
    last_issued: Option<Time>,
    /// From when on others take another one, if they take one at a time.
    taken_from: Time,
    /// The highest epoch in which the keys of those before have been looked through.
    expired: Option<Epoch>,
    /// The clock is not known to be right: nothing is made or said.
    held: bool,
    /// It leaves.
    leaving: bool,
}

impl Own {
    pub(super) const fn new(sequence: u64, now: Time) -> Self {
        Self {
            sequence,
            issue_at: now,
            publish_at: None,
            failures: 0,
            latest: None,
            last_issued: None,
            taken_from: now,
            expired: None,
            held: false,
            leaving: false,
        }
    }

    /// Tries again after 1 s, then 2 s, up to 32 s.
    pub(super) fn publish_failed(&mut self, now: Time) {
        self.publish_at = Some(now + Span::from_secs(1 << self.failures.min(5)));
        self.failures = self.failures.saturating_add(1);
    }

    /// There is something new to say: as soon as others take another descriptor.
    pub(super) fn issue_soon(&mut self, now: Time, pause: Span) {
        let soonest = self.last_issued.map_or(now, |issued| issued + pause);
        self.issue_at = self.issue_at.min(soonest);
    }

    /// There is something to say that can't wait: at once, unless others have taken too much lately.
    fn issue_at_once(&mut self, now: Time, params: &NetworkParameters) {
        let soonest = self.taken_from - sooner(params);
        self.issue_at = self.issue_at.min(soonest.max(now));
    }

    pub(super) const fn hold_back(&mut self, held: bool) {
        self.held = held;
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let next = self
            .publish_at
            .map_or(self.issue_at, |publish_at| publish_at.min(self.issue_at));
        (!self.held).then_some(next)
    }

    /// Whether keys have been looked through after the margin of this epoch.
    fn expired_in(&self, epoch: Epoch) -> bool {
        self.expired >= Some(epoch)
    }

    fn note_expiry(&mut self, epoch: Epoch) {
        self.expired = self.expired.max(Some(epoch));
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Goes on with the descriptor that was issued last before a restart, if another would come so soon
    /// that others would not take it. Who goes on at other addresses (on another machine, that has taken over) says so
    /// as one who moves.
    pub(super) fn resume_own(&mut self, now: Time) {
        let Some(local) = &self.local else { return };
        let Some(last) = self.pool.of(&local.identity.id()).last() else {
            return;
        };
        let descriptor = last.descriptor();
        let soonest = descriptor.issued_at + pause(&self.rules.params);
        // Who has left and is back says so at once.
        if now >= soonest || descriptor.issued_at > now || descriptor.leaving {
            return;
        }
        self.own.issue_at = soonest;
        self.own.taken_from = soonest;
        self.own.last_issued = Some(descriptor.issued_at);
        if descriptor.addresses != local.addresses {
            self.own.issue_at_once(now, &self.rules.params);
            return;
        }
        let epochs = (0..).map(|index| Epoch::new(descriptor.first_epoch.number() + index));
        let mut keys = epochs.zip(&descriptor.keys);
        let holds = keys.all(|(epoch, key)| self.keys.public(epoch) == Some(*key));
        let says = (
            &descriptor.addresses,
            descriptor.role,
            descriptor.family,
            descriptor.capacity_class,
            descriptor.tokens,
        ) == (
            &local.addresses,
            local.role,
            local.family,
            local.capacity_class,
            local.tokens,
        );
        if holds && says {
            let bytes = descriptor_gossip(last.encode().to_vec());
            self.own.latest = Some(bytes.clone());
            self.actions.push_back(DirectoryAction::Publish(bytes));
        }
    }

    /// Issues the own descriptor when it is due, and publishes it again if that failed.
    pub(super) fn keep_own(&mut self, now: Time) {
        if self.local.is_none() || self.own.held {
            return;
        }
        if now >= self.own.issue_at {
            self.make_keys();
            self.schedule(now);
            match self.issue(now) {
                Ok(signed) => {
                    let bytes = descriptor_gossip(signed.encode().to_vec());
                    self.own.last_issued = Some(now);
                    let pause = pause(&self.rules.params);
                    self.own.taken_from = self.own.taken_from.max(now) + pause;
                    self.own.latest = Some(bytes.clone());
                    self.own.publish_at = None;
                    self.own.failures = 0;
                    self.insert(now, signed);
                    self.actions.push_back(DirectoryAction::Publish(bytes));
                }
                Err(error) => self.warn(DirectoryWarning::OwnDescriptor(error)),
            }
        }
        if self
            .own
            .publish_at
            .is_some_and(|publish_at| now >= publish_at)
        {
            self.own.publish_at = None;
            if let Some(bytes) = self.own.latest.clone() {
                self.actions.push_back(DirectoryAction::Publish(bytes));
            }
        }
    }

    /// Once in each epoch, early, and not everybody at once. Long before genesis, when epoch 0
    /// lasts longer than a descriptor, more often.
    fn schedule(&mut self, now: Time) {
        let epoch = self.rules.params.epoch;
        let jitter = epoch.scale(1, 5).as_micros().max(1);
        let jitter = Span::from_micros(self.rng.random_range(0..jitter));
        let next = self.rules.params.start_of(self.epoch.next()) + epoch.scale(1, 20) + jitter;
        self.own.issue_at = next.min(now + epoch.scale(2, 1));
    }

    /// Keys of this and the next epoch, on disk before anybody hears of them.
    fn make_keys(&mut self) {
        let mut made = false;
        for epoch in [self.epoch, self.epoch.next()] {
            if self.keys.ensure(&mut self.rng, epoch) {
                made = true;
                if let Some(secret) = self.keys.secret(epoch) {
                    let secret = secret.to_bytes();
                    self.persist(DirectoryChange::Key { epoch, secret });
                }
            }
        }
        if made {
            self.actions
                .push_back(DirectoryAction::Keys(self.keys.clone()));
        }
        if self.seat_keys.is_none() {
            let mut secret = Zeroizing::new([0; 32]);
            self.rng.fill_bytes(secret.as_mut());
            self.seat_keys = Some(SeatKeys::new(secret));
            self.keep_seat_keys();
        }
    }

    fn keep_seat_keys(&mut self) {
        if let Some(keys) = &self.seat_keys {
            let kept = keys.keep();
            self.persist(DirectoryChange::SeatKeys { kept });
        }
    }

    /// The first document of a term is certified: the keys of the term before are of no use any more but to
    /// whoever would make up another past, and are wiped.
    pub(super) fn turn_seat_key(&mut self, height: Height) {
        let since = self.archive.since();
        let Some(own) = self.own_id().filter(|_| height == since.next()) else {
            return;
        };
        let seats = self.archive.trust().map(crate::Trust::seats);
        let seat = seats.and_then(|seats| seats.holder(seats.of(&own)?));
        let mut needed: Vec<_> = seat.map(|holder| holder.key).into_iter().collect();
        let tip = self.archive.tip();
        let listed = tip.and_then(|tip| tip.document.member(&own));
        needed.extend(listed.map(|member| member.seat_key));
        let issued = self.pool.of(&own).iter();
        needed.extend(issued.map(|signed| signed.descriptor().seat_key));
        if let Some(keys) = &mut self.seat_keys {
            keys.next_term(|key| needed.contains(key));
            self.keep_seat_keys();
        }
    }

    fn issue(&mut self, now: Time) -> Result<SignedDescriptor, DescriptorError> {
        let local = self.local.as_ref().ok_or(DescriptorError::Identity)?;
        let sequence = self.own.sequence.saturating_add(1);
        let keys = [self.epoch, self.epoch.next()];
        let end = self.rules.params.start_of(self.epoch.next().next());
        let descriptor = Descriptor {
            identity: local.identity.id(),
            role: local.role,
            sequence,
            issued_at: now,
            expires_at: end.min(now + Descriptor::max_lifetime(&self.rules.params)),
            first_epoch: self.epoch,
            keys: keys
                .iter()
                .filter_map(|epoch| self.keys.public(*epoch))
                .collect(),
            addresses: local.addresses.clone(),
            versions: vec![PACKET_VERSION],
            capacity_class: local.capacity_class,
            storage_mib: local.storage_mib,
            family: local.family,
            admission: self.admission(),
            vrf_key: local.identity.vrf_key().public(),
            seat_key: match &self.seat_keys {
                Some(keys) => keys.named(),
                None => return Err(DescriptorError::SeatKeys),
            },
            leaving: self.own.leaving,
            tokens: local.tokens,
        };
        let signed = SignedDescriptor::sign_by(&local.identity, &self.rules, descriptor)?;
        self.own.sequence = sequence;
        self.persist(DirectoryChange::Sequence(sequence));
        Ok(signed)
    }

    /// Says that this node leaves, at once and again in each epoch.
    pub(super) fn leave(&mut self, now: Time) {
        self.own.leaving = true;
        self.own.issue_at_once(now, &self.rules.params);
        self.keep_own(now);
    }

    /// Says at once where this node is from now on.
    pub(super) fn move_to(&mut self, now: Time, addresses: Vec<crate::Address>) {
        let Some(local) = &mut self.local else { return };
        if local.addresses != addresses {
            local.addresses = addresses;
            self.own.issue_at_once(now, &self.rules.params);
            self.keep_own(now);
        }
    }

    /// Says soon on what other terms this node issues tokens.
    pub(super) fn issues_tokens(&mut self, now: Time, tokens: Option<TokenTerms>) {
        let Some(local) = &mut self.local else { return };
        if local.tokens != tokens {
            local.tokens = tokens;
            self.own.issue_soon(now, pause(&self.rules.params));
        }
    }

    /// A descriptor of ours that we did not issue since the start: what we say now has to beat it.
    pub(super) fn own_from_elsewhere(&mut self, now: Time, signed: &SignedDescriptor) {
        let known = self.pool.contains(&signed.id(), signed.encode());
        if known || signed.sequence() < self.own.sequence {
            return;
        }
        self.own.sequence = signed.sequence();
        self.warn(DirectoryWarning::OwnIdentityElsewhere);
        // Not at once every time: two nodes with one key would drive each other on.
        self.own.issue_soon(now, pause(&self.rules.params));
    }

    /// When a document takes effect, after the one in force, that can give this node a place with a key that
    /// it has: the next one, unless that is made of a descriptor with a key that was lost, or of none of
    /// this node; and of a mix that has just come, the one after that.
    #[must_use]
    pub fn next_usable(&self, now: Time) -> Time {
        let (params, next) = (&self.rules.params, self.epoch.next());
        let Some(own) = self.own_id() else {
            return params.start_of(next);
        };
        let known = match self.archive.get(next) {
            Some(document) => {
                let member = document.member(&own);
                let placed = member.filter(|member| member.position().is_some());
                Some(placed.map(|member| member.key))
            }
            None => {
                let base = self.archive.view().in_force(self.epoch);
                let base = base.map(std::sync::Arc::as_ref);
                let door = self.door(next, base);
                let mut issued = self.pool.of(&own).iter();
                let counted = issued.rfind(|signed| door.admits(signed));
                match counted {
                    Some(signed) => Some(signed.descriptor().key_for(next)),
                    // One that is issued now would be too late.
                    None if now >= params.issue_deadline(next) => Some(None),
                    None => None,
                }
            }
        };
        let held = self.keys.public(next);
        let usable = known.is_none_or(|key| key.is_some() && key == held)
            // Another descriptor, with the new key, is still to come.
            || self.archive.get(next).is_none() && self.own.issue_at < params.issue_deadline(next);
        let first = if usable { next } else { next.next() };
        if let Some(last) = self.expelled_until(&own).filter(|last| *last >= next) {
            let back = last.next();
            return params.start_of(if self.is_mix() { back.next() } else { back });
        }
        let comes = self.archive.get(next).is_none() && self.comes_as_a_mix(&own);
        params.start_of(if comes { first.next() } else { first })
    }

    /// The last epoch of this node's expulsion, by the newest document.
    fn expelled_until(&self, own: &NodeId) -> Option<Epoch> {
        let tip = &self.archive.tip()?.document;
        let expulsion = tip.expulsion(own).filter(|it| it.holds(tip.epoch()));
        expulsion.map(|expulsion| expulsion.last)
    }

    fn is_mix(&self) -> bool {
        let local = self.local.as_ref();
        local.is_some_and(|local| local.role == Role::Mix)
    }

    /// Whether the next document lists this node for the first time, without a layer.
    fn comes_as_a_mix(&self, own: &NodeId) -> bool {
        let base = self.archive.tip().map(|tip| &tip.document);
        self.is_mix() && base.is_some_and(|base| base.member(own).is_none())
    }

    /// When the keys of an epoch that is over are to be deleted next.
    pub(super) fn key_expiry(&self) -> Option<Time> {
        let (oldest, _) = self.keys.iter().next()?;
        (oldest < self.epoch).then(|| {
            let margin = self.rules.params.start_of(self.epoch) + self.rules.params.switch_margin();
            if self.own.expired_in(self.epoch) {
                Time::MAX
            } else {
                margin
            }
        })
    }

    /// Deletes the keys that no document that counts now needs any more.
    pub(super) fn expire_keys(&mut self, now: Time) {
        let needed = oldest_needed(&self.rules.params, &self.view, now);
        let expired = self.keys.expire(needed);
        if now >= self.rules.params.start_of(self.epoch) + self.rules.params.switch_margin() {
            self.own.note_expiry(self.epoch);
        }
        if expired.is_empty() {
            return;
        }
        for epoch in expired {
            self.persist(DirectoryChange::RemoveKey { epoch });
        }
        self.actions
            .push_back(DirectoryAction::Keys(self.keys.clone()));
    }
}

/// The epoch of the oldest key that packets may still name: that of the oldest document that
/// counts, and of this epoch and, within the margin, the one before.
fn oldest_needed(params: &NetworkParameters, view: &crate::View, now: Time) -> Epoch {
    let epoch = params.epoch_at(now);
    let recent = now < params.start_of(epoch) + params.switch_margin();
    let by_time = if recent {
        epoch.previous().unwrap_or(epoch)
    } else {
        epoch
    };
    let by_view = view
        .accepted(params, now)
        .map(|document| document.epoch())
        .min();
    by_view.map_or(by_time, |by_view| by_view.min(by_time))
}
