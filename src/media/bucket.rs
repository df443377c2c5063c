//! Contents in S3-compatible storage. Credentials, region and endpoint are the environment's, by the names all of its
//! tools use (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …).

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::MediaError;
use super::contents::{Chunks, Contents};
use crate::model::ContentHash;

/// Bytes sent at once; a content up to this size is one request.
const PART: usize = 5 * 1024 * 1024;
/// Parts of one upload on their way at once.
const AT_ONCE: usize = 2;

pub struct Bucket {
    store: AmazonS3,
    prefix: ObjectPath,
}

impl Bucket {
    pub fn open(bucket: &str, prefix: &str) -> Result<Bucket, MediaError> {
        let settings = |error: object_store::Error| MediaError::Settings(error.to_string());
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(settings)?;
        let prefix = ObjectPath::parse(prefix).map_err(|error| MediaError::Settings(error.to_string()))?;
        Ok(Bucket { store, prefix })
    }

    fn place(&self, content: ContentHash) -> ObjectPath {
        let name = content.to_string();
        let (folder, file) = name.split_at(2);
        self.prefix.clone().join(folder).join(file)
    }
}

/// Sends a file in parts, of which few are in memory.
async fn upload(store: &AmazonS3, place: &ObjectPath, mut file: File) -> io::Result<()> {
    let mut writer = WriteMultipart::new_with_chunk_size(store.put_multipart(place).await?, PART);
    loop {
        let part = part(&mut file).await;
        let (end, sent) = match part {
            Ok(part) => {
                let end = part.len() < PART;
                writer.put(part);
                (end, writer.wait_for_capacity(AT_ONCE).await.map_err(io::Error::from))
            }
            Err(error) => (true, Err(error)),
        };
        if let Err(error) = sent {
            // Else the parts would be kept, and paid for.
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, "An upload that was broken off may have left parts in the bucket");
            }
            return Err(error);
        }
        if end {
            writer.finish().await?;
            return Ok(());
        }
    }
}

async fn part(file: &mut File) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(PART);
    file.take(PART as u64).read_to_end(&mut part).await?;
    Ok(part.into())
}

impl Contents for Bucket {
    fn keep<'a>(&'a self, content: ContentHash, file: &'a Path, size: u64) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let place = self.place(content);
            let there = match self.store.head(&place).await {
                Ok(found) => found.size == size,
                Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !there {
                let mut opened = File::open(file).await?;
                if size <= PART as u64 {
                    let whole = part(&mut opened).await?;
                    self.store.put(&place, PutPayload::from_bytes(whole)).await?;
                } else {
                    upload(&self.store, &place, opened).await?;
                }
            }
            tokio::fs::remove_file(file).await
        }
        .boxed()
    }

    fn open(
        &self,
        content: ContentHash,
        from: u64,
        length: u64,
    ) -> BoxFuture<'_, io::Result<Option<Chunks>>> {
        async move {
            let range = (length > 0).then_some(GetRange::Bounded(from..from + length));
            if range.is_none() {
                return Ok(Some(futures_util::stream::empty().boxed()));
            }
            let options = GetOptions { range, ..GetOptions::default() };
            match self.store.get_opts(&self.place(content), options).await {
                Ok(found) => Ok(Some(found.into_stream().map_err(io::Error::from).boxed())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }

    fn list(&self) -> BoxStream<'_, io::Result<ContentHash>> {
        let hash = |place: &ObjectPath| {
            let (rest, file) = place.as_ref().rsplit_once('/')?;
            let folder = rest.rsplit('/').next()?;
            ContentHash::parse(&format!("{folder}{file}"))
        };
        self.store
            .list(Some(&self.prefix))
            .try_filter_map(move |found| std::future::ready(Ok(hash(&found.location))))
            .map_err(io::Error::from)
            .boxed()
    }

    fn remove(&self, content: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        async move {
            match self.store.delete(&self.place(content)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }
}
