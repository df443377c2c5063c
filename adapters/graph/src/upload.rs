//! A file handed to Graph: one form of several parts, of which the file is the last and is read as it is sent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use reqwest::Url;
use serde_json::Value;
use trunkline_adapter::{Blame, Cause, MediaFile, Outcome, Secret};

use crate::post::{interpreted, operator, secret_header};
use crate::{Endpoint, lenient};

/// A file of a hundred megabytes over a slow line.
const LONGEST: Duration = Duration::from_secs(240);
/// What stands between the parts. It is long and odd enough not to be in any file by chance.
const BOUNDARY: &str = "trunkline-5f0c9a1d7be24e63a8f1c2d4b6e89073";

/// Uploads a file with some fields before it, and gives back the answer's JSON.
///
/// # Errors
/// The outcome to report. An upload sends nothing to anybody, so what is not known to have been taken is tried again; and
/// nothing but the file is in it, so what is wrong with it is wrong with the file.
pub async fn upload(
    endpoint: &Endpoint,
    url: &str,
    token: &Secret,
    fields: &[(&str, &str)],
    file: &MediaFile,
) -> Result<Value, Outcome> {
    let url = Url::parse(url).map_err(|_| operator("the request cannot be made: is base_url right?"))?;
    let bearer = secret_header(token).map_err(operator)?;
    let (head, tail) = ends(fields, file);
    let length = head.len() as u64 + file.size + tail.len() as u64;
    let form = HeaderValue::try_from(format!("multipart/form-data; boundary={BOUNDARY}"));
    let form = form.map_err(|_| operator("the request cannot be made"))?;
    let content = file.reader.open().await.map_err(|error| {
        let cause = Cause::new(format!("the file cannot be read: {}", error.kind()));
        Outcome::Retryable { after: None, tries: None, cause }
    })?;
    let body = stream::iter([Ok(head)]).chain(content).chain(stream::iter([Ok(tail)]));
    let mut request = reqwest::Request::new(Method::POST, url);
    *request.headers_mut() = HeaderMap::from_iter([
        (AUTHORIZATION, bearer),
        (CONTENT_TYPE, form),
        (CONTENT_LENGTH, HeaderValue::from(length)),
    ]);
    *request.body_mut() = Some(reqwest::Body::wrap_stream(body));
    *request.timeout_mut() = Some(LONGEST);
    let answer = match endpoint.http.execute(request).await {
        Ok(answer) => interpreted(endpoint, answer).await,
        Err(error) if error.is_timeout() => Err(broken("the upload took too long")),
        Err(error) if error.is_connect() => Err(broken("no connection")),
        Err(_) => Err(broken("the upload broke off")),
    };
    answer.map_err(|outcome| match outcome {
        Outcome::Unknown { cause } => Outcome::Retryable { after: None, tries: None, cause },
        Outcome::Rejected { blame: Blame::Message, cause } => Outcome::Rejected { blame: Blame::File, cause },
        known => known,
    })
}

/// The id in the answer to an upload.
pub fn uploaded_id(answer: &Value) -> Result<String, Outcome> {
    lenient::text(answer, "id").ok_or_else(|| broken("the answer names no file"))
}

fn broken(text: &str) -> Outcome {
    Outcome::Retryable { after: None, tries: None, cause: Cause::new(text) }
}

/// What goes before the file and behind it.
fn ends(fields: &[(&str, &str)], file: &MediaFile) -> (Bytes, Bytes) {
    let mut head = String::new();
    for (name, value) in fields {
        head.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    let name = file.filename.as_deref().unwrap_or("file");
    head.push_str(&format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
        escaped(name),
        plain(&file.content_type)
    ));
    (head.into(), format!("\r\n--{BOUNDARY}--\r\n").into())
}

/// As browsers write a name there.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '"' => escaped.push_str("%22"),
            '\r' => escaped.push_str("%0D"),
            '\n' => escaped.push_str("%0A"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A type without anything that could end its line.
fn plain(content_type: &str) -> String {
    content_type.chars().filter(|character| character.is_ascii_graphic() || *character == ' ').collect()
}

/// A part of a form that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormPart {
    /// The field's name.
    pub name: String,
    /// The file's, if it is one.
    pub filename: Option<String>,
    /// The part's own type.
    pub content_type: Option<String>,
    /// What is in it.
    pub content: Bytes,
}

/// Reads a whole form of several parts, for the provider's side of an upload. `None` when it is not one.
pub fn form_parts(content_type: &str, body: &Bytes) -> Option<Vec<FormPart>> {
    let boundary = content_type.strip_prefix("multipart/form-data;")?.trim().strip_prefix("boundary=")?;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    let mut at = find(body, boundary.as_bytes(), 0)? + boundary.len();
    let between = format!("\r\n{boundary}");
    while !body[at..].starts_with(b"--") {
        let head_end = find(body, b"\r\n\r\n", at)?;
        let head = std::str::from_utf8(&body[at..head_end]).ok()?;
        let end = find(body, between.as_bytes(), head_end + 2)?;
        let start = (head_end + 4).min(end);
        parts.push(part(head, body.slice(start..end))?);
        at = end + between.len();
    }
    Some(parts)
}

