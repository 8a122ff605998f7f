//! Credentials: keys shown once, tokens of 15 minutes, and everything RFC 8725 warns of refused.

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Customer, TestApp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::shared::{app, customer, options};

async fn token(customer: &Customer) -> Value {
    customer.send(customer.request(reqwest::Method::POST, "/v1/tokens")).await.ok()
}

#[rstest]
#[tokio::test]
async fn a_key_is_traded_for_a_token_of_a_quarter_of_an_hour(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    let answer = token(&acme).await;
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
    let bearer = acme.with_key(answer["access_token"].as_str().unwrap());
    bearer.get("/v1/datasets").await.status(200);
}

#[tokio::test]
async fn a_key_also_comes_as_x_api_key() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let request = acme.http.get(format!("{}/v1/datasets", acme.url)).header("x-api-key", &acme.key);
    acme.send(request).await.status(200);
}

#[rstest]
#[tokio::test]
async fn a_revoked_key_and_its_tokens_are_refused_within_five_seconds(
    #[values(Sqlite, Postgres)] stack: Stack,
) {
    let Some(app) = app(stack).await else { return };
    let acme = app.customer("acme").await;
    let made = acme.post("/v1/keys", json!({"scopes": ["read"]})).await.created();
    let (id, key) = (made["data"]["id"].as_str().unwrap(), made["data"]["key"].as_str().unwrap());
    let reader = acme.with_key(key);
    let bearer = acme.with_key(token(&reader).await["access_token"].as_str().unwrap());
    reader.get("/v1/datasets").await.status(200);
    bearer.get("/v1/datasets").await.status(200);
    assert_eq!(acme.delete(&format!("/v1/keys/{id}")).await.status.as_u16(), 204);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    reader.get("/v1/datasets").await.problem(401, "unauthenticated");
    bearer.get("/v1/datasets").await.problem(401, "unauthenticated");
    let listed = acme.get("/v1/keys").await.status(200).text();
    assert!(!listed.contains(key), "a listed key shows its secret");
}

#[tokio::test]
async fn a_new_key_has_no_more_scopes_than_its_maker() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    acme.post("/v1/keys", json!({"scopes": ["admin"]})).await.problem(403, "forbidden");
}

/// Base64url without padding, written out so that the test shares nothing with the product.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = |chunk: &[u8], i: usize| chunk.get(i).copied().unwrap_or(0) as u32;
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = bits(chunk, 0) << 16 | bits(chunk, 1) << 8 | bits(chunk, 2);
        for i in 0..=chunk.len() {
            out.push(ALPHABET[(word >> (18 - 6 * i) & 63) as usize] as char);
        }
    }
    out
}

fn unbase64url(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut word = 0u32;
    let mut out = Vec::new();
    for (i, c) in text.chars().enumerate() {
        word = word << 6 | ALPHABET.find(c).unwrap() as u32;
        if i % 4 > 0 {
            out.push((word >> (6 - 2 * (i % 4))) as u8);
        }
    }
    out
}

/// A token with the parts of a good one, each of which a case may spoil before it is signed again.
struct Parts {
    header: Value,
    claims: Value,
    unsigned: bool,
}

async fn parts(acme: &Customer) -> Parts {
    let answer = token(acme).await;
    let text = answer["access_token"].as_str().unwrap().to_owned();
    let mut pieces = text.split('.');
    let mut json = || serde_json::from_slice(&unbase64url(pieces.next().unwrap())).unwrap();
    Parts { header: json(), claims: json(), unsigned: false }
}

impl Parts {
    /// The token, signed with the server's own key: what is refused is refused for what was spoiled.
    fn signed(&self, app: &TestApp) -> String {
        let part = |v: &Value| base64url(v.to_string().as_bytes());
        let text = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = if self.unsigned { String::new() } else { base64url(&sign(app, &text)) };
        format!("{text}.{signature}")
    }

    fn shift(&mut self, claim: &str, seconds: i64) {
        self.claims[claim] = json!(self.claims[claim].as_i64().unwrap() + seconds);
    }
}

/// Signs as the server does, with its key file and the machine's OpenSSL.
fn sign(app: &TestApp, text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    std::fs::write(&input, text).unwrap();
    let key = app.folder.join("signing-key.pem");
    let signed = std::process::Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey"])
        .args([&key, std::path::Path::new("-in"), &input])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    signed.stdout
}

#[tokio::test]
async fn a_token_signed_again_as_it_was_is_accepted() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let token = parts(&acme).await.signed(app);
    acme.with_key(&token).get("/v1/datasets").await.status(200);
}

