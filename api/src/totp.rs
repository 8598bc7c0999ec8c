//! One-time passwords of authenticator apps (RFC 6238: SHA-1, 30 seconds, 6 digits, as all of them know it).

use aws_lc_rs::{hmac, rand};
use chrono::{DateTime, Utc};
use qrcodegen::{QrCode, QrCodeEcc};
use url::form_urlencoded;

const STEP_SECONDS: i64 = 30;
/// So many steps early or late a code may be: clocks differ, and people type slowly (RFC 6238 §5.2).
const TOLERATED_STEPS: i64 = 1;
/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret: 160 bits, as RFC 4226 §4 recommends.
pub(crate) fn random_key() -> [u8; 20] {
    let mut key = [0; 20];
    rand::fill(&mut key).expect("the system's source of randomness answers");
    key
}

/// The time step whose code this is, if there is one near `now`.
pub(crate) fn step_of(key: &[u8], code: &str, now: DateTime<Utc>) -> Option<i64> {
    let current = now.timestamp() / STEP_SECONDS;
    (current - TOLERATED_STEPS..=current + TOLERATED_STEPS).find(|step| code_at(key, *step) == code)
}

/// The code of a time step (RFC 4226 §5.3).
fn code_at(key: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0xf);
    let number = tag[offset..offset + 4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// Bytes as letters and digits that nobody mixes up, without padding (RFC 4648 §6).
pub(crate) fn base32(bytes: &[u8]) -> String {
    let digit = |chunk: &[u8], index: usize| {
        let number = (0..5).fold(0_u64, |number, at| number << 8 | u64::from(chunk.get(at).copied().unwrap_or(0)));
        char::from(BASE32[usize::try_from(number >> (35 - 5 * index) & 31).unwrap_or(0)])
    };
    bytes.chunks(5).flat_map(|chunk| (0..(chunk.len() * 8).div_ceil(5)).map(move |index| digit(chunk, index))).collect()
}

/// What an authenticator app is told, by a link or a QR code.
pub(crate) fn uri(issuer: &str, account: &str, key: &[u8]) -> String {
    let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let (issuer, account) = (escape(issuer), escape(account));
    format!("otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}", base32(key))
}

/// The path of an SVG that draws `text` as a QR code, and how wide it is in modules with its quiet zone.
pub(crate) fn qr_code(text: &str) -> Option<(String, i32)> {
    const QUIET: i32 = 4;
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let places = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
    let dark = places.filter(|(x, y)| code.get_module(*x, *y));
    let path = dark.map(|(x, y)| format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET)).collect();
    Some((path, code.size() + 2 * QUIET))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let key = b"12345678901234567890";
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(key, time / STEP_SECONDS), code, "at {time}");
        }
    }

    #[test]
    fn a_code_may_be_one_step_early_or_late() {
        let key = b"12345678901234567890";
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        for (seconds, step) in [(29, Some(1)), (30, Some(1)), (59, Some(1)), (89, Some(1)), (90, None), (0, Some(1))] {
            assert_eq!(step_of(key, "287082", at(seconds)), step, "at {seconds}");
        }
        assert_eq!(step_of(key, "", at(59)), None);
    }

    /// RFC 4648 §10.
    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_authenticator_app_is_told_issuer_account_and_secret() {
        let uri = uri("Optare ID", "ada+x@example.com", b"foobar");
        assert_eq!(uri, "otpauth://totp/Optare%20ID:ada%2Bx%40example.com?secret=MZXW6YTBOI&issuer=Optare%20ID");
        let (path, width) = qr_code(&uri).unwrap();
        assert!(path.starts_with("M4,4h1v1h-1z") && width > 29, "{width}");
    }
}
