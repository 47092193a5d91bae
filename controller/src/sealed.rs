//! Files sealed by a passphrase: the age format, version 1 (age-encryption.org/v1), with its scrypt recipient and
//! no other. The stock `age` program opens what is made here, and the other way round.
//!
//! Written here over ring and scrypt: the `age` crate brings sixty more, most of them for translating its messages,
//! into the process that holds the keys.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

const VERSION: &str = "age-encryption.org/v1";
const LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
/// Logarithm of scrypt's work: about a second, and 256 MB.
const WORK: u8 = if cfg!(test) { 10 } else { 18 };
/// More than this is refused: a header must not make us work for hours.
const MOST_WORK: u8 = 22;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// Longest line of a header, in bytes.
const LINE: u64 = 200;

/// Seals what is written to it; whole only after [`Sealer::finish`].
pub struct Sealer<W: Write> {
    into: W,
    chunks: Chunks,
    waiting: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// # Errors
    /// No randomness, or it cannot be written.
    pub fn new(mut into: W, passphrase: &str) -> Result<Self> {
        let file_key = Zeroizing::new(random::<16>()?);
        let salt = random::<16>()?;
        let wrap = wrapping_key(passphrase, &salt, WORK)?;
        let mut body = file_key.to_vec();
        seal(&wrap, [0; 12], &mut body)?;
        let head =
            format!("{VERSION}\n-> scrypt {} {WORK}\n{}\n---", BASE64.encode(salt), BASE64.encode(body));
        let mac = hmac::sign(&mac_key(&file_key), head.as_bytes());
        into.write_all(format!("{head} {}\n", BASE64.encode(mac)).as_bytes())?;
        let nonce = random::<16>()?;
        into.write_all(&nonce)?;
        Ok(Self { into, chunks: Chunks::new(&file_key, &nonce)?, waiting: Vec::with_capacity(CHUNK + TAG) })
    }

    /// Writes the last chunk, by which a reader sees that nothing is missing.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.into)
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let put = self.chunks.seal(&mut self.waiting, last).and_then(|()| self.into.write_all(&self.waiting));
        // Sealed once or not at all: whoever writes on after a failure has no whole file anyway.
        self.waiting.clear();
        put
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until there is more: the last one is not empty.
        if self.waiting.len() == CHUNK && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// What was sealed. Each chunk is verified before any of it is given out, and an end that is not the true one is an
/// error: whoever needs all of it reads to the end.
pub struct Opened<R: Read> {
    from: BufReader<R>,
    chunks: Chunks,
    open: Vec<u8>,
    given: usize,
    ended: bool,
}

/// # Errors
/// No such file, a wrong passphrase, a changed byte.
pub fn open<R: Read>(from: R, passphrase: &str) -> Result<Opened<R>> {
    let mut from = BufReader::with_capacity(CHUNK + TAG, from);
    let mut head = String::new();
    ensure!(line(&mut from, &mut head)? == VERSION, "it is no file sealed by age, or by `backup`");
    let stanza = line(&mut from, &mut head)?;
    let Some(("scrypt", parameters)) = stanza.strip_prefix("-> ").and_then(|rest| rest.split_once(' '))
    else {
        bail!("it is sealed to keys, not to a passphrase");
    };
    let (salt, work) = parameters.split_once(' ').context("its header is damaged")?;
    let work: u8 = work.parse().context("its header is damaged")?;
    ensure!(work <= MOST_WORK, "its header asks for scrypt's work 2^{work}; 2^{MOST_WORK} is the most");
    let salt = BASE64.decode(salt).context("its header is damaged")?;
    let mut body = BASE64.decode(line(&mut from, &mut head)?).context("its header is damaged")?;
    let wrap = wrapping_key(passphrase, &salt, work)?;
    let file_key = unseal(&wrap, [0; 12], &mut body)
        .and_then(|key| <[u8; 16]>::try_from(key).ok())
        .map(Zeroizing::new)
        .context("the passphrase is wrong, or the file's header was changed")?;
    let end = line(&mut from, &mut head)?;
    let mac = end.strip_prefix("--- ").context("its header is damaged")?;
    // All of the header up to and with the three dashes.
    let signed = head.len() - 1 - mac.len() - 1;
    hmac::verify(&mac_key(&file_key), &head.as_bytes()[..signed], &BASE64.decode(mac)?)
        .map_err(|_| anyhow!("its header was changed"))?;
    let mut nonce = [0; 16];
    from.read_exact(&mut nonce).context("it ends early")?;
    Ok(Opened { from, chunks: Chunks::new(&file_key, &nonce)?, open: Vec::new(), given: 0, ended: false })
}

impl<R: Read> Opened<R> {
    fn next(&mut self) -> io::Result<()> {
        self.open.clear();
        self.given = 0;
        (&mut self.from).take((CHUNK + TAG) as u64).read_to_end(&mut self.open)?;
        self.ended = self.from.fill_buf()?.is_empty();
        self.chunks.open(&mut self.open, self.ended)
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == self.open.len() && !self.ended {
            self.next()?;
        }
        let taken = into.len().min(self.open.len() - self.given);
        into[..taken].copy_from_slice(&self.open[self.given..][..taken]);
        self.given += taken;
        Ok(taken)
    }
}

/// The STREAM construction: a counter in each nonce, a mark in the last.
struct Chunks {
    key: LessSafeKey,
    number: u64,
}

impl Chunks {
    fn new(file_key: &[u8; 16], nonce: &[u8; 16]) -> Result<Self> {
        Ok(Self { key: cipher(&*derived(file_key, nonce, b"payload")?)?, number: 0 })
    }

