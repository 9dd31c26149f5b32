//! What programs ask, and what they are answered: the routes of the message box, after it is proven who asks.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::auth::IdentityKey;
use super::date::iso;
use super::hub::{Hub, NotSent};
use super::parcel::{MAX_NAME, Parcel};
use super::permissions;
use super::store::StoreError;

/// Longest body of a request.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Most recipients of one message, and most ids in one acknowledgement.
pub(super) const MAX_RECIPIENTS: usize = 100;
const MAX_IDS: usize = 10_000;

/// An answer: its status and what it says.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// A refusal. The codes are those of the released server.
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) description: String,
    /// The recipients that are in the way of a message to several, or of one.
    of: Vec<String>,
}

/// Blocked recipients stand under a name of their own.
const BLOCKED: &str = "ERR_DELIVERY_BLOCKED";

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            code,
            description: description.into(),
            of: Vec::new(),
        }
    }

    pub(super) fn wrong(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(400, code, description)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json =
            json!({ "status": "error", "code": self.code, "description": self.description });
        if !self.of.is_empty() {
            let name = match self.code {
                BLOCKED => "blockedRecipients",
                _ => "recipients",
            };
            json[name] = json!(self.of);
        }
        json
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            body: problem.to_json(),
        }
    }
}

/// Answers a request of this identity's.
pub(super) async fn answer(
    hub: &Arc<Hub>,
    who: &IdentityKey,
    (method, path, query): (&str, &str, &str),
    body: &[u8],
) -> Answer {
    let asked = async {
        match (method, path) {
            ("POST", "/sendMessage") => send(hub, who, &parse(body)?).await,
            ("POST", "/listMessages") => list(hub, who, &parse(body)?).await,
            ("POST", "/acknowledgeMessage") => acknowledge(hub, who, &parse(body)?).await,
            ("POST", "/permissions/set") => permissions::set(&parse(body)?),
            ("GET", "/permissions/get") => Ok(permissions::of_one(query)),
            ("GET", "/permissions/list") => Ok(json!({ "status": "success", "permissions": [] })),
            ("GET", "/permissions/quote") => permissions::quote(hub, query).await,
            ("POST", "/registerDevice") => Err(permissions::no_push()),
            ("GET", "/devices") => Ok(json!({ "status": "success", "devices": [] })),
            _ => Err(Problem::new(
                404,
                "ERR_NOT_FOUND",
                "there is nothing at this path that does that",
            )),
        }
    };
    match asked.await {
        Ok(body) => Answer { status: 200, body },
        Err(problem) => problem.into(),
    }
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|error| {
        Problem::wrong("ERR_INVALID_JSON", format!("the body is no JSON: {error}"))
    })
}

/// A name of a box, or an id: a text that is not empty, and not too long.
fn name(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    (!text.trim().is_empty() && text.len() <= MAX_NAME).then_some(text)
}

/// The body as it is kept and listed.
fn wrapped(body: &Value, payment: &Value) -> Result<String, Problem> {
    let fine = match body {
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(_) => true,
        _ => false,
    };
    if !fine {
        let words = "`body` is a text that is not empty, or an object";
        return Err(Problem::wrong("ERR_INVALID_MESSAGE_BODY", words));
    }
    let mut whole = json!({ "message": body });
    if !payment.is_null() {
        whole["payment"] = payment.clone();
    }
    Ok(whole.to_string())
}

/// Browsers say from which page something is asked, and a page can't keep them from it.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
}

/// One or several, as they are in this field.
fn several<'a>(many: &'a Value, one: &'a Value) -> Vec<&'a Value> {
    match (many, one) {
        (Value::Array(all), _) | (Value::Null, Value::Array(all)) => all.iter().collect(),
        (_, Value::Null) => Vec::new(),
        (_, one) => vec![one],
    }
}

/// What is sent, with everything that is asked of it.
fn parcels(who: &IdentityKey, asked: &Value) -> Result<Vec<Parcel>, Problem> {
    let message = &asked["message"];
    if !message.is_object() {
        return Err(Problem::wrong(
            "ERR_MESSAGE_REQUIRED",
            "`message` is missing",
        ));
    }
    let box_name = name(&message["messageBox"]).ok_or_else(|| {
        let words = format!("`messageBox` is a text of 1 to {MAX_NAME} bytes");
        Problem::wrong("ERR_INVALID_MESSAGEBOX", words)
    })?;
    let body = wrapped(&message["body"], &asked["payment"])?;
    let recipients = several(&message["recipients"], &message["recipient"]);
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        let words = format!(
            "`recipient` is missing, or `recipients` are none or more than {MAX_RECIPIENTS}"
        );
        return Err(Problem::wrong("ERR_RECIPIENT_REQUIRED", words));
    }
    let ids = several(&Value::Null, &message["messageId"]);
    if ids.is_empty() {
        return Err(Problem::wrong(
            "ERR_MESSAGEID_REQUIRED",
            "`messageId` is missing",
        ));
    }
    if ids.len() != recipients.len() {
        let words = format!(
            "there are {} recipients and {} message ids",
            recipients.len(),
            ids.len()
        );
        return Err(Problem::wrong("ERR_MESSAGEID_COUNT_MISMATCH", words));
    }
    let each = recipients.into_iter().zip(ids).map(|(recipient, id)| {
        let id = name(id).ok_or_else(|| {
            let words = format!("a message id is a text of 1 to {MAX_NAME} bytes");
            Problem::wrong("ERR_INVALID_MESSAGEID", words)
        })?;
        let recipient = recipient.as_str().unwrap_or_default().parse();
        let recipient = recipient.map_err(|error: super::auth::NotAKey| {
            Problem::wrong("ERR_INVALID_RECIPIENT_KEY", error.to_string())
        })?;
        let room = Parcel::room(box_name, id);
        if body.len() > room {
            return Err(Problem::wrong(
                "ERR_INVALID_MESSAGE_BODY",
                too_long(body.len(), room),
            ));
        }
        Ok(Parcel {
            sender: *who,
            recipient,
            name: box_name.to_owned(),
            id: id.to_owned(),
            body: body.clone(),
        })
    });
    each.collect()
}

