//! `/ConversationWithParticipants`: a conversation and who is in it, in one request that is done or refused as a whole.
//!
//! Everything is done when the answer leaves, so it is always 201 and the state that was asked for, never 202 and
//! `initializing`.

use serde_json::Value;

use super::{Answer, Call, conversations, participants};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::route::Resource;
use crate::relay::command::NewParticipant;
use crate::relay::{MOST_AT_ONCE, RelayError};

const BINDING: &str = "messaging_binding";
/// The members of a participant, and the parameters of the Participant resource that they stand for.
const OWN: &[(&str, &str)] = &[
    ("identity", "Identity"),
    ("attributes", "Attributes"),
    ("role_sid", "RoleSid"),
    ("date_created", "DateCreated"),
    ("date_updated", "DateUpdated"),
];
/// The same of a messaging binding.
const BOUND: &[(&str, &str)] = &[
    ("address", "MessagingBinding.Address"),
    ("proxy_address", "MessagingBinding.ProxyAddress"),
    ("projected_address", "MessagingBinding.ProjectedAddress"),
    ("proxy_address_fallback", "MessagingBinding.ProxyAddressFallback"),
    ("name", "MessagingBinding.Name"),
    ("level", "MessagingBinding.Level"),
];

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let new = conversations::new(&call.form)?;
    let people = people(&call.form)?;
    let made =
        relay.create_with_participants(&scope.account, &scope.service, new, &people, call.cause).await?;
    let mut answer = Answer::created(conversations::render(scope, &made));
    super::as_made(Resource::ConversationWithParticipants, &mut answer);
    Ok(answer)
}

fn people(form: &Form) -> Result<Vec<NewParticipant>, ApiError> {
    if form.all("Participant").count() > MOST_AT_ONCE {
        return Err(RelayError::TooManyAtOnce.into());
    }
    // Read as the parameters they stand for, so that what fits and how it is refused cannot differ.
    form.all("Participant").map(|text| participants::new(&parameters(text)?)).collect()
}

fn parameters(text: &str) -> Result<Form, ApiError> {
    let Ok(Value::Object(person)) = serde_json::from_str(text) else {
        return Err(ApiError::parameter("Participant is not a JSON object"));
    };
    let mut fields = Vec::new();
    for (key, value) in person {
        match value {
            Value::Object(binding) if key == BINDING => {
                for (key, value) in binding {
                    take(&mut fields, BOUND, &key, value)?;
                }
            }
            Value::Null if key == BINDING => {}
            _ if key == BINDING => {
                return Err(ApiError::parameter("messaging_binding of Participant is not a JSON object"));
            }
            value => take(&mut fields, OWN, &key, value)?,
        }
    }
    Ok(Form::of(fields))
}

/// One member; without a value it is as good as not there.
fn take(
    fields: &mut Vec<(String, String)>,
    known: &[(&'static str, &'static str)],
    key: &str,
    value: Value,
) -> Result<(), ApiError> {
    let Some((key, parameter)) = known.iter().find(|(name, _)| *name == key) else {
        let key: String = key.chars().take(64).collect();
        return Err(ApiError::parameter(format!("Participant has no member {key:?}")));
    };
    match value {
        Value::Null => {}
        Value::String(text) => fields.push(((*parameter).to_owned(), text)),
        _ => return Err(ApiError::parameter(format!("{key} of Participant is not a string"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::relay::command::Who;

    fn form(participants: &[&str]) -> Form {
        Form::of(participants.iter().map(|text| ("Participant".to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn people_of_every_shape_in_their_order() {
        let made = people(&form(&[
            r#"{"identity": "ana", "attributes": "{\"a\":1}", "role_sid": null, "messaging_binding": null}"#,
            r#"{"messaging_binding": {"address": "+15557654321", "proxy_address": "+15550001111"},
                "date_created": "2020-01-01T00:00:00Z", "role_sid": "RL00000000000000000000000000000001"}"#,
        ]))
        .unwrap();
        let [ana, phone] = &made[..] else { panic!("{made:?}") };
        assert_eq!((&ana.who, ana.attributes.as_deref()), (&Who::Identity("ana".into()), Some("{\"a\":1}")));
        assert_eq!((&ana.role_sid, ana.created), (&None, None));
        let Who::Bound { address, proxy } = &phone.who else { panic!("a binding") };
        assert_eq!((address.as_str(), proxy.as_str()), ("+15557654321", "+15550001111"));
        assert_eq!(phone.role_sid.as_deref(), Some("RL00000000000000000000000000000001"));
        assert_eq!(phone.created.map(|at| at.seconds()), Some(1_577_836_800));
        assert_eq!(people(&Form::default()).unwrap(), []);
    }

    #[test]
    fn what_is_no_participant() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let long = format!("{{\"{}\": \"x\"}}", "k".repeat(5000));
        for (text, code) in [
            ("", 20001),
            ("{", 20001),
            ("null", 20001),
            ("\"ana\"", 20001),
            (r#"["ana"]"#, 20001),
            (r#"{"identity": "ana"} x"#, 20001),
            (deep.as_str(), 20001),
            (long.as_str(), 20001),
            (r#"{"Identity": "ana"}"#, 20001),
            (r#"{"identity": "ana", "address": "+1555"}"#, 20001),
            (r#"{"identity": 7}"#, 20001),
            (r#"{"identity": "ana", "attributes": {"a": 1}}"#, 20001),
            (r#"{"messaging_binding": ["+15557654321", "+15550001111"]}"#, 20001),
            (r#"{"messaging_binding": {"address": "+15557654321", "proxy": "+15550001111"}}"#, 20001),
            // From here on as the Participant resource says it.
            ("{}", 50204),
            (r#"{"messaging_binding": {}}"#, 50204),
            (r#"{"identity": "system"}"#, 50203),
            (r#"{"identity": "ana", "messaging_binding": {"address": "+15557654321"}}"#, 50211),
            (r#"{"identity": "ana", "attributes": "{"}"#, 50304),
            (r#"{"identity": "ana", "date_created": "noon"}"#, 50308),
            (r#"{"messaging_binding": {"address": "hologram", "proxy_address": "+15550001111"}}"#, 50407),
            (r#"{"identity": "ana", "messaging_binding": {"level": "to"}}"#, 50420),
            (r#"{"messaging_binding": {"projected_address": "rcs:x"}}"#, 50439),
        ] {
            let refusal = people(&form(&[r#"{"identity": "bo"}"#, text])).unwrap_err();
            assert_eq!(refusal.code(), code, "{}", text.chars().take(80).collect::<String>());
            assert!(format!("{refusal:?}").len() < 300, "{refusal:?}");
        }
    }

    #[test]
    fn ten_and_no_more() {
        let names: Vec<String> = (0..11).map(|number| format!("{{\"identity\": \"i{number}\"}}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(people(&form(&names[..10])).unwrap().len(), 10);
        assert_eq!(people(&form(&names)).unwrap_err().code(), 50426);
        assert_eq!(people(&form(&["{"; 11])).unwrap_err().code(), 50426);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}":,a-z_\\0-9]{0,80}"#) {
            let _ = people(&form(&[&text]));
        }
    }
}
