//! Pictures made into JPEGs that a channel takes. The one place where a file is whole in memory, and bounded there: in bytes,
//! in pixels, and in how many are made at once.

use std::collections::{HashMap, VecDeque};
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgb, RgbImage};
use tokio::sync::Semaphore;

use super::{Media, MediaError, Stored};
use crate::model::ContentHash;

/// Bytes of a picture that are read.
const MOST_BYTES: u64 = 32 << 20;
/// Its pixels.
const MOST_PIXELS: u64 = 50_000_000;
/// Bytes that a decoder may take for it.
const MOST_MEMORY: u64 = 300 << 20;
/// Pictures that are remembered to be made, or not to be makeable.
const REMEMBERED: usize = 256;
/// No picture is made smaller than so many pixels at its longer side.
const SMALLEST: u32 = 64;

/// A picture that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    /// Keeps the content from the sweep.
    _stored: Arc<Stored>,
}

/// Makes them, each once while it is remembered. The same bytes come out every time.
pub struct Pictures {
    media: Media,
    known: Mutex<Known>,
    /// One at a time: it takes a processor and much memory.
    turn: Semaphore,
}

type Wanted = (ContentHash, u64);

#[derive(Default)]
struct Known {
    made: HashMap<Wanted, Option<Made>>,
    order: VecDeque<Wanted>,
}