/// Several parcels for one body would fill what a contact's mailbox keeps of this client in an hour: docs/messagebox.md.
fn too_long(bytes: usize, room: usize) -> String {
    format!(
        "the body takes {bytes} bytes as JSON, and at most {room} fit one message: send what is larger as a file (`shoal file \
         send`, or POST /v1/files of the local API), and its name in the message; or send it in parts, six in an hour"
    )
}

async fn send(hub: &Arc<Hub>, who: &IdentityKey, asked: &Value) -> Result<Value, Problem> {
    let parcels = parcels(who, asked)?;
    let sent = parcels
        .iter()
        .map(|it| (it.recipient.to_string(), it.id.clone()));
    let sent: Vec<(String, String)> = sent.collect();
    if let Err((places, error)) = hub.send(parcels).await {
        let of = places.into_iter().filter_map(|place| sent.get(place));
        let mut problem = not_sent(&error, of.map(|(recipient, _)| recipient.clone()).collect());
        if sent.len() > 1 {
            problem.description +=
                &format!("; it was sent to none of the {} recipients", sent.len());
        }
        return Err(problem);
    }
    let results = sent
        .iter()
        .map(|(recipient, id)| json!({ "recipient": recipient, "messageId": id }));
    Ok(json!({
        "status": "success",
        "message": format!("Your message has been sent to {} recipient(s).", sent.len()),
        "results": results.collect::<Vec<_>>(),
    }))
}

fn not_sent(error: &NotSent, of: Vec<String>) -> Problem {
    let whom = of.first().map_or("it", String::as_str);
    let mut problem = match error {
        NotSent::Duplicate => Problem::wrong(
            "ERR_DUPLICATE_MESSAGE",
            format!("a message of this id was sent to {whom} before"),
        ),
        NotSent::Unmapped => Problem::wrong(
            "ERR_INVALID_RECIPIENT_KEY",
            format!(
                "it is not known which contact {whom} is: `shoal messagebox map {whom} CONTACT` says it, or a message of its own"
            ),
        ),
        NotSent::Blocked => Problem::new(
            403,
            BLOCKED,
            "the contact is blocked: `shoal contact block --off` ends that",
        ),
        NotSent::Full => Problem::new(
            500,
            "ERR_INTERNAL",
            "there is no room in the box: acknowledge messages first",
        ),
        NotSent::Refused(words) | NotSent::Failed(words) => {
            Problem::new(500, "ERR_INTERNAL", words.clone())
        }
    };
    problem.of = of;
    problem
}

/// For a message that comes over the WebSocket: its box is in the room's name.
pub(super) async fn send_live(
    hub: &Arc<Hub>,
    who: &IdentityKey,
    box_name: &str,
    message: &Value,
) -> Result<Value, Problem> {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut() {
        fields.insert("messageBox".to_owned(), json!(box_name));
    }
    send(hub, who, &json!({ "message": message })).await
}

async fn list(hub: &Hub, who: &IdentityKey, asked: &Value) -> Result<Value, Problem> {
    let wanted = &asked["messageBox"];
    if wanted.is_null() || wanted.as_str() == Some("") {
        return Err(Problem::wrong(
            "ERR_MESSAGEBOX_REQUIRED",
            "`messageBox` is missing",
        ));
    }
    let wanted = name(wanted).ok_or_else(|| {
        let words = format!("`messageBox` is a text of 1 to {MAX_NAME} bytes");
        Problem::wrong("ERR_INVALID_MESSAGEBOX", words)
    })?;
    let found = hub
        .list(*who, wanted.to_owned(), true)
        .await
        .map_err(internal)?;
    let messages = found.into_iter().map(|it| {
        let (created, updated) = (iso(it.sent), iso(it.stored));
        json!({
            "messageId": it.id, "body": it.body, "sender": it.sender.to_string(),
            "createdAt": created, "updatedAt": updated, "created_at": created, "updated_at": updated,
        })
    });
    Ok(json!({ "status": "success", "messages": messages.collect::<Vec<_>>() }))
}

fn internal(error: StoreError) -> Problem {
    tracing::error!(%error, "the message box can't be used");
    Problem::new(500, "ERR_INTERNAL_ERROR", error.to_string())
}

async fn acknowledge(hub: &Hub, who: &IdentityKey, asked: &Value) -> Result<Value, Problem> {
    let ids = match &asked["messageIds"] {
        Value::Array(ids) if !ids.is_empty() => ids,
        _ => {
            return Err(Problem::wrong(
                "ERR_MESSAGE_ID_REQUIRED",
                "`messageIds` is missing or empty",
            ));
        }
    };
    let read: Option<Vec<String>> = ids.iter().map(|id| name(id).map(str::to_owned)).collect();
    let read = read.filter(|read| read.len() <= MAX_IDS);
    let read = read.ok_or_else(|| {
        let words = format!("`messageIds` are at most {MAX_IDS} texts of 1 to {MAX_NAME} bytes");
        Problem::wrong("ERR_INVALID_MESSAGE_ID", words)
    })?;
    hub.acknowledge(*who, read).await.map_err(internal)?;
    Ok(json!({ "status": "success" }))
}
