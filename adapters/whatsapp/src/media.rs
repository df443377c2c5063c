//! Files: how those that people sent are had, which of ours are taken, and which were handed over already.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_adapter::{
    Address, MediaFault, MediaFile, MediaHosts, MediaLimits, MediaReference, MediaRequest, MediaRule,
    MediaSource, MediaStep, Secret, Timestamp,
};
use trunkline_graph::lenient;

use crate::settings::Settings;

/// Where the links lead that Graph gives out.
const HOSTS: &[&str] = &["fbsbx.com", "fbcdn.net", "facebook.com", "whatsapp.net"];
/// A code for files that could not be uploaded.
const MEDIA_FAILED: u32 = 131_053;
const MB: u64 = 1_000_000;
/// Longest caption, in characters.
pub(crate) const CAPTION: usize = 1_024;

/// What the provider documents, in decimal megabytes so that either way of counting is kept.
static RULES: [MediaRule; 4] = [
    MediaRule { types: &["image/jpeg", "image/png"], most: 5 * MB, caption: CAPTION },
    MediaRule { types: &["video/mp4", "video/3gpp"], most: 16 * MB, caption: CAPTION },
    MediaRule {
        types: &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"],
        most: 16 * MB,
        caption: 0,
    },
    MediaRule { types: &["*/*"], most: 100 * MB, caption: CAPTION },
];

/// Which files our numbers take.
pub(crate) const LIMITS: MediaLimits = MediaLimits { rules: &RULES, lost: MEDIA_FAILED };

/// The files of an app.
pub(crate) struct Files {
    hosts: MediaHosts,
    settings: Settings,
    authorization: Secret,
}

impl Files {
    pub(crate) fn new(settings: &Settings) -> Files {
        Files {
            hosts: MediaHosts::new(HOSTS, &settings.app.base_url),
            authorization: Secret::new(format!("Bearer {}", settings.access_token.first().expose())),
            settings: settings.clone(),
        }
    }

    fn request(&self, url: String) -> MediaRequest {
        MediaRequest { url, authorization: Some(self.authorization.clone()) }
    }
}

impl MediaSource for Files {
    fn hosts(&self) -> &MediaHosts {
        &self.hosts
    }

    /// By its id where it has one: a link that came along is good for minutes, an id for days.
    fn begin(&self, proxy: &Address, media: &MediaReference) -> Result<MediaStep, MediaFault> {
        match (&media.id, &media.url) {
            (Some(id), _)
                if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                let number = self.settings.numbers.id(proxy).unwrap_or_default();
                let url = format!("{}?phone_number_id={number}", self.settings.app.node_url(id));
                Ok(MediaStep::Ask(self.request(url)))
            }
            (_, Some(url)) => Ok(MediaStep::Get(self.request(url.clone()))),
            _ => Err(MediaFault::fatal("the message names neither an id nor a URL for it")),
        }
    }

    fn told(&self, _: &Address, document: &[u8]) -> Result<MediaStep, MediaFault> {
        let read: Option<Value> = serde_json::from_slice(document).ok();
        let url = read.as_ref().and_then(|document| lenient::text(document, "url"));
        url.map(|url| MediaStep::Get(self.request(url)))
            .ok_or_else(|| MediaFault::passing("the provider's answer names no URL"))
    }

    /// A link is forgotten after minutes, and then answered as if it had never been: asking again brings a new one.
    fn refused(&self, status: http::StatusCode) -> MediaFault {
        let again = matches!(status.as_u16(), 401 | 403 | 404 | 408 | 410 | 425 | 429 | 500..);
        MediaFault { text: format!("the provider answered {}", status.as_u16()), again }
    }
}

/// The object of a message with this file: its name in the request, and what it says.
pub(crate) fn object(file: &MediaFile, id: &str) -> (&'static str, Value) {
    let kind = kind(&file.content_type, file.size);
    let mut object = json!({ "id": id });
    if let Some(caption) = file.caption.as_deref().filter(|_| kind != "audio") {
        object["caption"] = caption.into();
    }
    if let Some(name) = file.filename.as_deref().filter(|_| kind == "document") {
        object["filename"] = name.into();
    }
    (kind, object)
}

/// What a file is sent as: what is too large for its own sort goes as a document.
fn kind(content_type: &str, size: u64) -> &'static str {
    let bare = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of = |rule: &MediaRule| size <= rule.most && rule.types.contains(&bare.as_str());
    match RULES.iter().position(of) {
        Some(0) => "image",
        Some(1) => "video",
        Some(2) => "audio",
        _ => "document",
    }
}

