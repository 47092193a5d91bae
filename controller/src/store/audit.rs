//! Who did what, when: only ever appended to.

use aright_shared::api::{AuditEntry, AuditFilter};
use aright_shared::time::Millis;
use rusqlite::params;

use super::conn::{millis, parsed};
use super::filter::Where;
use super::{Conn, StoreError, Tx};

pub struct Entry<'a> {
    pub at: Millis,
    pub who: &'a str,
    /// `noun.verb`, as in `job.create`.
    pub action: &'a str,
    /// The id or key of what it was done to.
    pub subject: &'a str,
    pub detail: &'a str,
}

pub fn append(tx: &Tx<'_>, entry: &Entry<'_>) -> Result<(), StoreError> {
    let id = aright_shared::id::AuditId::new();
    tx.execute(
        "INSERT INTO audit (id, at, who, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        params![id.as_str(), entry.at.0, entry.who, entry.action, entry.subject, entry.detail],
    )?;
    Ok(())
}

/// Newest first, below `before`.
pub fn list(
    conn: &Conn,
    filter: &AuditFilter,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut wanted = Where::default();
    wanted.equal("who", filter.who.as_deref());
    if let Some(action) = &filter.action {
        // A noun alone takes in all from `noun.` to before `noun/`, the next character.
        wanted.with(
            "(action = ? OR (action >= ? AND action < ?))",
            [action.clone(), format!("{action}."), format!("{action}/")],
        );
    }
    wanted.equal("subject", filter.subject.as_deref());
    if let Some(before) = before {
        wanted.with("id < ?", [before]);
    }
    let (text, values) = wanted.finish();
    conn.rows(
        &format!(
            "SELECT id, at, who, action, subject, detail FROM audit{text} ORDER BY id DESC LIMIT {limit}"
        ),
        rusqlite::params_from_iter(values),
        |row| {
            Ok(AuditEntry {
                id: parsed(row, 0)?,
                at: millis(row, 1)?,
                who: row.get(2)?,
                action: row.get(3)?,
                subject: row.get(4)?,
                detail: row.get(5)?,
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::store;

    #[tokio::test]
    async fn no_line_is_changed_or_taken_away() {
        let (_folder, store) = store();
        let entry = Entry { at: Millis(7), who: "ann", action: "job.create", subject: "x", detail: "why" };
        store.write(move |tx| append(tx, &entry)).await.expect("appended");
        for statement in ["UPDATE audit SET who = 'bob'", "DELETE FROM audit"] {
            let refused = store.write(|tx| tx.execute(statement, [])).await.expect_err("refused");
            assert!(refused.to_string().contains("only ever appended to"), "{refused}");
        }
        let found = store.read(|conn| list(conn, &AuditFilter::default(), None, 9)).await.expect("read");
        let [line] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((line.at, line.who.as_str(), line.detail.as_str()), (Millis(7), "ann", "why"));
    }

    #[tokio::test]
    async fn lines_are_found_by_who_what_and_to_whom_newest_first() {
        let (_folder, store) = store();
        let lines = [
            ("ann", "job.create", "1"),
            ("bob", "job.cancel", "1"),
            ("ann", "jobs.odd", "2"),
            ("ann", "job.create", "2"),
        ];
        store
            .write(move |tx| {
                lines.iter().try_for_each(|(who, action, subject)| {
                    append(tx, &Entry { at: Millis(1), who, action, subject, detail: "" })
                })
            })
            .await
            .expect("written");
        let found = async |who: &str, action: &str, subject: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let filter = AuditFilter { who: given(who), action: given(action), subject: given(subject) };
            let rows = store.read(move |conn| list(conn, &filter, None, 9)).await.expect("read");
            rows.into_iter().map(|row| (row.action, row.subject)).collect::<Vec<_>>()
        };
        let line = |action: &str, subject: &str| (action.to_owned(), subject.to_owned());
        assert_eq!(
            found("", "job", "").await,
            [line("job.create", "2"), line("job.cancel", "1"), line("job.create", "1")]
        );
        assert_eq!(found("ann", "job.create", "1").await, [line("job.create", "1")]);
        assert_eq!(found("bob", "", "").await, [line("job.cancel", "1")]);
        assert_eq!(found("", "job.c", "").await, []);
    }
}
