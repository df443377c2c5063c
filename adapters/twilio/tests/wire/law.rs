//! What the provider's side says, our side hears.

use proptest::prelude::*;
use trunkline_adapter::simulator::{PhoneFile, PhoneMessage, Submission};
use trunkline_adapter::{DeliveryStatus, Inbound, Part, Timestamp};

use super::*;

fn people() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("+12025550123", "+15550001111"),
        ("12345", "+15550001111"),
        ("whatsapp:+15550003333", "whatsapp:+15550002222"),
        ("whatsapp:+5511987654321", "whatsapp:+15550002222"),
        ("whatsapp:US.900100", "whatsapp:+15550002222"),
        ("messenger:778899", "messenger:1029384756"),
    ])
}

/// Text of any kind, and text of what forms are made of.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[&=+%;#? a-zé👋\r\n\t]{0,40}"]
}

proptest! {
    #[test]
    fn a_message_arrives_as_it_was_typed(
        (from, to) in people(),
        text in text(),
        name in proptest::option::of("\\PC{1,40}"),
        serial in any::<u64>(),
    ) {
        let provider = blueprint("https://api.twilio.com").simulator().unwrap();
        let typed = PhoneMessage {
            id: provider.message_id(serial),
            from: address(from),
            to: address(to),
            text,
            media: Vec::new(),
            at: Timestamp::from_seconds(1_795_305_600),
            name,
        };
        let request = from_provider(&provider.message(&typed, WEBHOOK));
        let received = receive(&offline(), &request).unwrap();
        prop_assert_eq!(received.reply.content_type, Some("text/xml"));
        let [Inbound::Message(message)] = &received.inbound[..] else { panic!("{:?}", received.inbound) };
        prop_assert_eq!(&message.id, &typed.id);
        prop_assert_eq!(&message.from.address, &typed.from);
        prop_assert_eq!(&message.from.name, &typed.name);
        prop_assert_eq!(&message.to, &typed.to);
        prop_assert_eq!(&message.parts[..], &[Part::Text { text: typed.text }]);
    }

    #[test]
    fn files_arrive_with_the_message_they_were_sent_with(
        (from, to) in people(),
        text in text(),
        serials in prop::collection::vec(any::<u64>(), 1..10),
    ) {
        let provider = blueprint("https://api.twilio.com").simulator().unwrap();
        let file = |serial: &u64| PhoneFile {
            id: provider.file_id(*serial),
            content_type: "image/jpeg".to_owned(),
            filename: None,
            bytes: "x".into(),
        };
        let typed = PhoneMessage {
            id: provider.message_id(1),
            from: address(from),
            to: address(to),
            text: text.clone(),
            media: serials.iter().map(file).collect(),
            at: Timestamp::from_seconds(1_795_305_600),
            name: None,
        };
        let received = receive(&offline(), &from_provider(&provider.message(&typed, WEBHOOK))).unwrap();
        let [Inbound::Message(message)] = &received.inbound[..] else { panic!("{:?}", received.inbound) };
        let said = (!text.is_empty()).then_some(Part::Text { text });
        let mut parts = message.parts.iter();
        if let Some(said) = said {
            prop_assert_eq!(parts.next(), Some(&said));
        }
        let ids: Vec<_> = parts.map(|part| match part {
            Part::Media(media) => {
                assert_eq!(media.content_type.as_deref(), Some("image/jpeg"));
                assert!(media.url.as_deref().unwrap().starts_with("https://api.twilio.com/2010-04-01/"));
                media.id.clone().unwrap()
            }
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(ids, typed.media.iter().map(|file| file.id.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_status_comes_back_to_its_correlation(correlation in "[!-~]{1,200}", error in proptest::option::of(1_u32..)) {
        let provider = blueprint("https://api.twilio.com").simulator().unwrap();
        let adapter = offline();
        let escaped: String = form_urlencoded::byte_serialize(correlation.as_bytes()).collect();
        for (from, to) in [("+15550001111", "+12025550123"), ("whatsapp:+15550002222", "whatsapp:+15550003333")] {
            let submission = Submission {
                from: address(from),
                to: address(to),
                text: "x".to_owned(),
                media: Vec::new(),
                correlation: Some(correlation.clone()),
                callback: Some(format!("{WEBHOOK}?m={escaped}")),
            };
            for status in DeliveryStatus::ALL {
                let failing = matches!(status, DeliveryStatus::Failed | DeliveryStatus::Undelivered);
                let error = error.filter(|_| failing);
                let at = Timestamp::from_seconds(1_795_305_600);
                let Some(signed) = provider.status(&submission, "SM1", status, error, at, WEBHOOK) else {
                    assert!(status == DeliveryStatus::Read && from.starts_with('+'));
                    continue;
                };
                let received = receive(&adapter, &from_provider(&signed)).unwrap();
                prop_assert_eq!(received.reply, trunkline_adapter::Reply::empty());
                let [Inbound::Status(report)] = &received.inbound[..] else { panic!("{:?}", received.inbound) };
                prop_assert_eq!(report.status, status);
                prop_assert_eq!(report.correlation.as_ref(), Some(&correlation));
                prop_assert_eq!(&report.from, &submission.from);
                prop_assert_eq!(report.error.as_ref().map(|error| error.code), error);
            }
        }
    }

    /// Whatever stands in a well-signed form, it is read or refused.
    #[test]
    fn no_form_brings_the_reader_down(
        pairs in prop::collection::vec((prop::sample::select(vec![
            "MessageSid", "SmsSid", "From", "To", "Body", "NumMedia", "MediaUrl0", "MediaContentType0", "Latitude",
            "Longitude", "WaId", "ExternalUserId", "MessageStatus", "SmsStatus", "ErrorCode", "ErrorMessage",
            "EventType", "OptOutType", "ChannelToAddress", "ButtonText", "ProfileName", "MessageType",
        ]), any::<String>()), 0..20),
    ) {
        let mut params = vec![("AccountSid", SID)];
        params.extend(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        match receive(&offline(), &signed_form(TOKEN, WEBHOOK, &params)) {
            Ok(_) | Err(Refusal::Malformed(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}