/// An id lives thirty days; one of the last is not relied on.
const LIFE: Duration = Duration::from_secs(29 * 24 * 3_600);
/// Ids that are remembered.
const MOST: usize = 10_000;

/// What was uploaded lately, and under which id. A hint in memory: after a restart a file is uploaded once more, which
/// costs its bytes and nothing else.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<Known>);

#[derive(Default)]
struct Known {
    ids: HashMap<(Address, String), (String, Timestamp)>,
    /// In the order in which they came.
    order: VecDeque<(Address, String)>,
}

impl Uploads {
    pub(crate) fn find(&self, from: &Address, file: &MediaFile, now: Timestamp) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, at) = known.ids.get(&name(from, file))?;
        (now.since(*at) < LIFE).then(|| id.clone())
    }

    pub(crate) fn remember(&self, from: &Address, file: &MediaFile, id: &str, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(from, file);
        if known.ids.insert(name.clone(), (id.to_owned(), now)).is_none() {
            known.order.push_back(name);
        }
        while known.order.len() > MOST {
            if let Some(oldest) = known.order.pop_front() {
                known.ids.remove(&oldest);
            }
        }
    }

    pub(crate) fn forget(&self, from: &Address, file: &MediaFile) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(from, file);
        if known.ids.remove(&name).is_some() {
            known.order.retain(|other| *other != name);
        }
    }
}

/// The same bytes under another type or name are another file to the provider.
fn name(from: &Address, file: &MediaFile) -> (Address, String) {
    let filename = file.filename.as_deref().unwrap_or_default();
    (from.clone(), format!("{} {} {filename}", file.key, file.content_type))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::settings::tests::{PROXY, settings};
    use trunkline_adapter::MediaKind;

    fn reference(id: Option<&str>, url: Option<&str>) -> MediaReference {
        MediaReference {
            kind: MediaKind::Image,
            id: id.map(str::to_owned),
            url: url.map(str::to_owned),
            content_type: None,
            filename: None,
            caption: None,
            sha256: None,
        }
    }

    #[test]
    fn an_id_is_asked_about_and_its_answer_followed() {
        let files = Files::new(&settings("https://graph.facebook.com"));
        let to = Address::parse(PROXY).unwrap();
        let Ok(MediaStep::Ask(asked)) = files.begin(&to, &reference(Some("7001"), Some("https://x"))) else {
            panic!()
        };
        assert_eq!(asked.url, "https://graph.facebook.com/v23.0/7001?phone_number_id=106540352242922");
        assert_eq!(asked.authorization.unwrap().expose(), "Bearer access-0001");
        let told = br#"{"url":"https://lookaside.fbsbx.com/a?b=1","mime_type":"image/jpeg","id":"7001"}"#;
        let Ok(MediaStep::Get(got)) = files.told(&to, told) else { panic!() };
        assert_eq!(got.url, "https://lookaside.fbsbx.com/a?b=1");
        assert!(got.authorization.is_some());
        for broken in ["", "{}", "[]", r#"{"url":7.5}"#] {
            assert!(files.told(&to, broken.as_bytes()).unwrap_err().again, "{broken}");
        }
    }

    #[test]
    fn an_id_that_is_none_is_not_put_into_a_path() {
        let files = Files::new(&settings("https://graph.facebook.com"));
        let to = Address::parse(PROXY).unwrap();
        for id in ["../me", "1/messages", "1?x", ""] {
            assert!(files.begin(&to, &reference(Some(id), None)).is_err(), "{id}");
        }
        let by_url = files.begin(&to, &reference(None, Some("https://lookaside.fbsbx.com/a")));
        assert!(matches!(by_url, Ok(MediaStep::Get(_))));
    }

    #[test]
    fn files_too_large_for_their_sort_are_documents() {
        for (content_type, size, sent_as) in [
            ("image/jpeg", 5 * MB, "image"),
            ("image/jpeg", 5 * MB + 1, "document"),
            ("video/mp4", 1, "video"),
            ("audio/ogg; codecs=opus", 1, "audio"),
            ("image/heic", 1, "document"),
            ("", 1, "document"),
        ] {
            assert_eq!(kind(content_type, size), sent_as, "{content_type}");
        }
    }
}
