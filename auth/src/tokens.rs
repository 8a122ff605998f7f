//! Tokens: signed, short-lived, and never more than the key they were made with.

use std::fmt;

use chrono::{DateTime, Utc};
use identity::{CustomerId, KeyId, Principal, Scopes, Slug, WorkspaceId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Auth, AuthConfig, Error};

/// The header's `typ` (RFC 9068): a token made for another purpose is not taken for one of these.
pub(crate) const TOKEN_TYPE: &str = "at+jwt";
/// How far clocks may differ.
pub(crate) const LEEWAY_SECS: i64 = 30;
/// No token lives longer, whoever signed it.
const MAX_LIFE_SECS: i64 = 24 * 60 * 60;

/// The answer of `POST /v1/tokens` (RFC 6749, section 5.1).
#[derive(Clone, Serialize)]
pub struct Token {
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// `read write`
    pub scope: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What a token says. All of it is required, and anything else makes it none of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: CustomerId,
    pub iat: i64,
    pub exp: i64,
    pub jti: Uuid,
    /// The key it was made with: with the key's end, the token ends.
    pub client_id: KeyId,
    #[serde(with = "words")]
    pub scope: Scopes,
    pub workspace: WorkspaceId,
    pub slug: Slug,
}

/// Scopes as RFC 6749 writes them: words in one text.
mod words {
    use identity::Scopes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(scopes: &Scopes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(scopes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scopes, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Auth {
    /// A token for this principal with the scopes asked for, or all it has; it ends no later than what it came from.
    /// Errors: [`Error::ScopesExceeded`], [`Error::NoScopes`].
    pub fn issue_token(
        &self,
        principal: &Principal,
        scopes: Option<Scopes>,
        now: DateTime<Utc>,
    ) -> Result<Token, Error> {
        let scopes = scopes.unwrap_or(principal.scopes);
        if !principal.scopes.contains_all(scopes) {
            return Err(Error::ScopesExceeded);
        }
        if scopes.is_empty() {
            return Err(Error::NoScopes);
        }
        let claims = Claims::new(principal, scopes, &self.0.config, now);
        Ok(Token {
            access_token: self.0.signing.sign(&claims).map_err(|_| crate::KeyError::Unreadable)?,
            token_type: "Bearer",
            expires_in: claims.exp - claims.iat,
            scope: scopes.to_string(),
        })
    }
}

impl Claims {
    fn new(principal: &Principal, scope: Scopes, config: &AuthConfig, now: DateTime<Utc>) -> Self {
        let iat = now.timestamp();
        let wanted = iat + i64::from(config.token_ttl_secs).min(MAX_LIFE_SECS);
        Self {
            iss: config.issuer.clone(),
            aud: config.audience.clone(),
            sub: principal.customer,
            iat,
            exp: principal.expires_at.map_or(wanted, |end| wanted.min(end.timestamp())),
            jti: Uuid::new_v4(),
            client_id: principal.key,
            scope,
            workspace: principal.workspace,
            slug: principal.slug.clone(),
        }
    }

    /// Is `now` within its life, and is that life no longer than a token's may be?
    pub fn hold_at(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        let life = self.exp.checked_sub(self.iat);
        life.is_some_and(|secs| (1..=MAX_LIFE_SECS).contains(&secs))
            && self.iat <= now.saturating_add(LEEWAY_SECS)
            && now < self.exp.saturating_add(LEEWAY_SECS)
    }

    pub fn ends_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.exp, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The principal by the token's own words, for when the database cannot be asked.
    pub fn principal(&self) -> Principal {
        Principal {
            customer: self.sub,
            workspace: self.workspace,
            slug: self.slug.clone(),
            key: self.client_id,
            scopes: self.scope,
            policy: Principal::DEFAULT_POLICY.to_owned(),
            expires_at: Some(self.ends_at()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::TimeDelta;
    use identity::{Scope, Secret};
    use serde_json::{Value, json};

    use super::*;
    use crate::generate_signing_key_pem;
    use crate::signing::SigningKey;
    use crate::testing::principal;

    struct Forge {
        key: SigningKey,
        config: AuthConfig,
        now: DateTime<Utc>,
    }

    impl Forge {
        fn new() -> Self {
            let key = SigningKey::read(&Secret::new(generate_signing_key_pem())).unwrap();
            Self { key, config: AuthConfig::default(), now: Utc::now() }
        }

        fn header(&self) -> Value {
            json!({ "alg": "EdDSA", "typ": TOKEN_TYPE, "kid": self.key.id() })
        }

        fn claims(&self) -> Value {
            let principal = principal();
            json!(Claims::new(&principal, principal.scopes, &self.config, self.now))
        }

        /// Signed by our own key, whatever it says.
        fn signed(&self, header: &str, claims: &str) -> String {
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            format!("{message}.{}", self.key.sign_text(&message))
        }

        fn is_right(&self, token: &str) -> bool {
            self.key.verify(token, &self.config, self.now).is_some()
        }

        fn with(&self, header: Value, claims: Value) -> bool {
            self.is_right(&self.signed(&header.to_string(), &claims.to_string()))
        }
    }

    fn plus(mut object: Value, key: &str, value: Value) -> Value {
        object[key] = value;
        object
    }

    fn minus(mut object: Value, key: &str) -> Value {
        object.as_object_mut().unwrap().remove(key);
        object
    }

    #[test]
    fn a_token_of_ours_is_right() {
        let forge = Forge::new();
        assert!(forge.with(forge.header(), forge.claims()));
    }

    #[test]
    fn a_header_that_wants_more_than_ours_is_refused() {
        let forge = Forge::new();
        for (member, value) in [
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/cert.pem")),
            ("x5c", json!(["MIIB"])),
            ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})),
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
        ] {
            assert!(!forge.with(plus(forge.header(), member, value), forge.claims()), "{member}");
        }
    }

    #[test]
    fn another_algorithm_type_or_key_is_refused() {
        let forge = Forge::new();
        for alg in ["none", "None", "NONE", "HS256", "ES256", "RS256", "PS256", "Ed25519", "eddsa", ""] {
            assert!(!forge.with(plus(forge.header(), "alg", json!(alg)), forge.claims()), "{alg}");
        }
        for typ in ["JWT", "logout+jwt", ""] {
            assert!(!forge.with(plus(forge.header(), "typ", json!(typ)), forge.claims()), "{typ}");
        }
        assert!(forge.with(plus(forge.header(), "typ", json!("application/at+JWT")), forge.claims()));
        assert!(!forge.with(plus(forge.header(), "kid", json!("../../dev/null")), forge.claims()));
        for member in ["alg", "typ", "kid"] {
            assert!(!forge.with(minus(forge.header(), member), forge.claims()), "{member}");
        }
        let twice = forge.header().to_string().replacen('{', r#"{"alg":"none","#, 1);
        assert!(!forge.is_right(&forge.signed(&twice, &forge.claims().to_string())), "a member twice");
    }

    #[test]
    fn every_claim_is_required_and_no_other_known() {
        let forge = Forge::new();
        for claim in ["iss", "aud", "sub", "iat", "exp", "jti", "client_id", "scope", "workspace", "slug"] {
            assert!(!forge.with(forge.header(), minus(forge.claims(), claim)), "{claim}");
            assert!(!forge.with(forge.header(), plus(forge.claims(), claim, Value::Null)), "{claim} null");
        }
        assert!(!forge.with(forge.header(), plus(forge.claims(), "admin", json!(true))));
    }

    #[test]
    fn a_token_of_or_for_somebody_else_is_refused() {
        let forge = Forge::new();
        for (claim, value) in [
            ("iss", json!("https://evil.example")),
            ("iss", json!(["lakefront"])),
            ("aud", json!("another-service")),
            ("aud", json!([])),
            ("sub", json!("")),
            ("scope", json!("read root")),
            ("slug", json!("weather")),
        ] {
            assert!(
                !forge.with(forge.header(), plus(forge.claims(), claim, value.clone())),
                "{claim} {value}"
            );
        }
    }

    #[test]
    fn a_token_holds_for_its_life_and_a_leeway_of_30_s() {
        let mut forge = Forge::new();
        let (start, issued) =
            (forge.now, forge.signed(&forge.header().to_string(), &forge.claims().to_string()));
        for (secs, is_right) in [(-31, false), (-30, true), (0, true), (899, true), (929, true), (930, false)]
        {
            forge.now = start + TimeDelta::seconds(secs);
            assert_eq!(forge.is_right(&issued), is_right, "{secs} s after it was issued");
        }
    }

    #[test]
    fn no_life_is_longer_than_a_day_whoever_signed_it() {
        let forge = Forge::new();
        let now = forge.now.timestamp();
        for (iat, exp, is_right) in [
            (now, now + 86_400, true),
            (now, now + 86_401, false),
            (now, i64::MAX, false),
            (i64::MIN, now + 10, false),
            (i64::MIN, i64::MAX, false),
            (now, now, false),
            (now, now - 1, false),
        ] {
            let claims = plus(plus(forge.claims(), "iat", json!(iat)), "exp", json!(exp));
            assert_eq!(forge.with(forge.header(), claims), is_right, "{iat} to {exp}");
        }
        for exp in [json!("never"), json!(1e300), json!(-1)] {
            assert!(!forge.with(forge.header(), plus(forge.claims(), "exp", exp)));
        }
    }

    #[test]
    fn another_key_a_changed_word_or_a_cut_signature_is_refused() {
        let (forge, other) = (Forge::new(), Forge::new());
        let (header, claims) = (forge.header().to_string(), forge.claims().to_string());
        let token = forge.signed(&header, &claims);
        assert!(!forge.is_right(&other.signed(&header, &claims)), "re-signed under our key's id");
        let (head, rest) = token.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        let admin = URL_SAFE_NO_PAD.encode(claims.replace("read write", "admin"));
        for forged in [
            format!("{head}.{admin}.{signature}"),
            format!("{head}.{body}."),
            format!("{head}.{body}"),
            format!("{head}.{body}.{signature}."),
            format!("{head}.{body}.{signature}="),
            format!("{head}.{body}.{}", &signature[..80]),
            format!(" {token}"),
            format!("{head}..{signature}"),
            "..".to_owned(),
            String::new(),
        ] {
            assert!(!forge.is_right(&forged), "{forged}");
        }
    }

    #[test]
    fn debug_hides_a_token() {
        let token = Token {
            access_token: "secret".into(),
            token_type: "Bearer",
            expires_in: 900,
            scope: "read".into(),
        };
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(json!(token)["token_type"], "Bearer");
    }

    #[test]
    fn a_token_ends_with_what_it_came_from() {
        let forge = Forge::new();
        let end = forge.now + TimeDelta::seconds(60);
        let principal = Principal { expires_at: Some(end), ..principal() };
        let claims = Claims::new(&principal, Scopes::from([Scope::Read]), &forge.config, forge.now);
        assert_eq!(claims.exp, end.timestamp());
    }
}
