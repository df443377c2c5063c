#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::HashSet;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};

use super::*;
use crate::ledger::LedgerError;

/// Those contents that rows name.
#[derive(Default)]
struct Rows(Mutex<HashSet<ContentHash>>);

impl Needed for Rows {
    fn needed<'a>(&'a self, content: &'a ContentHash) -> BoxFuture<'a, Result<bool, LedgerError>> {
        async move { Ok(self.0.lock().unwrap().contains(content)) }.boxed()
    }
}

async fn opened() -> (tempfile::TempDir, Media) {
    let folder = tempfile::tempdir().unwrap();
    let media = Media::open(folder.path(), &Place::Files).await.unwrap();
    (folder, media)
}

async fn taken(media: &Media, content: &[u8]) -> Stored {
    let mut intake = media.take(1 << 20).await.unwrap();
    for piece in content.chunks(1000) {
        intake.write(piece).await.unwrap();
    }
    intake.finish().await.unwrap()
}

async fn read(media: &Media, content: ContentHash, from: u64, length: u64) -> Option<Vec<u8>> {
    let pieces: Vec<bytes::Bytes> =
        media.open_content(content, from, length).await.unwrap()?.try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| piece.len() <= contents::PIECE));
    Some(pieces.concat())
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { 1 }
        })
        .sum()
}

#[tokio::test]
async fn what_is_taken_in_is_read_back_whole_and_in_parts() {
    let (folder, media) = opened().await;
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n * 7) as u8).collect();
    let stored = taken(&media, &bytes).await;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    assert_eq!(stored.content.as_bytes().as_slice(), digest.as_ref());
    assert_eq!(stored.size, 200_000);
    assert_eq!(read(&media, stored.content, 0, stored.size).await.unwrap(), bytes);
    assert_eq!(read(&media, stored.content, 70_000, 70_000).await.unwrap(), bytes[70_000..140_000]);
    assert!(read(&media, stored.content, 0, 0).await.unwrap().is_empty());
    assert_eq!(read(&media, ContentHash::new([0; 32]), 0, 1).await, None);
    // The same again is the same file, and nothing is left aside.
    taken(&media, &bytes).await;
    assert_eq!(files(folder.path()), 1);
    // One that lost its end says so.
    let name = stored.content.to_string();
    let place = folder.path().join("media").join(&name[..2]).join(&name[2..]);
    std::fs::OpenOptions::new().write(true).open(place).unwrap().set_len(10).unwrap();
    let broken = media.open_content(stored.content, 0, stored.size).await.unwrap().unwrap();
    assert!(broken.try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn what_is_too_much_or_broken_off_leaves_nothing() {
    let (folder, media) = opened().await;
    let mut intake = media.take(10).await.unwrap();
    intake.write(b"0123456789").await.unwrap();
    assert_eq!(intake.size(), 10);
    assert!(matches!(intake.write(b"x").await, Err(MediaError::TooLarge)));
    drop(intake);
    assert_eq!(files(folder.path()), 0);
    let mut intake = media.take(10).await.unwrap();
    intake.write(b"abc").await.unwrap();
    // The process dies: the file stays until the next start.
    std::mem::forget(intake);
    assert_eq!(files(folder.path()), 1);
    Media::open(folder.path(), &Place::Files).await.unwrap();
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn a_sweep_takes_what_nobody_needs_and_nothing_else() {
    let (folder, media) = opened().await;
    let rows = Rows::default();
    let (named, coming, orphan) =
        (taken(&media, b"named").await, taken(&media, b"coming").await, taken(&media, b"orphan").await);
    rows.0.lock().unwrap().insert(named.content);
    drop(named);
    let left = orphan.content;
    drop(orphan);
    // Somebody else's file is none of ours.
    std::fs::write(folder.path().join("media/00/readme"), "x").unwrap();
    assert_eq!(media.sweep(&rows).await.unwrap(), 1);
    assert_eq!(read(&media, left, 0, 6).await, None);
    assert_eq!(read(&media, coming.content, 0, 6).await.unwrap(), b"coming");
    // Two took it in; one gave up.
    let again = taken(&media, b"coming").await;
    drop(coming);
    assert_eq!(media.sweep(&rows).await.unwrap(), 0);
    let content = again.content;
    drop(again);
    assert_eq!(media.sweep(&rows).await.unwrap(), 1);
    assert_eq!(read(&media, content, 0, 6).await, None);
    assert_eq!(files(folder.path()), 2);
}

/// A row is committed at the moment a sweep has found out that there is none.
struct Late<'a> {
    media: &'a Media,
    rows: Rows,
    looks: Mutex<u32>,
    held: Mutex<Option<Stored>>,
}

impl Needed for Late<'_> {
    fn needed<'a>(&'a self, content: &'a ContentHash) -> BoxFuture<'a, Result<bool, LedgerError>> {
        async move {
            let first = {
                let mut looks = self.looks.lock().unwrap();
                *looks += 1;
                *looks == 1
            };
            if first {
                // Between the sweep's first look and its second.
                let stored = taken(self.media, b"same bytes").await;
                *self.held.lock().unwrap() = Some(stored);
                return Ok(false);
            }
            self.rows.needed(content).await
        }
        .boxed()
    }
}

#[tokio::test]
async fn an_upload_of_the_same_bytes_is_safe_from_a_sweep() {
    let (_folder, media) = opened().await;
    let orphan = taken(&media, b"same bytes").await;
    let content = orphan.content;
    drop(orphan);
    let late = Late { media: &media, rows: Rows::default(), looks: Mutex::default(), held: Mutex::default() };
    assert_eq!(media.sweep(&late).await.unwrap(), 0);
    assert_eq!(read(&media, content, 0, 10).await.unwrap(), b"same bytes");
}