fn part(head: &str, content: Bytes) -> Option<FormPart> {
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let given = |key: &str| {
        let (_, rest) = disposition.split_once(&format!(" {key}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let content_type = header("content-type").map(str::to_owned);
    Some(FormPart { name: given("name")?, filename: given("filename"), content_type, content })
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(body.get(from..)?, wanted).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::peer::{self, Peer};
    use crate::{Codebook, Rule};
    use futures_util::future::BoxFuture;
    use futures_util::stream::BoxStream;
    use std::io;
    use std::sync::Arc;
    use trunkline_adapter::{Class, Clock, MediaReader};

    struct Chunks(Vec<Bytes>);

    impl MediaReader for Chunks {
        fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
            let chunks = self.0.clone();
            Box::pin(async move { Ok(stream::iter(chunks.into_iter().map(Ok)).boxed()) })
        }
    }

    fn file(chunks: &[&'static [u8]], size: u64) -> MediaFile {
        let reader = Arc::new(Chunks(chunks.iter().map(|chunk| Bytes::from_static(chunk)).collect()));
        MediaFile {
            key: "k".to_owned(),
            size,
            content_type: "image/png\r\nX: y".to_owned(),
            filename: Some("a \"b\"\r\n.png".to_owned()),
            caption: None,
            link: String::new(),
            reader,
        }
    }

    async fn sent(answer: &str, file: &MediaFile) -> (Result<Value, Outcome>, peer::PeerRequest) {
        const RULES: &[Rule] = &[Rule::code(190, Class::Auth), Rule::code(131_053, Class::Retry(3))];
        let peer = Peer::answering(answer).await.unwrap();
        let codebook = Codebook::new(RULES);
        let endpoint = Endpoint { http: peer::client(), clock: Clock::system(), codebook };
        let url = format!("{}/v23.0/1/media", peer.url());
        let fields = [("messaging_product", "whatsapp")];
        let outcome = upload(&endpoint, &url, &Secret::new("tok"), &fields, file).await;
        (outcome, peer.request().await.unwrap())
    }

    #[tokio::test]
    async fn a_file_goes_as_the_last_part_and_its_length_is_told_beforehand() {
        let file = file(&[b"\r\n--", b"bytes"], 9);
        let (outcome, request) = sent(&peer::json(200, "", r#"{"id":"7001"}"#), &file).await;
        assert_eq!(uploaded_id(&outcome.unwrap()).unwrap(), "7001");
        assert!(request.head.starts_with("POST /v23.0/1/media HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("authorization: Bearer tok\r\n"));
        assert!(!request.head.contains("transfer-encoding"), "{}", request.head);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let parts = form_parts(&kind, &request.body.into()).unwrap();
        assert_eq!((parts[0].name.as_str(), &parts[0].content[..]), ("messaging_product", &b"whatsapp"[..]));
        assert_eq!(parts[1].content, Bytes::from_static(b"\r\n--bytes"));
        assert_eq!(parts[1].filename.as_deref(), Some("a %22b%22%0D%0A.png"));
        assert_eq!(parts[1].content_type.as_deref(), Some("image/pngX: y"));
    }

    #[tokio::test]
    async fn an_upload_that_may_have_been_taken_is_tried_again() {
        let one = file(&[b"x"], 1);
        for answer in ["HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "", "garbage"] {
            let (outcome, _) = sent(answer, &one).await;
            assert!(matches!(outcome, Err(Outcome::Retryable { .. })), "{outcome:?}");
        }
        let refused = peer::json(401, "", r#"{"error":{"code":190,"message":"m"}}"#);
        let (outcome, _) = sent(&refused, &one).await;
        assert!(matches!(outcome, Err(Outcome::Rejected { blame: Blame::Operator, .. })), "{outcome:?}");
        let refused = peer::json(400, "", r#"{"error":{"code":100,"message":"type must be one of"}}"#);
        let (outcome, _) = sent(&refused, &one).await;
        assert!(matches!(outcome, Err(Outcome::Rejected { blame: Blame::File, .. })), "{outcome:?}");
        assert!(uploaded_id(&Value::Null).is_err());
    }

    #[test]
    fn what_is_no_form_is_none() {
        for (kind, body) in [
            ("text/plain", "x"),
            ("multipart/form-data; boundary=b", ""),
            ("multipart/form-data; boundary=b", "--b"),
            ("multipart/form-data; boundary=b", "--b\r\n\r\n"),
            ("multipart/form-data; boundary=b", "--b\r\nx: y\r\n\r\nz\r\n--b--"),
        ] {
            assert_eq!(form_parts(kind, &Bytes::from(body)), None, "{body:?}");
        }
    }
}
