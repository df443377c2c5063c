//! `/Conversations/{CH}/Export`: a conversation whole, as JSON lines. An extension of ours.
//!
//! A page is read when the one before has left, each as of its own moment, so a slow reader holds neither memory nor a
//! view of the store. Messages that came after the export began are not in it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::Request;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{addressed, conversations, messages, participants, receipts};
use crate::http::error::ApiError;
use crate::http::route::Route;
use crate::model::{AccountSid, Conversation};
use crate::relay::{Relay, RelayError};

/// Messages read at a time.
const PAGE: usize = 16;

/// Where an export stands.
struct Walk {
    relay: Arc<Relay>,
    scope: Scope,
    conversation: Arc<Conversation>,
    next: Next,
    told: u64,
}

enum Next {
    Opening,
    Messages { beyond: Option<u64> },
    Nothing,
}

/// The lines of a conversation's export.
///
/// # Errors
/// Before the first line only. What fails later breaks the answer off, and the last line is missing.
pub async fn export(
    relay: &Arc<Relay>,
    account: AccountSid,
    root: Arc<str>,
    route: &Route,
    request: &Request<Bytes>,
) -> Result<BoxStream<'static, io::Result<Bytes>>, ApiError> {
    let named = |error: RelayError| addressed(error.into(), route, request.uri().path());
    let service = match &route.service {
        Some(sid) => relay.service(&account, sid).await,
        None => relay.default_service(&account).await,
    };
    let service = service.map_err(named)?.sid;
    let conversation = relay.conversation(&account, &service, route.name(0)).await.map_err(named)?;
    let scope = Scope::new(account, service, route.service.is_some(), root);
    let walk = Walk { relay: Arc::clone(relay), scope, conversation, next: Next::Opening, told: 0 };
    let pages = stream::try_unfold(walk, |walk| async move {
        walk.page().await.map_err(|error| {
            tracing::warn!(%error, "An export breaks off");
            io::Error::other(error)
        })
    });
    Ok(pages.map_ok(Bytes::from).boxed())
}

impl Walk {
    async fn page(mut self) -> Result<Option<(Vec<u8>, Walk)>, RelayError> {
        let mut lines = Vec::new();
        match self.next {
            Next::Nothing => return Ok(None),
            Next::Opening => {
                let Walk { scope, conversation, .. } = &self;
                line(&mut lines, "conversation", conversations::render(scope, conversation));
                for member in conversation.members.iter() {
                    let record = participants::render(scope, conversation, &member.record);
                    line(&mut lines, "participant", record);
                }
                self.next = Next::Messages { beyond: None };
            }
            Next::Messages { beyond } => {
                let sid = self.conversation.sid().as_str();
                let mut page = self.relay.exported(&self.scope.account, sid, beyond, PAGE).await?;
                let whole = page.len() == PAGE;
                page.retain(|(message, _)| message.index < self.conversation.head.next_index);
                let last = page.last().map(|(message, _)| message.index);
                for (message, known) in &page {
                    let (scope, conversation) = (&self.scope, &self.conversation);
                    let mut record = messages::render(scope, conversation, message);
                    let of = &message.record.sid;
                    record["delivery_receipts"] = known
                        .iter()
                        .map(|receipt| receipts::render(scope, conversation, of, receipt))
                        .collect();
                    record["parts"] = serde_json::to_value(message.record.parts()).unwrap_or_default();
                    line(&mut lines, "message", record);
                }
                self.told += page.len() as u64;
                self.next = match last {
                    Some(last) if whole => Next::Messages { beyond: Some(last) },
                    _ => {
                        line(&mut lines, "end", json!({ "messages": self.told }));
                        Next::Nothing
                    }
                };
            }
        }
        Ok(Some((lines, self)))
    }
}

/// Adds a line; what it is stands in front of the resource's own keys.
fn line(lines: &mut Vec<u8>, object: &str, mut record: Value) {
    record["object"] = object.into();
    lines.extend_from_slice(record.to_string().as_bytes());
    lines.push(b'\n');
}
