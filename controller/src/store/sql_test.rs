//! Every statement of this folder, looked at as text: parameters are numbered in order of first
//! appearance, since SQLite takes `$n` for a name. And no statement stands anywhere else.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of a source file; comments and characters are passed over.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let here = &rest[at..];
        rest = if here.starts_with("//") {
            here.find('\n').map_or("", |end| &here[end..])
        } else if here.starts_with("'\"'") || here.starts_with("'/'") {
            &here[3..]
        } else if let Some(text) = here.strip_prefix('"') {
            let mut end = 0;
            while !text[end..].starts_with('"') {
                let step = if text[end..].starts_with('\\') { 2 } else { 1 };
                end += text[end..].chars().take(step).map(char::len_utf8).sum::<usize>();
            }
            found.push(text[..end].to_owned());
            &text[end + 1..]
        } else {
            &here[1..]
        };
    }
    found
}

fn is_statement(text: &str) -> bool {
    ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "]
        .iter()
        .any(|verb| text.trim_start().starts_with(verb))
}

fn first_appearances(text: &str) -> Vec<u32> {
    let mut seen = Vec::new();
    for part in text.split('$').skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        if let Ok(number) = digits.parse()
            && !seen.contains(&number)
        {
            seen.push(number);
        }
    }
    seen
}

#[test]
fn parameters_are_numbered_in_order_of_first_appearance() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"), &mut files);
    let mut statements = 0;
    for file in files.iter().filter(|file| !file.ends_with("sql_test.rs")) {
        for text in literals(&std::fs::read_to_string(file).expect("reads")) {
            if is_statement(&text) && text.contains('$') {
                let seen = first_appearances(&text);
                let wanted: Vec<u32> = (1..).take(seen.len()).collect();
                assert_eq!(seen, wanted, "{}: {text}", file.display());
                statements += 1;
            }
        }
    }
    assert!(statements > 40, "only {statements} were found: the search is broken");
}

#[test]
fn no_statement_stands_outside_the_store() {
    let mut files = Vec::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&source, &mut files);
    for file in files.iter().filter(|file| !file.starts_with(source.join("store"))) {
        let found = literals(&std::fs::read_to_string(file).expect("reads"));
        assert_eq!(found.iter().find(|text| is_statement(text)), None, "{}", file.display());
    }
}

#[test]
fn a_wrong_order_would_be_seen() {
    assert_eq!(first_appearances("UPDATE a SET x = $2 WHERE y = $1"), [2, 1]);
    assert_eq!(literals("let a = \"x\\\"y\"; // \"no\"\nlet b = '\"'; let c = \"z\";"), ["x\\\"y", "z"]);
}
