//! The random key that a passphrase opens, and what it seals.
//!
//! A row's key goes into its database as a hash that only the master key makes, so that nobody sees whom it is about;
//! its value as nonce and ciphertext of key and value, bound to the table. What stays to be seen is how many rows each
//! table has, and how long they are.

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit as _, Mac as _};
use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::envelope::{open_with, seal_with};

type Secret = Zeroizing<[u8; 32]>;

/// Never used itself: keys follow from it.
pub(in crate::state) struct Master(Secret);

impl Master {
    /// Bytes of one.
    pub(in crate::state) const BYTES: usize = 32;

    pub(in crate::state) fn draw<R: CryptoRng>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    pub(in crate::state) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut own = Zeroizing::new([0; Self::BYTES]);
        own.copy_from_slice(
            bytes
                .get(..Self::BYTES)
                .filter(|it| it.len() == bytes.len())?,
        );
        Some(Self(own))
    }

    pub(in crate::state) fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Seals the client's keys, bound to what stands before them in their file.
    pub(in crate::state) fn seal_keys<R: CryptoRng>(
        &self,
        head: &[u8],
        keys: &[u8],
        rng: &mut R,
    ) -> Vec<u8> {
        seal_with(&mac(&self.0, &[b"client keys"]), head, keys, rng)
    }

    pub(in crate::state) fn open_keys(
        &self,
        head: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        open_with(&mac(&self.0, &[b"client keys"]), head, sealed)
    }

    /// What seals rows.
    pub(in crate::state) fn rows<R: CryptoRng>(&self, rng: &mut R) -> RowSeal {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        RowSeal {
            names: mac(&self.0, &[b"row names"]),
            values: mac(&self.0, &[b"row values"]),
            rng: ChaCha20Rng::from_seed(*seed),
        }
    }
}

/// What seals a client's rows. Wiped when dropped, and without Debug.
pub(in crate::state) struct RowSeal {
    names: Secret,
    values: Secret,
    rng: ChaCha20Rng,
}

impl RowSeal {
    /// The key of a row as it stands in the database.
    pub(in crate::state) fn name(&self, table: &str, key: &[u8]) -> [u8; 32] {
        let length = [u8::try_from(table.len()).unwrap_or(u8::MAX)];
        *mac(&self.names, &[&length, table.as_bytes(), key])
    }

    /// The value of a row as it stands there.
    pub(in crate::state) fn seal(&mut self, table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let mut plain = Zeroizing::new(Vec::with_capacity(4 + key.len() + value.len()));
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(key);
        plain.extend_from_slice(value);
        seal_with(&self.values, &bound(table), &plain, &mut self.rng)
    }

    /// Key and value of a row that stands there under this name; none if it is not one of this table, name and seal.
    pub(in crate::state) fn open(
        &self,
        table: &str,
        name: &[u8],
        sealed: &[u8],
    ) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        let plain = open_with(&self.values, &bound(table), sealed)?;
        let (length, rest) = plain.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (key, value) = rest.split_at_checked(length)?;
        (self.name(table, key) == name).then(|| (key.to_vec(), Zeroizing::new(value.to_vec())))
    }
}

fn bound(table: &str) -> Vec<u8> {
    [b"shoal client row 1 ", table.as_bytes()].concat()
}

/// A keyed BLAKE2b-256 of all parts. Its key is as long as one may be: the half that is missing is zeros.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    let mut whole = Zeroizing::new([0; 64]);
    whole[..32].copy_from_slice(key);
    let mut mac = Blake2bMac::<U32>::new((&*whole).into());
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_row_is_of_its_table_its_name_and_its_master_key_alone() {
        let rng = &mut crate::seeded().unwrap();
        let (master, other) = (Master::draw(rng), Master::draw(rng));
        let mut seal = master.rows(rng);
        let (name, sealed) = (
            seal.name("contact", b"bob"),
            seal.seal("contact", b"bob", b"v"),
        );
        let (key, value) = seal.open("contact", &name, &sealed).unwrap();
        assert_eq!((&key[..], &value[..]), (&b"bob"[..], &b"v"[..]));
        // Nonces are drawn: that a row is the same as before is not seen.
        assert!(seal.seal("contact", b"bob", b"v") != sealed);
        assert!(seal.open("session", &name, &sealed).is_none());
        assert!(
            seal.open("contact", &seal.name("contact", b"eve"), &sealed)
                .is_none()
        );
        assert!(other.rows(rng).open("contact", &name, &sealed).is_none());
        assert!(other.rows(rng).name("contact", b"bob") != name);
        assert!(seal.name("contact", b"xbob") != seal.name("contactx", b"bob"));
        // The same from its bytes.
        let again = Master::from_bytes(master.as_bytes()).unwrap();
        assert!(again.rows(rng).open("contact", &name, &sealed).is_some());
        assert!(Master::from_bytes(&[0; 33]).is_none() && Master::from_bytes(&[0; 31]).is_none());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(seal.open("contact", &name, &altered).is_none(), "byte {at}");
            assert!(seal.open("contact", &name, &sealed[..at]).is_none());
        }
    }
}
