//! Lines of text that people and hosts send: they end up in logs, in the audit log and on screens.

use crate::error::Refused;

/// That a text is one line of at most so many bytes, without control characters.
///
/// # Errors
/// Names the field, the text and the limit.
pub fn check_line(field: &str, text: &str, bytes: usize) -> Result<(), Refused> {
    if text.len() <= bytes && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refused::invalid(field, text, "too long, or with control characters")
        .remedy(format!("one line of at most {bytes} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_tame() {
        assert!(check_line("x", "a line, Größe", 15).is_ok());
        for bad in ["a\nb", "\u{1b}[2J", "sixteen bytes !!"] {
            let refused = check_line("x", bad, 15).expect_err("refused");
            assert_eq!(refused.problem().field.as_deref(), Some("x"), "{bad:?}");
        }
    }
}
