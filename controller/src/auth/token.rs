//! Secrets that we give out and of which only digests are kept.

use anyhow::Result;
use aright_shared::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 random bits after a prefix that says what it is.
///
/// # Errors
/// No randomness.
pub fn new(prefix: &str) -> Result<String> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut())?;
    Ok(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// What is kept and looked up. The secret has 256 bits, so a plain digest cannot be guessed back.
pub fn digest(secret: &str) -> Digest {
    Digest::of(secret.as_bytes())
}
