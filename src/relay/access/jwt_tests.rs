//! Tokens as they are signed, and as those make them who would like to be somebody else.

use super::*;
use crate::relay::access::identity::IdentityError;
use crate::relay::name::NameError;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn verifier(demands: Demands) -> Verifier {
    Verifier::new(Algorithm::Hs256, SECRET, demands, 128).unwrap()
}

fn check(token: impl AsRef<[u8]>) -> Result<Identity, Denied> {
    verifier(Demands::default()).check(token.as_ref(), NOW)
}

/// What is said about claims that are signed as they should be.
fn check_claims(claims: &str) -> Result<Identity, Denied> {
    check(sign_hs256(SECRET, claims).unwrap())
}

/// A token with any header, signed with the right secret.
fn with_header(header: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(r#"{"sub":"alice"}"#));
    let signature = hmac(SECRET).chain_update(signed.as_bytes()).finalize().into_bytes();
    format!("{signed}.{}", encode(signature))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn the_example_of_the_module_documentation() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6MTg5MzQ1NjAwMH0.\
        1_5CeRiW9IFEmlFqKDsANu8THSCDc33WDrJDvsGNdIQ";
    let identity = check(token).unwrap();
    assert_eq!(&*identity.user, "alice");
    assert_eq!(identity.expires_at, Some(UnixMillis(1_893_456_000_000)));
}

#[test]
fn rfc7515_a_1_the_signature_is_right_and_nobody_is_named() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogIm\
        h0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = URL_SAFE_NO_PAD.decode(key).unwrap();
    let verifier = Verifier::new(Algorithm::Hs256, &key, Demands::default(), 128).unwrap();
    let missing = Denied::Claims(IdentityError::Missing("sub"));
    assert_eq!(verifier.check(token.as_bytes(), NOW), Err(missing));
    assert_eq!(check(token), Err(Denied::Signature), "with another secret");
}

