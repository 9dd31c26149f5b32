//! Invitations: what somebody has to have to write to a client, as a link to hand out.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b256, Digest};
use data_encoding::BASE32_NOPAD;
use shoal_packet::{DropSite, Sites};
use shoal_proto::{DropId, Epoch, NetworkHash, NodeId, Time};
use shoal_topology::{Document, View};
use thiserror::Error;

use crate::keys::PeerKey;

const SCHEME: &str = "shoal:";
/// What the addresses of programs before this one began with.
const ADDRESS: &str = "shoal1";
const VERSION: u8 = 1;
const NETWORK_BYTES: usize = 8;
const CHECK_BYTES: usize = 4;
const SITE_BYTES: usize = 32 + 32;
const HASH_BYTES: usize = 16;
/// Without a second site and without a document.
const LEAST_BYTES: usize = 2 + NETWORK_BYTES + 32 + 32 + 4 + SITE_BYTES + CHECK_BYTES;
const MOST_BYTES: usize = LEAST_BYTES + SITE_BYTES + 8 + HASH_BYTES;

const ONCE: u8 = 1;
const TWO_SITES: u8 = 2;
const SEEN: u8 = 4;

/// What somebody has to have to write to a client that does not know him.
///
/// As text: `shoal:` and in base32 (lower case; case and white space do not count when it is read) version 1, flags 1
/// (1: for one person; 2: a second site; 4: a document), network 8, static X25519 key 32, prekey 32, the minute since
/// the Unix epoch in which it ends 4, provider 32 and drop id 32, the same once more for a second site, epoch 8 and the
/// first bytes of that document's hash 16 for a document, check value 4: at most 381 characters. Capitals make a
/// smaller QR code.
///
/// It is not signed: it would be by the key in it, which whoever forges one chooses. Who it is from is known from how it
/// came, and from comparing safety numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// First bytes of the network's hash.
    pub network: [u8; NETWORK_BYTES],
    /// Who invites.
    pub key: PeerKey,
    /// What a session with them is begun with. Of this invitation only.
    pub prekey: PeerKey,
    /// Where to deposit. The drop ids are of this invitation only.
    pub sites: Sites,
    /// Only who comes first with it is let in.
    pub once: bool,
    /// Until when it can be accepted: a whole minute.
    pub expires: Time,
    /// A document of the network that its maker took for certified.
    pub seen: Option<SeenDocument>,
}

/// A document that somebody takes for certified: who has another one of this epoch is shown another network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenDocument {
    /// Its epoch.
    pub epoch: Epoch,
    /// First bytes of its hash.
    pub hash: [u8; HASH_BYTES],
}

/// Why a text is no invitation, or one is no good here; and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not start as invitations do.
    #[error("an invitation starts with \"{SCHEME}\"; copy the whole text")]
    Prefix,
    /// An address of a program before this one.
    #[error(
        "this is an address of a version before, which nobody can be written to by any more: ask its owner for an \
         invitation (`shoal contact invite`)"
    )]
    OldAddress,
    /// A part is missing.
    #[error("the invitation is too short; copy the whole text")]
    TooShort,
    /// Something is appended.
    #[error("the invitation is too long; copy nothing before or after it")]
    TooLong,
    /// A character that no invitation has.
    #[error(
        "the character {character:?} at place {place} is in no invitation; look for a typo there"
    )]
    Character {
        /// The character.
        character: char,
        /// Its place, from 1.
        place: usize,
    },
    /// The check value does not fit.
    #[error("the invitation has a typo or is damaged; copy it anew instead of typing it")]
    Checksum,
    /// Made by another program.
    #[error("the invitation is of version {0}, which this program does not know; update it")]
    Version(u8),
    /// Its keys could not protect anything, or no program makes one like it.
    #[error(
        "the invitation holds a key that protects nothing, or is malformed; do not use it, ask for another"
    )]
    Unsound,
    /// It is good, but not here.
    #[error(
        "the invitation belongs to another network; ask for one of the network this client is on"
    )]
    OtherNetwork,
    /// Its time is over.
    #[error("the invitation has expired; ask for a new one")]
    Expired,
    /// It is one's own.
    #[error("the invitation is this client's own: give it to somebody else")]
    Own,
    /// Who made it sees another network than this client.
    #[error(
        "who made this invitation and this client have different documents of epoch {0}: one of the two is shown a \
         network that is not the others'. Do not accept it; compare `shoal directory show` with others"
    )]
    OtherView(u64),
}

