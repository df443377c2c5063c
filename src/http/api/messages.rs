//! `/Conversations/{CH}/Messages`.

use std::collections::HashMap;

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::ids::well_formed;
use crate::model::{Conversation, MediaSid, MessageMedia};
use crate::relay::Relay;
use crate::relay::command::{MessageChange, MessageView, NewMessage};

/// Bytes of a body.
const BODY: usize = 32 * 1024;
/// Who a message is from when nobody says.
const SYSTEM: &str = "system";
/// Characters of a subject.
const SUBJECT: usize = 256;
/// Files of one message. The original takes one over REST.
const MOST_MEDIA: usize = 10;
/// Characters of all content variables, of the name of one, and of one.
const VARIABLES: (usize, usize, usize) = (27_801, 16, 256);

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let (account, service, conversation) = (&scope.account, &scope.service, call.conversation());
    let named = call.route.name(1);
    match (call.route.resource, call.method) {
        (Resource::Messages, &Method::POST) => {
            let new = posted(relay, &call.form)?;
            let (conversation, message) =
                relay.post_message(account, service, conversation, new, call.cause).await?;
            Ok(Answer::created(render(scope, &conversation, &message)))
        }
        (Resource::Messages, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
            let (conversation, message) =
                relay.update_message(account, service, conversation, named, change, call.cause).await?;
            Ok(Answer::shown(render(scope, &conversation, &message)))
        }
        (_, &Method::DELETE) => {
            relay.delete_message(account, service, conversation, named, call.cause).await?;
            Ok(Answer::gone())
        }
        _ => {
            let (conversation, message) = relay.message(account, service, conversation, named).await?;
            Ok(Answer::shown(render(scope, &conversation, &message)))
        }
    }
}

/// A message as a form describes it, made from its template where it names one.
pub(in crate::http) fn posted(relay: &Relay, form: &Form) -> Result<NewMessage, ApiError> {
    let mut new = new(form)?;
    if let Some(content) = content(form)? {
        let made = relay.templates().fill(&content.sid, &content.variables)?;
        new.body = Some(made.text.clone());
        new.template = Some(Box::new(made));
    }
    Ok(new)
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page = Page::read(&call.query, 100)?;
    let refused = || ApiError::parameter("Order is neither asc nor desc");
    let orders = [("asc", false), ("desc", true)];
    let descending = call.query.word("Order", &orders, refused)?.unwrap_or_default();
    let (account, service) = (&call.scope.account, &call.scope.service);
    let (conversation, mut found) = call
        .relay
        .messages(account, service, call.conversation(), descending, page.after, page.fetch())
        .await?;
    let next = page.cut(&mut found, |message| message.index);
    let records = found.iter().map(|message| render(&call.scope, &conversation, message)).collect();
    Ok(call.page(&page, "messages", records, next, &["Order"]))
}

fn author(form: &Form) -> Result<Option<String>, ApiError> {
    match form.get("Author") {
        Some(author) if fields::too_long(author) => Err(error::AUTHOR_TOO_LONG.into()),
        Some("") => Ok(Some(SYSTEM.to_owned())),
        author => Ok(author.map(str::to_owned)),
    }
}

fn body(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("Body") {
        Some(body) if body.len() > BODY => Err(error::BODY_TOO_LONG.into()),
        body => Ok(body),
    }
}

/// No channel here carries a subject; whoever reads the conversation with the SDK sees it.
fn subject(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("Subject") {
        Some(subject) if subject.chars().count() > SUBJECT => {
            Err(ApiError::parameter("Subject is longer than 256 characters"))
        }
        subject => Ok(subject),
    }
}

/// What a message is to be made from.
#[derive(Debug)]
struct ContentOf {
    sid: String,
    variables: HashMap<String, String>,
}

