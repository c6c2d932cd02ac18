//! Bearer tokens (JWT) that are found genuine or not: signed by a key that the operator named, for this broker, and not
//! over. Which algorithm a key may be used with follows from the key, never from the token alone; shared secrets and `none`
//! are not taken. Pure: keys are handed in as text, the time with each question.
//! Source: RFC 7519, RFC 8725; RabbitMQ `rabbit_auth_backend_oauth2`, `uaa_jwt`.

use super::{Token, check_name};
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_KEYS_MAX};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, Validation};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};
use std::fmt;

/// What tokens must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// Name of this broker among `aud`, and what its scopes begin with, with a dot behind it.
    pub resource_server_id: String,
    /// Claims that may name the user, the first that is there, before `sub` and `client_id`.
    pub username_claims: Vec<String>,
    /// Claims that may hold scopes beside `scope`.
    pub scope_claims: Vec<String>,
    /// Algorithms that are taken, of those that go with a key; none = all of them.
    pub algorithms: Vec<String>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRefused {
    /// A sentence for the log, without anything of the token.
    pub why: String,
    /// It names a key that is not there: others may know one by that name meanwhile.
    pub key_is_unknown: bool,
}

impl From<String> for TokenRefused {
    fn from(why: String) -> Self {
        Self { why, key_is_unknown: false }
    }
}

/// Keys, and what the tokens they signed must say.
pub struct TokenKeys {
    keys: Vec<TokenKey>,
    rules: TokenRules,
}

#[derive(Clone)]
struct TokenKey {
    id: Option<String>,
    key: DecodingKey,
    /// What it may be used with.
    algorithms: Vec<Algorithm>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKeys({})", self.keys.len())
    }
}

impl TokenKeys {
    /// No key: every token is signed with one that is not known.
    pub fn none(rules: TokenRules) -> Self {
        Self { keys: Vec::new(), rules }
    }

    /// These and those together, by the rules of these.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self { keys: [&self.keys[..], &others.keys].concat(), rules: self.rules.clone() }
    }

    /// Gives a key that has no name this one.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        for key in self.keys.iter_mut().filter(|key| key.id.is_none()) {
            key.id = Some(id.to_owned());
        }
        self
    }

    /// Reads a JSON Web Key Set, or one public key in PEM. Keys of kinds that are not known are passed over.
    ///
    /// # Errors
    /// A sentence for a person, also if there are more keys than [`TOKEN_KEYS_MAX`].
    pub fn parse(text: &str, rules: TokenRules) -> Result<Self, String> {
        // Another one that is there already is ours: nobody else uses the library.
        let _ = PROVIDER.install_default();
        let keys: Vec<TokenKey> = if text.trim_start().starts_with('{') {
            let set: KeySet = serde_json::from_str(text).map_err(|error| format!("no key set: {error}"))?;
            if set.keys.len() > TOKEN_KEYS_MAX {
                return Err(format!("a key set may have {TOKEN_KEYS_MAX} keys"));
            }
            set.keys.into_iter().filter_map(key_of).collect()
        } else {
            let pem = text.as_bytes();
            let key = DecodingKey::from_rsa_pem(pem)
                .or_else(|_| DecodingKey::from_ec_pem(pem))
                .or_else(|_| DecodingKey::from_ed_pem(pem))
                .map_err(|error| format!("no public key: {error}"))?;
            let algorithms = algorithms(&key);
            vec![TokenKey { id: None, key, algorithms }]
        };
        if keys.is_empty() {
            return Err("no public key of a kind that is known: RSA, EC or Ed25519".to_owned());
        }
        Ok(Self { keys, rules })
    }

    /// Checks a token.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn check(&self, token: &str, now_unix_s: u64) -> Result<Token, TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!("a token may have {TOKEN_BYTES_MAX} bytes").into());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| said(&error))?;
        let named = |key: &&TokenKey| header.kid.is_none() || key.id.is_none() || key.id == header.kid;
        let mut why = "signed with a key that is not known".to_owned();
        for TokenKey { key, algorithms, .. } in self.keys.iter().filter(named) {
            if !algorithms.contains(&header.alg) || !self.rules.take(header.alg) {
                continue;
            }
            let mut validation = Validation::new(header.alg);
            validation.algorithms.clone_from(algorithms);
            validation.set_audience(&[&self.rules.resource_server_id]);
            validation.set_required_spec_claims(&["exp", "aud"]);
            // Asks the clock itself; we are given the time.
            validation.validate_exp = false;
            match jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation) {
                Ok(decoded) => return Ok(self.read(&decoded.claims, now_unix_s)?),
                Err(error) => why = said(&error),
            }
        }
        let is_there = |id: &String| self.keys.iter().any(|key| key.id.as_ref() == Some(id));
        let key_is_unknown = header.kid.as_ref().map_or(self.keys.is_empty(), |id| !is_there(id));
        Err(TokenRefused { why, key_is_unknown })
    }

    fn read(&self, claims: &Map<String, Value>, now_unix_s: u64) -> Result<Token, String> {
        let time = |name| claims.get(name).and_then(seconds);
        let expires_unix_s = time("exp").ok_or("the token has no end (exp)")?;
        if expires_unix_s <= now_unix_s {
            return Err("the token is over".to_owned());
        }
        if claims.contains_key("nbf") && time("nbf").is_none_or(|from| from > now_unix_s) {
            return Err("the token does not count yet".to_owned());
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let claims_of_users = self.rules.username_claims.iter().map(String::as_str);
        let user = claims_of_users.chain(["sub", "client_id"]).find_map(text);
        let user = user.ok_or("the token names no user")?;
        check_name(user).map_err(|error| error.to_string())?;
        let mut scopes = Vec::new();
        for name in ["scope"].into_iter().chain(self.rules.scope_claims.iter().map(String::as_str)) {
            self.add_scopes(claims.get(name), &mut scopes);
        }
        let prefix = format!("{}.", self.rules.resource_server_id);
        Token::new(user.into(), expires_unix_s, &prefix, scopes.into_iter())
    }
}

