//! Secrets that stand in text: private key blocks and password hashes, masked before anybody sees it.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// PEM and PGP private keys to their end (or the text's), and hashes as crypt(5) writes them.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    let key = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)";
    let hash = r"\$(?:y|gy|7|2[abxy]?|5|6|1|md5|sha1|argon2[a-z]*)\$[./A-Za-z0-9,+=*$-]{8,}";
    Regex::new(&format!("(?<key>{key})|(?<hash>{hash})")).expect("a constant pattern")
});

/// The same text, secrets replaced by what they were.
pub fn mask(text: &str) -> Cow<'_, str> {
    SECRET.replace_all(text, |found: &regex::Captures<'_>| {
        if found.name("key").is_some() { "[private key masked]" } else { "[password hash masked]" }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_hashes_go_and_the_rest_stays() {
        let text = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY-----\nz $HOME $1 $6\n";
        assert_eq!(mask(text), "a\n[private key masked]\nz $HOME $1 $6\n");
        assert_eq!(mask("r:$y$j9T$abcDEF./0123$xyz456789012:1"), "r:[password hash masked]:1");
        assert_eq!(mask("r:$6$salt$0123456789abcdef/:1"), "r:[password hash masked]:1");
        assert_eq!(mask("cut -----BEGIN RSA PRIVATE KEY-----\nMIIE"), "cut [private key masked]");
        assert!(matches!(mask("PermitRootLogin no"), Cow::Borrowed(_)));
    }
}
