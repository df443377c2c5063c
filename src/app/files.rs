//! Files between the rooms: those that people sent come in by the adapter they sent them through, those of messages go out as
//! adapters take them.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use trunkline_adapter::{Address, JPEG, MediaFault, MediaFile, MediaReader, MediaReference};

use super::roster::Roster;
use crate::http::Inlet;
use crate::media::{Downloads, Links, Media, Pictures, jpeg_name};
use crate::model::{AccountSid, ContentHash, MessageMedia};
use crate::outbound::{Files, Ready};
use crate::relay::{Fetched, Fetches};

/// Gets what people sent.
pub(super) struct Incoming {
    pub downloads: Downloads,
    /// Weak, because the roster holds the relay, which holds this: nothing would ever be closed.
    pub roster: Weak<Roster>,
}

impl Fetches for Incoming {
    fn fetch<'a>(
        &'a self,
        adapter: &'a str,
        proxy: &'a Address,
        file: &'a MediaReference,
    ) -> BoxFuture<'a, Result<Fetched, MediaFault>> {
        async move {
            // A rename may have come between; the next reload may bring it back.
            let roster = self.roster.upgrade();
            let live = roster.and_then(|roster| roster.adapter(adapter)).map(|entry| entry.adapter);
            let live = live.ok_or_else(|| MediaFault::passing("its adapter is not configured any more"))?;
            let source = live.media().ok_or_else(|| MediaFault::fatal("its adapter knows no files"))?;
            let got = self.downloads.get(adapter, source, proxy, file).await?;
            Ok(Fetched {
                content: got.stored.content,
                size: got.stored.size,
                content_type: got.content_type,
                hold: Arc::new(got.stored),
            })
        }
        .boxed()
    }
}

/// Hands over what messages carry.
pub(super) struct Outgoing {
    pub account: AccountSid,
    pub media: Media,
    pub pictures: Arc<Pictures>,
    pub links: Arc<Links>,
    /// Where the world reaches us.
    pub root: RwLock<String>,
}

impl Outgoing {
    /// Takes today's configuration.
    pub fn set_root(&self, root: String) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root;
    }

    fn url(&self, media: &MessageMedia, jpeg: Option<u64>) -> String {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        self.links.url(&root, self.account.as_str(), media.sid.as_str(), jpeg, self.links.ttl())
    }
}

impl Files for Outgoing {
    fn ready(&self, media: &MessageMedia, jpeg: Option<u64>) -> Ready {
        let (content, size) = match jpeg.map(|most| self.pictures.known(media.content, most)) {
            None => (media.content, media.size),
            Some(Some(Some(made))) => (made.content, made.size),
            Some(Some(None)) => return Ready::Never,
            Some(None) => return Ready::NotYet,
        };
        let filename = media.filename.clone();
        let (content_type, filename) = match jpeg {
            None => (media.content_type.clone(), filename),
            Some(_) => (JPEG.to_owned(), filename.map(|name| jpeg_name(&name))),
        };
        let reader = Arc::new(Reader { media: self.media.clone(), content, size });
        let link = self.url(media, jpeg);
        let key = content.to_string();
        Ready::Now(Box::new(MediaFile { key, size, content_type, filename, caption: None, link, reader }))
    }

    fn make(&self, media: &MessageMedia, jpeg: u64) -> BoxFuture<'static, ()> {
        let (pictures, content, size) = (self.pictures.clone(), media.content, media.size);
        async move {
            pictures.jpeg(content, size, jpeg).await;
        }
        .boxed()
    }

    fn link(&self, media: &MessageMedia) -> String {
        self.url(media, None)
    }
}

struct Reader {
    media: Media,
    content: ContentHash,
    size: u64,
}

impl MediaReader for Reader {
    fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        async {
            let opened = self.media.open_content(self.content, 0, self.size).await;
            opened.map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        .boxed()
    }
}