impl Invitation {
    /// The first bytes of a network's hash.
    #[must_use]
    pub fn short_network(network: &NetworkHash) -> [u8; NETWORK_BYTES] {
        let mut short = [0; NETWORK_BYTES];
        short.copy_from_slice(&network.as_bytes()[..NETWORK_BYTES]);
        short
    }

    /// Whether it can be accepted now, on this network, by who has this key and sees these documents.
    ///
    /// # Errors
    /// [`InvitationError`] says why not.
    pub(crate) fn check(
        &self,
        now: Time,
        network: &NetworkHash,
        own: &PeerKey,
        view: Option<&View>,
    ) -> Result<(), InvitationError> {
        if self.network != Self::short_network(network) {
            return Err(InvitationError::OtherNetwork);
        }
        if self.key == *own {
            return Err(InvitationError::Own);
        }
        if self.expires <= now {
            return Err(InvitationError::Expired);
        }
        let known = self.seen.and_then(|seen| {
            let document = view?.documents.get(&seen.epoch)?;
            Some((seen, SeenDocument::of(document)))
        });
        match known {
            Some((theirs, ours)) if theirs != ours => {
                Err(InvitationError::OtherView(theirs.epoch.number()))
            }
            _ => Ok(()),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut flags = 0;
        for (flag, is_so) in [
            (ONCE, self.once),
            (TWO_SITES, self.sites.second.is_some()),
            (SEEN, self.seen.is_some()),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        let mut bytes = vec![VERSION, flags];
        bytes.extend_from_slice(&self.network);
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(self.prekey.as_bytes());
        bytes.extend_from_slice(&self.expires.minutes().to_be_bytes());
        for site in std::iter::once(&self.sites.first).chain(&self.sites.second) {
            bytes.extend_from_slice(site.provider.as_bytes());
            bytes.extend_from_slice(site.drop.as_bytes());
        }
        if let Some(seen) = &self.seen {
            bytes.extend_from_slice(&seen.epoch.number().to_be_bytes());
            bytes.extend_from_slice(&seen.hash);
        }
        bytes
    }

    fn from_body(body: &[u8]) -> Result<Self, InvitationError> {
        Self::read(body).unwrap_or(Err(InvitationError::TooShort))
    }

    /// None if it ends before it is whole.
    fn read(body: &[u8]) -> Option<Result<Self, InvitationError>> {
        let ([_, flags], rest) = body.split_first_chunk()?;
        let (network, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (prekey, rest) = rest.split_first_chunk()?;
        let (minute, rest) = rest.split_first_chunk()?;
        let (first, mut rest) = read_site(rest)?;
        let second = match flags & TWO_SITES {
            0 => None,
            _ => {
                let (second, after) = read_site(rest)?;
                rest = after;
                Some(second)
            }
        };
        let seen = match flags & SEEN {
            0 => None,
            _ => {
                let (epoch, after) = rest.split_first_chunk()?;
                let (hash, after) = after.split_first_chunk()?;
                rest = after;
                let epoch = Epoch::new(u64::from_be_bytes(*epoch));
                Some(SeenDocument { epoch, hash: *hash })
            }
        };
        if !rest.is_empty() {
            return Some(Err(InvitationError::TooLong));
        }
        let (Ok(key), Ok(prekey)) = (PeerKey::parse(*key), PeerKey::parse(*prekey)) else {
            return Some(Err(InvitationError::Unsound));
        };
        let same = second.is_some_and(|second| second.provider == first.provider);
        if flags & !(ONCE | TWO_SITES | SEEN) != 0 || same {
            return Some(Err(InvitationError::Unsound));
        }
        Some(Ok(Self {
            network: *network,
            key,
            prekey,
            sites: Sites { first, second },
            once: flags & ONCE != 0,
            expires: Time::from_minutes(u32::from_be_bytes(*minute)),
            seen,
        }))
    }
}

impl SeenDocument {
    /// What an invitation says of a document.
    pub(crate) fn of(document: &Document) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&document.hash().as_bytes()[..HASH_BYTES]);
        Self {
            epoch: document.epoch(),
            hash,
        }
    }
}

fn read_site(bytes: &[u8]) -> Option<(DropSite, &[u8])> {
    let (provider, rest) = bytes.split_first_chunk()?;
    let (drop, rest) = rest.split_first_chunk()?;
    let site = DropSite {
        provider: NodeId::new(*provider),
        drop: DropId::new(*drop),
    };
    Some((site, rest))
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = Blake2b256::new_with_prefix(b"shoal invitation")
        .chain_update(body)
        .finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash[..CHECK_BYTES]);
    check
}

