//! An invitation as a file that says whom it is of.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shoal_node::Failure;
use shoal_node::control::protocol::{OwnInvitation, Status};

/// What such a file is of.
const KIND: &str = "shoal-identity";

/// The file. What other programs add to it is passed over.
#[derive(Serialize, Deserialize)]
struct Identity {
    r#type: String,
    version: u32,
    label: String,
    /// The key by which contacts know its owner, base58.
    pubkey: String,
    /// The providers that keep its mailboxes, base58. For people: an invitation says where to write.
    relays: Vec<String>,
    network: String,
    network_hash: String,
    expires_at_us: u64,
    invitation: String,
}

/// An invitation that was found in a text, and what its maker calls himself.
pub(super) struct Found {
    pub(super) invitation: String,
    pub(super) label: String,
}

/// Writes it.
pub(super) fn write(label: &str, own: &Status, made: &OwnInvitation) -> Result<String, Failure> {
    let mut relays = own.mailboxes.clone();
    relays.sort_unstable();
    relays.dedup();
    let identity = Identity {
        r#type: KIND.to_owned(),
        version: 1,
        label: label.to_owned(),
        pubkey: own.key.clone(),
        relays,
        network: own.network.clone(),
        network_hash: own.network_hash.clone(),
        expires_at_us: made.expires_at_us,
        invitation: made.invitation.clone(),
    };
    serde_json::to_string_pretty(&identity).map_err(Failure::failed)
}

/// Takes a link, or such a file.
pub(super) fn read(text: &str) -> Result<Found, Failure> {
    if !text.trim_start().starts_with('{') {
        return Ok(Found {
            invitation: text.trim().to_owned(),
            label: String::new(),
        });
    }
    let identity: Identity = serde_json::from_str(text)
        .context("this is neither an invitation nor a file that `shoal contact export` wrote")
        .map_err(Failure::usage)?;
    if identity.r#type != KIND || identity.version != 1 {
        let words = format!(
            "this is a file of type {:?}, version {}: only {KIND:?}, version 1, has an invitation",
            identity.r#type, identity.version
        );
        return Err(Failure::usage(anyhow::anyhow!(words)));
    }
    Ok(Found {
        invitation: identity.invitation,
        label: identity.label,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_gives_back_its_invitation_and_others_are_refused() {
        let own = Status {
            key: "me".to_owned(),
            mailboxes: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
            ..Status::default()
        };
        let made = OwnInvitation {
            id: "0a".to_owned(),
            invitation: "shoal:aeaq".to_owned(),
            label: "exported".to_owned(),
            once: false,
            made_at_us: 1,
            expires_at_us: 2,
            guest: None,
            leaked: false,
        };
        let text = write("Bob", &own, &made).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["type"], &json["pubkey"]),
            (&KIND.into(), &"me".into())
        );
        assert_eq!(json["relays"], serde_json::json!(["a", "b"]));
        let found = read(&format!("  {text}\n")).unwrap();
        assert_eq!((&*found.invitation, &*found.label), ("shoal:aeaq", "Bob"));
        assert_eq!(read(" shoal:x \n").unwrap().invitation, "shoal:x");
        for other in [
            "{}",
            "{\"type\":1}",
            &text.replace(KIND, "x"),
            &text.replace(": 1,", ": 2,"),
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
