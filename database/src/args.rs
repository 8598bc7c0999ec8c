//! A tuple of values as the parameters of a statement, on either engine.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Encode, FromRow, Postgres, Sqlite, Type};

use crate::Error;

/// A row type that both engines can fill: derive `sqlx::FromRow`.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

/// The parameters of a statement: a tuple, the first value for `$1`.
pub trait Args<'a>: Send {
    /// Encodes them for PostgreSQL.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn postgres(self) -> Result<PgArguments, Error>;
    /// Encodes them for SQLite.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn sqlite(self) -> Result<SqliteArguments, Error>;
}

impl Args<'_> for () {
    fn postgres(self) -> Result<PgArguments, Error> {
        Ok(PgArguments::default())
    }
    fn sqlite(self) -> Result<SqliteArguments, Error> {
        Ok(SqliteArguments::default())
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<'a, $($name),+> Args<'a> for ($($name,)+)
        where
            $($name: 'a + Send + Encode<'a, Postgres> + Type<Postgres> + Encode<'a, Sqlite> + Type<Sqlite>,)+
        {
            #[allow(non_snake_case)]
            fn postgres(self) -> Result<PgArguments, Error> {
                let ($($name,)+) = self;
                let mut arguments = PgArguments::default();
                $(arguments.add($name).map_err(Error::encode)?;)+
                Ok(arguments)
            }
            #[allow(non_snake_case)]
            fn sqlite(self) -> Result<SqliteArguments, Error> {
                let ($($name,)+) = self;
                let mut arguments = SqliteArguments::default();
                $(arguments.add($name).map_err(Error::encode)?;)+
                Ok(arguments)
            }
        }
    )+};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O P)
}
