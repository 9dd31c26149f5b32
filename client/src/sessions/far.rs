//! Far ahead in a chain: further than the library goes for one message.
//!
//! A chain's key gives the next one (Olm, "Advancing the chain key": HMAC-SHA-256 of one byte, 2), and the first of a new
//! chain follows from the root key and the other end's new ratchet key ("Advancing the root key": HKDF-SHA-256). The
//! library goes 2,000 steps for a message. Who was away for longer than messages are kept may have missed more than that
//! in one chain, and would read nothing of its writer any more. So the session's kept form is taken ahead. Whether that
//! was right, the message itself says: it opens, or all stays as it was.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Most steps for one message: some milliseconds of work, which a peer can ask for with each message.
const MOST_STEPS: u64 = 20_000;
/// So many are left to the library.
const LEFT: u64 = 1_000;
/// Chains that the library keeps.
pub(super) const MOST_CHAINS: usize = 5;

type Key = Zeroizing<[u8; 32]>;

/// The kept form of a session whose chain of this ratchet key is some steps before this index. None if there is no
/// such chain and can't be one, or that is too far.
pub(super) fn ahead(kept: &[u8], key: &[u8; 32], index: u64) -> Option<Zeroizing<Vec<u8>>> {
    let mut session: Value = serde_json::from_slice(kept).ok()?;
    if !chains(&mut session)?.iter().any(|chain| is_of(chain, key)) {
        begin(&mut session, key)?;
    }
    let chain = chains(&mut session)?
        .iter_mut()
        .find(|chain| is_of(chain, key))?;
    let ratchet = chain.get_mut("hkdf_ratchet")?;
    let from = ratchet.get("index")?.as_u64()?;
    let to = index.checked_sub(LEFT)?;
    let steps = to.checked_sub(from).filter(|steps| *steps <= MOST_STEPS)?;
    let mut own = secret(ratchet.get("key")?)?;
    for _ in 0..steps {
        let mut mac = Hmac::<Sha256>::new_from_slice(own.as_slice()).ok()?;
        mac.update(&[2]);
        own.copy_from_slice(&mac.finalize().into_bytes());
    }
    *ratchet = json!({ "key": *own, "index": to });
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *bytes, &session).ok()?;
    Some(bytes)
}

/// The other end has a new chain, to which it came by our last ratchet key.
fn begin(session: &mut Value, key: &[u8; 32]) -> Option<()> {
    let own = session.pointer("/sending_ratchet/active_ratchet")?;
    let (root, ratchet) = (
        secret(own.get("root_key")?)?,
        secret(own.get("ratchet_key")?)?,
    );
    let shared = StaticSecret::from(*ratchet).diffie_hellman(&PublicKey::from(*key));
    let mut both = Zeroizing::new([0; 64]);
    Hkdf::<Sha256>::new(Some(root.as_slice()), shared.as_bytes())
        .expand(b"OLM_RATCHET", both.as_mut_slice())
        .ok()?;
    let (root, first) = both.split_at(32);
    *session.get_mut("sending_ratchet")? =
        json!({ "type": "inactive", "root_key": { "key": root }, "ratchet_key": key });
    let chains = chains(session)?;
    if chains.len() >= MOST_CHAINS {
        chains.remove(0);
    }
    chains.push(json!({
        "ratchet_key": key,
        "hkdf_ratchet": { "key": first, "index": 0 },
        "skipped_message_keys": { "inner": [] },
    }));
    Some(())
}

fn chains(session: &mut Value) -> Option<&mut Vec<Value>> {
    session
        .pointer_mut("/receiving_chains/inner")?
        .as_array_mut()
}

fn is_of(chain: &Value, key: &[u8; 32]) -> bool {
    let own = chain.get("ratchet_key").and_then(secret);
    own.is_some_and(|own| *own == *key)
}

fn secret(value: &Value) -> Option<Key> {
    <[u8; 32]>::deserialize(value).ok().map(Zeroizing::new)
}
