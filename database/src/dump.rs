//! A whole table as text, in a form that is the same on both engines, to compare two copies of it.

use std::collections::BTreeSet;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::{AssertSqlSafe, Column, Row, Type, TypeInfo, ValueRef};

use crate::{Db, Error};

impl Db {
    /// Every row of `table` as text: `column=value` by column name, times in UTC, NULL left out.
    ///
    /// # Errors
    /// When the database fails or a column has a type that is not used for read models.
    pub async fn dump(&self, table: &'static str) -> Result<BTreeSet<String>, Error> {
        let sql = AssertSqlSafe(format!("SELECT * FROM {table}"));
        match self {
            Self::Postgres(pool) => {
                let rows = sqlx::query(sql).fetch_all(pool).await?;
                rows.iter().map(|row| text_of(row, postgres_value)).collect()
            }
            Self::Sqlite { read, .. } => {
                let rows = sqlx::query(sql).fetch_all(read).await?;
                rows.iter().map(|row| text_of(row, sqlite_value)).collect()
            }
        }
    }
}

fn text_of<R: Row>(row: &R, value: impl Fn(&R, usize) -> Result<Option<String>, sqlx::Error>) -> Result<String, Error> {
    let mut columns: Vec<(&str, usize)> =
        row.columns().iter().map(|column| (column.name(), column.ordinal())).collect();
    columns.sort_unstable();
    let mut text = String::new();
    for (name, place) in columns {
        if let Some(value) = value(row, place)? {
            let _ = write!(text, "{name}={value} ");
        }
    }
    Ok(text)
}

fn postgres_value(row: &sqlx::postgres::PgRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    Ok(match row.columns()[place].type_info().name() {
        "TIMESTAMPTZ" => row.try_get::<Option<DateTime<Utc>>, _>(place)?.map(in_utc),
        "INT8" => row.try_get::<Option<i64>, _>(place)?.map(|number| number.to_string()),
        "BOOL" => row.try_get::<Option<bool>, _>(place)?.map(|truth| i64::from(truth).to_string()),
        _ => row.try_get::<Option<String>, _>(place)?,
    })
}

fn sqlite_value(row: &sqlx::sqlite::SqliteRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(place)?;
    if value.is_null() {
        return Ok(None);
    }
    if <i64 as Type<sqlx::Sqlite>>::compatible(&value.type_info()) {
        return Ok(Some(row.try_get_unchecked::<i64, _>(place)?.to_string()));
    }
    if value.type_info().name() == "BOOLEAN" {
        return Ok(Some(i64::from(row.try_get_unchecked::<bool, _>(place)?).to_string()));
    }
    let text: String = row.try_get_unchecked(place)?;
    Ok(Some(DateTime::parse_from_rfc3339(&text).map_or(text, |time| in_utc(time.to_utc()))))
}

fn in_utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
