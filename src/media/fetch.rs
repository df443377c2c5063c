//! Files that people sent, got from where their provider keeps them: by the requests that the adapter names, through the
//! guard, along redirects that stay with the provider, within bounds of time and size.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use tokio::sync::Semaphore;
use trunkline_adapter::{
    Address, HostPlace, MediaFault, MediaReference, MediaRequest, MediaSource, MediaStep,
};

use super::{Media, MediaError, Stored, content_type};
use crate::egress::{CallError, Fetch, Fetched, Fetcher};
use crate::telemetry::media::{FetchOutcome, fetched as counted};

/// Files that are got at once.
const SIDE_BY_SIDE: usize = 32;
/// Requests for one file, redirects included.
const MOST_REQUESTS: usize = 5;
/// From the first step of a request to the last byte of its answer.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes of a document that says where a file is.
const MOST_DOCUMENT: usize = 64 * 1024;

/// Gets files.
pub struct Downloads {
    media: Media,
    fetcher: Fetcher,
    /// Bytes of a file.
    limit: u64,
    places: Semaphore,
}

/// A file that is kept.
pub struct Download {
    pub stored: Stored,
    pub content_type: String,
}

/// Why there is none, and what it is counted as.
struct Missed(MediaFault, FetchOutcome);

impl From<MediaFault> for Missed {
    fn from(fault: MediaFault) -> Missed {
        Missed(fault, FetchOutcome::Failed)
    }
}

fn refused(text: &str) -> Missed {
    Missed(MediaFault::fatal(text), FetchOutcome::Refused)
}

impl Downloads {
    pub fn new(media: Media, fetcher: Fetcher, limit: u64) -> Downloads {
        Downloads { media, fetcher, limit, places: Semaphore::new(SIDE_BY_SIDE) }
    }

    /// Gets a file of a message to a proxy address of this adapter.
    ///
    /// # Errors
    /// Why it cannot be had, and whether it may be had later.
    pub async fn get(
        &self,
        adapter: &str,
        source: &dyn MediaSource,
        proxy: &Address,
        file: &MediaReference,
    ) -> Result<Download, MediaFault> {
        // Never closed.
        let _place = self.places.acquire().await;
        let got = self.follow(source, proxy, file).await;
        counted(adapter, got.as_ref().map_or_else(|missed| missed.1, |_| FetchOutcome::Fetched));
        got.map_err(|missed| missed.0)
    }

    async fn follow(
        &self,
        source: &dyn MediaSource,
        proxy: &Address,
        file: &MediaReference,
    ) -> Result<Download, Missed> {
        let mut step = source.begin(proxy, file)?;
        for _ in 0..MOST_REQUESTS {
            let (request, asks) = match step {
                MediaStep::Ask(request) => (request, true),
                MediaStep::Get(request) => (request, false),
            };
            let url = Url::parse(&request.url).map_err(|_| refused("the URL cannot be read"))?;
            let answer = self.ask(source, url, &request).await?;
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            step = match status.as_u16() {
                200..=299 if asks => {
                    source.told(proxy, &answer.whole(MOST_DOCUMENT).await.map_err(broken)?)?
                }
                200..=299 => return self.keep(answer, file).await,
                301 | 302 | 303 | 307 | 308 => {
                    let to = answer.location.ok_or_else(|| MediaFault::fatal("a redirect leads nowhere"))?;
                    // Credentials were meant for the first to be asked: stores that sign their URLs refuse a second kind.
                    let next = MediaRequest { url: to.into(), authorization: None };
                    if asks { MediaStep::Ask(next) } else { MediaStep::Get(next) }
                }
                _ => return Err(source.refused(status).into()),
            };
        }
        Err(MediaFault::fatal("it is redirected again and again").into())
    }

    async fn ask(
        &self,
        source: &dyn MediaSource,
        url: Url,
        request: &MediaRequest,
    ) -> Result<Fetched, Missed> {
        let place = source.hosts().place(&url);
        let place = place.ok_or_else(|| refused("the URL leads to none of the provider's hosts"))?;
        let authorization = request.authorization.as_ref().map(|secret| secret.expose().to_owned());
        let trusted = place == HostPlace::Base;
        let fetch = Fetch { url, authorization, trusted, timeout: LONGEST };
        self.fetcher.fetch(fetch).await.map_err(broken)
    }

    async fn keep(&self, mut answer: Fetched, file: &MediaReference) -> Result<Download, Missed> {
        let large = || Missed::from(MediaFault::fatal("it is larger than a file may be"));
        if answer.length.is_some_and(|length| length > self.limit) {
            return Err(large());
        }
        let unkept = |error: MediaError| match error {
            MediaError::TooLarge => large(),
            other => MediaFault::passing(format!("it cannot be kept: {other}")).into(),
        };
        let mut intake = self.media.take(self.limit).await.map_err(unkept)?;
        failpoint!("media::fetching");
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            intake.write(&chunk).await.map_err(unkept)?;
        }
        let stored = intake.finish().await.map_err(unkept)?;
        if file.digest().is_some_and(|digest| digest != *stored.content.as_bytes()) {
            return Err(MediaFault::passing("it is not what the provider announced").into());
        }
        let said = Some(answer.content_type.as_str()).filter(|said| !said.is_empty());
        let content_type = content_type(file.content_type.as_deref().or(said), stored.sniffed);
        Ok(Download { stored, content_type })
    }
}

fn broken(error: CallError) -> Missed {
    match error {
        CallError::NotReachable(why) => refused(&why.to_string()),
        CallError::Url => refused("the URL cannot be called"),
        CallError::TooLarge => MediaFault::fatal("the answer is too large").into(),
        CallError::TimedOut | CallError::Failed(_) => MediaFault::passing(error.to_string()).into(),
    }
}

#[cfg(test)]
#[path = "fetch_test.rs"]
mod tests;
