//! The OpenAPI document, and that the one in `docs/` is this one.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::super::protocol::Refusal;
use super::super::wire::Json;
use super::follow::Told;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "The local API of Shoal's client daemon",
        description = "Over the Unix socket `control.sock` in the client's directory, which asks for no token, or over \
                       TCP on loopback (`api.listen`), which does. docs/api.md says how to use it.",
    ),
    servers((url = "http://127.0.0.1:{port}", description = "Over TCP, if api.listen says so",
        variables(("port" = (default = "4150", description = "As api.listen says"))))),
    paths(
        super::status,
        super::health,
        super::profiles,
        openapi,
        super::page::place,
        super::page::give_link,
        super::qr::qr,
        super::people::invite,
        super::people::invitations,
        super::people::revoke,
        super::people::renew,
        super::people::accept,
        super::people::contacts,
        super::people::contact,
        super::people::change,
        super::people::remove,
        super::messages,
        super::send,
        super::acknowledge,
        super::outgoing,
        super::progress,
        super::conversations::list,
        super::conversations::lines,
        super::conversations::read,
        super::conversations::clear,
        super::files::send,
        super::files::list,
        super::files::status,
        super::files::content,
        super::files::remove,
        super::messagebox::status,
        super::messagebox::boxes,
        super::messagebox::contents,
        super::messagebox::allow,
        super::messagebox::disallow,
        super::messagebox::map,
        super::messagebox::unmap,
        super::follow::events,
        super::follow::websocket,
        super::stop,
    ),
    components(schemas(Told, Refusal)),
    modifiers(&Common),
    security(("token" = []), ()),
)]
struct Document;

/// What holds for all that can be asked.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut document.components {
            let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme("token", bearer);
        }
        let refusal = Ref::from_schema_name("Refusal");
        let refusal = ResponseBuilder::new()
            .description("It is refused: the code is for programs, the message says what to do")
            .content("application/json", Content::new(Some(refusal)))
            .build();
        for item in document.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.patch,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                let refusal = RefOr::T(refusal.clone());
                let responses = &mut operation.responses.responses;
                responses.insert("default".to_owned(), refusal);
            }
        }
    }
}

/// The OpenAPI document of the client's API.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon",
    responses((status = 200, description = "An OpenAPI document", body = serde_json::Value)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    #[test]
    fn the_openapi_document_in_docs_is_that_of_the_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api/openapi.json");
        let text = super::document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == text,
            "docs/api/openapi.json is not what the code says; run `UPDATE_DOCS=1 cargo test -p shoal-node openapi`"
        );
    }
}
