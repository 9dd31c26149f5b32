//! What programs ask of fees, of who may write, and of push services: there are none of the first and the last, and the
//! second is a matter of contacts.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Value, json};

use super::auth::{IdentityKey, NotAKey};
use super::hub::Hub;
use super::requests::{MAX_RECIPIENTS, Problem};

/// The fields of a query; what is no query has none.
fn fields(query: &str) -> Vec<(String, String)> {
    let uri = format!("/?{query}").parse::<Uri>().unwrap_or_default();
    let fields = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    fields.map(|fields| fields.0).unwrap_or_default()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

/// Nothing but what is so anyway can be set.
pub(super) fn set(asked: &Value) -> Result<Value, Problem> {
    match asked["recipientFee"].as_i64() {
        Some(0) => Ok(json!({ "status": "success", "description": "Delivery is free." })),
        _ => Err(Problem::new(
            501,
            "ERR_NOT_SUPPORTED",
            "no fees are taken, and nobody is blocked here: `shoal contact block` blocks a contact",
        )),
    }
}

/// Who is a contact may write, whatever the box.
pub(super) fn of_one(query: &str) -> Value {
    let fields = fields(query);
    json!({
        "status": "success",
        "permission": {
            "sender": field(&fields, "sender"), "messageBox": field(&fields, "messageBox"),
            "recipientFee": 0, "status": "always_allow",
        },
    })
}

/// What it costs to write to these: nothing, or it can't be done, as the contact is blocked. For one in one shape, for
/// several in another.
pub(super) async fn quote(hub: &Arc<Hub>, query: &str) -> Result<Value, Problem> {
    let fields = fields(query);
    let recipients = fields.iter().filter(|(name, _)| name == "recipient");
    let recipients = Vec::from_iter(recipients.map(|(_, value)| value.as_str()));
    if recipients.len() > MAX_RECIPIENTS {
        let words = format!("there are more than {MAX_RECIPIENTS} recipients");
        return Err(Problem::wrong("ERR_RECIPIENT_REQUIRED", words));
    }
    let keys: Result<Vec<IdentityKey>, NotAKey> = recipients.iter().map(|it| it.parse()).collect();
    let keys =
        keys.map_err(|error| Problem::wrong("ERR_INVALID_RECIPIENT_KEY", error.to_string()))?;
    let blocked = hub.blocked(keys).await;
    let blocked = blocked
        .map_err(|_| Problem::new(500, "ERR_INTERNAL", "it can't be said now who is blocked"))?;
    let fee = |blocked: bool| if blocked { -1 } else { 0 };
    if let [] | [_] = recipients[..] {
        let fee = fee(blocked.first().copied().unwrap_or_default());
        return Ok(json!({
            "status": "success", "description": "Delivery is free.",
            "quote": { "deliveryFee": 0, "recipientFee": fee },
        }));
    }
    let name = field(&fields, "messageBox");
    let each = recipients.iter().zip(&blocked).map(|(recipient, blocked)| {
        let status = if *blocked { "blocked" } else { "always_allow" };
        json!({
            "recipient": recipient, "messageBox": name, "deliveryFee": 0, "recipientFee": fee(*blocked),
            "status": status,
        })
    });
    let barred = recipients
        .iter()
        .zip(&blocked)
        .filter(|(_, blocked)| **blocked);
    Ok(json!({
        "status": "success", "description": "Delivery is free.",
        "quotesByRecipient": each.collect::<Vec<_>>(),
        "totals": { "deliveryFees": 0, "recipientFees": 0, "totalForPayableRecipients": 0 },
        "blockedRecipients": barred.map(|(recipient, _)| recipient).collect::<Vec<_>>(),
    }))
}

/// A push service would be told when somebody is written to.
pub(super) fn no_push() -> Problem {
    Problem::new(
        501,
        "ERR_NOT_SUPPORTED",
        "no push service is told of messages: listen over the WebSocket (listenForLiveMessages)",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_query_that_is_none_has_no_fields_and_one_with_several_of_a_name_has_all() {
        assert!(fields("a b\u{0}").is_empty() && fields("%zz=%ff%fe").len() <= 1);
        let all = fields("recipient=02&recipient=03&messageBox=in%20box");
        assert_eq!(all.len(), 3);
        assert_eq!(field(&all, "messageBox"), Some("in box"));
        assert_eq!(of_one("sender=02")["permission"]["sender"], "02");
        assert!(set(&json!({ "recipientFee": -1 })).is_err());
    }
}
