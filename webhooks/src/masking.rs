//! Taking a secret out of what a receiver answered: some echo the request, in one encoding or another.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

const MASK: &str = "[secret]";

/// The first `kept` bytes of an answer as text, with every form of `secret` in it masked.
pub(crate) fn excerpt(answer: &[u8], secret: Option<&str>, kept: usize) -> String {
    // PostgreSQL stores no NUL in a text.
    let text = String::from_utf8_lossy(answer).replace('\0', "\u{fffd}");
    let mut masked = match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => mask_base64(&mask_escaped(&text, secret), secret),
        None => text,
    };
    masked.truncate(masked.floor_char_boundary(kept));
    masked
}

/// The secret itself, and any mixture of its characters as `%5F`, `\u005f` and `\/`.
fn mask_escaped(text: &str, secret: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = match escaped_length(rest, secret) {
            Some(length) => {
                masked.push_str(MASK);
                length
            }
            None => {
                masked.push(next);
                next.len_utf8()
            }
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    masked
}

/// How many bytes at the beginning of `text` spell `secret`, if they do.
fn escaped_length(text: &str, secret: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    for wanted in secret.bytes() {
        let here = bytes.get(at..)?;
        at += match here {
            [plain, ..] if *plain == wanted => 1,
            [b'\\', plain, ..] if *plain == wanted => 2,
            [b'%', high, low, ..] if hex(&[*high, *low]) == Some(wanted) => 3,
            // A percent that was itself escaped: %255F.
            [b'%', b'2', b'5', high, low, ..] if hex(&[*high, *low]) == Some(wanted) => 5,
            [b'\\', b'u', b'0', b'0', high, low, ..] if hex(&[*high, *low]) == Some(wanted) => 6,
            _ => return None,
        };
    }
    Some(at)
}

fn hex(digits: &[u8; 2]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The secret in base64, alone or within something longer, which shifts it by up to two bytes.
fn mask_base64(text: &str, secret: &str) -> String {
    let mut masked = text.to_owned();
    for shift in 0..3 {
        let mut padded = vec![0; shift];
        padded.extend_from_slice(secret.as_bytes());
        // Only the characters that depend on nothing but the secret.
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            if let Some(inner) = engine.encode(&padded).get(first..last).filter(|inner| inner.len() >= 8) {
                masked = masked.replace(inner, MASK);
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "secret_9-fT_x0aVkKq3Zb8Lw2Yc7Nd1Re5Ug4Hj6Mi0Po_Qs";

    fn kept(answer: &str) -> String {
        excerpt(answer.as_bytes(), Some(SECRET), 4_096)
    }

    #[test]
    fn an_echo_is_masked_however_it_is_encoded() {
        let every_byte = |form: fn(u8) -> String| SECRET.bytes().map(form).collect::<String>();
        let echoes = [
            SECRET.to_owned(),
            SECRET.replace('_', "%5F").replace('-', "%2d"),
            SECRET.replace('_', "%255F"),
            every_byte(|byte| format!("%{byte:02X}")),
            every_byte(|byte| format!("\\u{byte:04x}")),
            SECRET.replace('-', "\\u002D"),
        ];
        for echo in echoes {
            assert_eq!(kept(&format!("got \"{echo}\"!")), "got \"[secret]\"!");
        }
    }

    #[test]
    fn an_echo_in_base64_is_masked_wherever_it_begins() {
        for before in ["", "a", "ab", "abc", r#"{"clientSecret":""#] {
            for after in ["", "\"}", "z"] {
                let whole = format!("{before}{SECRET}{after}");
                for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                    let masked = kept(&encoded);
                    assert!(masked.contains(MASK), "{masked}");
                    assert!(masked.len() < whole.len(), "{masked}");
                }
            }
        }
    }

    #[test]
    fn a_secret_across_the_cut_is_masked_too() {
        let answer = format!("{}{SECRET}", "x".repeat(4_090));
        assert_eq!(kept(&answer), format!("{}[secre", "x".repeat(4_090)));
    }

    #[test]
    fn other_text_stays_as_it_is() {
        assert_eq!(kept("{\"received\": true} 100% \\ ü"), "{\"received\": true} 100% \\ ü");
        assert_eq!(excerpt("aü".as_bytes(), None, 2), "a");
        assert_eq!(excerpt(b"a\0b\xff", None, 100), "a\u{fffd}b\u{fffd}");
    }
}
