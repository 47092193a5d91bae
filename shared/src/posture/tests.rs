//! Every operator on what is there, absent, wrong and pending; every small combination of several.

use super::*;

fn expect(text: &str) -> Expect {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(text: &str) -> Reading {
    Reading::Value(serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn error() -> Reading {
    Reading::Error { code: ErrorCode::Timeout, detail: "slow".into() }
}

const ABSENT: Reading = Reading::Absent(Missing::Value);

/// Condition without braces, a value that passes, one that fails, one that cannot be compared.
const OPERATORS: &[(&str, &str, &str, Option<&str>)] = &[
    (r#""operator":"lt","value":4"#, "3", "4", Some(r#""x""#)),
    (r#""operator":"le","value":4"#, "4", "5", Some(r#""4 ""#)),
    (r#""operator":"gt","value":4"#, r#""5""#, "4", Some("[5]")),
    (r#""operator":"ge","value":4"#, "4", "3", Some("true")),
    (r#""operator":"eq","value":4"#, r#""4""#, "5", Some(r#""four""#)),
    (r#""operator":"ne","value":4"#, "5", "4", Some(r#""""#)),
    (r#""operator":"in","value":[1,2]"#, "2", "3", None),
    (r#""operator":"between","value":[1,60]"#, "60", "0", Some(r#""1m""#)),
    (r#""operator":"between","value":[1,60]"#, "1", "61", Some(r#""0x10""#)),
    (r#""operator":"eq","value":true"#, "true", "false", None),
    (r#""operator":"eq","value":"no""#, r#""no""#, r#""No""#, None),
    (r#""operator":"ne","value":"no""#, r#""yes""#, r#""no""#, None),
    (r#""operator":"in","value":["a","b"]"#, r#""b""#, r#""B""#, None),
    (r#""operator":"re","value":"^/""#, r#""/etc/issue""#, r#""none""#, None),
    (r#""operator":"re","value":"^(?!x)""#, r#""y""#, r#""x""#, None),
    (r#""operator":"eq_nocase","value":"Yes""#, r#""yES""#, r#""no""#, None),
    (r#""operator":"at_most","value":"0640""#, r#""0600""#, r#""0642""#, Some(r#""rw""#)),
    (r#""operator":"at_most","value":"0640""#, r#""0000""#, r#""1640""#, Some("640")),
    (r#""operator":"eq","value":"0640""#, r#""0640""#, r#""0600""#, None),
    (r#""operator":"empty""#, "[]", r#"["a"]"#, Some("1")),
    (r#""operator":"not_empty""#, r#"["a"]"#, "[]", Some("1")),
    (r#""operator":"each","of":{"operator":"le","value":9}"#, r#"["9",1]"#, "[1,10]", Some(r#"[1,"x"]"#)),
    (r#""operator":"some","of":{"operator":"le","value":9}"#, "[10,1]", "[10]", Some(r#"[10,"x"]"#)),
    (r#""operator":"none","of":{"operator":"le","value":9}"#, "[10]", "[10,1]", Some(r#"[10,"x"]"#)),
    (r#""operator":"contains","value":["a","b"]"#, r#"["b","c","a"]"#, r#"["a"]"#, Some(r#""ab""#)),
    (r#""operator":"does_not_contain","value":["a","b"]"#, r#"["c"]"#, r#"["c","a"]"#, Some(r#""c""#)),
    (r#""operator":"intersects","value":["a","b"]"#, r#"["b","c"]"#, r#"["c"]"#, Some("1")),
    (r#""operator":"equals","value":["a","b"]"#, r#"["b","a","b"]"#, r#"["a"]"#, Some("1")),
    (r#""operator":"equals","value":["a","b"]"#, r#"["a","b"]"#, r#"["a","b","c"]"#, Some("1")),
    (r#""operator":"is_contained_in","value":["a","b"]"#, r#"["a"]"#, r#"["a","c"]"#, Some("1")),
];

#[test]
fn every_operator_passes_fails_and_errs() {
    for (condition, passes, fails, errs) in OPERATORS {
        let expect = expect(&format!("{{{condition}}}"));
        assert_eq!(judge(&value(passes), &expect), Verdict::Pass, "{condition} of {passes}");
        assert_eq!(judge(&value(fails), &expect), Verdict::Fail, "{condition} of {fails}");
        if let Some(errs) = errs {
            assert_eq!(judge(&value(errs), &expect), Verdict::Error, "{condition} of {errs}");
        }
        assert_eq!(judge(&error(), &expect), Verdict::Error, "{condition} of an error");
        assert_eq!(judge(&Reading::Pending, &expect), Verdict::Pass, "{condition} pending");
    }
}

#[test]
fn absence_is_judged_as_the_content_says() {
    for (condition, ..) in OPERATORS {
        for (word, verdict) in [("fail", Verdict::Fail), ("pass", Verdict::Pass), ("error", Verdict::Error)] {
            let both = expect(&format!(r#"{{{condition},"absent":"{word}"}}"#));
            let file = expect(&format!(r#"{{{condition},"absent":{{"file":"{word}"}}}}"#));
            assert_eq!(judge(&ABSENT, &both), verdict, "{condition}");
            assert_eq!(judge(&Reading::Absent(Missing::File), &both), verdict, "{condition}");
            assert_eq!(judge(&Reading::Absent(Missing::File), &file), verdict, "{condition}");
            assert_eq!(judge(&ABSENT, &file), Verdict::Fail, "{condition}: the other kind fails");
        }
        assert_eq!(judge(&ABSENT, &expect(&format!("{{{condition}}}"))), Verdict::Fail, "{condition}");
    }
}

#[test]
fn presence_and_absence_are_judged_themselves() {
    let (present, absent) = (expect(r#"{"operator":"present"}"#), expect(r#"{"operator":"absent"}"#));
    assert_eq!((judge(&value("0"), &present), judge(&value("0"), &absent)), (Verdict::Pass, Verdict::Fail));
    assert_eq!((judge(&ABSENT, &present), judge(&ABSENT, &absent)), (Verdict::Fail, Verdict::Pass));
    assert_eq!((judge(&error(), &present), judge(&error(), &absent)), (Verdict::Error, Verdict::Error));
}

#[test]
fn each_over_nothing_passes_only_where_absence_does() {
    let of = r#""operator":"each","of":{"operator":"present"}"#;
    assert_eq!(judge(&value("[]"), &expect(&format!("{{{of}}}"))), Verdict::Fail);
    assert_eq!(judge(&value("[]"), &expect(&format!(r#"{{{of},"absent":"pass"}}"#))), Verdict::Pass);
}

/// Every list of up to three parts, each of which passes, fails, errs or is pending, against the words of
/// the specification: in `all` one fail decides, else one error; in `any` one pass, else one error; `none`
/// reverses `any`; what is pending makes no fail.
#[test]
fn every_small_combination_is_judged_as_specified() {
    let parts = [value("1"), value("2"), error(), Reading::Pending];
    for size in 1..=3u32 {
        for code in 0..4usize.pow(size) {
            let picked: Vec<_> = (0..size).map(|at| code / 4usize.pow(at) % 4).collect();
            let fields: BTreeMap<_, _> =
                picked.iter().enumerate().map(|(n, kind)| (format!("f{n}"), parts[*kind].clone())).collect();
            let conditions: Vec<_> = (0..picked.len())
                .map(|n| format!(r#"{{"field":"f{n}","operator":"eq","value":1}}"#))
                .collect();
            let judged = |word: &str| {
                let expect = expect(&format!(r#"{{"{word}":[{}]}}"#, conditions.join(",")));
                judge(&Reading::Value(Value::Record(fields.clone())), &expect)
            };
            let has = |kind: usize| picked.contains(&kind);
            let (pass, fail, err, pending) = (has(0), has(1), has(2), has(3));
            let all = if fail {
                Verdict::Fail
            } else if err {
                Verdict::Error
            } else {
                Verdict::Pass
            };
            let any = if pass || pending {
                Verdict::Pass
            } else if err {
                Verdict::Error
            } else {
                Verdict::Fail
            };
            let none = if pass {
                Verdict::Fail
            } else if pending {
                Verdict::Pass
            } else if err {
                Verdict::Error
            } else {
                Verdict::Pass
            };
            assert_eq!((judged("all"), judged("any"), judged("none")), (all, any, none), "{picked:?}");
        }
    }
}

#[test]
fn a_field_that_is_not_there_decides_nothing() {
    let owner = expect(r#"{"field":"owner","operator":"eq","value":"root"}"#);
    assert_eq!(judge(&value(r#""root""#), &owner), Verdict::Error);
    assert_eq!(judge(&Reading::Value(Value::Record(BTreeMap::new())), &owner), Verdict::Error);
    assert_eq!(judge(&Reading::Absent(Missing::File), &owner), Verdict::Fail);
}

#[test]
fn too_much_backtracking_is_an_error() {
    let hard = expect(r#"{"operator":"re","value":"^(?:(a+)\\1?)+$"}"#);
    let text = format!("\"{}b\"", "a".repeat(200));
    assert_eq!(judge(&value(&text), &hard), Verdict::Error);
}

#[test]
fn what_is_expected_goes_to_json_and_back_exactly() {
    for (condition, ..) in OPERATORS {
        let text = format!("{{{condition}}}");
        assert_eq!(serde_json::to_string(&expect(&text)).expect("JSON"), text);
        let whole = format!(r#"{{"all":[{text},{{"none":[{text}]}},{{"any":[{text}]}}]}}"#);
        assert_eq!(serde_json::to_string(&expect(&whole)).expect("JSON"), whole);
    }
}
