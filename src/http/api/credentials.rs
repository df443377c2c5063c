//! `/Credentials`: an account's own at the push services. What is secret about them goes in and never comes out.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::CredentialRecord;
use crate::model::push::{Hidden, PushKind};
use crate::relay::command::{Change, CredentialChange};

/// Characters of a certificate, a key or a secret.
const LONGEST: usize = 16 * 1024;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, sid) = (call.relay, &call.scope.account, call.route.name(0));
    match (call.route.resource, call.method) {
        (Resource::Credentials, &Method::POST) => {
            let change = change(&call.form)?;
            let kind = change.kind.ok_or_else(|| ApiError::parameter("Type is required"))?;
            let made = relay.create_credential(account, kind, change).await?;
            Ok(Answer::created(render(&call.scope, &made)))
        }
        (Resource::Credentials, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
            if change == CredentialChange::default() {
                return Err(error::UPDATE_EMPTY.into());
            }
            let changed = relay.update_credential(account, sid, change).await?;
            Ok(Answer::shown(render(&call.scope, &changed)))
        }
        (_, &Method::DELETE) => {
            relay.delete_credential(account, sid).await?;
            Ok(Answer::gone())
        }
        _ => Ok(Answer::shown(render(&call.scope, &relay.credential(account, sid).await?))),
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page = Page::read(&call.query, 100)?;
    let mut found = call.relay.credentials(&call.scope.account, page.after, page.fetch()).await?;
    let next = page.cut(&mut found, |credential| credential.birth);
    let records = found.iter().map(|credential| render(&call.scope, credential)).collect();
    Ok(call.page(&page, "credentials", records, next, &[]))
}

fn change(form: &Form) -> Result<CredentialChange, ApiError> {
    let kind = match form.get("Type") {
        None => None,
        Some(word) => {
            let kind = PushKind::parse(word).filter(|kind| *kind != PushKind::Twilsock);
            Some(kind.ok_or_else(|| ApiError::parameter("Type is none of apn, gcm and fcm"))?)
        }
    };
    let hidden = |name| {
        Ok::<_, ApiError>(match fields::change(fields::bounded(form, name, LONGEST)?) {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(text) => Change::Set(Hidden(text)),
        })
    };
    Ok(CredentialChange {
        kind,
        friendly_name: fields::change(fields::short_name(form)?),
        sandbox: fields::boolean(form, "Sandbox")?,
        certificate: hidden("Certificate")?,
        private_key: hidden("PrivateKey")?,
        api_key: hidden("ApiKey")?,
        secret: hidden("Secret")?,
    })
}

pub(super) fn render(scope: &Scope, credential: &CredentialRecord) -> Value {
    json!({
        "account_sid": scope.account,
        "sid": credential.sid,
        "friendly_name": credential.friendly_name,
        "type": credential.kind.name(),
        "sandbox": if credential.sandbox { "True" } else { "False" },
        "date_created": credential.created.rfc3339(),
        "date_updated": credential.updated.rfc3339(),
        "url": scope.account_url(&format!("/Credentials/{}", credential.sid)),
    })
}
