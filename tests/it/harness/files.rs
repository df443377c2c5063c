//! Files on their way to people, and what they are expected to be when they arrive.

use bytes::Bytes;
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use trunkline::media::{Media, Pictures, Place};

use super::sink::Sent;
use super::world::World;
use As::{Itself, Jpeg, Link};

/// How a file reaches somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// Byte for byte.
    Itself,
    /// As a JPEG below so many bytes.
    Jpeg(u64),
    /// A link in a text.
    Link,
}

/// What channels take of a picture.
pub const MMS: u64 = 4_990_000;
pub const WA: u64 = 5_000_000;
pub const FB: u64 = 8_000_000;

/// A file, its type, and how it reaches somebody by SMS, WhatsApp and Messenger.
pub struct Case {
    pub name: &'static str,
    pub content_type: &'static str,
    pub content: Bytes,
    pub reaches: [As; 3],
}

impl Case {
    fn new(name: &'static str, content_type: &'static str, content: Bytes, reaches: [As; 3]) -> Case {
        Case { name, content_type, content, reaches }
    }
}

macro_rules! case {
    ($name:literal, $type:literal, $sms:expr, $wa:expr, $page:expr) => {
        Case::new(
            $name,
            $type,
            Bytes::from_static(include_bytes!(concat!("../media/", $name))),
            [$sms, $wa, $page],
        )
    };
}

/// Files within every limit; where a channel does not take one for its type, it goes otherwise.
pub fn small() -> Vec<Case> {
    vec![
        case!("photo.jpg", "image/jpeg", Itself, Itself, Itself),
        case!("drawing.png", "image/png", Itself, Itself, Itself),
        case!("sticker.webp", "image/webp", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
        case!("moving.gif", "image/gif", Itself, Itself, Itself),
        case!("scan.bmp", "image/bmp", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
        case!("scan.tiff", "image/tiff", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
        case!("photo.heic", "image/heic", Link, Itself, Itself),
        case!("page.pdf", "application/pdf", Itself, Itself, Itself),
        case!("voice.opus", "audio/ogg", Itself, Itself, Itself),
        case!("song.mp3", "audio/mpeg", Itself, Itself, Itself),
        case!("note.amr", "audio/amr", Itself, Itself, Itself),
        case!("clip.aac", "audio/aac", Link, Itself, Itself),
        case!("memo.m4a", "audio/mp4", Itself, Itself, Itself),
        case!("ring.wav", "audio/wav", Link, Itself, Itself),
        case!("film.mp4", "video/mp4", Itself, Itself, Itself),
        case!("film.3gp", "video/3gpp", Itself, Itself, Itself),
        case!("ann.vcf", "text/vcard", Itself, Itself, Itself),
        case!("meeting.ics", "text/calendar", Itself, Itself, Itself),
        case!("notes.txt", "text/plain", Link, Itself, Itself),
        case!(
            "letter.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Link,
            Itself,
            Itself
        ),
    ]
}

/// A file above what channels take: where it was made of another, that one with a long end.
pub fn large() -> Vec<Case> {
    let padded = |content: &'static [u8], size: usize| {
        let mut whole = content.to_vec();
        whole.resize(size, b'\n');
        Bytes::from(whole)
    };
    let png = noise(1700, 1650, ImageFormat::Png);
    let jpeg = noise(1900, 1700, ImageFormat::Jpeg);
    assert!(png.len() as u64 > FB && (WA + 1..FB).contains(&(jpeg.len() as u64)), "{}", jpeg.len());
    vec![
        Case::new("noise.jpg", "image/jpeg", jpeg, [Jpeg(MMS), Jpeg(WA), Itself]),
        Case::new("noise.png", "image/png", png, [Jpeg(MMS), Jpeg(WA), Jpeg(FB)]),
        // It begins like a picture and is none.
        Case::new("broken.png", "image/png", padded(b"\x89PNG\r\n\x1a\n", 8_100_000), [Link, Link, Link]),
        Case::new(
            "long.gif",
            "image/gif",
            padded(include_bytes!("../media/moving.gif"), 8_200_000),
            [Link, Itself, Itself],
        ),
        Case::new(
            "long.heic",
            "image/heic",
            padded(include_bytes!("../media/photo.heic"), 5_100_000),
            [Link, Itself, Itself],
        ),
        Case::new(
            "long.mp4",
            "video/mp4",
            padded(include_bytes!("../media/film.mp4"), 16_100_000),
            [Link, Itself, Itself],
        ),
        Case::new(
            "long.opus",
            "audio/ogg",
            padded(include_bytes!("../media/voice.opus"), 25_100_000),
            [Link, Itself, Link],
        ),
        Case::new(
            "long.pdf",
            "application/pdf",
            padded(include_bytes!("../media/page.pdf"), 25_200_000),
            [Link, Itself, Link],
        ),
    ]
}

/// A picture that cannot be made much smaller.
fn noise(width: u32, height: u32, format: ImageFormat) -> Bytes {
    let mut state = 1_u32;
    let picture = image::RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        image::Rgb([a, b, c])
    });
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Jpeg => JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture).unwrap(),
        other => picture.write_to(&mut std::io::Cursor::new(&mut bytes), other).unwrap(),
    }
    bytes.into()
}

/// Makes the pictures that the daemon is expected to make.
pub struct Maker {
    pictures: Pictures,
    media: Media,
    _folder: tempfile::TempDir,
}

impl Maker {
    pub async fn new() -> Maker {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::open(folder.path(), &Place::Files).await.unwrap();
        Maker { pictures: Pictures::new(media.clone()), media, _folder: folder }
    }

    /// The SHA-256 of what reaches somebody.
    pub async fn digest(&self, content: &[u8], reaches: As) -> String {
        let mut intake = self.media.take(1 << 30).await.unwrap();
        intake.write(content).await.unwrap();
        let stored = intake.finish().await.unwrap();
        match reaches {
            Itself | Link => stored.content.to_string(),
            Jpeg(most) => {
                let made = self.pictures.jpeg(stored.content, stored.size, most).await.unwrap();
                assert!(made.size <= most);
                made.content.to_string()
            }
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Our links in a text.
pub fn link(text: &str) -> Option<&str> {
    text.lines().last().filter(|line| line.starts_with("http://bridge.test/media/"))
}

/// The sends to somebody that bring a file or a link to one, in their order, once there are so many.
pub async fn brought(world: &World, to: &str, count: usize) -> Vec<Sent> {
    let brings = |sent: &Sent| {
        let file = sent.submission.as_ref().is_some_and(|submission| !submission.media.is_empty());
        sent.taken() && sent.to() == to && (file || link(sent.text()).is_some())
    };
    let enough = |all: &[Sent]| all.iter().filter(|sent| brings(sent)).count() >= count;
    let all = world.sink.wait(&format!("{count} files for {to}"), enough).await;
    all.into_iter().filter(brings).collect()
}

/// Uploads a file over the API; gives its SID.
pub async fn uploaded(world: &World, content_type: &str, name: &str, content: Bytes) -> String {
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let service = service["default_chat_service_sid"].as_str().unwrap();
    let url = format!("{}/v1/Services/{service}/Media?Filename={name}", world.client.base);
    let request = world.client.http.post(url).basic_auth(&world.client.user, Some(&world.client.password));
    let request = request.header("content-type", content_type).body(content);
    let answer = crate::harness::read(request.send().await.unwrap()).await.unwrap();
    answer.expect(201)["sid"].as_str().unwrap().to_owned()
}

pub fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}
