//! Passwords: argon2id, on threads where it may take its time.

use std::sync::LazyLock;

use anyhow::{Result, anyhow};
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

/// Hashing takes 19 MiB and a core for a while: not more than this at once.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What an unknown user's password is compared with, so that it takes as long.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody").ok());

/// OWASP's first choice: 19 MiB, 2 passes.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// A password that people can copy: 20 of 32 letters and digits, 100 bits.
///
/// # Errors
/// No randomness.
pub fn generate() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)?;
    let letters: Vec<u8> = bytes.iter().map(|byte| ALPHABET[usize::from(byte % 32)]).collect();
    let groups: Vec<_> = letters.chunks(5).map(String::from_utf8_lossy).collect();
    Ok(groups.join("-"))
}

/// # Errors
/// No randomness.
pub fn hash_now(password: &str) -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| anyhow!("salt: {error}"))?;
    let hash =
        argon2().hash_password(password.as_bytes(), &salt).map_err(|error| anyhow!("hash: {error}"))?;
    Ok(hash.to_string())
}

/// Whether the password is the one of this hash; without a hash it takes as long and is wrong.
///
/// # Errors
/// A hash that is none.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool> {
    let _permit = AT_ONCE.acquire().await?;
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let Some(text) = hash.or_else(|| NOBODY.clone()) else { return Ok(false) };
        let parsed = PasswordHash::new(&text).map_err(|error| anyhow!("stored hash: {error}"))?;
        let right = argon2().verify_password(password.as_bytes(), &parsed).is_ok();
        Ok(right && known)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes() {
        let password = generate().expect("made");
        assert_eq!(password.len(), 23);
        let hash = hash_now(&password).expect("hashed");
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify(password.clone(), Some(hash.clone())).await.expect("verified"));
        assert!(!verify("wrong".into(), Some(hash)).await.expect("verified"));
        assert!(!verify("nobody".into(), None).await.expect("verified"));
    }
}