fn content(form: &Form) -> Result<Option<ContentOf>, ApiError> {
    let given = form.filled("ContentVariables");
    let Some(sid) = form.filled("ContentSid") else {
        return if given.is_some() { Err(error::VARIABLES_ALONE.into()) } else { Ok(None) };
    };
    if !well_formed(sid, "HX") {
        return Err(error::CONTENT_SID.into());
    }
    let (most, longest_name, longest) = VARIABLES;
    let text = given.unwrap_or("{}");
    if text.chars().count() > most {
        return Err(error::VARIABLES_TOO_LONG.into());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(error::CONTENT_VARIABLES.into());
    };
    let mut variables = HashMap::new();
    for (name, value) in object {
        let value = match value {
            Value::String(value) => value,
            Value::Number(value) => value.to_string(),
            _ => return Err(error::CONTENT_VARIABLES.into()),
        };
        if name.chars().count() > longest_name {
            return Err(error::VARIABLE_NAME_TOO_LONG.into());
        }
        if value.chars().count() > longest {
            return Err(error::VARIABLE_TOO_LONG.into());
        }
        variables.insert(name, value);
    }
    Ok(Some(ContentOf { sid: sid.to_owned(), variables }))
}

fn new(form: &Form) -> Result<NewMessage, ApiError> {
    // A template's text stands for both body and media.
    let templated = form.filled("ContentSid").is_some();
    let body = if templated { None } else { body(form)?.filter(|body| !body.is_empty()) };
    let media = if templated { Vec::new() } else { media_sids(form)? };
    if body.is_none() && media.is_empty() && !templated {
        return Err(match form.filled("ContentVariables") {
            Some(_) => error::VARIABLES_ALONE.into(),
            None => error::NOTHING_TO_POST.into(),
        });
    }
    let (created, updated) = fields::dates(form)?;
    Ok(NewMessage {
        author: author(form)?.unwrap_or_else(|| SYSTEM.to_owned()),
        template: None,
        media,
        body: body.map(str::to_owned),
        subject: subject(form)?.filter(|subject| !subject.is_empty()).map(str::to_owned),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        created,
        updated,
    })
}

pub(in crate::http) fn change(form: &Form) -> Result<MessageChange, ApiError> {
    if !form.any(&["Author", "Body", "Subject", "Attributes", "DateCreated", "DateUpdated"]) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let (created, updated) = fields::dates(form)?;
    Ok(MessageChange {
        parts: None,
        by: Some(SYSTEM.to_owned()),
        author: author(form)?,
        body: fields::change(body(form)?),
        subject: fields::change(subject(form)?),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        created,
        updated,
    })
}

/// The files of a message as records show them; nothing where there are none.
fn media(media: &[MessageMedia]) -> Option<Vec<Value>> {
    let shown = |one: &MessageMedia| {
        json!({
            "sid": one.sid,
            "size": one.size,
            "content_type": one.content_type,
            "filename": one.filename,
            "category": one.category.name(),
        })
    };
    (!media.is_empty()).then(|| media.iter().map(shown).collect())
}

/// The files a message is to carry.
fn media_sids(form: &Form) -> Result<Vec<MediaSid>, ApiError> {
    let mut sids: Vec<MediaSid> = Vec::new();
    for text in form.all("MediaSid").filter(|text| !text.is_empty()) {
        let sid = MediaSid::parse(text).ok_or(error::MEDIA_SID)?;
        if sids.len() == MOST_MEDIA || sids.contains(&sid) {
            return Err(error::TOO_MANY_MEDIA.into());
        }
        sids.push(sid);
    }
    Ok(sids)
}

