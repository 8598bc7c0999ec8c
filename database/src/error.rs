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

    /// Whether a row with the same key was there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}
