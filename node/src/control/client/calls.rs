//! Requests to the daemon as HTTP has them, and its answers as what was asked for.

use std::fmt::Write as _;

use axum::http::{Method, Request as HttpRequest, header};
use bytes::Bytes;
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::api::{IDEMPOTENCY_KEY, Send};
use super::super::protocol::{
    AllowIdentity, Content, IdempotencyKey, MapIdentity, NodeStatus, ReadUpTo, Request, Response,
    Status,
};
use super::super::wire::BYTES;
use super::ControlError;

/// A request, and what its answer is.
pub(super) struct Call {
    method: Method,
    path: String,
    key: Option<IdempotencyKey>,
    body: Option<(&'static str, Bytes)>,
    answer: fn(&[u8]) -> Result<Response, ControlError>,
}

impl Call {
    pub(super) fn of(request: Request) -> Result<Self, ControlError> {
        let call = |method, path: String, answer| Self {
            method,
            path,
            key: None,
            body: None,
            answer,
        };
        let get = |path, answer| call(Method::GET, path, answer);
        let post = |path: String, answer| call(Method::POST, path, answer);
        Ok(match request {
            Request::Status => get("/v1/status".to_owned(), status),
            Request::Profiles { users } => {
                let query = users.map_or_else(String::new, |users| format!("?users={users}"));
                get(format!("/v1/profiles{query}"), |it| {
                    parse(it).map(Response::Profiles)
                })
            }
            Request::Invite(invite) => Self {
                body: Some(json(&invite)?),
                ..post("/v1/invitations".to_owned(), |it| {
                    parse(it).map(Response::Invited)
                })
            },
            Request::Invitations => get("/v1/invitations".to_owned(), |it| {
                parse(it).map(Response::Invitations)
            }),
            Request::Revoke { id } => call(
                Method::DELETE,
                format!("/v1/invitations/{}", segment(&id)),
                done,
            ),
            Request::RenewInvitations => post("/v1/invitations/renew".to_owned(), done),
            Request::Accept(accept) => Self {
                body: Some(json(&accept)?),
                ..post("/v1/contacts".to_owned(), contact)
            },
            Request::Contacts => get("/v1/contacts".to_owned(), |it| {
                parse(it).map(Response::Contacts)
            }),
            Request::Contact { contact: whom } => get(path_of(&whom), contact),
            Request::ChangeContact {
                contact: whom,
                change,
            } => Self {
                body: Some(json(&change)?),
                ..call(Method::PATCH, path_of(&whom), contact)
            },
            Request::RemoveContact { contact: whom } => call(Method::DELETE, path_of(&whom), done),
            Request::Messages {
                after,
                limit,
                wait_ms,
            } => get(
                format!("/v1/messages?after={after}&limit={limit}&wait_ms={wait_ms}"),
                |it| parse(it).map(Response::Messages),
            ),
            Request::Send {
                to,
                text,
                life_ms,
                idempotency_key,
            } => Self {
                key: idempotency_key,
                body: Some(json(&Send { to, text, life_ms })?),
                ..post("/v1/messages".to_owned(), |it| {
                    parse(it).map(Response::Accepted)
                })
            },
            Request::Read { message } => {
                post(format!("/v1/messages/{}/ack", segment(&message)), done)
            }
            Request::Outgoing { skip, limit } => {
                get(format!("/v1/outgoing?skip={skip}&limit={limit}"), |it| {
                    parse(it).map(Response::Outgoing)
                })
            }
            Request::Progress { message, wait_ms } => get(
                format!("/v1/outgoing/{}?wait_ms={wait_ms}", segment(&message)),
                |it| parse(it).map(Response::Progress),
            ),
            Request::Conversations => get("/v1/conversations".to_owned(), |it| {
                parse(it).map(Response::Conversations)
            }),
            Request::Conversation {
                contact,
                before,
                limit,
            } => {
                let before = before.map(|it| format!("&before={it}")).unwrap_or_default();
                let path = conversation(&contact);
                get(format!("{path}?limit={limit}{before}"), |it| {
                    parse(it).map(Response::Conversation)
                })
            }
            Request::ReadConversation { contact, up_to } => Self {
                body: Some(json(&ReadUpTo { up_to })?),
                ..post(format!("{}/read", conversation(&contact)), done)
            },
            Request::ClearConversation { contact } => {
                call(Method::DELETE, conversation(&contact), done)
            }
            Request::SendFile {
                to,
                name,
                content,
                idempotency_key,
            } => Self {
                key: idempotency_key,
                body: Some((BYTES, Bytes::from_owner(content))),
                ..post(
                    format!("/v1/files?to={}&name={}", segment(&to), segment(&name)),
                    |it| parse(it).map(Response::File),
                )
            },
            Request::Files => get("/v1/files".to_owned(), |it| parse(it).map(Response::Files)),
            Request::File { file } => get(format!("/v1/files/{}", segment(&file)), |it| {
                parse(it).map(Response::File)
            }),
            Request::FileContent { file } => {
                get(format!("/v1/files/{}/content", segment(&file)), |it| {
                    let content = Zeroizing::new(it.to_vec());
                    Ok(Response::FileContent(Content(content)))
                })
            }
            Request::RemoveFile { file } => {
                let path = format!("/v1/files/{}", segment(&file));
                call(Method::DELETE, path, done)
            }
            Request::MessageBox => get("/v1/messagebox".to_owned(), |it| {
                parse(it).map(Response::MessageBox)
            }),
            Request::MessageBoxes => get("/v1/messagebox/boxes".to_owned(), |it| {
                parse(it).map(Response::MessageBoxes)
            }),
            Request::BoxContents { name } => {
                get(format!("/v1/messagebox/boxes/{}", segment(&name)), |it| {
                    parse(it).map(Response::BoxContents)
                })
            }
            Request::AllowIdentity { identity } => Self {
                body: Some(json(&AllowIdentity { identity })?),
                ..post("/v1/messagebox/allowed".to_owned(), done)
            },
            Request::DisallowIdentity { identity } => call(
                Method::DELETE,
                format!("/v1/messagebox/allowed/{}", segment(&identity)),
                done,
            ),
            Request::MapIdentity { identity, contact } => Self {
                body: Some(json(&MapIdentity { identity, contact })?),
                ..post("/v1/messagebox/mapped".to_owned(), done)
            },
            Request::UnmapIdentity { identity } => call(
                Method::DELETE,
                format!("/v1/messagebox/mapped/{}", segment(&identity)),
                done,
            ),
            Request::Stop => post("/v1/stop".to_owned(), done),
        })
    }

