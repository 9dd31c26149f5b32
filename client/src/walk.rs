//! The places of an owner, without packets: what becomes of them when, by the same code that moves a client's.
//! For experiments on what providers see of it over months.

use rand::{CryptoRng, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_proto::Time;
use shoal_topology::{Document, NetworkParameters, Profile};

use crate::config::ClientConfig;
use crate::places::{Places, SeenMailbox};

/// The places of one owner. Mailboxes open as soon as they are written to, and are empty when they are closed.
pub struct PlaceWalk {
    places: Places,
    rng: ChaCha20Rng,
}

impl PlaceWalk {
    /// The first places, at `now`.
    pub fn new<R: CryptoRng>(
        params: &NetworkParameters,
        profile: &Profile,
        document: &Document,
        rng: &mut R,
        now: Time,
    ) -> Self {
        let mut rng = ChaCha20Rng::from_rng(rng);
        let config = ClientConfig::default();
        let mut places = Places::new(params, 0, profile, &config, &mut rng);
        let _ = places.make(now, &mut rng, Some(document));
        places.settle_at_once(now);
        let mut walk = Self { places, rng };
        walk.step(now, document, true);
        walk
    }

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Time {
        self.places.deadline().unwrap_or(Time::MAX)
    }

    /// Does what is due by `now`. `all_use` says whether all contacts have written to the present place.
    pub fn step(&mut self, now: Time, document: &Document, all_use: bool) {
        let _ = self.places.step(now, &mut self.rng, document, all_use);
        self.places.settle_at_once(now);
    }

    /// The number of the place that contacts are told.
    #[must_use]
    pub fn present(&self) -> u32 {
        self.places.for_contacts()
    }

    /// When a contact is told of the present place, once there is a new one.
    pub fn tells(&mut self, now: Time) -> Time {
        self.places.tells(now)
    }

    /// What providers have now.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<SeenMailbox> {
        self.places.seen()
    }
}
