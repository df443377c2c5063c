//! A file as the API shows it, alone and many at once.

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, Visit, json};
use crate::http::body::Body;
use crate::http::error::{self, ApiError};
use crate::model::MediaRecord;

/// Files that are asked for at once.
const MOST: usize = 100;

/// What is asked of many files at once.
#[derive(Deserialize)]
struct SetOrder {
    command: String,
    list: Vec<SetItem>,
}

#[derive(Deserialize)]
struct SetItem {
    media_sid: String,
}

impl Door {
    pub(super) fn shown(&self, visit: &Visit, record: &MediaRecord) -> Value {
        let account = visit.asker.account();
        let url = format!("{}/v1/Services/{}/Media/{}", visit.root, record.service, record.sid);
        let temporary =
            self.links.url(&visit.root, account.as_str(), record.sid.as_str(), None, self.links.ttl());
        json!({
            "sid": record.sid,
            "account_sid": account,
            "service_sid": record.service,
            "channel_sid": record.conversation,
            "message_sid": record.message,
            "date_created": record.created.rfc3339(),
            "date_upload_updated": record.created.rfc3339(),
            "date_updated": record.updated.rfc3339(),
            "size": record.size,
            "content_type": record.content_type,
            "filename": record.filename,
            "category": record.category.name(),
            "author": record.author,
            "is_multipart_upstream": false,
            "url": url,
            "links": {
                "content": format!("{url}/Content"),
                "content_direct_temporary": temporary,
            },
        })
    }

    pub(super) async fn set(&self, visit: &Visit, body: &[u8]) -> Result<Response<Body>, ApiError> {
        let order: SetOrder = serde_json::from_slice(body).map_err(|_| error::MEDIA_SET)?;
        if order.command != "get" || order.list.len() > MOST {
            return Err(error::MEDIA_SET.into());
        }
        let mut answers = Vec::with_capacity(order.list.len());
        for SetItem { media_sid } in order.list {
            answers.push(match self.seen(visit, &media_sid).await {
                Ok(record) => json!({ "code": 200, "media_record": self.shown(visit, &record) }),
                Err(error) if error.status().is_client_error() => {
                    json!({ "code": error.status().as_u16(), "media_sid": media_sid })
                }
                Err(other) => return Err(other),
            });
        }
        Ok(json(StatusCode::OK, &Value::Array(answers)))
    }
}
