//! Access tokens: who somebody with a browser is, signed by an API key. Made by the official helper libraries or by
//! `trunkline token`, never by a call to us.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkline_adapter::{Denied, Secret, Timestamp};

/// What the header says the token is.
const CONTENT: &str = "twilio-fpa;v=1";
/// Longer ones are nobody's.
const LONGEST: usize = 8 * 1024;
/// The longest life of a token.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How far apart the clocks of those who make tokens and ours may be.
const SKEW: Duration = Duration::from_secs(60);

/// What a token says, before anything of it is believed.
#[derive(Debug)]
pub struct Unverified<'a> {
    algorithm: hmac::Algorithm,
    /// What is signed.
    signed: &'a str,
    signature: Vec<u8>,
    claims: Claims,
}

/// What a token says, after its signature was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub identity: String,
    /// As written; nobody asked whether there is one.
    pub service: Option<String>,
    pub push_credential: Option<String>,
    pub expires: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    cty: Option<String>,
    typ: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    /// A JSON number of any kind, as the format has it.
    iat: Option<f64>,
    nbf: Option<f64>,
    exp: Option<f64>,
    grants: Option<Grants>,
}

#[derive(Debug, Deserialize)]
struct Grants {
    identity: Option<String>,
    chat: Option<Chat>,
    /// What the grant was called before.
    ip_messaging: Option<Chat>,
}

#[derive(Debug, Deserialize)]
struct Chat {
    service_sid: Option<String>,
    push_credential_sid: Option<String>,
}

fn denied(code: u32, text: &str) -> Denied {
    Denied { status: 401, code, text: text.to_owned() }
}

impl<'a> Unverified<'a> {
    /// Reads a token's three parts.
    ///
    /// # Errors
    /// 20101 when it is none, 20102 when its header asks for what we do not do.
    pub fn read(token: &'a str) -> Result<Unverified<'a>, Denied> {
        let invalid = || denied(20101, "Invalid Access Token");
        let signed_end = token.rfind('.').filter(|_| token.len() <= LONGEST).ok_or_else(invalid)?;
        let (signed, signature) = (&token[..signed_end], &token[signed_end + 1..]);
        let (header, payload) = signed.split_once('.').ok_or_else(invalid)?;
        let header: Header = decoded(header).ok_or_else(invalid)?;
        let payload = (!payload.contains('.')).then_some(payload).ok_or_else(invalid)?;
        let wrong_header = || denied(20102, "Invalid Access Token header");
        // No `none`, and nothing for which a public key would do as the secret.
        let algorithm = match header.alg.as_str() {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            _ => return Err(wrong_header()),
        };
        let jwt = header.typ.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("jwt"));
        if header.cty.as_deref() != Some(CONTENT) || !jwt {
            return Err(wrong_header());
        }
        let claims: Claims = decoded(payload).ok_or_else(invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
        Ok(Unverified { algorithm, signed, signature, claims })
    }

    /// The account and the API key it names.
    ///
    /// # Errors
    /// 20103 when it names none.
    pub fn issuer(&self) -> Result<(&str, &str), Denied> {
        let named = self.claims.sub.as_deref().zip(self.claims.iss.as_deref());
        named.ok_or_else(unknown_issuer)
    }

    /// Which of these secrets signed it.
    ///
    /// # Errors
    /// 20107 when none did.
    pub fn signer<'s>(&self, secrets: &'s [Secret]) -> Result<&'s Secret, Denied> {
        let signed = |secret: &&Secret| {
            let key = hmac::Key::new(self.algorithm, secret.expose().as_bytes());
            hmac::verify(&key, self.signed.as_bytes(), &self.signature).is_ok()
        };
        secrets.iter().find(signed).ok_or_else(|| denied(20107, "Invalid Access Token signature"))
    }

    /// What it says, once it is known to be signed.
    ///
    /// # Errors
    /// 20104 and 20105 for its times, 20106 and 50204 for what it grants.
    pub fn verified(self, now: Timestamp) -> Result<Verified, Denied> {
        let Claims { iat, nbf, exp, grants, .. } = self.claims;
        let begins = nbf.or(iat).map(instant);
        if nbf.is_some_and(|nbf| instant(nbf) > now.plus(SKEW)) {
            return Err(denied(20105, "Access Token not yet valid"));
        }
        let expires = exp.map(instant).filter(|expires| *expires > now);
        let expires =
            expires.ok_or_else(|| denied(20104, "Access Token expired or expiration date invalid"))?;
        // One that says nothing of its beginning begins now, so that leaving it out wins nothing. A clock that is behind
        // ours costs nobody a token of exactly a day.
        let begins = begins.map_or(now, |begins| begins.min(now)).plus(SKEW);
        if expires.since(begins) > LONGEST_LIFE {
            return Err(denied(20104, "Access Token lives longer than 24 hours"));
        }
        let no_grant = || denied(20106, "Invalid Access Token grants");
        let grants = grants.ok_or_else(no_grant)?;
        let chat = grants.chat.or(grants.ip_messaging).ok_or_else(no_grant)?;
        let identity = grants.identity.filter(|identity| !identity.is_empty());
        let identity = identity.ok_or_else(|| denied(50204, "Identity not provided"))?;
        if identity.chars().count() > 256 {
            return Err(denied(50207, "Identity is longer than 256 characters"));
        }
        let named = |sid: Option<String>| sid.filter(|sid| !sid.is_empty());
        Ok(Verified {
            identity,
            service: named(chat.service_sid),
            push_credential: named(chat.push_credential_sid),
            expires,
        })
    }
}

/// The account has no such key.
pub fn unknown_issuer() -> Denied {
    denied(20103, "Invalid Access Token issuer/subject")
}

/// What a new token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub account: &'a str,
    pub key: &'a str,
    pub identity: &'a str,
    pub service: Option<&'a str>,
    pub life: Duration,
}

/// Makes a token as the official helper libraries do.
pub fn sign(wanted: &Wanted<'_>, secret: &Secret, now: Timestamp) -> String {
    let Wanted { account, key, identity, service, life } = *wanted;
    let begins = now.seconds();
    let mut chat = serde_json::Map::new();
    if let Some(service) = service {
        chat.insert("service_sid".to_owned(), Value::from(service));
    }
    let header = json!({ "typ": "JWT", "alg": "HS256", "cty": CONTENT });
    let claims = json!({
        "jti": format!("{key}-{begins}"),
        "iss": key,
        "sub": account,
        "iat": begins,
        "nbf": begins,
        "exp": now.plus(life).seconds(),
        "grants": { "identity": identity, "chat": chat },
    });
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A number for a secret that says nothing about it: whether a token's secret is still there can be asked later.
pub fn proof(secret: &Secret) -> u64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, b"which secret a session came in with");
    let (first, _) = tag.as_ref().split_at(8);
    first.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn encoded(part: &impl Serialize) -> String {
    // A value of strings and numbers always becomes text.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

fn instant(seconds: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a conversion from a float stops at the ends of the range"
    )]
    Timestamp::from_seconds(seconds as i64)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
