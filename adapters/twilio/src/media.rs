//! Files that people sent: kept at Twilio behind the account's credentials, from where a redirect leads to a store that
//! must not see them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use trunkline_adapter::{
    Address, MediaFault, MediaHosts, MediaReference, MediaRequest, MediaSource, MediaStep, Secret,
};

use crate::settings::Account;

/// The API in every region, and the stores it has redirected to so far.
const HOSTS: &[&str] = &["twilio.com", "twiliocdn.com", "s3-external-1.amazonaws.com"];

/// The files of an account.
pub(crate) struct Files {
    hosts: MediaHosts,
    authorization: Secret,
}

impl Files {
    pub(crate) fn new(account: &Account) -> Files {
        let (sid, token) = (account.sid.first().expose(), account.tokens.first().expose());
        Files {
            hosts: MediaHosts::new(HOSTS, &account.base_url),
            authorization: Secret::new(format!("Basic {}", STANDARD.encode(format!("{sid}:{token}")))),
        }
    }

    /// Whether a URL is the API's own, which alone is shown the credentials: `api.twilio.com`, one of a region, or the base.
    fn is_api(&self, url: &str) -> bool {
        let Ok(url) = reqwest::Url::parse(url) else { return false };
        let host = url.host_str().unwrap_or_default();
        match self.hosts.place(&url) {
            Some(trunkline_adapter::HostPlace::Base) => true,
            Some(trunkline_adapter::HostPlace::Listed) => {
                host.ends_with(".twilio.com") && host.starts_with("api.")
            }
            None => false,
        }
    }
}

impl MediaSource for Files {
    fn hosts(&self) -> &MediaHosts {
        &self.hosts
    }

    fn begin(&self, _: &Address, media: &MediaReference) -> Result<MediaStep, MediaFault> {
        let url = media.url.clone().ok_or_else(|| MediaFault::fatal("the message names no URL for it"))?;
        let authorization = self.is_api(&url).then(|| self.authorization.clone());
        Ok(MediaStep::Get(MediaRequest { url, authorization }))
    }

    fn told(&self, _: &Address, _: &[u8]) -> Result<MediaStep, MediaFault> {
        Err(MediaFault::fatal("Twilio has no documents that lead to files"))
    }

    /// A file may be there a moment after the message that names it.
    fn refused(&self, status: http::StatusCode) -> MediaFault {
        let again = matches!(status.as_u16(), 404 | 408 | 425 | 429 | 500..);
        MediaFault { text: format!("the provider answered {}", status.as_u16()), again }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use trunkline_adapter::{MediaKind, Secrets};

    fn begun(url: &str) -> Option<String> {
        let account = Account {
            sid: Secrets::one("AC1"),
            tokens: Secrets::one("t"),
            base_url: "http://127.0.0.1:9/us".to_owned(),
        };
        let media = MediaReference {
            kind: MediaKind::Image,
            id: None,
            url: Some(url.to_owned()),
            content_type: None,
            filename: None,
            caption: None,
            sha256: None,
        };
        let to = Address::parse("+15550001111").unwrap();
        let Ok(MediaStep::Get(request)) = Files::new(&account).begin(&to, &media) else { panic!("a get") };
        assert_eq!(request.url, url);
        request.authorization.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn only_the_api_is_shown_the_credentials() {
        let shown = Some("Basic QUMxOnQ=".to_owned());
        assert_eq!(begun("https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"), shown);
        assert_eq!(begun("https://api.dublin.ie1.twilio.com/x"), shown);
        assert_eq!(begun("http://127.0.0.1:9/us/2010-04-01/x"), shown);
        for url in [
            "https://media.twiliocdn.com/x",
            "https://api.twilio.com.evil.example/",
            "http://api.twilio.com/",
            "https://api.evil.example/x.twilio.com",
        ] {
            assert_eq!(begun(url), None, "{url}");
        }
    }
}
