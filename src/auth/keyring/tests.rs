use super::*;
use crate::auth::parse_keys;
use serde_json::{Value, json};

const ONE: &str = "0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;

fn keyring() -> Keyring {
    let two = "another-secret-another-secret-12";
    let other = "third-secret-third-secret-third1";
    Keyring::new(parse_keys(&format!("acme/one:{ONE},acme/two:{two},other:{other}")).unwrap())
}

fn acme() -> TenantId {
    TenantId("acme".to_owned())
}

fn sign(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn verify(claims: &Value) -> Result<Bearer, AuthError> {
    keyring().verify_at(&sign(Algorithm::HS256, ONE, claims), NOW)
}

fn join(role: &str) -> Value {
    json!({"iss": "one", "exp": NOW + 60, "meeting": "01890a5d-ac96-774b-bcce-b302099a8057", "role": role})
}

#[test]
fn what_was_minted_is_accepted() {
    let keyring = keyring();
    let meeting = MeetingId(uuid::Uuid::now_v7());
    let mint = Mint { meeting, user: Some(UserId("u".into())), name: Some("Ada".into()), role: Role::Host, ttl_s: 60 };
    let (token, expires_at) = keyring.mint_join(&acme(), mint).unwrap();
    let expected = JoinClaims {
        tenant: acme(),
        key: "one".to_owned(),
        meeting,
        user: Some(UserId("u".into())),
        name: Some("Ada".into()),
        role: Role::Host,
        expires_at,
    };
    assert_eq!(keyring.verify(&token).unwrap(), Bearer::Join(expected));
    let api = keyring.mint_api(&acme(), 60).unwrap();
    assert_eq!(keyring.verify(&api).unwrap(), Bearer::Api { tenant: acme(), key: "one".to_owned() });
    assert!(keyring.mint_api(&TenantId("nobody".into()), 60).is_none());
}

#[test]
fn a_ttl_beyond_the_longest_is_cut_to_it() {
    let keyring = keyring();
    let long =
        Mint { meeting: MeetingId(uuid::Uuid::nil()), user: None, name: None, role: Role::Viewer, ttl_s: u64::MAX };
    let (token, _) = keyring.mint_join(&acme(), long).unwrap();
    assert!(matches!(keyring.verify(&token), Ok(Bearer::Join(_))));
    assert!(keyring.verify(&keyring.mint_api(&acme(), u64::MAX).unwrap()).is_ok());
}

#[test]
fn any_key_of_a_tenant_is_good_and_gives_that_tenant() {
    let keyring = keyring();
    let token = sign(Algorithm::HS256, "another-secret-another-secret-12", &json!({"iss": "two", "exp": NOW + 60}));
    assert_eq!(keyring.verify_at(&token, NOW).unwrap(), Bearer::Api { tenant: acme(), key: "two".to_owned() });
    let tenants: Vec<&str> = keyring.tenants().map(|tenant| tenant.0.as_str()).collect();
    assert_eq!(tenants, ["acme", "other"]);
}

#[test]
fn forged_tokens_are_refused() {
    let keyring = keyring();
    let good = json!({"iss": "one", "exp": NOW + 60});
    assert!(keyring.verify_at(&sign(Algorithm::HS256, ONE, &good), NOW).is_ok());
    let whole = sign(Algorithm::HS256, ONE, &good);
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let other = sign(Algorithm::HS256, ONE, &json!({"iss": "one", "exp": NOW + 61}));
    let bad = [
        sign(Algorithm::HS256, "wrong", &good),
        sign(Algorithm::HS384, ONE, &good),
        sign(Algorithm::HS512, ONE, &good),
        // Signed with one key, said to be of another: of the same tenant, of another, of nobody.
        sign(Algorithm::HS256, ONE, &json!({"iss": "two", "exp": NOW + 60})),
        sign(Algorithm::HS256, ONE, &json!({"iss": "other", "exp": NOW + 60})),
        sign(Algorithm::HS256, ONE, &json!({"iss": "nobody", "exp": NOW + 60})),
        // {"alg":"none"}, unsigned and with the signature of a good token.
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJvbmUiLCJleHAiOjE4MDAwMDAwNjB9.".to_owned(),
        format!("eyJhbGciOiJub25lIn0.eyJpc3MiOiJvbmUiLCJleHAiOjE4MDAwMDAwNjB9.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        // The claims of one token with the signature of another.
        format!("{}.{signature}", other.rsplit_once('.').unwrap().0),
        "a.b.c".to_owned(),
        "..".to_owned(),
        String::new(),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ];
    for token in bad {
        assert!(keyring.verify_at(&token, NOW).is_err(), "{token}");
    }
}

#[test]
fn critical_extensions_are_refused() {
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::HS256) };
    let key = EncodingKey::from_secret(ONE.as_bytes());
    let token = jsonwebtoken::encode(&header, &json!({"iss": "one", "exp": NOW + 60}), &key).unwrap();
    assert!(keyring().verify_at(&token, NOW).is_err());
}