impl TokenKeys {
    /// Scopes are words of a text, the texts of a list, or either of these under our name.
    fn add_scopes<'a>(&self, said: Option<&'a Value>, scopes: &mut Vec<&'a str>) {
        match said {
            Some(Value::String(words)) => scopes.extend(words.split_whitespace()),
            Some(Value::Array(texts)) => {
                scopes.extend(texts.iter().filter_map(Value::as_str).flat_map(str::split_whitespace));
            }
            Some(Value::Object(by_name)) => match by_name.get(&self.rules.resource_server_id) {
                Some(Value::Object(_)) | None => {}
                ours => self.add_scopes(ours, scopes),
            },
            _ => {}
        }
    }
}

impl TokenRules {
    fn take(&self, algorithm: Algorithm) -> bool {
        let name = format!("{algorithm:?}");
        self.algorithms.is_empty() || self.algorithms.contains(&name)
    }
}

/// A key set; each key by itself, so that one of a kind that is not known spoils none of the others.
#[derive(serde::Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The key, if it is for signatures, of a kind that is known; with what it says it is for, if it says that.
fn key_of(said: Value) -> Option<TokenKey> {
    let jwk: Jwk = serde_json::from_value(said).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let mut algorithms = algorithms(&key);
    if let Some(only) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == only.to_string());
    }
    (!algorithms.is_empty()).then_some(TokenKey { id: jwk.common.key_id, key, algorithms })
}

/// Seconds since 1970, which may have a fraction.
#[expect(clippy::cast_sign_loss, reason = "it saturates, and is not negative")]
fn seconds(time: &Value) -> Option<u64> {
    time.as_u64().or_else(|| time.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
}

/// Whether the text looks like a token at all: three parts of base64.
pub fn looks_like_token(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_part)
}

fn said(error: &jsonwebtoken::errors::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidAudience => "the token is for others (aud)".to_owned(),
        ErrorKind::InvalidSignature => "the token's signature is wrong".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token lacks {claim}"),
        ErrorKind::InvalidAlgorithm => "the token is signed in a way that is not taken".to_owned(),
        _ => "no token that can be read".to_owned(),
    }
}

/// What a key may be used with.
fn algorithms(key: &DecodingKey) -> Vec<Algorithm> {
    match key.family() {
        AlgorithmFamily::Rsa => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmFamily::Ec => match key.try_get_as_bytes().map(<[u8]>::len) {
            Ok(97) => vec![Algorithm::ES384],
            Ok(65) => vec![Algorithm::ES256],
            _ => Vec::new(),
        },
        AlgorithmFamily::Ed => vec![Algorithm::EdDSA],
        AlgorithmFamily::Hmac => Vec::new(),
    }
}

