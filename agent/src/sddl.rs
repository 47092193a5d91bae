//! Owners and access lists as text, in the security descriptor definition language: what they say.

/// System and administrators alone, inherited by all below, nothing inherited from above; administrators own it, since
/// an owner may change the list.
pub const PRIVATE: &str = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// Whether system, administrators and `own`, this process's user (as in `O:own`), alone own a thing and are let in.
pub fn is_private(sddl: &str, own: &str) -> bool {
    let trusted = |whom: &str| !whom.is_empty() && ["SY", "BA", own].contains(&whom);
    let list = sddl.split_once("D:").map(|(_, list)| list).unwrap_or_default();
    let mut entries = list.split('(').skip(1).peekable();
    let to_trusted = |entry: &str| entry.trim_end_matches(')').rsplit(';').next().is_some_and(trusted);
    // Without an entry everybody may (no list) or nobody (an empty one): not ours either way.
    owner(sddl).is_some_and(trusted) && entries.peek().is_some() && entries.all(to_trusted)
}

/// As `O:` names it.
pub fn owner(sddl: &str) -> Option<&str> {
    let rest = sddl.strip_prefix("O:")?;
    let end = rest.find(':').map_or(rest.len(), |next| next - 1);
    Some(&rest[..end])
}

/// The same, to be set on a thing: that a list was inherited (AI) is kept only where it is asked for (AR).
pub fn settable(sddl: &str) -> String {
    let Some((before, list)) = sddl.split_once("D:") else { return sddl.to_owned() };
    let flags = list.split('(').next().unwrap_or_default();
    let asks = if flags.contains("AI") && !flags.contains("AR") { "AR" } else { "" };
    format!("{before}D:{asks}{list}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "S-1-5-21-0-0-0-1000";

    #[test]
    fn private_is_what_system_administrators_and_this_user_alone_own_and_enter() {
        for sddl in [
            PRIVATE,
            "O:SYG:SYD:PAI(A;OICI;FA;;;SY)",
            "O:S-1-5-21-0-0-0-1000G:S-1-5-21-0-0-0-513D:(A;OICI;FA;;;SY)(A;OICI;FA;;;S-1-5-21-0-0-0-1000)",
        ] {
            assert!(is_private(sddl, ME), "{sddl}");
        }
        for sddl in [
            "",
            "O:BA",
            "O:BAD:",
            "O:BAD:NO_ACCESS_CONTROL",
            "O:BAD:P(A;OICI;FA;;;SY)(A;;0x1200a9;;;BU)",
            "O:BAD:P(A;OICI;FA;;;S-1-5-21-0-0-0-1001)",
            // Whoever made it may open it again, whatever the list says now.
            "O:S-1-5-21-0-0-0-1001G:DUD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
            "O:BAND:P(A;OICI;FA;;;SY)",
            "O:S-1-5-21-0-0-0-10001D:P(A;OICI;FA;;;SY)",
            r#"O:BAD:(XA;;FX;;;S-1-1-0;(@User.Title=="SY"))"#,
        ] {
            assert!(!is_private(sddl, ME), "{sddl}");
        }
        assert!(!is_private("O:D:(A;;FA;;;)", ""), "a user that is not known is none");
    }

    #[test]
    fn an_inherited_list_asks_to_stay_one() {
        assert_eq!(settable("O:BAG:SYD:AI(A;ID;FA;;;SY)"), "O:BAG:SYD:ARAI(A;ID;FA;;;SY)");
        assert_eq!(settable("O:BAD:PAI(A;;FA;;;SY)"), "O:BAD:ARPAI(A;;FA;;;SY)");
        for same in ["O:BA", PRIVATE, "D:ARAI(A;;FA;;;SY)", "D:(A;;FA;;;S-1-5-AI)"] {
            assert_eq!(settable(same), same);
        }
    }
}
