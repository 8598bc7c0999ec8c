//! What can go wrong with a database, as a sentence with a remedy.

/// An error of a database of either engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a supported engine.
    #[error(
        "DATABASE_URL is not usable: {0}; give postgres://user:password@host:5432/name, or leave it out for SQLite"
    )]
    Address(String),
    /// The server does not answer.
    #[error("the database at {address} cannot be reached ({source}); start it or correct DATABASE_URL")]
    Unreachable {
        /// Host, port and name, without the password.
        address: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The data folder cannot be used.
    #[error("the data folder {folder} {problem}")]
    Folder {
        /// Its path.
        folder: String,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// A file in the data folder is not a database, or damaged.
    #[error(
        "{file} cannot be read as a database ({source}); restore the data folder from a backup, or give another one with --data"
    )]
    Corrupt {
        /// Its path.
        file: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema was made by a later version of this program.
    #[error(
        "{place} was written by a newer version of optare (schema step {version}); run that version, or restore an older backup"
    )]
    Newer {
        /// File or address.
        place: String,
        /// The step that this program does not know.
        version: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {place} could not be updated: {problem}")]
    Migration {
        /// File or address.
        place: String,
        /// Why.
        problem: String,
    },
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Statement(#[from] sqlx::Error),
}

impl Error {
    pub(crate) fn encode(source: sqlx::error::BoxDynError) -> Self {
        Self::Statement(sqlx::Error::Encode(source))
    }

    /// Whether the values themselves were refused, so that trying again cannot help: SQLSTATE classes 22 (data
    /// exception) and 23 (integrity constraint), SQLite's CONSTRAINT, MISMATCH and TOOBIG.
    #[must_use]
    pub fn is_about_the_values(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(error)) = self else {
            return matches!(self, Self::Statement(sqlx::Error::Encode(_)));
        };
        let code = error.code().unwrap_or_default();
        match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            Some(_) => code.starts_with("22") || code.starts_with("23"),
            // Extended result codes keep the primary one in the lowest byte.
            None => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20)),
        }
    }
}
