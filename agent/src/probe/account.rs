//! `account`: rows of passwd(5), shadow(5) and group(5), by field names.

use aright_shared::content::probe::{Account, Table};
use aright_shared::posture::{ErrorCode, Value};

use super::{Look, Seen, evidence};

const USERS: &[&str] = &["name", "password", "uid", "gid", "comment", "home", "shell"];
const SHADOW: &[&str] =
    &["name", "password", "last_change", "min", "max", "warn", "inactive", "expire", "reserved"];
const GROUP: &[&str] = &["name", "password", "gid", "members"];

/// The field of every row that the conditions leave, as a list; members of groups are one element each.
pub(super) fn see(look: &Look<'_>, with: &Account) -> Seen {
    let (path, fields) = match with.table {
        Table::Users => ("/etc/passwd", USERS),
        Table::Shadow => ("/etc/shadow", SHADOW),
        Table::Group => ("/etc/group", GROUP),
    };
    let index = |name: &str| fields.iter().position(|field| *field == name);
    let Some(wanted) = index(&with.field) else {
        return Seen::error(
            ErrorCode::ProbeFailed,
            format!("field {:?}: one of {}", with.field, fields.join(", ")),
        );
    };
    let text = match look.text(path) {
        Ok(text) => text,
        Err(failed) => return Seen::of(failed.reading()),
    };
    let mut values = Vec::new();
    for row in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '+', '-'])) {
        let row: Vec<&str> = row.split(':').collect();
        let cell = |at: usize| row.get(at).copied().unwrap_or_default();
        let fits = with.only.iter().all(|(field, allowed)| {
            index(field).is_some_and(|at| allowed.iter().any(|value| value == cell(at)))
        });
        if !fits {
            continue;
        }
        let parts = cell(wanted).split(if with.field == "members" { ',' } else { ':' });
        values.extend(
            parts
                .filter(|part| with.field != "members" || !part.is_empty())
                .map(|part| Value::Text(part.to_owned())),
        );
    }
    // Of a table of secrets only the values that were asked for are shown, never its lines.
    let shown = values.iter().map(Value::plain).collect::<Vec<_>>().join("\n");
    let shown = if with.field == "password" { "(not shown)".into() } else { shown };
    Seen::value(Value::List(values), vec![evidence(path, Some(with.field.clone()), &shown)])
}

/// The name of an id by the root's own tables; the number where it has none.
pub(super) fn name_of(look: &Look<'_>, table: &str, id: u32) -> String {
    let id = id.to_string();
    let Ok(text) = look.text(table) else { return id };
    let row = text.lines().find(|line| line.split(':').nth(2) == Some(id.as_str()));
    row.and_then(|line| line.split(':').next()).map_or(id, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look_at, text_list};
    use super::*;

    const FILES: &[(&str, &str)] = &[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"),
        ("etc/group", "root:x:0:\nsudo:x:27:ann,bob\nwheel:x:28:\n"),
    ];

    fn account(table: Table, only: &[(&str, &[&str])], field: &str) -> Account {
        let texts = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let only = only.iter().map(|(field, values)| (field.to_string(), texts(values))).collect();
        Account { table, only, field: field.into() }
    }

    #[test]
    fn members_of_some_groups() {
        look_at(FILES, |look| {
            let sudo = account(Table::Group, &[("name", &["sudo", "wheel"])], "members");
            assert_eq!(see(look, &sudo).reading, text_list(&["ann", "bob"]));
            let wheel = account(Table::Group, &[("name", &["wheel"])], "members");
            assert_eq!(see(look, &wheel).reading, text_list(&[]));
        });
    }

    #[test]
    fn rows_by_a_field() {
        look_at(FILES, |look| {
            assert_eq!(
                see(look, &account(Table::Users, &[("uid", &["0"])], "name")).reading,
                text_list(&["root"])
            );
            assert_eq!(name_of(look, "/etc/passwd", 1), "daemon");
            assert_eq!(name_of(look, "/etc/passwd", 77), "77");
        });
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_the_known() {
        look_at(FILES, |look| {
            let seen = see(look, &account(Table::Users, &[], "colour"));
            assert!(
                seen.reading.to_string().contains("colour") && seen.reading.to_string().contains("shell")
            );
        });
    }
}
