//! What tells bindings between the same two ends apart in a path: RabbitMQ's *properties key*. It is `~` for an empty key
//! without arguments, else the key as a form would encode it, and behind a `~` a digest of the arguments, if there are
//! any. Clients take it as it is; only its form is RabbitMQ's, the digest is our own.
//! Source: RabbitMQ `rabbit_mgmt_format:pack_binding_props`.

use crate::protocol::table::Table;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// The properties key of a binding.
pub(super) fn properties_key(binding_key: &str, arguments: &Table) -> String {
    if binding_key.is_empty() && arguments.is_empty() {
        return "~".to_owned();
    }
    format!("{}{}", form_encoded(binding_key), digest(arguments))
}

/// Whether a segment of a path, decoded once, means this binding: by its properties key, however much of the encoding of
/// the key within it a client has done or undone.
pub(super) fn is_key_of(wanted: &str, binding_key: &str, arguments: &Table) -> bool {
    if wanted == properties_key(binding_key, arguments) {
        return true;
    }
    // This is the empty key, and never a tilde.
    if wanted == "~" {
        return false;
    }
    let Some(key) = wanted.strip_suffix(&digest(arguments)) else { return false };
    !binding_key.is_empty() && (key == binding_key || percent_decode_str(key).eq(binding_key.bytes()))
}

/// `~` and what stands for the arguments, whatever their order; nothing for none.
fn digest(arguments: &Table) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let pairs = arguments.iter().map(|pair| Table::from_pairs(&[pair]).as_bytes().to_vec());
    let mut pairs: Vec<Vec<u8>> = pairs.collect();
    pairs.sort_unstable();
    let digest = Sha256::digest(pairs.concat());
    digest.iter().take(DIGEST_BYTES).fold("~".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Enough that no two sets of arguments of bindings between the same ends share one.
const DIGEST_BYTES: usize = 6;

/// As a form encodes a text: a space is `+`, and all but letters, digits and `-._` is `%XX`.
pub(super) fn form_encoded(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_FORMS).to_string().replace("%20", "+")
}

/// What is written another way; a space is then written yet another.
const NOT_IN_FORMS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Value;

    #[test]
    fn keys_have_rabbitmqs_form() {
        let (none, some) = (Table::default(), Table::from_pairs(&[("a", Value::I64(1))]));
        for (binding_key, expected) in [("", "~"), ("k", "k"), ("a b/c~d%", "a+b%2Fc%7Ed%25"), ("#", "%23")] {
            assert_eq!(properties_key(binding_key, &none), expected);
        }
        assert!(properties_key("k", &some).starts_with("k~"));
        assert!(properties_key("", &some).starts_with('~'));
    }

    #[test]
    fn a_key_means_one_binding() {
        let none = Table::default();
        let (one, other) =
            (Table::from_pairs(&[("a", Value::I64(1))]), Table::from_pairs(&[("a", Value::I64(2))]));
        let all = [
            ("", &none),
            ("~", &none),
            ("k", &none),
            ("k", &one),
            ("k", &other),
            ("a/b", &none),
            ("a b", &one),
        ];
        for (binding_key, arguments) in all {
            let key = properties_key(binding_key, arguments);
            let meant: Vec<_> = all.iter().filter(|(known, table)| is_key_of(&key, known, table)).collect();
            assert_eq!(meant, [&(binding_key, arguments)], "{key}");
        }
    }

    #[test]
    fn clients_may_encode_once_too_little_or_in_another_way() {
        let (none, one) = (Table::default(), Table::from_pairs(&[("a", Value::I64(1))]));
        assert!(is_key_of("a/b", "a/b", &none));
        assert!(is_key_of("a%20b", "a b", &none));
        assert!(is_key_of(&format!("a b{}", digest(&one)), "a b", &one));
        assert!(!is_key_of("a%2", "a%", &none) && !is_key_of("a%zz", "azz", &none));
    }
}