impl Pictures {
    pub fn new(media: Media) -> Pictures {
        Pictures { media, known: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// What is known of a JPEG of at most so many bytes: it is there, it cannot be made, or nothing.
    pub fn known(&self, content: ContentHash, most: u64) -> Option<Option<Made>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.made.get(&(content, most)).cloned()
    }

    /// Makes a JPEG of at most so many bytes of a picture of `size`; nothing where that cannot be done.
    pub async fn jpeg(&self, content: ContentHash, size: u64, most: u64) -> Option<Made> {
        // Never closed.
        let _turn = self.turn.acquire().await;
        if let Some(known) = self.known(content, most) {
            return known;
        }
        let made = match self.make(content, size, most).await {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(%error, "A picture cannot be made smaller");
                None
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.made.insert((content, most), made.clone()).is_none() {
            known.order.push_back((content, most));
        }
        while known.order.len() > REMEMBERED {
            if let Some(oldest) = known.order.pop_front() {
                known.made.remove(&oldest);
            }
        }
        made
    }

    async fn make(&self, content: ContentHash, size: u64, most: u64) -> Result<Option<Made>, MediaError> {
        if size > MOST_BYTES {
            return Ok(None);
        }
        let Some(chunks) = self.media.open_content(content, 0, size).await? else { return Ok(None) };
        let picture = chunks.try_fold(Vec::new(), |mut whole, chunk| async move {
            whole.extend_from_slice(&chunk);
            Ok(whole)
        });
        let picture = picture.await?;
        let made = tokio::task::spawn_blocking(move || smaller(&picture, most)).await;
        // A decoder that panicked on a stranger's bytes has made nothing.
        let Some(made) = made.ok().flatten() else { return Ok(None) };
        let mut intake = self.media.take(most).await?;
        intake.write(&made).await?;
        let stored = Arc::new(intake.finish().await?);
        Ok(Some(Made { content: stored.content, size: stored.size, _stored: stored }))
    }
}

/// What a picture is called after it was made into a JPEG.
pub fn jpeg_name(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("{stem}.jpg")
}

/// A JPEG of at most so many bytes of whatever picture these bytes are: first less exact, then smaller.
fn smaller(picture: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut image = upright(picture)?;
    let (mut qualities, mut jpeg) = ([85, 70, 55].iter(), Vec::new());
    let mut quality = *qualities.next()?;
    loop {
        jpeg.clear();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&image).ok()?;
        if jpeg.len() as u64 <= most {
            return Some(jpeg);
        }
        match qualities.next() {
            Some(next) => quality = *next,
            None => {
                let (width, height) = (image.width() * 3 / 4, image.height() * 3 / 4);
                if width.max(height) < SMALLEST {
                    return None;
                }
                image = image::imageops::resize(&image, width.max(1), height.max(1), FilterType::Triangle);
            }
        }
    }
}

/// Decodes, turns as the camera was held, and puts what can be seen through on white.
fn upright(picture: &[u8]) -> Option<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return None;
    }
    let orientation = decoder.orientation().ok()?;
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    image.apply_orientation(orientation);
    if !image.color().has_alpha() {
        return Some(image.into_rgb8());
    }
    let image = image.into_rgba8();
    let over = |value: u8, alpha: u8| {
        let (value, alpha) = (u16::from(value), u16::from(alpha));
        u8::try_from((value * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
    };
    Some(RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        Rgb([over(red, alpha), over(green, alpha), over(blue, alpha)])
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::media::Place;
    use image::{ImageFormat, Rgba, RgbaImage};

    fn noise(width: u32, height: u32) -> RgbaImage {
        let mut state = 1_u32;
        RgbaImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, _] = state.to_be_bytes();
            Rgba([a, b, c, 255])
        })
    }

    fn written(image: &RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::from(image.clone()).write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    #[test]
    fn every_format_becomes_a_jpeg_below_the_limit_and_the_same_one_each_time() {
        let image = noise(300, 200);
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff] {
            let picture = written(&image, format);
            for most in [1 << 20, 20_000, 3_000] {
                let jpeg = smaller(&picture, most).unwrap();
                assert!(
                    jpeg.len() as u64 <= most && jpeg.starts_with(&[0xFF, 0xD8, 0xFF]),
                    "{format:?} {most}"
                );
                assert_eq!(smaller(&picture, most), Some(jpeg));
            }
            assert_eq!(smaller(&picture, 100), None, "no picture is that small");
        }
    }

    #[test]
    fn a_picture_keeps_its_name_and_changes_its_ending() {
        for (before, after) in [("a.b.png", "a.b.jpg"), ("photo", "photo.jpg"), ("x.WEBP", "x.jpg")] {
            assert_eq!(jpeg_name(before), after);
        }
    }

    #[test]
    fn what_can_be_seen_through_is_white_behind() {
        let clear = RgbaImage::from_pixel(16, 16, Rgba([0, 0, 0, 0]));
        let jpeg = smaller(&written(&clear, ImageFormat::Png), 1 << 20).unwrap();
        let shown = image::load_from_memory(&jpeg).unwrap().into_rgb8();
        assert!(shown.pixels().all(|pixel| pixel.0.iter().all(|value| *value > 250)));
    }

    #[test]
    fn what_is_no_picture_or_too_large_a_one_is_none() {
        let png = written(&noise(8, 8), ImageFormat::Png);
        for bytes in [&b""[..], b"not a picture", &png[..png.len() / 2], b"\x89PNG\r\n\x1a\n"] {
            assert_eq!(smaller(bytes, 1 << 20), None);
        }
        // A small file that says it is 60,000 by 60,000.
        let mut bomb = png;
        bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        assert_eq!(smaller(&bomb, 1 << 20), None);
    }

    #[tokio::test]
    async fn a_picture_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::open(folder.path(), &Place::Files).await.unwrap();
        let png = written(&noise(64, 64), ImageFormat::Png);
        let mut intake = media.take(1 << 20).await.unwrap();
        intake.write(&png).await.unwrap();
        let stored = intake.finish().await.unwrap();
        let pictures = Pictures::new(media.clone());
        assert!(pictures.known(stored.content, 5_000).is_none());
        let made = pictures.jpeg(stored.content, stored.size, 5_000).await.unwrap();
        assert!(made.size <= 5_000);
        let known = pictures.known(stored.content, 5_000).unwrap().unwrap();
        assert_eq!((known.content, known.size), (made.content, made.size));
        assert!(media.open_content(made.content, 0, made.size).await.unwrap().is_some());
        // What is not there cannot be made anything of.
        assert!(pictures.jpeg(ContentHash::new([1; 32]), 10, 5_000).await.is_none());
        assert!(pictures.known(ContentHash::new([1; 32]), 5_000).unwrap().is_none());
    }
}
