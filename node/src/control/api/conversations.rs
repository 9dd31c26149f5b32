//! Conversations over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::protocol::{
    ConversationList, ConversationPage, ReadUpTo, Refusal, Request, Response,
};
use super::super::wire::{Given, Json, Nothing, Params};
use super::{Daemon, Id, answered, done, page, strange};

/// The conversations, one with each contact; those in which something was said last first.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations",
    responses((status = 200, description = "They", body = ConversationList)))]
pub(super) async fn list(State(daemon): State<Daemon>) -> Result<Json<ConversationList>, Refusal> {
    answered!(daemon.handler.handle(Request::Conversations), Conversations)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConversationQuery {
    /// Only lines whose number is below this; the last ones, if it is not said.
    #[serde(default)]
    before: Option<u64>,
    /// At most this many; 256 if more, or if it is not said.
    #[serde(default = "page")]
    limit: u32,
}

/// What was said with a contact: some lines of it. What is unread stays so.
#[utoipa::path(get, path = "/v1/conversations/{contact}", tag = "conversations",
    params(("contact" = String, Path, description = "Its key, base58, or what it is called"), ConversationQuery),
    responses((status = 200, description = "Some lines", body = ConversationPage),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn lines(
    State(daemon): State<Daemon>,
    Id(contact): Id,
    Params(ConversationQuery { before, limit }): Params<ConversationQuery>,
) -> Result<Json<ConversationPage>, Refusal> {
    let request = Request::Conversation {
        contact,
        before,
        limit,
    };
    answered!(daemon.handler.handle(request), Conversation)
}

/// The user has read a conversation up to a line: these messages are acknowledged, and told as read if both sides want
/// it.
#[utoipa::path(post, path = "/v1/conversations/{contact}/read", tag = "conversations", request_body = ReadUpTo,
    params(("contact" = String, Path, description = "Its key, base58, or what it is called")),
    responses((status = 204, description = "They are read"),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn read(
    State(daemon): State<Daemon>,
    Id(contact): Id,
    Given(ReadUpTo { up_to }): Given<ReadUpTo>,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::ReadConversation { contact, up_to }).await
}

/// Forget what was said with a contact, here; what is unread or on its way stays.
#[utoipa::path(delete, path = "/v1/conversations/{contact}", tag = "conversations",
    params(("contact" = String, Path, description = "Its key, base58, or what it is called")),
    responses((status = 204, description = "It is deleted from this disk"),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn clear(
    State(daemon): State<Daemon>,
    Id(contact): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::ClearConversation { contact }).await
}