#[test]
fn claims_that_are_missing_or_wrong_are_refused() {
    let bad = [
        json!({"iss": "one"}),
        json!({"exp": NOW + 60}),
        json!({"iss": 1, "exp": NOW + 60}),
        json!({"iss": "one", "exp": "soon"}),
        json!({"iss": "one", "exp": -1}),
        json!({"iss": "one", "exp": null}),
        json!({"iss": "one", "exp": 1e300}),
        json!({"iss": "one", "exp": NOW + 60, "meeting": "not an id"}),
        json!({"iss": "one", "exp": NOW + 60, "meeting": null}),
        json!({"iss": "one", "exp": NOW + 60, "sub": 7}),
        join("emperor"),
        json!("no object"),
        json!([]),
    ];
    for claims in bad {
        assert!(verify(&claims).is_err(), "{claims}");
    }
}

#[test]
fn a_token_is_good_until_it_expires_and_not_for_too_long() {
    let api = |exp: u64| verify(&json!({"iss": "one", "exp": exp})).is_ok();
    let join = |exp: u64| {
        let mut claims = join("host");
        claims["exp"] = exp.into();
        verify(&claims).is_ok()
    };
    assert!(api(NOW + 3_600) && api(NOW + 3_600 + SKEW_S) && !api(NOW + 3_600 + SKEW_S + 1));
    assert!(join(NOW + 86_400) && join(NOW + 86_400 + SKEW_S) && !join(NOW + 86_400 + SKEW_S + 1));
    assert!(api(NOW - EXPIRED_LEEWAY_S) && !api(NOW - EXPIRED_LEEWAY_S - 1));
    assert!(join(NOW - EXPIRED_LEEWAY_S) && !join(NOW - EXPIRED_LEEWAY_S - 1));
    assert!(verify(&json!({"iss": "one", "exp": 1_800_000_060.5})).is_ok());
    assert!(verify(&json!({"iss": "one", "exp": NOW + 60, "nbf": NOW + SKEW_S})).is_ok());
    assert!(verify(&json!({"iss": "one", "exp": NOW + 600, "nbf": NOW + SKEW_S + 1})).is_err());
}

#[test]
fn roles_are_read_and_a_token_without_sub_is_a_guest() {
    for (text, role) in [("viewer", Role::Viewer), ("agent", Role::Agent), ("recorder", Role::Recorder)] {
        let Ok(Bearer::Join(claims)) = verify(&join(text)) else { panic!("{text} was refused") };
        assert_eq!((claims.role, claims.user), (role, None));
    }
    let mut claims = join("host");
    claims["sub"] = "".into();
    let Ok(Bearer::Join(claims)) = verify(&claims) else { panic!("refused") };
    assert_eq!(claims.user, None);
}

#[test]
fn a_refusal_says_the_same_whatever_the_reason() {
    let expired = verify(&json!({"iss": "one", "exp": 1})).unwrap_err().to_string();
    let unknown = verify(&json!({"iss": "nobody", "exp": NOW})).unwrap_err().to_string();
    assert_eq!(expired, unknown);
}