/// The library's cryptography by ring, which TLS has brought already.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() })),
    key_utils: KeyUtils::new_unimplemented(),
};

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let rsa: &signature::RsaParameters;
        let other: &dyn VerificationAlgorithm;
        match self.algorithm {
            Algorithm::RS256 => (rsa, other) = both(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => (rsa, other) = both(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => (rsa, other) = both(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => (rsa, other) = both(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => (rsa, other) = both(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => (rsa, other) = both(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => return self.check(&signature::ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::ES384 => return self.check(&signature::ECDSA_P384_SHA384_FIXED, message, signature),
            Algorithm::EdDSA => return self.check(&signature::ED25519, message, signature),
            _ => return Err(SignatureError::new()),
        }
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => RsaPublicKeyComponents { n, e }
                .verify(rsa, message, signature)
                .map_err(|_| SignatureError::new()),
            DecodingKeyKind::SecretOrDer(_) => self.check(other, message, signature),
        }
    }
}

fn both(
    rsa: &'static signature::RsaParameters,
) -> (&'static signature::RsaParameters, &'static dyn VerificationAlgorithm) {
    (rsa, rsa)
}

impl RingVerifier {
    fn check(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let key = self.key.try_get_as_bytes().map_err(|_| SignatureError::new())?;
        UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| SignatureError::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    const NOW_S: u64 = 1_800_000_000;

    /// Who signs tokens in these tests.
    struct Signer {
        key: EcdsaKeyPair,
    }

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let key =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
            Self { key }
        }

        fn keys(&self) -> String {
            let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
            let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
            json!({"keys": [
                {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
                {"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y},
            ]})
            .to_string()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let message = parts.join(".");
            let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn rules() -> TokenRules {
        TokenRules {
            resource_server_id: "broker".into(),
            username_claims: vec!["user_name".into()],
            scope_claims: vec!["authorities".into()],
            algorithms: Vec::new(),
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256", "typ": "JWT", "kid": "one"})
    }

    fn claims() -> Value {
        json!({
            "sub": "ann", "aud": ["broker", "others"], "exp": NOW_S + 60,
            "scope": "broker.read:*/orders broker.tag:monitoring others.read:*/*",
        })
    }

    #[test]
    fn a_genuine_token_says_who_and_what() {
        let signer = Signer::new();
        let keys = TokenKeys::parse(&signer.keys(), rules()).unwrap();
        let token = keys.check(&signer.sign(&header(), &claims()), NOW_S).unwrap();
        assert_eq!((&*token.user, token.expires_unix_s), ("ann", NOW_S + 60));
        assert!(token.may("/", Access::Read, "orders") && !token.may("/", Access::Read, "other"));
        assert_eq!(token.tags(), ["monitoring"]);
        let mut named = claims();
        named["user_name"] = json!("bob");
        named["scope"] = json!(["broker.write:a/b"]);
        let token = keys.check(&signer.sign(&header(), &named), NOW_S).unwrap();
        assert_eq!(&*token.user, "bob");
        assert!(token.may("a", Access::Write, "b"));
    }

    #[test]
    fn anything_else_is_refused() {
        let signer = Signer::new();
        let keys = TokenKeys::parse(&signer.keys(), rules()).unwrap();
        let with = |field: &str, value: Value| {
            let mut claims = claims();
            claims[field] = value;
            signer.sign(&header(), &claims)
        };
        let genuine = signer.sign(&header(), &claims());
        let (message, signature) = genuine.rsplit_once('.').unwrap();
        let unsigned = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        let claimed = message.split('.').nth(1).unwrap();
        let forged =
            URL_SAFE_NO_PAD.encode(json!({"sub": "root", "aud": "broker", "exp": NOW_S + 60}).to_string());
        for (token, expected) in [
            (with("exp", json!(NOW_S)), "the token is over"),
            (with("exp", Value::Null), ""),
            (with("exp", json!("2099-01-01")), ""),
            (with("nbf", json!(NOW_S + 1)), "the token does not count yet"),
            (with("nbf", json!("soon")), "the token does not count yet"),
            (with("aud", json!("others")), "the token is for others (aud)"),
            (with("aud", Value::Null), ""),
            (with("sub", json!("")), "the token names no user"),
            (with("sub", json!("a\nb")), "a name must have 1 to 255 bytes and no control characters"),
            (Signer::new().sign(&header(), &claims()), "the token's signature is wrong"),
            (
                signer.sign(&json!({"alg": "ES256", "kid": "two"}), &claims()),
                "signed with a key that is not known",
            ),
            // The shared secret of the set is not taken, nor our public key as one.
            (
                signer.sign(&json!({"alg": "HS256", "kid": "shared"}), &claims()),
                "signed with a key that is not known",
            ),
            (
                signer.sign(&json!({"alg": "HS256", "kid": "one"}), &claims()),
                "signed with a key that is not known",
            ),
            (format!("{unsigned}.{claimed}."), ""),
            (
                format!("{}.{forged}.{signature}", message.split('.').next().unwrap()),
                "the token's signature is wrong",
            ),
            (format!("{message}."), ""),
            (String::new(), "no token that can be read"),
            ("eyJ.a.b".to_owned(), "no token that can be read"),
            ("x".repeat(TOKEN_BYTES_MAX + 1), "a token may have"),
        ] {
            let said = keys.check(&token, NOW_S).unwrap_err().why;
            assert!(said.contains(expected), "{said} {expected}");
        }
    }

    #[test]
    fn keys_of_other_kinds() {
        let random = SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();
        let keys = TokenKeys::parse(&set, rules()).unwrap();
        let parts = [json!({"alg": "EdDSA"}), claims()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())));
        assert_eq!(keys.check(&token, NOW_S).map(|token| token.user), Ok("ann".into()));
        for text in
            ["", "{}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "-----BEGIN"]
        {
            assert!(TokenKeys::parse(text, rules()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_may_come_and_others_stay() {
        let (old, new) = (Signer::new(), Signer::new());
        let token = new.sign(&json!({"alg": "ES256", "kid": "two"}), &claims());
        let keys = TokenKeys::parse(&old.keys(), rules()).unwrap();
        let unknown =
            |keys: &TokenKeys, token: &str| keys.check(token, NOW_S).map_err(|no| no.key_is_unknown);
        assert_eq!(unknown(&keys, &token).err(), Some(true));
        let more = TokenKeys::parse(&new.keys().replace("\"one\"", "\"two\""), rules()).unwrap();
        let both = keys.and(&more);
        assert!(unknown(&both, &token).is_ok() && unknown(&both, &old.sign(&header(), &claims())).is_ok());
        let forged = Signer::new().sign(&header(), &claims());
        assert_eq!(
            unknown(&both, &forged).err(),
            Some(false),
            "a wrong signature is no reason to look further"
        );
        assert_eq!(unknown(&TokenKeys::none(rules()), &forged).err(), Some(true));
    }

    #[test]
    fn a_key_is_used_only_for_what_it_is_for() {
        let signer = Signer::new();
        let token = signer.sign(&header(), &claims());
        let check = |mark: &str, rules: TokenRules, expected: bool| {
            let set = signer.keys().replace("\"kty\":\"EC\"", &format!("\"kty\":\"EC\"{mark}"));
            let good = TokenKeys::parse(&set, rules).is_ok_and(|keys| keys.check(&token, NOW_S).is_ok());
            assert_eq!(good, expected, "{mark}");
        };
        let only = |name: &str| TokenRules { algorithms: vec![name.to_owned()], ..rules() };
        check("", rules(), true);
        check(",\"use\":\"sig\"", rules(), true);
        check(",\"use\":\"enc\"", rules(), false);
        check(",\"alg\":\"ES256\"", rules(), true);
        check(",\"alg\":\"ES384\"", rules(), false);
        check("", only("ES256"), true);
        check("", only("RS256"), false);
        let many = json!({"keys": vec![json!({"kty": "oct", "k": "AA"}); TOKEN_KEYS_MAX + 1]}).to_string();
        assert!(TokenKeys::parse(&many, rules()).is_err());
        let odd = signer.keys().replacen('[', "[{\"kty\":\"new\"},5,", 1);
        assert!(TokenKeys::parse(&odd, rules()).unwrap().check(&token, NOW_S).is_ok(), "others stay good");
    }

    #[test]
    fn scopes_may_stand_in_further_claims() {
        let signer = Signer::new();
        let keys = TokenKeys::parse(&signer.keys(), rules()).unwrap();
        for (said, expected) in [
            (json!("broker.read:v/q x"), true),
            (json!(["x broker.read:v/q"]), true),
            (json!({"broker": ["broker.read:v/q"]}), true),
            (json!({"others": ["broker.read:v/q"]}), false),
            (json!({"broker": {"broker": "broker.read:v/q"}}), false),
            (json!(5), false),
        ] {
            let mut claims = claims();
            claims["authorities"] = said.clone();
            let token = keys.check(&signer.sign(&header(), &claims), NOW_S).unwrap();
            assert_eq!(token.may("v", Access::Read, "q"), expected, "{said}");
        }
    }

    #[test]
    fn passwords_do_not_look_like_tokens() {
        for (text, expected) in [
            ("eyJh.eyJz.c2ln", true),
            ("secret", false),
            ("eyJ..", false),
            ("a.b.c", false),
            ("eyJh.eyJz", false),
        ] {
            assert_eq!(looks_like_token(text), expected, "{text}");
        }
    }
}
