//! Encryption at rest: AES-256-GCM under keys that the master key wraps.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::StoreError;

/// Bytes that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// A key that seals and opens; the nonce stands before the ciphertext.
pub(crate) struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // The constructor only checks the length, which the type fixes.
        Self(RandomizedNonceKey::new(&AES_256_GCM, key).expect("a key of 32 bytes fits AES-256"))
    }

    /// Encrypts `clear`; `purpose` must be the same when opening.
    pub(crate) fn seal(&self, purpose: &str, clear: &[u8]) -> Vec<u8> {
        let mut sealed = clear.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(purpose), &mut sealed)
            .expect("AES-GCM takes any message that fits in memory");
        let mut stored = nonce.as_ref().to_vec();
        stored.append(&mut sealed);
        stored
    }

    /// Decrypts what [`Self::seal`] made; `None` if key or purpose differ or a bit was changed.
    pub(crate) fn open(&self, purpose: &str, stored: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = stored.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = sealed.to_vec();
        let clear = self.0.open_in_place(nonce, Aad::from(purpose), &mut buffer).ok()?;
        Some(clear.to_vec())
    }
}

/// 32 random bytes.
pub(crate) fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).expect("the system's source of randomness answers");
    key
}

/// The instance's master key: wraps every other key.
pub struct MasterKey(SealingKey);

impl MasterKey {
    /// Reads a key given as base64 of 32 bytes.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| StoreError::BadMasterKey)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| StoreError::BadMasterKey)?;
        Ok(Self(SealingKey::new(&key)))
    }

    /// Reads the key from a file, which is made (mode 0600) if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else.
    pub fn from_file(file: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::KeyFile {
            file: file.display().to_string(),
            problem: format!("{error}; make it readable and writable for this user"),
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = STANDARD.encode(random_key());
                write_once(file, &text).map_err(failed)?;
                Self::parse(&text)
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub(crate) fn wrap(&self, purpose: &str, key: &[u8]) -> Vec<u8> {
        self.0.seal(purpose, key)
    }

    pub(crate) fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.open(purpose, wrapped).ok_or(StoreError::WrongMasterKey)
    }
}

/// Writes a file that is there whole or not at all, also after a power cut, and never over another one.
fn write_once(file: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = file.with_extension("key.new");
    let mut options = std::fs::OpenOptions::new();
    let mut made = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    writeln!(made, "{text}")?;
    made.sync_all()?;
    std::fs::hard_link(&unfinished, file)?;
    std::fs::remove_file(&unfinished)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
