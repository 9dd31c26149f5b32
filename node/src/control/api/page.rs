//! The page: what people have of the API in a browser. It is a handful of files that are in the binary as they stand in
//! `node/web`; all that it shows it asks of the API, with the token. The files are for everybody who asks, and say
//! nothing that is not in the source.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::links::{LIFE, now};
use super::super::protocol::{Refusal, RefusalCode};
use super::super::server::TcpDoor;
use super::super::wire::{Json, no_such_method, no_such_path};

/// Below which path all of the page's files but the first are.
const FOLDER: &str = "/web/";

/// What a browser may do with the page: run and draw what is in the binary, ask this address, and nothing else. A text
/// can't become a program, as nothing may be made of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What else a browser is told with each file.
const HEADERS: [(&str, &str); 9] = [
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    (
        "permissions-policy",
        "camera=(), microphone=(), geolocation=()",
    ),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! files {
    ($($name:literal: $kind:ident),* $(,)?) => {
        [$(File {
            name: $name,
            kind: $kind,
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $name)),
        }),*]
    };
}

static FILES: [File; 22] = files![
    "index.html": HTML,
    "style.css": CSS,
    "icon.svg": SVG,
    "main.js": SCRIPT,
    "accept.js": SCRIPT,
    "alarms.js": SCRIPT,
    "api.js": SCRIPT,
    "composer.js": SCRIPT,
    "contact.js": SCRIPT,
    "conversation.js": SCRIPT,
    "dialog.js": SCRIPT,
    "dom.js": SCRIPT,
    "invite.js": SCRIPT,
    "list.js": SCRIPT,
    "model.js": SCRIPT,
    "network.js": SCRIPT,
    "profiles.js": SCRIPT,
    "text.js": SCRIPT,
    "traffic.js": SCRIPT,
    "words.js": SCRIPT,
    "words-de.js": SCRIPT,
    "words-en.js": SCRIPT,
];

/// Where the page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Its address. Without a link it says what to do.
    pub http: String,
}

/// A way into the page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageLink {
    /// Opens the page once. Who opens it can do all that the client can.
    pub link: String,
    /// Seconds for which it is good.
    pub life_secs: u64,
}

/// What a page gets for its link: 32 bytes each, in hexadecimal.
#[derive(Serialize)]
struct Entered {
    /// The token and HMAC-SHA-256, by the link's code, of `shoal page token PORT`, one upon the other.
    hidden: String,
    /// HMAC-SHA-256 by it of `shoal page proof PORT HIDDEN`.
    proof: String,
}

/// Characters of what a page asks for a proof with.
const CHALLENGE: usize = 64;

/// That whoever answers has the token.
#[derive(Serialize)]
struct Proof {
    proof: String,
}

/// The page's files, and where they are, if the API is served over TCP.
pub fn pages(door: Option<TcpDoor>) -> Router {
    Router::new()
        .route("/", get(async || answer("index.html")))
        .route("/web/proof/{challenge}", get(proof))
        .route("/web/enter/{name}", get(enter))
        .route("/web/{name}", get(file))
        .route("/v1/page", get(place).post(give_link))
        .method_not_allowed_fallback(no_such_method)
        .with_state(door)
}

/// Whether a request is for a file of the page, which says nothing of anybody.
pub(in crate::control) fn is_for_a_file(request: &Parts) -> bool {
    let path = request.uri.path();
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    reads && (path == "/" || path.starts_with(FOLDER))
}

async fn file(Path(name): Path<String>) -> HttpResponse {
    match FILES.iter().any(|file| file.name == name) {
        true => answer(&name),
        false => no_such_path().await.into_response(),
    }
}

/// Shows to a page that was opened before that the same daemon answers still. While none does, another user of this
/// machine may: a page asks for this before it shows the token again.
async fn proof(
    State(door): State<Option<TcpDoor>>,
    Path(challenge): Path<String>,
) -> Result<Json<Proof>, Refusal> {
    let sound = challenge.len() == CHALLENGE && challenge.bytes().all(|it| it.is_ascii_hexdigit());
    let proof = door.filter(|_| sound).and_then(|door| {
        let proof = door.token.proof(door.address.port(), &challenge);
        proof.ok()
    });
    match proof {
        Some(proof) => Ok(Json(Proof { proof })),
        None => Err(no_such_path().await),
    }
}

