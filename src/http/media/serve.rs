//! A file's bytes on their way out: whole or a part, in pieces, and in headers that keep a hostile file from running.

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Door;
use super::range::{Wanted, wanted};
use crate::http::body::{Body, full};
use crate::http::error::{self, ApiError};
use crate::media;
use crate::model::MediaRecord;

/// What may stand as it is in the extended form of a name.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'!').remove(b'~').remove(b'+');

impl Door {
    pub(super) async fn serve(
        &self,
        record: &MediaRecord,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, ApiError> {
        let (size, tag) = (record.size, format!("\"{}\"", record.content));
        let wanted = wanted(headers, size, &tag);
        let (status, from, length) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part { from, length } => (StatusCode::PARTIAL_CONTENT, from, length),
            Wanted::Nothing => (StatusCode::NOT_MODIFIED, 0, 0),
            Wanted::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        let body = if method == Method::HEAD || matches!(wanted, Wanted::Nothing | Wanted::Beyond) {
            full(Bytes::new())
        } else {
            let chunks = self.media.open_content(record.content, from, length).await?.ok_or_else(|| {
                tracing::error!(media = %record.sid, content = %record.content, "A file's content is gone");
                error::MEDIA_NOT_FOUND
            })?;
            StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let mut put = |name: HeaderName, value: &str| {
            // What was stored has been checked; of a name that is none after all, nothing is said.
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        match wanted {
            Wanted::Beyond => put(CONTENT_RANGE, &format!("bytes */{size}")),
            Wanted::Part { .. } => put(CONTENT_RANGE, &format!("bytes {from}-{}/{size}", from + length - 1)),
            Wanted::Whole | Wanted::Nothing => {}
        }
        if wanted != Wanted::Nothing {
            put(CONTENT_LENGTH, &length.to_string());
        }
        put(CONTENT_TYPE, &record.content_type);
        put(CONTENT_DISPOSITION, &disposition(&record.content_type, record.filename.as_deref()));
        put(ETAG, &tag);
        put(ACCEPT_RANGES, "bytes");
        put(CACHE_CONTROL, "private, max-age=3600");
        put(X_CONTENT_TYPE_OPTIONS, "nosniff");
        put(CONTENT_SECURITY_POLICY, "sandbox");
        Ok(response)
    }
}

/// Shown in place where it cannot run, else saved under its name.
fn disposition(content_type: &str, filename: Option<&str>) -> String {
    let kind = if media::shown_in_place(content_type) { "inline" } else { "attachment" };
    let Some(name) = filename else { return kind.to_owned() };
    let plain =
        |letter: char| if (' '..='~').contains(&letter) && !"\"\\%".contains(letter) { letter } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    if ascii == name {
        return format!("{kind}; filename=\"{name}\"");
    }
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_letters_fit_into_a_header() {
        for (kind, name, expected) in [
            ("image/png", None, "inline"),
            ("text/html", Some("x.html"), "attachment; filename=\"x.html\""),
            ("image/svg+xml", Some("a b.svg"), "attachment; filename=\"a b.svg\""),
            ("image/png", Some("ü\".png"), "inline; filename=\"__.png\"; filename*=UTF-8''%C3%BC%22.png"),
        ] {
            assert_eq!(disposition(kind, name), expected);
        }
    }
}
