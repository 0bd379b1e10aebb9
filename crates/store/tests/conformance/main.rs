//! What the store promises, tried on SQLite and on a real PostgreSQL: the same tests, word for word.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed"
)]

mod calculated;
mod care;
mod definitions;
mod fixture;
mod ledger;
mod model;
mod points;
mod records;
mod seen;
mod things;
mod watched;

/// Makes each of the named tests twice, once for each database.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&$crate::fixture::sqlite().await.store).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(&$crate::fixture::postgres().await.store).await; })+
        }
    };
}
