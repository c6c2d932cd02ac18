//! Names in a directory: what users call themselves is put in so that it stays a value.
//! Source: RFC 4514 §2.4.

use std::fmt::Write;

/// A value within a distinguished name.
pub fn escaped_dn(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, letter) in value.chars().enumerate() {
        let at_an_end = letter == ' ' && (at == 0 || at == last) || letter == '#' && at == 0;
        match letter {
            '\0'..='\x1f' | '\x7f' => {
                // Writing to a string does not fail.
                let _ = write!(text, "\\{:02x}", u32::from(letter));
            }
            letter => {
                if at_an_end || matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
                    text.push('\\');
                }
                text.push(letter);
            }
        }
    }
    text
}

/// Whether two names are the same: without regard to case, and to spaces around parts. What is written differently
/// otherwise is taken for different.
pub(super) fn same_dn(one: &str, other: &str) -> bool {
    parts(one) == parts(other)
}

/// Attribute and value of each part. Escaped letters stay as they are written, so they separate nothing.
fn parts(dn: &str) -> Vec<String> {
    let (mut parts, mut part, mut is_escaped) = (Vec::new(), String::new(), false);
    for letter in dn.chars() {
        match letter {
            ',' | '+' if !is_escaped => {
                parts.push(normal(&part));
                parts.extend((letter == '+').then(|| "+".to_owned()));
                part.clear();
            }
            letter => part.push(letter),
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    parts.push(normal(&part));
    parts
}

fn normal(part: &str) -> String {
    let (attribute, value) = part.split_once('=').unwrap_or(("", part));
    // A space at the end that is escaped belongs to the value.
    let value = value.trim_start();
    let value = if value.ends_with("\\ ") { value } else { value.trim_end() };
    format!("{}={}", attribute.trim().to_lowercase(), value.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values() {
        for (value, dn) in [
            ("ann", "ann"),
            ("ann,ou=admins", "ann\\,ou\\=admins"),
            ("*)(uid=*", "*)(uid\\=*"),
            (" a b ", "\\ a b\\ "),
            ("#1", "\\#1"),
            ("a\\b", "a\\\\b"),
            ("a+b;c<d>\"e", "a\\+b\\;c\\<d\\>\\\"e"),
            ("a\0b", "a\\00b"),
            ("é", "é"),
        ] {
            assert_eq!(escaped_dn(value), dn, "{value:?}");
        }
    }

    #[test]
    fn names_are_compared_as_directories_do() {
        for (one, other, expected) in [
            ("cn=A,dc=x", "CN=a, DC=X", true),
            ("cn = a ,dc=x", "cn=a,dc=x", true),
            ("cn=a,dc=x", "cn=a,dc=y", false),
            ("cn=a,dc=x", "dc=x", false),
            ("cn=a\\,b,dc=x", "cn=a,b,dc=x", false),
            ("cn=a\\\\,dc=x", "cn=a\\\\,dc=x", true),
            ("cn=a+uid=b", "cn=a,uid=b", false),
            ("cn=a\\ ", "cn=a", false),
            ("", "", true),
        ] {
            assert_eq!(same_dn(one, other), expected, "{one} {other}");
        }
    }
}
