//! `POST /v1/Services/{IS}/Media`: the file as it is, or as the one file of a form.

use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::multipart::{Event, PartHead, Splitter};
use super::{Asker, Door, Visit};
use crate::http::body::{BodyError, Streamed};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::media::{self, Intake};
use crate::model::{MediaCategory, MediaRecord};
use crate::relay::media::NewMedia;

/// Who a file is from when the account uploads it.
const SYSTEM: &str = "system";
/// Characters of a file's name.
const LONGEST_NAME: usize = 255;

/// What is known of a file besides its bytes.
#[derive(Default)]
struct About {
    content_type: Option<String>,
    filename: Option<String>,
}

impl Door {
    pub(super) async fn take(
        &self,
        visit: &Visit,
        head: &Parts,
        body: &mut Streamed,
    ) -> Result<MediaRecord, ApiError> {
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes())?;
        let category = match query.filled("Category") {
            None => MediaCategory::default(),
            Some(name) => MediaCategory::parse(&name.to_ascii_lowercase())
                .ok_or_else(|| ApiError::parameter("Category is none of media, body and history"))?,
        };
        let declared = match head.headers.get(CONTENT_TYPE).map(|value| value.to_str().map(str::trim)) {
            None => None,
            Some(Ok(declared)) if media::well_formed(declared) => Some(declared),
            Some(_) => return Err(error::MEDIA_CONTENT_TYPE.into()),
        };
        if self.relay.full() {
            return Err(crate::relay::RelayError::Full.into());
        }
        let mut intake = self.media.take(body.most()).await?;
        let form = declared.is_some_and(|declared| {
            let kind = declared.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("multipart/form-data")
        });
        let mut about = if form {
            let splitter = declared.and_then(Splitter::of).ok_or(error::MEDIA_FORM)?;
            file_of_form(splitter, &mut intake, body).await?
        } else {
            while let Some(piece) = body.next().await? {
                intake.write(&piece).await?;
            }
            About { content_type: declared.map(str::to_owned), filename: None }
        };
        if let Some(name) = query.filled("Filename") {
            about.filename = Some(name.to_owned());
        }
        if intake.size() == 0 {
            return Err(error::MEDIA_EMPTY.into());
        }
        let stored = intake.finish().await?;
        let new = NewMedia {
            content: stored.content,
            size: stored.size,
            content_type: media::content_type(about.content_type.as_deref(), stored.sniffed),
            filename: about.filename.as_deref().and_then(plain_name),
            category,
            author: match &visit.asker {
                Asker::Account(_) => SYSTEM.to_owned(),
                Asker::Person(_, caller) => caller.identity.clone(),
            },
        };
        // The content is pinned by `stored` until this has been committed.
        let record = self.relay.keep_media(visit.asker.account(), &visit.service, new).await?;
        drop(stored);
        Ok(record)
    }
}

/// Takes the one file of a form in. Fields without a file's name, such as a category, are passed over.
async fn file_of_form(
    mut splitter: Splitter,
    intake: &mut Intake,
    body: &mut Streamed,
) -> Result<About, ApiError> {
    let (mut found, mut inside, mut whole) = (None, false, false);
    while let Some(piece) = body.next().await? {
        splitter.feed(&piece);
        while let Some(event) = splitter.next_event().map_err(|_| error::MEDIA_FORM)? {
            match event {
                Event::Part(PartHead { filename, content_type, .. }) => {
                    // A part with a type of its own is a file, named or not.
                    inside = filename.is_some() || content_type.is_some();
                    if inside && found.replace(About { content_type, filename }).is_some() {
                        return Err(error::MEDIA_SEVERAL.into());
                    }
                }
                Event::Data(data) if inside => intake.write(&data).await?,
                Event::Data(_) => {}
                Event::End => {
                    whole = true;
                    break;
                }
            }
        }
    }
    found.filter(|_| whole).ok_or_else(|| error::MEDIA_FORM.into())
}

/// A name without the folders it came from, and without what cannot be shown.
fn plain_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = name.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    let plain = plain.trim().to_owned();
    (!plain.is_empty() && plain != "." && plain != "..").then_some(plain)
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        match error {
            BodyError::TooLarge => error::MEDIA_TOO_LARGE.into(),
            BodyError::Broken => error::BODY_BROKEN.into(),
            BodyError::Slow => error::TOO_SLOW.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        for (given, kept) in [
            ("cat.png", Some("cat.png")),
            ("C:\\Users\\ann\\cat.png", Some("cat.png")),
            ("../../etc/passwd", Some("passwd")),
            ("a\r\nX: y.png", Some("aX: y.png")),
            ("..", None),
            (" / ", None),
            ("", None),
        ] {
            assert_eq!(plain_name(given).as_deref(), kept, "{given}");
        }
        assert_eq!(plain_name(&"ü".repeat(300)).map(|name| name.chars().count()), Some(255));
    }
}
