//! The synchronised view's objects, read: what they are, and their items in pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::Asked;
use super::{Given, Guest};
use crate::http::error::{self, ApiError};
use crate::ledger::LedgerError;
use crate::relay::RelayError;
use crate::sync::{Entry, ItemKey, Kind, Object, Place, Reader, item_url};

/// Items in a page, where nothing is said and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 100;
/// Bytes of a key that a client asks for.
const LONGEST_KEY: usize = 300;

/// An object that the caller may see. One they may not see is not there.
async fn seen(guest: &Guest, reader: &Reader<'_>, kind: &str, name: &str) -> Result<Object, ApiError> {
    let object = Object::parse(name).filter(|object| object.kind().plural() == kind);
    let object = object.ok_or(error::NO_OBJECT)?;
    match guest.may_see(reader, &object).await.map_err(RelayError::from)? {
        true => Ok(object),
        false => Err(error::NO_OBJECT.into()),
    }
}

pub(super) async fn show(
    guest: &Guest,
    kind: &str,
    name: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let snapshot = guest.house.hub.snapshot();
    let reader = guest.house.hub.reader(&*snapshot, &guest.session.realm);
    let object = seen(guest, &reader, kind, name).await?;
    Ok(Given::Shown(described(guest, &reader, &object, asked).await.map_err(RelayError::from)?))
}

async fn described(
    guest: &Guest,
    reader: &Reader<'_>,
    object: &Object,
    asked: &Asked<'_>,
) -> Result<Value, LedgerError> {
    let (kind, name, number) = (object.kind(), object.name(), reader.snapshot.number());
    let url = format!("{}/v3/{}/{name}", guest.root, kind.plural());
    let (created, updated) = reader.dates(object).await?;
    let mut shown = json!({
        "sid": name,
        "unique_name": name,
        "url": url,
        "revision": number.to_string(),
        // The view is whole up to this number: a subscription from here on misses nothing.
        "last_event_id": number,
        "date_created": created.rfc3339_millis(),
        "date_updated": updated.rfc3339_millis(),
        "date_expires": null,
    });
    if kind == Kind::Document {
        let entry = reader.entry(object, &ItemKey::Whole).await?;
        shown["data"] = entry.and_then(|entry| entry.shown).map_or(Value::Null, |found| found.data);
        return Ok(shown);
    }
    shown["links"] = json!({ "items": format!("{url}/Items") });
    if asked.query.filled("Include") == Some("items") {
        let entries = reader.page(object, &Place::Edge, false, LARGEST_PAGE).await?;
        shown["items"] = entries.into_iter().filter_map(|entry| item(kind, &name, entry)).collect();
    }
    Ok(shown)
}

/// Where a page begins, and which way it goes: all that the next or the previous one needs.
#[derive(Serialize, Deserialize)]
struct Token {
    /// The item behind which it begins.
    #[serde(rename = "k")]
    key: Anchor,
    #[serde(rename = "n")]
    size: usize,
    #[serde(rename = "d")]
    descending: bool,
    /// It ends at the item instead, and begins as many items before.
    #[serde(rename = "b", default)]
    back: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Anchor {
    Index(u64),
    Key(String),
}

impl Token {
    fn write(key: &ItemKey, size: usize, descending: bool, back: bool) -> Option<String> {
        let key = match key {
            ItemKey::Whole => return None,
            ItemKey::Index(index) => Anchor::Index(*index),
            ItemKey::Key(key) => Anchor::Key(key.clone()),
        };
        let token = Token { key, size, descending, back };
        Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default()))
    }

    fn read(text: &str) -> Result<Token, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ApiError::from(error::PAGE_TOKEN))?;
        serde_json::from_slice(&bytes).map_err(|_| error::PAGE_TOKEN.into())
    }

    fn anchor(&self) -> ItemKey {
        match &self.key {
            Anchor::Index(index) => ItemKey::Index(*index),
            Anchor::Key(key) => ItemKey::Key(key.clone()),
        }
    }
}

/// What a client wants of an object's items.
struct Wanted {
    place: Place,
    size: usize,
    descending: bool,
    back: bool,
}

