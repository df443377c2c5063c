//! Contents as files beside the ledger: `media/ab/cdef…`, so that no folder grows without bound.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::contents::{Chunks, Contents, PIECE};
use crate::model::ContentHash;

pub struct Files {
    folder: PathBuf,
}

impl Files {
    pub fn new(folder: PathBuf) -> Files {
        Files { folder }
    }

    /// Makes the folders, all of them: none has to be made, and synced, when a content comes.
    pub async fn prepare(&self) -> io::Result<()> {
        for first in 0..=u8::MAX {
            fs::create_dir_all(self.folder.join(format!("{first:02x}"))).await?;
        }
        synced(self.folder.clone()).await?;
        match self.folder.parent() {
            Some(store) => synced(store.to_owned()).await,
            None => Ok(()),
        }
    }

    fn place(&self, content: ContentHash) -> PathBuf {
        let name = content.to_string();
        let (folder, file) = name.split_at(2);
        self.folder.join(folder).join(file)
    }
}

/// Syncs a folder, so that the names in it are on the disk.
async fn synced(folder: PathBuf) -> io::Result<()> {
    let sync = move || std::fs::File::open(folder)?.sync_all();
    tokio::task::spawn_blocking(sync).await.map_err(io::Error::other)?
}

impl Contents for Files {
    fn keep<'a>(&'a self, content: ContentHash, file: &'a Path, _size: u64) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let place = self.place(content);
            // The same bytes may be there; either is as good, and this one is known to be synced.
            fs::rename(file, &place).await?;
            match place.parent() {
                Some(folder) => synced(folder.to_owned()).await,
                None => Ok(()),
            }
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
            let mut file = match File::open(self.place(content)).await {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            file.set_max_buf_size(PIECE);
            if from > 0 {
                file.seek(io::SeekFrom::Start(from)).await?;
            }
            Ok(Some(pieces(file, length)))
        }
        .boxed()
    }

    fn list(&self) -> BoxStream<'_, io::Result<ContentHash>> {
        let folders = stream::iter(0..=u8::MAX).then(move |first| async move {
            let first = format!("{first:02x}");
            let mut entries = fs::read_dir(self.folder.join(&first)).await?;
            let mut found = Vec::new();
            while let Some(entry) = entries.next_entry().await? {
                let name = entry.file_name();
                // A stranger's file is left alone.
                found.extend(name.to_str().and_then(|rest| ContentHash::parse(&format!("{first}{rest}"))));
            }
            Ok::<_, io::Error>(found)
        });
        let contents = |found: io::Result<Vec<ContentHash>>| match found {
            Ok(found) => stream::iter(found.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        };
        folders.flat_map(contents).boxed()
    }

    fn remove(&self, content: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        async move {
            match fs::remove_file(self.place(content)).await {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

/// The rest of a file, read a piece at a time as it is asked for.
fn pieces(file: File, length: u64) -> Chunks {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(PIECE.min(usize::try_from(left).unwrap_or(PIECE)));
        let read = (&mut file).take(left).read_buf(&mut piece).await?;
        if read == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "a content is shorter than it was"));
        }
        Ok(Some((piece.freeze(), (file, left - read as u64))))
    })
    .boxed()
}
