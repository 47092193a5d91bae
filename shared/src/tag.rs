//! Static tags of assets: by them policies are assigned and jobs find their hosts.

/// Most tags of one asset.
pub const MAX_TAGS: usize = 100;
/// What a tag looks like, for people.
pub const FORM: &str = "1 to 100 bytes, one line, no blank at either end, not `.` or `..`";

/// Whether a tag may be called so: see [`FORM`].
pub fn is_tag(text: &str) -> bool {
    // A dot or two alone cannot stand in a path: URLs are tidied before they are sent.
    !text.is_empty()
        && text.len() <= 100
        && text.trim() == text
        && !text.chars().any(char::is_control)
        && text != "."
        && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_line_that_a_path_can_hold() {
        let (long, longest) = ("x".repeat(101), "x".repeat(100));
        for good in ["web", "two words", "a/b", "Größe", "...", &longest] {
            assert!(is_tag(good), "{good:?}");
        }
        for bad in ["", " web", "web ", "a\nb", "a\u{1b}b", ".", "..", &long] {
            assert!(!is_tag(bad), "{bad:?}");
        }
    }
}
