//! What can go wrong with the log.

/// The log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed; nothing is known to be stored.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// An event cannot be read.
    #[error(
        "the event at position {position} cannot be read: {problem}; restore it from a backup, nothing may be folded past it"
    )]
    Unreadable {
        /// Where.
        position: u64,
        /// Why.
        problem: String,
    },
    /// The end of a stream is missing.
    #[error("the stream {stream} had {head} events, but only {found} are there; restore the log from a backup")]
    Shortened {
        /// Its type and id.
        stream: String,
        /// How many were appended.
        head: u64,
        /// How many were found.
        found: u64,
    },
    /// There is nothing to append.
    #[error("an append without events stores nothing, not even its claims")]
    NoEvents,
    /// A position is missing.
    #[error("the log has no event at position {position}, but later ones; restore it from a backup")]
    Hole {
        /// Where.
        position: u64,
    },
    /// The master key does not open what is stored.
    #[error(
        "the master key does not open this instance's secrets; give the key that it was started with (OPTARE_MASTER_KEY or master.key)"
    )]
    WrongMasterKey,
    /// The master key is malformed.
    #[error("the master key must be 32 bytes in base64; make one with: openssl rand -base64 32")]
    BadMasterKey,
    /// A file of keys cannot be read or written.
    #[error("{file} cannot be used: {problem}")]
    KeyFile {
        /// Its path.
        file: String,
        /// Why.
        problem: String,
    },
    /// Encoding a value for the log failed.
    #[error("a value cannot be stored as JSON: {0}")]
    Encoding(#[from] serde_json::Error),
    /// The server is stopping.
    #[error("the server is stopping; send the request again")]
    Stopping,
}

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E: std::error::Error> {
    /// A rule refused it.
    #[error(transparent)]
    Rejected(E),
    /// The stream belongs to another tenant, for which it does not exist.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A unique value is taken, e.g. `email`.
    #[error("this {0} is already taken; choose another")]
    ClaimTaken(String),
    /// The idempotency key was used with another request.
    #[error("this Idempotency-Key was used with a different request; use a new key")]
    IdempotencyMismatch,
    /// Others kept changing the same stream.
    #[error("too many changes at once to the same {0}; send the request again")]
    Contended(&'static str),
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<E: std::error::Error> From<database::Error> for ExecuteError<E> {
    fn from(error: database::Error) -> Self {
        Self::Store(error.into())
    }
}
