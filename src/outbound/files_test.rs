//! Messages with files on their way through a lane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_adapter::{MediaFile, MediaLimits, MediaReader, MediaRule};

use super::house_test::*;

static RULES: [MediaRule; 1] = [MediaRule { types: &["image/jpeg"], most: 100, caption: 20 }];
const LOST: u32 = 7;

/// Files of which a JPEG is there once it was made, unless it cannot be made.
struct Shelf {
    made: AtomicUsize,
    makeable: bool,
}

struct Nothing;

impl MediaReader for Nothing {
    fn open(
        &self,
    ) -> BoxFuture<'_, std::io::Result<futures_util::stream::BoxStream<'static, std::io::Result<Bytes>>>>
    {
        Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) })
    }
}

impl Files for Shelf {
    fn ready(&self, media: &MessageMedia, jpeg: Option<u64>) -> Ready {
        if jpeg.is_some() && self.made.load(Ordering::Relaxed) == 0 {
            return Ready::NotYet;
        }
        if jpeg.is_some() && !self.makeable {
            return Ready::Never;
        }
        Ready::Now(Box::new(MediaFile {
            key: media.content.to_string(),
            size: media.size,
            content_type: media.content_type.clone(),
            filename: None,
            caption: None,
            link: "link".to_owned(),
            reader: Arc::new(Nothing),
        }))
    }

    fn make(&self, _: &MessageMedia, _: u64) -> BoxFuture<'static, ()> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::pin(tokio::time::sleep(SECOND))
    }

    fn link(&self, media: &MessageMedia) -> String {
        format!("https://b.example/media/{}", media.content_type)
    }
}

/// A house whose channel takes small JPEGs.
async fn house(makeable: bool) -> (House, Arc<Scripted>, Arc<Shelf>) {
    let mut house = House::new(|_, _| unreachable!()).await;
    let shelf = Arc::new(Shelf { made: AtomicUsize::new(0), makeable });
    house.around.files = shelf.clone();
    let media = Some(MediaLimits { rules: &RULES, lost: LOST });
    let provider = Arc::new(Scripted {
        capabilities: Capabilities { media, ..capabilities() },
        clock: house.around.clock,
        sent: Mutex::default(),
        script: Mutex::new(Box::new(|_, number| (MILLI, accepted(number)))),
    });
    house.plan.adapter = provider.clone();
    house.start().await;
    (house, provider, shelf)
}

/// A message with these files; those without a row were removed.
async fn post(house: &mut House, text: &str, files: &[(&str, u64, bool)]) -> (u64, ReceiptSid) {
    let mint = &house.around.mint.clone();
    let media: Vec<MessageMedia> = files
        .iter()
        .map(|(content_type, size, _)| MessageMedia {
            sid: MediaSid::new(mint),
            content: ContentHash::new([1; 32]),
            size: *size,
            content_type: (*content_type).to_owned(),
            filename: None,
            category: MediaCategory::Media,
        })
        .collect();
    let mut batch = Batch::default();
    for (one, (_, _, there)) in media.iter().zip(files) {
        if *there {
            batch.put(tables::media(ACCOUNT, one.sid.as_str()), "{}");
        }
    }
    house.around.ledger.commit(batch).await.unwrap();
    house.post_with(&number(0), text, None, media).await
}

fn sent(provider: &Scripted) -> Vec<(bool, String)> {
    let sent = provider.sent.lock().unwrap();
    sent.iter().map(|(_, out)| (matches!(out.content, Content::Media(_)), body(out))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_made_once_before_it_leaves_and_others_do_not_wait_for_it() {
    let (mut house, provider, shelf) = house(true).await;
    let files = [("image/png", 1, true), ("application/pdf", 1, true)];
    let posted = post(&mut house, "look", &files).await;
    house.post(&number(1), "meanwhile").await;
    house.pass(SECOND / 2).await;
    assert_eq!(sent(&provider), [(false, "meanwhile".to_owned())]);
    house.pass(SECOND).await;
    let link = "https://b.example/media/application/pdf".to_owned();
    assert_eq!(sent(&provider)[1..], [(true, "look".to_owned()), (false, link)]);
    assert_eq!(shelf.made.load(Ordering::Relaxed), 1);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!(receipt.provider_ids.len(), 2);
    assert_eq!(house.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_goes_as_a_link_with_its_caption() {
    let (mut house, provider, _) = house(false).await;
    post(&mut house, "look", &[("image/png", 1, true)]).await;
    house.pass(SECOND * 3).await;
    assert_eq!(sent(&provider), [(false, "look\nhttps://b.example/media/image/png".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_removed_fails_the_receipt_with_the_channels_code() {
    let (mut house, provider, _) = house(true).await;
    let posted = post(&mut house, "look", &[("image/jpeg", 1, true), ("image/jpeg", 1, false)]).await;
    house.pass(SECOND).await;
    assert_eq!(sent(&provider), [(true, "look".to_owned())]);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), LOST));
}

/// The provider answers a file like this, and takes every text.
fn answering(provider: &Scripted, file: impl Fn() -> Outcome + Send + 'static) {
    *provider.script.lock().unwrap() = Box::new(move |out, number| match &out.content {
        Content::Media(_) => (MILLI, file()),
        _ => (MILLI, accepted(number)),
    });
}

const LINK: &str = "https://b.example/media/image/jpeg";

fn cause() -> Cause {
    Cause { code: 30019, text: "too large".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_the_provider_refuses_goes_as_a_link_and_so_does_the_next() {
    let (mut house, provider, _) = house(true).await;
    answering(&provider, || Outcome::Rejected { blame: Blame::File, cause: cause() });
    let posted = post(&mut house, "look", &[("image/jpeg", 1, true), ("image/jpeg", 2, true)]).await;
    house.pass(SECOND).await;
    let (one, two) = ((false, format!("look\n{LINK}")), (false, LINK.to_owned()));
    assert_eq!(sent(&provider), [(true, "look".to_owned()), one, (true, String::new()), two]);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Sent), 0));
    let refused: Vec<_> = receipt.attempts.iter().map(|attempt| (attempt.end, attempt.code)).collect();
    assert_eq!(refused, [(AttemptEnd::FileRefused, 30019), (AttemptEnd::FileRefused, 30019)]);
    assert_eq!(house.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_taken_after_all_its_tries_goes_as_a_link_however_often_that_is_tried() {
    let (mut house, provider, _) = house(true).await;
    let texts = AtomicUsize::new(0);
    *provider.script.lock().unwrap() = Box::new(move |out, number| match &out.content {
        Content::Media(_) => (MILLI, Outcome::Retryable { after: None, tries: Some(2), cause: cause() }),
        _ if texts.fetch_add(1, Ordering::Relaxed) < 12 => {
            (MILLI, Outcome::Retryable { after: Some(MILLI), tries: None, cause: cause() })
        }
        _ => (MILLI, accepted(number)),
    });
    let posted = post(&mut house, "", &[("image/jpeg", 1, true)]).await;
    house.pass(SECOND * 3600).await;
    let sent = sent(&provider);
    assert_eq!(sent.iter().filter(|(file, _)| *file).count(), 2, "{sent:?}");
    assert_eq!(sent[2..], vec![(false, LINK.to_owned()); 13]);
    assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Sent));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_about_the_file_ends_it() {
    let (mut house, provider, _) = house(true).await;
    answering(&provider, || Outcome::Rejected { blame: Blame::Recipient, cause: cause() });
    let posted = post(&mut house, "look", &[("image/jpeg", 1, true)]).await;
    house.pass(SECOND).await;
    assert_eq!(sent(&provider).len(), 1);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30019));
}
