//! What a failure of the database means to a caller.

use std::borrow::Cow;

use crate::error::Error;

/// Turns a client's error into ours; the texts of databases may quote values, so they stay here.
pub(crate) fn failed(step: &'static str, error: &sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::BeginFailed => Error::Unavailable { step },
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. } => Error::Database {
                step,
                code: "decode".into(),
            },
            sqlx::Error::Encode(_) => Error::Database {
                step,
                code: "encode".into(),
            },
            _ => Error::Database {
                step,
                code: "client".into(),
            },
        };
    };
    let code = database.code().unwrap_or(Cow::Borrowed("none"));
    if database
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        return match code.as_ref() {
            // Serialization failure, deadlock, lock not available; a unique key that two
            // transactions made at once is found by the second try.
            "40001" | "40P01" | "55P03" | "23505" => Error::Retryable { step },
            // Read-only after a failover; shutting down; out of connections, memory or disk; timeout.
            "25006" | "57P01" | "57P02" | "57P03" | "57014" => Error::Unavailable { step },
            code if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
                Error::Unavailable { step }
            }
            _ => Error::Database {
                step,
                code: code.into_owned(),
            },
        };
    }
    // SQLite: the primary code is the low byte. 5 busy, 6 locked; 8 read-only, 10 input/output,
    // 13 full, 14 cannot open.
    match code.parse::<i32>().map(|code| code & 0xff) {
        Ok(5 | 6) => Error::Retryable { step },
        Ok(8 | 10 | 13 | 14) => Error::Unavailable { step },
        _ => Error::Database {
            step,
            code: code.into_owned(),
        },
    }
}
