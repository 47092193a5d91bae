//! One connection and one transaction: the only places that hand SQL to the engine. A second engine
//! would be adapted here.

use std::cell::RefCell;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Params, Row};
use serde::de::DeserializeOwned;

use super::StoreError;

pub struct Conn {
    pub(super) raw: rusqlite::Connection,
    statements: Arc<AtomicU64>,
}

impl Conn {
    pub(super) fn new(raw: rusqlite::Connection, statements: Arc<AtomicU64>) -> Self {
        Self { raw, statements }
    }

    /// Runs a statement; the number of rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        self.count();
        Ok(self.raw.prepare_cached(sql)?.execute(params)?)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.count();
        Ok(self.raw.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
    }

    /// Only those that can be read, for work that one spoilt row must not hold up; the others are named in
    /// the log.
    pub(super) fn readable_rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.count();
        let mut statement = self.raw.prepare_cached(sql)?;
        let mut readable = Vec::new();
        for row in statement.query_map(params, read)? {
            match row {
                Ok(row) => readable.push(row),
                Err(error @ rusqlite::Error::FromSqlConversionFailure(..)) => {
                    tracing::error!(%error, "a spoilt row is left out");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(readable)
    }

    /// The first row, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.count();
        Ok(self.raw.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.count();
        Ok(self.raw.execute_batch(sql)?)
    }

    fn count(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }
}

type Effect = Box<dyn FnOnce() + Send>;

/// A connection inside a transaction. What must follow the commit, and only that, is left here.
pub struct Tx<'a> {
    conn: &'a Conn,
    effects: RefCell<Vec<Effect>>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: &'a Conn) -> Self {
        Self { conn, effects: RefCell::default() }
    }

    /// Done once the transaction is on disk; never if it is rolled back.
    pub fn on_commit(&self, effect: impl FnOnce() + Send + 'static) {
        self.effects.borrow_mut().push(Box::new(effect));
    }

    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects.into_inner()
    }
}

impl Deref for Tx<'_> {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn
    }
}

/// A column that holds the text of a `T`.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error: T::Err| unreadable(column, error.to_string()))
}

pub(super) fn parsed_opt<T: FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|error: T::Err| unreadable(column, error.to_string())),
    }
}

/// A column that holds a JSON document.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| unreadable(column, error.to_string()))
}

pub(super) fn millis(row: &Row<'_>, column: usize) -> rusqlite::Result<aright_shared::time::Millis> {
    row.get(column).map(aright_shared::time::Millis)
}

pub(super) fn millis_opt(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<aright_shared::time::Millis>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(aright_shared::time::Millis))
}

fn unreadable(column: usize, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
