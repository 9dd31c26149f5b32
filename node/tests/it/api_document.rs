//! Requests made up from the OpenAPI document, right and wrong, to a daemon that is not online: none is its fault.

use proptest::prelude::*;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::api_support::{Answer, Raw, post, request};
use crate::e2e::Place;
use crate::local::{alice, serve};

const DOCUMENT: &str = include_str!("../../../docs/api/openapi.json");

/// Requests for each operation. They are the same each time.
const REQUESTS: usize = 150;

/// One thing that can be asked.
struct Operation {
    method: String,
    path: String,
    parameters: Vec<Value>,
    has_body: bool,
    answers: Vec<u16>,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned();
            let answers = operation["responses"].as_object().unwrap().keys();
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: parameters.unwrap_or_default(),
                has_body: operation.get("requestBody").is_some(),
                answers: answers.filter_map(|status| status.parse().ok()).collect(),
            });
        }
    }
    found
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A message, of which parts may be missing, wrong or too many.
fn message(to: String) -> impl Strategy<Value = Vec<u8>> {
    let to = prop_oneof![3 => Just(json!(to)), 1 => any_json(), 1 => any::<String>().prop_map(Value::from)];
    let text = prop_oneof![3 => any::<String>().prop_map(Value::from), 1 => any_json()];
    let life = prop_oneof![
        Just(json!(60_000)),
        Just(json!(0)),
        Just(json!(u64::MAX)),
        any_json()
    ];
    let fields = (
        proptest::option::weighted(0.9, to),
        proptest::option::weighted(0.9, text),
        proptest::option::weighted(0.3, life),
        proptest::option::weighted(0.1, ("[a-z]{1,9}", any_json())),
    );
    let whole = fields.prop_map(|(to, text, life, other)| {
        let mut body = serde_json::Map::new();
        let known = [("to", to), ("text", text), ("life_ms", life)];
        let known = known.map(|(name, value)| (name.to_owned(), value));
        for (name, value) in known
            .into_iter()
            .chain(other.map(|(name, value)| (name, Some(value))))
        {
            if let Some(value) = value {
                body.insert(name, value);
            }
        }
        Value::Object(body).to_string().into_bytes()
    });
    // And one of which a byte is another.
    (
        whole,
        proptest::option::weighted(0.2, any::<(prop::sample::Index, u8)>()),
    )
        .prop_map(|(mut body, change)| {
            if let Some((at, byte)) = change {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        })
}

fn body(operation: &Operation, to: &str) -> BoxedStrategy<Vec<u8>> {
    let any_body = prop_oneof![
        any_json().prop_map(|value| value.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(b"[".repeat(5000)),
    ];
    match (operation.has_body, operation.method.as_str()) {
        (true, _) => prop_oneof![4 => message(to.to_owned()), 1 => any_body].boxed(),
        (false, "POST") => prop_oneof![Just(Vec::new()), Just(b"{}".to_vec()), any_body].boxed(),
        (false, _) => Just(Vec::new()).boxed(),
    }
}

/// A value of a parameter, as it stands in a request.
fn value(parameter: &Value) -> BoxedStrategy<String> {
    if parameter["name"] == "wait_ms" {
        // None that the test would have to wait for.
        return prop::sample::select(vec![
            "0",
            "1",
            "7",
            "-1",
            "x",
            "",
            "1e3",
            "18446744073709551616",
        ])
        .prop_map(str::to_owned)
        .boxed();
    }
    let encoded = any::<Vec<u8>>().prop_map(|bytes| {
        bytes
            .iter()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    });
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[!-~&&[^#?/]]{0,40}",
        "[1-9A-HJ-NP-Za-km-z]{16,24}",
        Just("11111111111111111111".to_owned()),
        encoded,
    ]
    .boxed()
}

/// A request, as bytes.
fn requests(operation: &Operation, to: &str) -> BoxedStrategy<Vec<u8>> {
    let values: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| {
            let value = value(parameter);
            let value = match parameter["in"] == "path" {
                true => value.prop_map(Some).boxed(),
                false => proptest::option::weighted(0.6, value).boxed(),
            };
            (value, any::<bool>())
        })
        .collect();
    let kinds = prop_oneof![
        6 => Just("application/json"),
        1 => Just("application/json; charset=utf-8"),
        1 => Just("application/octet-stream"),
        1 => Just("text/plain"),
        1 => Just(""),
    ];
    let unknown = proptest::option::weighted(0.1, "[a-z]{1,9}=[a-z0-9]{0,9}");
    let parameters = operation.parameters.clone();
    let (method, path) = (operation.method.clone(), operation.path.clone());
    (values, kinds, unknown, body(operation, to))
        .prop_map(move |(values, kind, unknown, body)| {
            let mut path = path.clone();
            let mut query: Vec<String> = unknown.into_iter().collect();
            let mut headers = vec![("Content-Type".to_owned(), kind.to_owned())];
            for (parameter, (value, twice)) in parameters.iter().zip(values) {
                let name = parameter["name"].as_str().unwrap();
                let Some(value) = value else { continue };
                let times = if twice { 2 } else { 1 };
                match parameter["in"].as_str().unwrap() {
                    "path" => {
                        let value = if value.is_empty() { "x" } else { &value };
                        path = path.replace(&format!("{{{name}}}"), value);
                    }
                    "query" => query.extend((0..times).map(|_| format!("{name}={value}"))),
                    _ => headers.extend((0..times).map(|_| (name.to_owned(), value.clone()))),
                }
            }
            if !query.is_empty() {
                path = format!("{path}?{}", query.join("&"));
            }
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            [request(&method, &path, &headers).into_bytes(), body].concat()
        })
        .boxed()
}

/// Asks on a connection that goes on, or on a new one.
async fn ask(place: &Place, raw: &mut Raw<UnixStream>, bytes: &[u8], head_only: bool) -> Answer {
    loop {
        raw.write(bytes).await;
        let answer = match head_only {
            true => raw.head().await,
            false => raw.answer().await,
        };
        let dir = place.file("alice");
        let fresh = || Raw::unix(&dir);
        match answer {
            Some(answer) => {
                let closes = answer
                    .headers
                    .get("connection")
                    .is_some_and(|it| it == "close");
                if closes || head_only {
                    *raw = fresh().await;
                }
                return answer;
            }
            None => *raw = fresh().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_the_daemons_fault() {
    let (place, bob) = alice().await;
    let daemon = serve(&place).await;
    let mut runner = TestRunner::deterministic();
    let mut raw = Raw::unix(&place.file("alice")).await;
    let (mut right, mut wrong) = (0, 0);
    for operation in operations() {
        let stream = operation.path.starts_with("/v1/events");
        let strategy = requests(&operation, &bob);
        for _ in 0..REQUESTS {
            let bytes = strategy.new_tree(&mut runner).unwrap().current();
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            let refused = shown.contains("text/plain") && !shown.contains("Content-Length: 0\r\n");
            if operation.path == "/v1/stop" && !refused {
                // It would do it.
                continue;
            }
            // An answer without end has a head.
            let following = stream && !operation.path.ends_with("ws") && !shown.contains("\r\nX");
            let answer = ask(&place, &mut raw, &bytes, following).await;
            let status = answer.status;
            if status < 400 {
                assert!(operation.answers.contains(&status), "{status} to {shown}");
                right += 1;
                continue;
            }
            wrong += 1;
            if operation.path == "/v1/health" {
                assert!(status == 503 || status == 422, "{status} to {shown}");
                continue;
            }
            assert!(status < 500, "{status} to {shown}");
            // What is no HTTP at all is refused before anybody looks at it.
            let no_head = answer.body.is_empty() && (following || status == 400);
            assert!(no_head || !answer.code().is_empty(), "{shown}");
        }
    }
    assert!(right > 100 && wrong > 100, "{right} right, {wrong} wrong");
    // It is as well as before.
    let body = json!({"to": bob, "text": "last"}).to_string();
    let last = post("/v1/messages", &[], &body);
    assert_eq!(
        ask(&place, &mut raw, last.as_bytes(), false).await.status,
        202
    );
    daemon.interrupt();
    assert_eq!(daemon.stopped().await.code(), Some(0));
    assert!(
        !place.log("alice").contains("panicked"),
        "{}",
        place.log("alice")
    );
}

/// What the document has is there, and what it has not is refused.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_what_is_there_and_nothing_else() {
    let (place, _) = alice().await;
    let _daemon = serve(&place).await;
    let mut raw = Raw::unix(&place.file("alice")).await;
    let operations = operations();
    assert_eq!(operations.len(), 40);
    for operation in &operations {
        let path = (operation.path)
            .replace("{id}", "11111111111111111111")
            .replace("{contact}", "nobody");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let known = operations
                .iter()
                .any(|it| it.path == operation.path && it.method == method);
            let bytes = request(
                method,
                &path,
                &[("Content-Type", "text/plain"), ("Content-Length", "1")],
            ) + "x";
            let answer = ask(&place, &mut raw, bytes.as_bytes(), true).await;
            assert_eq!(answer.status != 405, known, "{method} {path}: {answer:?}");
        }
    }
    let served = ask(
        &place,
        &mut raw,
        request("GET", "/v1/openapi.json", &[]).as_bytes(),
        false,
    )
    .await;
    assert_eq!(
        served.json(),
        serde_json::from_str::<Value>(DOCUMENT).unwrap()
    );
}