#[test]
fn what_is_signed_is_read_back() {
    let identity =
        check_claims(r#"{"sub":"alice","roles":["member","admin"],"groups":["staff"]}"#).unwrap();
    assert_eq!(&*identity.user, "alice");
    assert_eq!(identity.roles, ["member".into(), "admin".into()]);
    assert_eq!(identity.groups, ["staff".into()]);
    assert_eq!(identity.expires_at, None);
    assert_eq!(&*check_claims(r#"{"sub":1001}"#).unwrap().user, "1001");
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    let token = sign_hs256(SECRET, r#"{"sub":"alice"}"#).unwrap();
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            assert!(check(&bytes).is_err(), "byte {at}, bit {bit}");
        }
        assert!(check(&token.as_bytes()[..at]).is_err(), "cut after {at}");
    }
    assert!(check(&token).is_ok());
    for other in
        [format!("{token}="), format!("{token} "), format!(" {token}"), format!("{token}.")]
    {
        assert!(check(other).is_err());
    }
}

#[test]
fn the_algorithm_is_the_configured_one_whatever_the_token_says() {
    assert!(check(with_header(r#"{"alg":"HS256"}"#)).is_ok());
    assert!(
        check(with_header(r#"{"alg":"HS256","typ":"JWT","kid":"7","jku":"http://x"}"#)).is_ok()
    );
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        assert_eq!(check(with_header(header)), Err(Denied::Algorithm), "{header}");
    }
    // Signed by nobody, with and without the last dot.
    let unsigned = format!("{}.{}", encode(r#"{"alg":"none"}"#), encode(r#"{"sub":"alice"}"#));
    assert_eq!(check(format!("{unsigned}.")), Err(Denied::Algorithm));
    assert_eq!(check(&unsigned), Err(Denied::Malformed));
    let empty = format!("{}.{}.", encode(r#"{"alg":"HS256"}"#), encode(r#"{"sub":"alice"}"#));
    assert_eq!(check(empty), Err(Denied::Signature));
}

#[test]
fn hostile_headers_are_refused() {
    for header in [
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "",
        "{",
        "{\"alg\":\"HS256\"} {}",
        "\u{FEFF}{\"alg\":\"HS256\"}",
    ] {
        assert_eq!(check(with_header(header)), Err(Denied::Malformed), "{header}");
    }
}

#[test]
fn hostile_tokens_are_refused() {
    let deep = format!(r#"{{"sub":"alice","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let huge = format!(r#"{{"sub":"alice","x":"{}"}}"#, "y".repeat(8 * 1024));
    for claims in ["", "null", "[]", "\"alice\"", "{\"sub\":\"alice\"", &deep, &huge] {
        assert_eq!(check_claims(claims), Err(Denied::Malformed), "{claims:.40}");
    }
    let nested = sign_hs256(SECRET, r#"{"sub":"alice"}"#).unwrap();
    assert_eq!(check_claims(&nested), Err(Denied::Malformed), "a token in a token");
    // Signed as it should be, and not UTF-8.
    let signed = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(b"{\"sub\":\"al\xFFice\"}"));
    let signature = hmac(SECRET).chain_update(signed.as_bytes()).finalize().into_bytes();
    assert_eq!(check(format!("{signed}.{}", encode(signature))), Err(Denied::Malformed));
    for token in [&b""[..], b".", b"..", b"...", b"a.b.c", b"\xFF\xFF.\xFF.\xFF", b"alice"] {
        assert_eq!(check(token), Err(Denied::Malformed));
    }
    assert_eq!(check(".".repeat(TOKEN_LEN_MAX)), Err(Denied::Malformed));
}

#[test]
fn a_token_names_exactly_one_user_by_a_name() {
    let name = |error| Denied::Claims(IdentityError::Name { key: "sub", error });
    let repeated = Denied::Claims(IdentityError::Repeated("sub"));
    let missing = Denied::Claims(IdentityError::Missing("sub"));
    for (claims, denied) in [
        (r#"{"sub":"alice","sub":"eve"}"#, repeated),
        (r#"{"sub":"alice","s\u0075b":"eve"}"#, repeated),
        (r#"{"user":"alice"}"#, missing),
        (r#"{"sub":""}"#, name(NameError::Empty)),
        (r#"{"sub":"*"}"#, name(NameError::Star)),
        (r#"{"sub":"a\u0000b"}"#, name(NameError::Invisible)),
        (r#"{"sub":"alice\n"}"#, name(NameError::WhiteSpace)),
    ] {
        assert_eq!(check_claims(claims), Err(denied), "{claims}");
    }
    let long = format!(r#"{{"sub":"{}"}}"#, "a".repeat(129));
    assert_eq!(check_claims(&long), Err(name(NameError::TooLong)));
    for claims in [r#"{"sub":null}"#, r#"{"sub":["alice"]}"#, r#"{"sub":true}"#, r#"{"sub":1.0}"#] {
        assert!(matches!(check_claims(claims), Err(Denied::Claims(IdentityError::Kind { .. }))));
    }
}

#[test]
fn a_token_is_good_from_nbf_to_exp_and_a_minute_around_them() {
    let at = |claims: &str, seconds: i64| {
        let token = sign_hs256(SECRET, &format!(r#"{{"sub":"alice",{claims}}}"#)).unwrap();
        let wall = UnixMillis((1_800_000_000 + seconds) as u64 * 1000);
        verifier(Demands::default()).check(token.as_bytes(), wall)
    };
    let until = |seconds: u64| Some(UnixMillis((1_800_000_000 + seconds) * 1000));
    let exp = r#""exp":1800000000"#;
    assert_eq!(at(exp, -1).unwrap().expires_at, until(0));
    assert_eq!(at(exp, 0).unwrap().expires_at, until(60), "let in by the leeway, and for its time");
    assert_eq!(at(exp, 59).unwrap().expires_at, until(60));
    assert_eq!(at(exp, 60), Err(Denied::Expired));
    let nbf = r#""nbf":1800000000"#;
    assert_eq!(at(nbf, -61), Err(Denied::NotYet));
    assert!(at(nbf, -60).is_ok() && at(nbf, 10_000).is_ok());
    assert_eq!(at(r#""exp":0"#, 0), Err(Denied::Expired));
    assert_eq!(at(r#""exp":-1e300"#, 0), Err(Denied::Expired));
    assert_eq!(at(r#""exp":1e300"#, 0).unwrap().expires_at, Some(UnixMillis(u64::MAX)));
    assert_eq!(at(r#""nbf":1e300"#, 0), Err(Denied::NotYet));
    for claims in [r#""exp":"1900000000""#, r#""exp":null"#, r#""nbf":"x""#, r#""exp":1,"exp":2e9"#]
    {
        assert!(matches!(at(claims, 0), Err(Denied::Claims(_))), "{claims}");
    }
}

#[test]
fn a_token_is_for_this_server_and_from_its_issuer() {
    let with = |audience: Option<&str>, issuer: Option<&str>, claims: &str| {
        let demands = Demands { audience: audience.map(Box::from), issuer: issuer.map(Box::from) };
        let token = sign_hs256(SECRET, &format!(r#"{{"sub":"alice"{claims}}}"#)).unwrap();
        verifier(demands).check(token.as_bytes(), NOW).map(|_| ())
    };
    let chat = Some("chat");
    assert_eq!(with(chat, None, r#","aud":"chat""#), Ok(()));
    assert_eq!(with(chat, None, r#","aud":["mail","chat"]"#), Ok(()));
    for aud in ["", r#","aud":"mail""#, r#","aud":[]"#, r#","aud":["mail"]"#, r#","aud":null"#] {
        assert_eq!(with(chat, None, aud), Err(Denied::Audience), "{aud}");
    }
    assert_eq!(with(chat, None, r#","aud":{"chat":1}"#), Err(Denied::Audience));
    assert_eq!(with(None, None, r#","aud":"mail""#), Err(Denied::Audience), "RFC 7519 §4.1.3");
    let app = Some("https://app.example.org");
    assert_eq!(with(None, app, r#","iss":"https://app.example.org""#), Ok(()));
    for iss in ["", r#","iss":"https://app.example.org/""#, r#","iss":["https://app.example.org"]"#]
    {
        assert_eq!(with(None, app, iss), Err(Denied::Issuer), "{iss}");
    }
    assert_eq!(with(None, None, r#","iss":"anybody""#), Ok(()));
}

#[test]
fn a_secret_has_a_length_and_no_line_end() {
    let short = Err(KeyError::SecretTooShort);
    assert_eq!(sign_hs256(&SECRET[1..], "{}"), short);
    assert_eq!(sign_hs256(b"", "{}"), short);
    let mut with_line_end = SECRET.to_vec();
    with_line_end.extend_from_slice(b"\r\n");
    let token = sign_hs256(&with_line_end, r#"{"sub":"alice"}"#).unwrap();
    assert!(check(token).is_ok());
}

#[test]
fn debug_output_shows_no_key() {
    let shown = format!("{:?}", verifier(Demands::default()));
    assert_eq!(shown, "Verifier(HS256, Demands { audience: None, issuer: None })");
}

#[cfg(not(feature = "jwt-asymmetric"))]
#[test]
fn without_the_feature_no_public_key_is_taken() {
    let key = Verifier::new(Algorithm::EdDsa, ED25519.as_bytes(), Demands::default(), 128);
    assert_eq!(key.unwrap_err(), KeyError::Public(PublicKeyError::NotBuiltIn));
}

/// RFC 7515 A.2, RFC 7515 A.3 and RFC 8037 A.2, each as SubjectPublicKeyInfo.
#[cfg(feature = "jwt-asymmetric")]
const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
";

#[cfg(feature = "jwt-asymmetric")]
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
";

const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

#[cfg(feature = "jwt-asymmetric")]
mod asymmetric {
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };

    use super::*;

    fn public(algorithm: Algorithm, pem: &str) -> Result<Verifier, PublicKeyError> {
        let verifier = Verifier::new(algorithm, pem.as_bytes(), Demands::default(), 128);
        verifier.map_err(|error| match error {
            KeyError::Public(error) => error,
            KeyError::SecretTooShort => panic!("a public key is no secret"),
        })
    }

    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogIm\
        h0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    /// The tokens of the RFCs name no user, so that the signature being right shows in what is
    /// found wrong after it.
    #[test]
    fn rfc7515_a_2_a_3_rfc8037_a_4_the_signatures_are_right() {
        let rs256 = format!(
            "eyJhbGciOiJSUzI1NiJ9.{JOE}.\
            cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF\
            5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK\
            5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt\
            FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB\
            p0igcN_IoypGlUPQGe77Rw"
        );
        let es256 = format!(
            "eyJhbGciOiJFUzI1NiJ9.{JOE}.\
            DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        );
        let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
            hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let nobody = Denied::Claims(IdentityError::Missing("sub"));
        for (algorithm, pem, token, right) in [
            (Algorithm::Rs256, RSA, &rs256[..], nobody),
            (Algorithm::Es256, P256, &es256, nobody),
            (Algorithm::EdDsa, ED25519, eddsa, Denied::Malformed),
        ] {
            let verifier = public(algorithm, pem).unwrap();
            assert_eq!(verifier.check(token.as_bytes(), NOW), Err(right));
            let at = token.rfind('.').unwrap() + 10;
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let broken = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert_eq!(verifier.check(broken.as_bytes(), NOW), Err(Denied::Signature));
        }
    }

    /// What a token signed by these says about its bearer.
    fn round(algorithm: Algorithm, prefix: &[u8], key: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) {
        let pem = base64::engine::general_purpose::STANDARD.encode([prefix, key].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
        let header = encode(format!(r#"{{"alg":"{}"}}"#, algorithm.name()));
        let signed = format!("{header}.{}", encode(r#"{"sub":"alice","roles":"member"}"#));
        let token = format!("{signed}.{}", encode(sign(signed.as_bytes())));
        let verifier = public(algorithm, &pem).unwrap();
        assert_eq!(&*verifier.check(token.as_bytes(), NOW).unwrap().user, "alice");

        // The oldest trick: the public key, which everybody has, as the secret of HS256.
        let forged = sign_hs256(pem.as_bytes(), r#"{"sub":"alice"}"#).unwrap();
        assert_eq!(verifier.check(forged.as_bytes(), NOW), Err(Denied::Algorithm));
        assert_eq!(check(token), Err(Denied::Algorithm));
    }

    #[test]
    fn what_is_signed_with_a_private_key_is_read_back() {
        let random = SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let prefix = b"\x30\x2A\x30\x05\x06\x03\x2B\x65\x70\x03\x21\x00";
        let public_key = key.public_key().as_ref().to_vec();
        round(Algorithm::EdDsa, prefix, &public_key, |bytes| key.sign(bytes).as_ref().to_vec());

        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        let prefix = b"\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\
            \x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\x03\x42\x00";
        let public_key = key.public_key().as_ref().to_vec();
        round(Algorithm::Es256, prefix, &public_key, |bytes| {
            key.sign(&random, bytes).unwrap().as_ref().to_vec()
        });
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_reason() {
        let another = |found, wanted| PublicKeyError::Another { found, wanted };
        let labelled = |label: &str| ED25519.replace("PUBLIC KEY", label);
        // An RSA key of 1024 bits, as its length says.
        let cases = [
            (P256.to_owned(), another(Algorithm::Es256, Algorithm::EdDsa)),
            (RSA.to_owned(), another(Algorithm::Rs256, Algorithm::EdDsa)),
            (labelled("PRIVATE KEY"), PublicKeyError::Private),
            (labelled("EC PRIVATE KEY"), PublicKeyError::Private),
            (labelled("CERTIFICATE"), PublicKeyError::Certificate),
            (labelled("RSA PUBLIC KEY"), PublicKeyError::RsaForm),
            (labelled("SSH2 PUBLIC KEY"), PublicKeyError::NotPem),
            (ED25519.replace("MCow", "MC*w"), PublicKeyError::NotPem),
            (ED25519.replace("MCow", "MCsw"), PublicKeyError::Malformed),
            (ED25519.replace("BQYDK2Vw", "BQYDK2Vx"), PublicKeyError::Malformed),
            (String::new(), PublicKeyError::NotPem),
        ];
        for (pem, error) in cases {
            assert_eq!(public(Algorithm::EdDsa, &pem).unwrap_err(), error, "{pem}");
        }
        for (algorithm, pem) in
            [(Algorithm::Rs256, RSA), (Algorithm::Es256, P256), (Algorithm::EdDsa, ED25519)]
        {
            assert!(public(algorithm, pem).is_ok());
            for cut in 1..pem.len() - 30 {
                let pem = format!("{}\n-----END PUBLIC KEY-----\n", &pem[..cut]);
                assert!(public(algorithm, &pem).is_err(), "{pem}");
            }
        }
    }

    #[test]
    fn an_rsa_key_of_1024_bits_is_weak() {
        let modulus = [&[0x02, 0x81, 0x81, 0x00][..], &[0xFF; 128]].concat();
        let numbers = [&modulus[..], b"\x02\x03\x01\x00\x01"].concat();
        let key = [&[0x00, 0x30, 0x81, numbers.len() as u8][..], &numbers].concat();
        let algorithm = b"\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00";
        let info = [&algorithm[..], &[0x03, 0x81, key.len() as u8], &key].concat();
        let der = [&[0x30, 0x81, info.len() as u8][..], &info].concat();
        let pem = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
        assert_eq!(public(Algorithm::Rs256, &pem).unwrap_err(), PublicKeyError::Weak);
    }
}