    fn nonce(&mut self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(last);
        self.number += 1;
        nonce
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let nonce = self.nonce(last);
        seal(&self.key, nonce, chunk).map_err(io::Error::other)
    }

    fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let nonce = self.nonce(last);
        let length = unseal(&self.key, nonce, chunk).map(<[u8]>::len);
        // Of one that is not verified nothing is left to be given out.
        chunk.truncate(length.unwrap_or(0));
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "a byte was changed, or its end is missing");
        length.map(drop).ok_or_else(damaged)
    }
}

fn seal(key: &LessSafeKey, nonce: [u8; 12], bytes: &mut Vec<u8>) -> Result<()> {
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), bytes)
        .map_err(|_| anyhow!("sealing failed"))
}

fn unseal<'a>(key: &LessSafeKey, nonce: [u8; 12], bytes: &'a mut [u8]) -> Option<&'a [u8]> {
    key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), bytes).ok().map(|open| &*open)
}

fn wrapping_key(passphrase: &str, salt: &[u8], work: u8) -> Result<LessSafeKey> {
    let params = scrypt::Params::new(work, 8, 1, 32).map_err(|error| anyhow!("scrypt: {error}"))?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), &[LABEL, salt].concat(), &params, &mut *key)
        .map_err(|error| anyhow!("scrypt: {error}"))?;
    cipher(&key)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| anyhow!("no key of 32 bytes"))?;
    Ok(LessSafeKey::new(key))
}

fn mac_key(file_key: &[u8; 16]) -> hmac::Key {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(file_key);
    let okm = prk.expand(&[b"header"], hmac::HMAC_SHA256).expect("32 bytes are few");
    okm.into()
}

fn derived(file_key: &[u8; 16], salt: &[u8], what: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(file_key)
        .expand(&[what], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(|_| anyhow!("deriving a key failed"))?;
    Ok(key)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The next line of a header, which is added to `head`.
fn line(from: &mut impl BufRead, head: &mut String) -> Result<String> {
    let mut line = Vec::new();
    from.take(LINE).read_until(b'\n', &mut line)?;
    let text = String::from_utf8(line).ok().context("it is no file sealed by age, or by `backup`")?;
    head.push_str(&text);
    Ok(text.strip_suffix('\n').context("it is no file sealed by age, or by `backup`")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), "a passphrase").expect("starts");
        sealer.write_all(plain).expect("written");
        sealer.finish().expect("whole")
    }

    fn opened(bytes: &[u8], passphrase: &str) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        open(bytes, passphrase)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn what_was_sealed_opens_whatever_its_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            assert_eq!(opened(&sealed(&plain), "a passphrase").expect("opens"), plain, "{length} bytes");
        }
    }

    #[test]
    fn a_full_disk_is_an_error_each_time() {
        let mut room = [0_u8; 1000];
        let mut sealer = Sealer::new(&mut room[..], "a passphrase").expect("starts");
        for _ in 0..3 {
            sealer.write_all(&vec![7; 2 * CHUNK]).expect_err("no room");
        }
    }

    #[test]
    fn a_wrong_passphrase_a_changed_byte_and_a_missing_end_are_seen() {
        let good = sealed(&vec![7; 2 * CHUNK]);
        let why = opened(&good, "another passphrase").expect_err("refused").to_string();
        assert!(why.contains("passphrase is wrong"), "{why}");
        for at in [30, 60, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            opened(&bad, "a passphrase").expect_err("refused");
        }
        // Cut off between two chunks, where each that is left is whole.
        for cut in [1, CHUNK + TAG, CHUNK + TAG + 1] {
            opened(&good[..good.len() - cut], "a passphrase").expect_err("refused");
        }
        opened(b"PK\x03\x04", "a passphrase").expect_err("refused");
    }
}