/// Redacted: who has it can write to its owner.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation(..)")
    }
}

/// The text form.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.body();
        bytes.extend_from_slice(&check_of(&bytes));
        let text = BASE32_NOPAD.encode(&bytes).to_lowercase();
        write!(f, "{SCHEME}{text}")
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        // Mail breaks lines.
        let mut bare = String::new();
        for character in text.chars().filter(|character| !character.is_whitespace()) {
            if bare.len() > 2 * SCHEME.len() + 2 * MOST_BYTES {
                return Err(InvitationError::TooLong);
            }
            bare.push(character);
        }
        let head = bare.get(..SCHEME.len()).unwrap_or("");
        if !head.eq_ignore_ascii_case(SCHEME) {
            return Err(match head == ADDRESS {
                true => InvitationError::OldAddress,
                false => InvitationError::Prefix,
            });
        }
        let encoded = bare.get(SCHEME.len()..).unwrap_or("").to_ascii_uppercase();
        let odd = |character: char| !matches!(character, 'A'..='Z' | '2'..='7');
        if let Some((at, character)) = bare
            .char_indices()
            .skip(SCHEME.len())
            .find(|(_, it)| odd(it.to_ascii_uppercase()))
        {
            let place = at + 1;
            return Err(InvitationError::Character { character, place });
        }
        // The last character may not be whole: then one is missing, or one too many.
        let bytes = BASE32_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| InvitationError::Checksum)?;
        let [version, ..] = bytes[..] else {
            return Err(InvitationError::TooShort);
        };
        if bytes.len() > MOST_BYTES {
            return Err(InvitationError::TooLong);
        }
        let (body, check) = match bytes.len().checked_sub(CHECK_BYTES) {
            Some(at) => bytes.split_at(at),
            None => return Err(InvitationError::TooShort),
        };
        let whole = check == check_of(body);
        if !whole && bytes.len() < LEAST_BYTES {
            return Err(InvitationError::TooShort);
        }
        if !whole {
            return Err(InvitationError::Checksum);
        }
        if version != VERSION {
            return Err(InvitationError::Version(version));
        }
        Self::from_body(body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::ClientKeys;

    pub(super) fn invitation(seed: u64) -> Invitation {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut key = || ClientKeys::generate(&mut rng).public();
        let (key, prekey) = (key(), key());
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let site = |fill| DropSite {
            provider: NodeId::new([fill; 32]),
            drop: DropId::new(bytes),
        };
        let mut hash = [0; HASH_BYTES];
        rng.fill_bytes(&mut hash);
        let epoch = Epoch::new(seed);
        Invitation {
            network: Invitation::short_network(&NetworkHash::new(bytes)),
            key,
            prekey,
            sites: Sites {
                first: site(3),
                second: seed.is_multiple_of(2).then(|| site(4)),
            },
            once: seed.is_multiple_of(5),
            expires: Time::from_minutes(29_000_000),
            seen: seed
                .is_multiple_of(3)
                .then_some(SeenDocument { epoch, hash }),
        }
    }

    fn parse(text: &str) -> Result<Invitation, InvitationError> {
        text.parse()
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = invitation(6).to_string();
        assert_eq!(text.len(), 381, "as the documentation says");
        assert_eq!(parse("hello"), Err(InvitationError::Prefix));
        assert_eq!(parse(""), Err(InvitationError::Prefix));
        assert_eq!(parse("shoal:"), Err(InvitationError::TooShort));
        assert_eq!(parse(&text[..102]), Err(InvitationError::TooShort));
        assert_eq!(
            parse(&format!("{text}{text}{text}")),
            Err(InvitationError::TooLong)
        );
        let wrong = format!("{}0{}", &text[..40], &text[41..]);
        let error = InvitationError::Character {
            character: '0',
            place: 41,
        };
        assert_eq!(parse(&wrong), Err(error));
        let other = format!("shoal:ä{}", &text[7..]);
        assert!(matches!(
            parse(&other),
            Err(InvitationError::Character { place: 7, .. })
        ));
    }

    #[test]
    fn case_and_white_space_are_no_harm() {
        let one = invitation(2);
        let (head, tail) = (one.to_string().to_uppercase(), one.to_string());
        assert_eq!(parse(&format!("  {head}\n")), Ok(one.clone()));
        let wrapped = format!("{}\r\n  {}", &tail[..70], &tail[70..]);
        assert_eq!(parse(&wrapped), Ok(one));
    }

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Result<Invitation, InvitationError> {
        let mut body = invitation(2).body();
        change(&mut body);
        let check = check_of(&body);
        body.extend_from_slice(&check);
        parse(&format!("{SCHEME}{}", BASE32_NOPAD.encode(&body)))
    }

    #[test]
    fn what_no_program_of_this_version_makes_is_refused() {
        assert_eq!(with(|_| {}), Ok(invitation(2)));
        assert_eq!(with(|body| body[0] = 9), Err(InvitationError::Version(9)));
        assert_eq!(with(|body| body[1] |= 8), Err(InvitationError::Unsound));
        assert_eq!(
            with(|body| body[10..42].fill(0)),
            Err(InvitationError::Unsound)
        );
        assert_eq!(
            with(|body| body[42..74].fill(0)),
            Err(InvitationError::Unsound)
        );
        // The second provider is the first.
        assert_eq!(
            with(|body| body[142..174].fill(3)),
            Err(InvitationError::Unsound)
        );
        assert_eq!(
            with(|body| body.truncate(150)),
            Err(InvitationError::TooShort)
        );
        assert_eq!(with(|body| body.push(0)), Err(InvitationError::TooLong));
    }

    /// `cargo test -p shoal-client write_the_corpus -- --ignored`
    #[test]
    #[ignore = "writes files"]
    fn write_the_corpus() {
        let made = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut body = invitation(2).body();
            change(&mut body);
            let check = check_of(&body);
            body.extend_from_slice(&check);
            format!("{SCHEME}{}", BASE32_NOPAD.encode(&body).to_lowercase())
        };
        let plain = made(&|_| {});
        let files = [
            ("plain", plain.clone()),
            ("whole", invitation(30).to_string()),
            ("capitals", invitation(3).to_string().to_uppercase()),
            (
                "wrapped",
                format!(" {}\r\n{}\n", &plain[..70], &plain[70..]),
            ),
            ("empty", SCHEME.to_owned()),
            ("newer_version", made(&|body| body[0] = 9)),
            ("unknown_flag", made(&|body| body[1] |= 128)),
            ("low_order_key", made(&|body| body[10..42].fill(0))),
            ("one_provider_twice", made(&|body| body[142..174].fill(3))),
            ("too_short", made(&|body| body.truncate(140))),
            ("typo", format!("{}1{}", &plain[..50], &plain[51..])),
        ];
        for (name, text) in files {
            let path = format!("{}/corpus/invitation/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn an_address_of_the_version_before_is_refused_with_what_to_do() {
        let error = parse("shoal1AbCdEf").unwrap_err();
        assert_eq!(error, InvitationError::OldAddress);
        assert!(
            error.to_string().contains("shoal contact invite"),
            "{error}"
        );
    }

    #[test]
    fn it_is_good_on_its_network_in_its_time_and_for_others() {
        let one = invitation(3);
        let mut network = [0; 32];
        network[..8].copy_from_slice(&one.network);
        let network = NetworkHash::new(network);
        let own = invitation(4).key;
        let before = one.expires - shoal_proto::Span::from_micros(1);
        assert_eq!(one.check(before, &network, &own, None), Ok(()));
        let check = |now, network: &_, own: &_| one.check(now, network, own, None).unwrap_err();
        assert_eq!(check(one.expires, &network, &own), InvitationError::Expired);
        assert_eq!(check(before, &network, &one.key), InvitationError::Own);
        let elsewhere = NetworkHash::new([9; 32]);
        assert_eq!(
            check(before, &elsewhere, &own),
            InvitationError::OtherNetwork
        );
    }

    proptest! {
        #[test]
        fn texts_round_trip(seed in 0u64..1000) {
            prop_assert_eq!(invitation(seed).to_string().parse(), Ok(invitation(seed)));
        }

        #[test]
        fn a_typo_is_noticed(seed in 0u64..10, at in 6usize..240, to in "[a-z2-7]") {
            let text = invitation(seed).to_string();
            let typo = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assume!(typo != text);
            prop_assert!(parse(&typo).is_err());
        }

        #[test]
        fn no_text_panics(text in "(shoal:)?\\PC{0,500}") {
            let _ = parse(&text);
        }
    }
}
