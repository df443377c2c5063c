//! Files: those that people sent lie behind links without credentials; ours are fetched by a link too.

use trunkline_adapter::{
    Address, MediaFault, MediaFile, MediaHosts, MediaLimits, MediaReference, MediaRequest, MediaRule,
    MediaSource, MediaStep,
};

/// The content delivery networks whose links come in webhooks.
const HOSTS: &[&str] = &["fbcdn.net", "fbsbx.com", "facebook.com"];
const MB: u64 = 1_000_000;

/// What the provider takes: one file in a message, and no text beside it.
static RULES: [MediaRule; 2] = [
    MediaRule { types: &["image/jpeg", "image/png", "image/gif"], most: 8 * MB, caption: 0 },
    MediaRule { types: &["*/*"], most: 25 * MB, caption: 0 },
];

/// Which files our pages take. The code is that of an attachment which could not be fetched.
pub(crate) const LIMITS: MediaLimits = MediaLimits { rules: &RULES, lost: 100 };

/// The files of an app's pages.
pub(crate) struct Files(MediaHosts);

impl Files {
    pub(crate) fn new(base_url: &str) -> Files {
        Files(MediaHosts::new(HOSTS, base_url))
    }
}

impl MediaSource for Files {
    fn hosts(&self) -> &MediaHosts {
        &self.0
    }

    fn begin(&self, _: &Address, media: &MediaReference) -> Result<MediaStep, MediaFault> {
        let url = media.url.clone().ok_or_else(|| MediaFault::fatal("the message names no URL for it"))?;
        Ok(MediaStep::Get(MediaRequest { url, authorization: None }))
    }

    fn told(&self, _: &Address, _: &[u8]) -> Result<MediaStep, MediaFault> {
        Err(MediaFault::fatal("Messenger has no documents that lead to files"))
    }
}

/// What an attachment is sent as.
pub(crate) fn kind(file: &MediaFile) -> &'static str {
    let bare = file.content_type.split(';').next().unwrap_or_default().trim();
    match bare.split('/').next().unwrap_or_default() {
        "image" if RULES[0].types.contains(&bare) => "image",
        "audio" => "audio",
        "video" => "video",
        _ => "file",
    }
}