pub(super) fn render(scope: &Scope, conversation: &Conversation, message: &MessageView) -> Value {
    let record = &message.record;
    let url = scope.url(&format!("/Conversations/{}/Messages/{}", conversation.sid(), record.sid));
    let delivery = message.delivery.map(|summary| {
        json!({
            "total": summary.total,
            "sent": summary.sent.name(),
            "delivered": summary.delivered.name(),
            "read": summary.read.name(),
            "failed": summary.failed.name(),
            "undelivered": summary.undelivered.name(),
        })
    });
    scope.sign(json!({
        "account_sid": scope.account,
        "conversation_sid": conversation.sid(),
        "sid": record.sid,
        "index": message.index,
        "author": record.author,
        "body": record.body,
        "media": media(&record.media),
        "attributes": record.attributes,
        "participant_sid": record.participant,
        "date_created": record.created.rfc3339(),
        "date_updated": record.updated.rfc3339(),
        "delivery": delivery,
        "content_sid": record.template.as_ref().map(|template| &template.sid),
        "links": {
            "delivery_receipts": format!("{url}/Receipts"),
            "channel_metadata": format!("{url}/ChannelMetadata"),
        },
        "url": url,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::relay::command::Change;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn posting() {
        let made = new(&form("body=Hello+there")).unwrap();
        assert_eq!((made.author.as_str(), made.body.as_deref()), ("system", Some("Hello there")));
        assert_eq!(new(&form("Author=&Body=x")).unwrap().author, "system");
        assert!(new(&form(&format!("Body={}", "a".repeat(32 * 1024)))).is_ok());
        for (text, code) in [
            (String::new(), 50503),
            ("Body=".to_owned(), 50503),
            (format!("Body={}", "a".repeat(32 * 1024 + 1)), 50504),
            (format!("Body=x&Author={}", "a".repeat(257)), 50310),
            ("Body=x&Attributes=nope".to_owned(), 50304),
            (format!("Body=x&Attributes=%22{}%22", "a".repeat(4096)), 50303),
            ("Body=x&MediaSid=ME1".to_owned(), 50510),
            (format!("MediaSid={0}&MediaSid={0}", format!("ME{}", "0".repeat(32))), 20001),
            ("ContentVariables=%7B%7D".to_owned(), 50528),
        ] {
            assert_eq!(new(&form(&text)).unwrap_err().code(), code);
        }
    }

    #[test]
    fn what_a_message_is_made_from() {
        let sid = format!("HX{}", "0".repeat(32));
        let of = |variables: &str| {
            let encoded = form_urlencoded::Serializer::new(String::new())
                .append_pair("ContentSid", &sid)
                .append_pair("ContentVariables", variables)
                .finish();
            content(&form(&encoded)).map(|content| content.unwrap().variables)
        };
        assert_eq!(
            of(r#"{"1":"a","n":7}"#).unwrap(),
            HashMap::from([("1", "a"), ("n", "7")].map(|(a, b)| (a.into(), b.into())))
        );
        assert!(of("").unwrap().is_empty());
        assert!(of(&format!(r#"{{"{}":"{}"}}"#, "k".repeat(16), "ü".repeat(256))).is_ok());
        let many: Vec<String> = (0..120).map(|n| format!(r#""{n}":"{}""#, "v".repeat(250))).collect();
        for (variables, code) in [
            ("[]".to_owned(), 50527),
            ("nope".to_owned(), 50527),
            (r#"{"1":[]}"#.to_owned(), 50527),
            (r#"{"1":null}"#.to_owned(), 50527),
            (format!("{{{}}}", many.join(",")), 50529),
            (format!(r#"{{"{}":"a"}}"#, "k".repeat(17)), 50540),
            (format!(r#"{{"1":"{}"}}"#, "v".repeat(257)), 50541),
        ] {
            assert_eq!(of(&variables).unwrap_err().code(), code);
        }
        assert_eq!(content(&form("ContentSid=HX1")).unwrap_err().code(), 50526);
        assert_eq!(content(&form("ContentVariables=%7B%7D")).unwrap_err().code(), 50528);
        assert!(content(&form("Body=x")).unwrap().is_none());
    }

    #[test]
    fn updating() {
        let made = change(&form("Body=&Author=bob")).unwrap();
        assert_eq!((made.body, made.author.as_deref(), made.attributes), (Change::Clear, Some("bob"), None));
        assert_eq!(change(&form("")).unwrap_err().code(), 20161);
    }
}