/// Takes a link from a page that was opened by it: the code in it stays there, and this is its name.
async fn enter(
    State(door): State<Option<TcpDoor>>,
    Path(name): Path<String>,
) -> Result<Json<Entered>, Refusal> {
    let entered = door.and_then(|door| {
        let with = (&*door.token, door.address.port());
        door.links.open(now(), &name, with)
    });
    match entered {
        Some((hidden, proof)) => Ok(Json(Entered { hidden, proof })),
        None => Err(no_such_path().await),
    }
}

fn answer(name: &str) -> HttpResponse {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut answer = file.content.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Where the page for people is.
#[utoipa::path(get, path = "/v1/page", tag = "daemon", responses(
    (status = 200, description = "There", body = Page),
    (status = 404, description = "Nowhere: the API is not served over TCP", body = Refusal)))]
pub(super) async fn place(State(door): State<Option<TcpDoor>>) -> Result<Json<Page>, Refusal> {
    let http = door.map(|door| format!("http://{}", door.address));
    http.map(|http| Json(Page { http })).ok_or_else(shut)
}

/// A link that opens the page once. The token is not in it: what is behind a `#` stays in a browser's history.
#[utoipa::path(post, path = "/v1/page", tag = "daemon", responses(
    (status = 200, description = "It is good for ten minutes", body = PageLink),
    (status = 404, description = "There is no page: the API is not served over TCP", body = Refusal)))]
pub(super) async fn give_link(
    State(door): State<Option<TcpDoor>>,
) -> Result<Json<PageLink>, Refusal> {
    let door = door.ok_or_else(shut)?;
    let code = door
        .links
        .give(now())
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the system has no randomness"))?;
    Ok(Json(PageLink {
        link: format!("http://{}/#{}", door.address, *code),
        life_secs: LIFE.as_secs(),
    }))
}

fn shut() -> Refusal {
    let words = "the page needs the API's TCP door, which is shut: start the daemon with `--api 127.0.0.1:4150`, \
                 or set `api.listen` in client.toml";
    Refusal::new(RefusalCode::NotFound, words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use super::*;

    fn text(file: &File) -> &str {
        std::str::from_utf8(file.content).unwrap()
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.content.len()).sum();
        assert!(bytes < 300_000, "{bytes}");
    }

    #[test]
    fn all_that_is_in_the_folder_is_in_the_binary() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let found = std::fs::read_dir(folder).unwrap();
        let found: BTreeSet<_> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(found, served);
    }

    #[test]
    fn nothing_of_elsewhere_is_asked_for_and_no_text_is_run() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "eval(",
            "new Function",
            "javascript:",
            "<script>",
            "<style",
            " style=",
            "://",
            "//cdn",
            "srcdoc",
            "@import",
            "document.cookie",
        ];
        for file in &FILES {
            // The one name of a standard that looks like an address.
            let text = text(file).replace("http://www.w3.org/2000/svg", "");
            for word in forbidden {
                assert!(!text.contains(word), "{} has {word}", file.name);
            }
            let handler = text.split([' ', '\n', '"', '\'']).find(|word| {
                let name = word.split('=').next().unwrap_or_default();
                word.contains('=') && name.starts_with("on") && name.len() > 4 && file.kind == HTML
            });
            assert_eq!(handler, None, "{}", file.name);
        }
    }

    /// What a language says, by the names of its texts.
    fn words(name: &str) -> BTreeSet<String> {
        let file = FILES.iter().find(|file| file.name == name).unwrap();
        let lines = text(file).lines();
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_once(':'));
        let names = names.map(|(name, _)| name.trim().to_owned());
        names
            .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
            .collect()
    }

    #[test]
    fn each_language_says_all_that_the_other_says_and_all_that_is_asked_for() {
        let (english, german) = (words("words-en.js"), words("words-de.js"));
        assert!(english.len() > 100, "{}", english.len());
        let one: Vec<_> = english.symmetric_difference(&german).collect();
        assert!(one.is_empty(), "in one language only: {one:?}");
        for file in &FILES {
            for asked in text(file).split("say('").skip(1) {
                let name = asked.split('\'').next().unwrap_or_default();
                // A name that ends with `_` is made whole there.
                let known = match name.ends_with('_') {
                    true => english.iter().any(|it| it.starts_with(name)),
                    false => english.contains(name),
                };
                assert!(known, "{} asks for {name}", file.name);
            }
            for asked in text(file).split("count('").skip(1) {
                let name = asked.split('\'').next().unwrap_or_default();
                for form in ["one", "other"] {
                    let known = english.contains(&format!("{name}_{form}"));
                    assert!(known, "{} counts {name}", file.name);
                }
            }
        }
    }
}