impl Wanted {
    fn read(kind: Kind, asked: &Asked<'_>) -> Result<Wanted, ApiError> {
        let query = &asked.query;
        if let Some(token) = query.filled("PageToken") {
            let token = Token::read(token)?;
            let size = token.size.clamp(1, LARGEST_PAGE);
            let place = Place::Behind(token.anchor());
            return Ok(Wanted { place, size, descending: token.descending, back: token.back });
        }
        let size = asked.page_size(PAGE, LARGEST_PAGE)?;
        let descending = match query.filled("Order") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(ApiError::parameter("Order is neither asc nor desc")),
        };
        let place = match query.filled("From") {
            None => Place::Edge,
            Some(from) => Place::At(key_of(kind, from)?),
        };
        Ok(Wanted { place, size, descending, back: false })
    }
}

fn key_of(kind: Kind, text: &str) -> Result<ItemKey, ApiError> {
    match kind {
        Kind::List => {
            let index = text.parse().map_err(|_| ApiError::parameter("An index is not a number"))?;
            Ok(ItemKey::Index(index))
        }
        Kind::Map | Kind::Document if text.len() > LONGEST_KEY => {
            Err(ApiError::parameter("A key is too long"))
        }
        Kind::Map | Kind::Document => Ok(ItemKey::Key(text.to_owned())),
    }
}

pub(super) async fn items(
    guest: &Guest,
    kind: &str,
    name: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let snapshot = guest.house.hub.snapshot();
    let reader = guest.house.hub.reader(&*snapshot, &guest.session.realm);
    let object = seen(guest, &reader, kind, name).await?;
    let one = asked.query.filled("Key").or_else(|| asked.query.filled("Index"));
    let (entries, previous, next) = match one {
        Some(key) => {
            let key = key_of(object.kind(), key)?;
            let entry = reader.entry(&object, &key).await.map_err(RelayError::from)?;
            (Vec::from_iter(entry), None, None)
        }
        None => {
            let wanted = Wanted::read(object.kind(), asked)?;
            paged(&reader, &object, &wanted).await.map_err(RelayError::from)?
        }
    };
    let items: Vec<Value> =
        entries.into_iter().filter_map(|entry| item(object.kind(), &object.name(), entry)).collect();
    Ok(Given::Shown(json!({
        "items": items,
        "meta": { "key": "items", "previous_token": previous, "next_token": next },
    })))
}

type Paged = (Vec<Entry>, Option<String>, Option<String>);

async fn paged(reader: &Reader<'_>, object: &Object, wanted: &Wanted) -> Result<Paged, LedgerError> {
    let Wanted { size, descending, back, .. } = *wanted;
    // Backwards is the other direction, turned around afterwards.
    let direction = descending != back;
    let mut entries = reader.page(object, &wanted.place, direction, size + 1).await?;
    let more = entries.len() > size;
    entries.truncate(size);
    if back {
        entries.reverse();
    }
    // On the other side there is what the page was turned from, or what a look finds.
    let behind = match (&wanted.place, entries.first(), back) {
        (_, None, _) => false,
        (_, _, true) => true,
        (Place::Edge, _, false) => false,
        (_, Some(first), false) => {
            let place = Place::Behind(first.key.clone());
            !reader.page(object, &place, !descending, 1).await?.is_empty()
        }
    };
    let (before, after) = if back { (more, behind) } else { (behind, more) };
    let token = |entry: Option<&Entry>, there: bool, back: bool| {
        entry.filter(|_| there).and_then(|entry| Token::write(&entry.key, size, descending, back))
    };
    let previous = token(entries.first(), before, true);
    let next = token(entries.last(), after, false);
    Ok((entries, previous, next))
}

/// An item as it is listed; nothing for one that is gone.
fn item(kind: Kind, name: &str, entry: Entry) -> Option<Value> {
    let shown = entry.shown?;
    let mut item = json!({
        "url": item_url(kind, name, &entry.key),
        "revision": entry.changed.to_string(),
        "last_event_id": entry.changed,
        "data": shown.data,
        "date_created": shown.created.rfc3339_millis(),
        "date_updated": shown.updated.rfc3339_millis(),
        "date_expires": null,
    });
    match entry.key {
        ItemKey::Index(index) => item["index"] = index.into(),
        ItemKey::Key(key) => item["key"] = key.into(),
        ItemKey::Whole => {}
    }
    Some(item)
}
