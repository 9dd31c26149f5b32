//! What is signed of a request and of an answer (BRC-104), byte for byte.

/// Stands for what is not there, where a length would.
const ABSENT: [u8; 9] = [0xff; 9];

/// A request, as far as it is signed.
pub(in crate::messagebox) struct SignedRequest<'a> {
    /// The client's number for it.
    pub(in crate::messagebox) id: &'a [u8; 32],
    /// `POST`, for one.
    pub(in crate::messagebox) method: &'a str,
    /// The path, with its slash.
    pub(in crate::messagebox) path: &'a str,
    /// The query without its question mark.
    pub(in crate::messagebox) query: Option<&'a str>,
    /// All headers, in lower case; those that are not signed are left out here.
    pub(in crate::messagebox) headers: &'a [(String, String)],
    /// The body; empty for none.
    pub(in crate::messagebox) body: &'a [u8],
}

impl SignedRequest<'_> {
    /// What the client has signed.
    #[must_use]
    pub(in crate::messagebox) fn payload(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.body.len());
        out.extend_from_slice(self.id);
        text(&mut out, self.method.as_bytes());
        present(&mut out, self.path.as_bytes());
        match self.query {
            Some(query) if !query.is_empty() => text(&mut out, format!("?{query}").as_bytes()),
            _ => out.extend_from_slice(&ABSENT),
        }
        let mut signed: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter_map(|(name, value)| match name.as_str() {
                "content-type" => {
                    let kind = value.split(';').next().unwrap_or_default();
                    Some((name.as_str(), kind.trim()))
                }
                "authorization" => Some((name, value)),
                name if name.starts_with("x-bsv-") && !name.starts_with("x-bsv-auth") => {
                    Some((name, value))
                }
                _ => None,
            })
            .collect();
        signed.sort_unstable();
        number(&mut out, signed.len());
        for (name, value) in signed {
            text(&mut out, name.as_bytes());
            text(&mut out, value.as_bytes());
        }
        present(&mut out, self.body);
        out
    }
}

/// What is signed of an answer that has no signed headers.
#[must_use]
pub(in crate::messagebox) fn response_payload(
    request_id: &[u8; 32],
    status: u16,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + body.len());
    out.extend_from_slice(request_id);
    number(&mut out, usize::from(status));
    number(&mut out, 0);
    text(&mut out, body);
    out
}

/// With its length, or as absent if it is empty.
fn present(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.is_empty() {
        true => out.extend_from_slice(&ABSENT),
        false => text(out, bytes),
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Bitcoin's VarInt.
fn number(out: &mut Vec<u8>, value: usize) {
    let value = value as u64;
    let wide = value.to_le_bytes();
    match value {
        0..=0xfc => out.push(wide[0]),
        0xfd..=0xffff => {
            out.push(0xfd);
            out.extend_from_slice(&wide[..2]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xfe);
            out.extend_from_slice(&wide[..4]);
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&wide);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::keys::tests::{bytes, vectors};
    use super::*;

    #[test]
    fn requests_are_signed_as_the_released_client_writes_them() {
        let vectors = vectors();
        let all = vectors["requests"].as_array().unwrap();
        assert_eq!(all.len(), 5);
        for it in all {
            let headers = it["headers"].as_object().unwrap().iter();
            let mut headers: Vec<(String, String)> = headers
                .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
                .collect();
            headers.push(("x-bsv-auth-nonce".to_owned(), "left out".to_owned()));
            headers.push(("accept".to_owned(), "*/*".to_owned()));
            let request = SignedRequest {
                id: &[7; 32],
                method: it["method"].as_str().unwrap(),
                path: it["path"].as_str().unwrap(),
                query: it["query"].as_str().unwrap().strip_prefix('?'),
                headers: &headers,
                body: it["body"].as_str().unwrap().as_bytes(),
            };
            assert_eq!(request.payload(), bytes(&it["payload"]), "{it}");
        }
    }

    #[test]
    fn an_answer_is_written_with_bitcoins_lengths() {
        let payload = response_payload(&[1; 32], 403, &[b'x'; 70_000]);
        assert_eq!(&payload[..32], &[1; 32]);
        assert_eq!(&payload[32..36], &[0xfd, 0x93, 0x01, 0]);
        assert_eq!(&payload[36..41], &[0xfe, 0x70, 0x11, 0x01, 0]);
        assert_eq!(payload.len(), 41 + 70_000);
    }
}