#[rstest]
#[case::none(|p: &mut Parts| { p.header["alg"] = json!("none"); p.unsigned = true; })]
#[case::none_with_signature(|p: &mut Parts| p.header["alg"] = json!("none"))]
#[case::hmac(|p: &mut Parts| p.header["alg"] = json!("HS256"))]
#[case::another_algorithm(|p: &mut Parts| p.header["alg"] = json!("RS256"))]
#[case::unknown_key(|p: &mut Parts| p.header["kid"] = json!("other"))]
#[case::own_key(|p: &mut Parts| p.header["jwk"] = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}))]
#[case::key_url(|p: &mut Parts| p.header["jku"] = json!("http://127.0.0.1:1/jwks.json"))]
#[case::certificate_url(|p: &mut Parts| p.header["x5u"] = json!("http://127.0.0.1:1/cert"))]
#[case::critical(|p: &mut Parts| p.header["crit"] = json!(["exp"]))]
#[case::raw_payload(|p: &mut Parts| p.header["b64"] = json!(false))]
#[case::expired(|p: &mut Parts| { p.shift("exp", -1_000); p.shift("iat", -1_000); })]
#[case::much_too_long(|p: &mut Parts| p.shift("exp", 48 * 3_600))]
#[case::not_yet(|p: &mut Parts| p.claims["nbf"] = json!(p.claims["exp"]))]
#[case::audience(|p: &mut Parts| p.claims["aud"] = json!("another"))]
#[case::issuer(|p: &mut Parts| p.claims["iss"] = json!("another"))]
#[case::no_subject(|p: &mut Parts| { p.claims.as_object_mut().unwrap().remove("sub"); })]
#[case::no_expiry(|p: &mut Parts| { p.claims.as_object_mut().unwrap().remove("exp"); })]
#[case::no_signature(|p: &mut Parts| p.unsigned = true)]
#[case::huge(|p: &mut Parts| p.claims["x"] = json!("x".repeat(9_000)))]
#[tokio::test]
async fn a_spoiled_token_is_refused(#[case] spoil: fn(&mut Parts)) {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let mut token = parts(&acme).await;
    spoil(&mut token);
    acme.with_key(&token.signed(app)).get("/v1/datasets").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_of_another_server_is_refused() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let Some(other) = TestApp::start(options(Sqlite)).await else { return };
    let stranger = other.customer("acme").await;
    let theirs = token(&stranger).await["access_token"].as_str().unwrap().to_owned();
    acme.with_key(&theirs).get("/v1/datasets").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_key_set_shows_public_parts_only() {
    let Some(app) = app(Sqlite).await else { return };
    let answer = app.operator.http.get(format!("{}/.well-known/jwks.json", app.url)).send().await.unwrap();
    let set: Value = answer.json().await.unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    assert!(keys.iter().all(|k| k["d"].is_null() && k["kid"].is_string() && k["use"] == "sig"), "{set}");
}

#[rstest]
#[case::nothing("")]
#[case::rubbish("hello")]
#[case::unknown("lf_live_AAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_AAAAAA")]
#[case::dots("a.b.c")]
#[tokio::test]
async fn a_credential_that_is_none_gets_the_same_401(#[case] credential: &str) {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let answer = acme.with_key(credential).get("/v1/datasets").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    answer.problem(401, "unauthenticated");
}

/// A key of a customer that the operator made with this body, and its id.
async fn made(app: &TestApp, customer: &Customer, body: Value) -> (Customer, String) {
    let path = format!("/v1/admin/customers/{}/keys", customer.id);
    let key = app.operator.post(&path, body).await.created()["data"].take();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    (customer.with_key(&text("key")), text("id"))
}

#[tokio::test]
async fn a_key_ends_no_later_than_its_maker() {
    const END: &str = "2999-01-01T00:00:00Z";
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let (maker, _) = made(app, &acme, json!({"scopes": ["read", "write"], "expires_at": END})).await;
    let later = json!({"scopes": ["read"], "expires_at": "2999-01-01T00:00:01Z"});
    let refused = maker.post("/v1/keys", later).await.problem(422, "unprocessable");
    assert!(refused.detail.contains(END), "{refused:?}");
    let same = maker.post("/v1/keys", json!({"scopes": ["read"]})).await.created();
    assert_eq!(same["data"]["expires_at"], END, "its maker's, where none is named");
    let sooner = json!({"scopes": ["read"], "expires_at": "2998-01-01T00:00:00Z"});
    assert_eq!(maker.post("/v1/keys", sooner).await.created()["data"]["expires_at"], "2998-01-01T00:00:00Z");
    let endless = acme.post("/v1/keys", json!({"scopes": ["read"]})).await.created();
    assert_eq!(endless["data"]["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_token_makes_no_keys() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let bearer = |answer: &Value| acme.with_key(answer["access_token"].as_str().unwrap());
    let of_acme = bearer(&token(&acme).await);
    let refused = of_acme.post("/v1/keys", json!({"scopes": ["read"]})).await.problem(403, "forbidden");
    assert!(refused.detail.contains("API key"), "{refused:?}");
    let operator = bearer(&token(&app.operator).await);
    let path = format!("/v1/admin/customers/{}/keys", acme.id);
    operator.post(&path, json!({"scopes": ["read"]})).await.problem(403, "forbidden");
}

#[rstest]
#[tokio::test]
async fn a_revoked_key_takes_the_keys_it_made_along(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(app) = app(stack).await else { return };
    let acme = app.customer("acme").await;
    let both = json!({"scopes": ["read", "write"]});
    let (parent, id) = made(app, &acme, both.clone()).await;
    let child =
        acme.with_key(parent.post("/v1/keys", both.clone()).await.created()["data"]["key"].as_str().unwrap());
    let grandchild =
        acme.with_key(child.post("/v1/keys", both).await.created()["data"]["key"].as_str().unwrap());
    let bearer = acme.with_key(token(&grandchild).await["access_token"].as_str().unwrap());
    for one in [&parent, &child, &grandchild, &bearer] {
        one.get("/v1/datasets").await.status(200);
    }
    assert_eq!(acme.delete(&format!("/v1/keys/{id}")).await.status.as_u16(), 204);
    for one in [&parent, &child, &grandchild, &bearer] {
        one.get("/v1/datasets").await.problem(401, "unauthenticated");
    }
    acme.get("/v1/datasets").await.status(200);
}

#[tokio::test]
async fn a_workspace_has_a_hundred_keys_that_work() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let (_, last) = made(app, &acme, json!({"scopes": ["read"]})).await;
    for _ in 2..100 {
        made(app, &acme, json!({"scopes": ["read"]})).await;
    }
    acme.post("/v1/keys", json!({"scopes": ["read"]})).await.problem(409, "conflict");
    let path = format!("/v1/admin/customers/{}/keys", acme.id);
    app.operator.post(&path, json!({"scopes": ["read"]})).await.problem(409, "conflict");
    acme.delete(&format!("/v1/keys/{last}")).await.status(204);
    acme.post("/v1/keys", json!({"scopes": ["read"]})).await.created();
}

/// A server of its own, whose limits are so small that a test reaches them.
async fn strict(limit: &str, count: &str) -> Option<TestApp> {
    let env = vec![(format!("LAKEFRONT__AUTH__{limit}"), count.to_owned())];
    TestApp::start(harness::Options { env, ..options(Sqlite) }).await
}

#[tokio::test]
async fn keys_of_one_workspace_share_four_times_the_limit_of_a_key() {
    let Some(app) = strict("CALLS_PER_MINUTE", "10").await else { return };
    let acme = app.customer("acme").await;
    let (mut passed, mut refused) = (0, None);
    for _ in 0..6 {
        let key = acme.with_key(&app.key(&acme, &["read"]).await);
        for _ in 0..10 {
            let answer = key.send(key.request(reqwest::Method::POST, "/v1/tokens")).await;
            match answer.status.as_u16() {
                200 => passed += 1,
                _ => refused = Some(answer),
            }
        }
    }
    let problem = refused.expect("six keys together are refused").problem(429, "rate-limited");
    assert!(problem.detail.contains("`workspace`"), "{problem:?}");
    assert!((40..55).contains(&passed), "{passed}");
    let free = acme.get("/v1/datasets").await.status(200);
    assert!(free.header("ratelimit").starts_with("\"workspace\";r="), "{:?}", free.headers);
    assert_eq!(free.header("ratelimit-policy"), "\"default\";q=10;w=60, \"workspace\";q=40;w=60");
}

#[tokio::test]
async fn what_stores_a_table_counts_five_times() {
    let Some(app) = strict("CALLS_PER_MINUTE", "60").await else { return };
    let acme = app.customer("acme").await;
    let left = |answer: &harness::Answer| -> u32 {
        let found = answer.header("ratelimit").split(";r=").nth(1).and_then(|rest| rest.split(';').next());
        found.and_then(|left| left.parse().ok()).unwrap()
    };
    let statement = acme.sql("SELECT 1 AS one").await.status(200);
    assert_eq!(left(&statement), 59);
    // A call comes back each second.
    let before = left(&acme.get("/v1/datasets").await);
    let stored = acme.upload("sales", "n\n1\n").await.status(201);
    assert!((before - 5..=before - 4).contains(&left(&stored)), "{before}, {}", left(&stored));
}

/// A key of the right form and checksum that nobody was given: `lf_live_` and these 8 characters.
fn forged(id: &str) -> String {
    let body = format!("lf_live_{id}_{}", "a".repeat(43));
    format!("{body}_{}", base62(crc32(body.as_bytes())))
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn base62(mut number: u32) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[tokio::test]
async fn a_right_key_that_was_never_seen_comes_in_from_beside_a_guesser() {
    let Some(app) = strict("FAILURES_PER_MINUTE", "5").await else { return };
    let acme = app.customer("acme").await;
    let (first, second) = (app.key(&acme, &["read"]).await, app.key(&acme, &["read"]).await);
    let guess = async |key: &str| acme.with_key(key).get("/v1/datasets").await;
    for n in 0..5 {
        guess(&forged(&format!("nobody{n:02}"))).await.problem(401, "unauthenticated");
    }
    let wrong = forged(&first["lf_live_".len()..][..8]);
    let (unknown, wrong) = (guess(&forged("nobody99")).await, guess(&wrong).await);
    for answer in [&unknown, &wrong] {
        assert_eq!(answer.status.as_u16(), 429, "{}", answer.text());
        assert!((1..=12).contains(&answer.header("retry-after").parse().unwrap()), "{:?}", answer.headers);
    }
    unknown.problem(429, "too-many-failures");
    wrong.problem(429, "too-many-failures");
    for key in [&first, &second] {
        guess(key).await.status(200);
    }
    guess(&forged("nobody98")).await.problem(429, "too-many-failures");
}

#[tokio::test]
async fn who_guesses_too_often_waits_and_tokens_and_known_keys_come_in() {
    let Some(app) = strict("FAILURES_PER_MINUTE", "5").await else { return };
    let acme = app.customer("acme").await;
    let fresh = acme.with_key(token(&acme).await["access_token"].as_str().unwrap());
    let guesser = acme.with_key("lf_live_guess");
    for _ in 0..5 {
        guesser.get("/v1/datasets").await.problem(401, "unauthenticated");
    }
    let answer = guesser.get("/v1/datasets").await;
    assert!((1..=12).contains(&answer.header("retry-after").parse().unwrap()), "{:?}", answer.headers);
    answer.problem(429, "too-many-failures");
    fresh.get("/v1/datasets").await.status(200);
    acme.get("/v1/datasets").await.status(200);
    let forged = format!("{}x", fresh.key);
    acme.with_key(&forged).get("/v1/datasets").await.problem(429, "too-many-failures");
}

#[rstest]
#[case::bidi("a\u{202e}b")]
#[case::nothing_to_see("\u{200b}")]
#[case::control("a\nb")]
#[case::soft_hyphen("a\u{ad}b")]
#[case::byte_order("\u{feff}a")]
#[tokio::test]
async fn labels_and_names_that_hide_something_are_refused(#[case] text: &str) {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    acme.post("/v1/keys", json!({"scopes": ["read"], "label": text})).await.problem(400, "invalid-body");
    let customer = json!({"name": text, "workspace": "hidden_one"});
    app.operator.post("/v1/admin/customers", customer).await.problem(400, "invalid-body");
}

#[tokio::test]
async fn a_token_is_asked_for_in_few_words_each_said_once() {
    let Some(acme) = customer(Sqlite, "acme").await else { return };
    let ask = |kind: &'static str, body: String| {
        let request = acme.request(reqwest::Method::POST, "/v1/tokens").header("content-type", kind);
        acme.send(request.body(body))
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    ask(FORM, "grant_type=client_credentials&scope=read".into()).await.status(200);
    for twice in ["scope=read&scope=write", "grant_type=client_credentials&grant_type=client_credentials"] {
        ask(FORM, twice.into()).await.problem(400, "invalid-body");
    }
    // What does not fit into the socket at once may be cut off before the answer is read.
    for bytes in [4_097, 64 << 10] {
        ask("application/json", " ".repeat(bytes)).await.problem(413, "payload-too-large");
    }
}

#[tokio::test]
async fn a_key_is_changed_for_the_next_one_that_it_made() {
    let Some(app) = app(Sqlite).await else { return };
    let acme = app.customer("acme").await;
    let (old, id) = made(app, &acme, json!({"scopes": ["read", "write"]})).await;
    let next =
        old.post("/v1/keys", json!({"scopes": ["read", "write"]})).await.created()["data"]["key"].take();
    let next = acme.with_key(next.as_str().unwrap());
    next.delete(&format!("/v1/keys/{id}?made=drop")).await.problem(400, "invalid-parameter");
    next.delete(&format!("/v1/keys/{id}?made=keep")).await.status(204);
    old.get("/v1/datasets").await.problem(401, "unauthenticated");
    next.get("/v1/datasets").await.status(200);
}