    pub(super) fn request(&self) -> Result<HttpRequest<Full<Bytes>>, ControlError> {
        let mut request = HttpRequest::builder().method(&self.method).uri(&self.path);
        if let Some(key) = &self.key {
            request = request.header(IDEMPOTENCY_KEY, key.as_str());
        }
        let Some((kind, body)) = &self.body else {
            return finish(request, Bytes::new());
        };
        request = request.header(header::CONTENT_TYPE, *kind);
        finish(request, body.clone())
    }

    pub(super) fn response(&self, bytes: &[u8]) -> Result<Response, ControlError> {
        (self.answer)(bytes)
    }
}

/// A request for what is at a path.
pub(super) fn get(path: &str) -> Result<HttpRequest<Full<Bytes>>, ControlError> {
    finish(HttpRequest::get(path), Bytes::new())
}

/// A request that says no more than its path.
pub(super) fn post(path: &str) -> Result<HttpRequest<Full<Bytes>>, ControlError> {
    finish(HttpRequest::post(path), Bytes::new())
}

fn finish(
    request: axum::http::request::Builder,
    body: Bytes,
) -> Result<HttpRequest<Full<Bytes>>, ControlError> {
    // A socket in a directory has no name of its own.
    let request = request.header(header::HOST, "localhost");
    let request = request.body(Full::new(body));
    request.map_err(|error| ControlError::Protocol(error.to_string()))
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(bytes).map_err(|error| ControlError::Protocol(error.to_string()))
}

fn json(value: &impl Serialize) -> Result<(&'static str, Bytes), ControlError> {
    let bytes = serde_json::to_vec(value);
    let bytes = bytes.map_err(|error| ControlError::Protocol(error.to_string()))?;
    Ok(("application/json", bytes.into()))
}

fn path_of(contact: &str) -> String {
    format!("/v1/contacts/{}", segment(contact))
}

fn conversation(contact: &str) -> String {
    format!("/v1/conversations/{}", segment(contact))
}

fn contact(bytes: &[u8]) -> Result<Response, ControlError> {
    parse(bytes).map(Response::Contact)
}

fn done(_: &[u8]) -> Result<Response, ControlError> {
    Ok(Response::Done)
}

/// Of a client or of a node, whichever runs there: a node's says its role.
fn status(bytes: &[u8]) -> Result<Response, ControlError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Node(Box<NodeStatus>),
        Client(Box<Status>),
    }
    Ok(match parse(bytes)? {
        Either::Node(status) => Response::Node(status),
        Either::Client(status) => Response::Status(status),
    })
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => segment.push(char::from(byte)),
            false => {
                // A text takes whatever is written to it.
                let _ = write!(segment, "%{byte:02X}");
            }
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn no_id_leads_elsewhere() {
        let message = "../é/?x=1".to_owned();
        let call = Call::of(Request::Read { message }).unwrap();
        let request = call.request().unwrap();
        let path = request.uri().path();
        assert_eq!(path, "/v1/messages/%2E%2E%2F%C3%A9%2F%3Fx%3D1/ack");
        assert_eq!(request.uri().query(), None);
    }

    #[test]
    fn a_node_is_told_from_a_client() {
        let client = serde_json::to_vec(&Status::default()).unwrap();
        assert!(matches!(status(&client), Ok(Response::Status(_))));
        let node = serde_json::to_vec(&NodeStatus::default()).unwrap();
        assert!(matches!(status(&node), Ok(Response::Node(_))));
    }
}
