//! A lease on a connection's token: one fetcher renews it at a time, and one that dies lets go by itself.

use std::time::Duration;

use bus::{Error, Swap};
use bytes::Bytes;
use wire::stream::TokenCell;

use super::Access;
use super::shared::Shared;

/// What stands in the cell of a lease that was given back.
const FREE: &[u8] = b"free";

/// A lease that is held; it ends by [`Lease::release`], or when its time is over.
pub(super) struct Lease<'a> {
    shared: &'a Shared,
    workspace: String,
    connection: String,
    life: Duration,
    revision: u64,
}

impl<'a> Lease<'a> {
    /// Takes the lease; nothing when another fetcher holds it.
    pub(super) async fn take(
        shared: &'a Shared,
        access: &Access,
        life: Duration,
    ) -> Result<Option<Self>, Error> {
        let (workspace, connection) = (access.workspace(), access.connection());
        let held = shared
            .cells
            .get(workspace, connection, TokenCell::Lock)
            .await?;
        let revision = match held {
            Some(held) if held.value.as_ref() != FREE => return Ok(None),
            Some(held) => Some(held.revision),
            None => None,
        };
        let holder = format!("{:016x}", rand::random::<u64>());
        let swap = shared
            .cells
            .compare_and_set(
                workspace,
                connection,
                TokenCell::Lock,
                revision,
                Bytes::from(holder),
                life,
            )
            .await?;
        Ok(match swap {
            Swap::Done(revision) => Some(Lease {
                shared,
                workspace: workspace.to_owned(),
                connection: connection.to_owned(),
                life,
                revision,
            }),
            Swap::Conflict => None,
        })
    }

    /// Holds it from now for its whole life again; false when it is not ours any more, or nobody knows.
    pub(super) async fn renew(&mut self) -> bool {
        let holder = Bytes::from(format!("{:016x}", rand::random::<u64>()));
        let swap = self.set(holder, self.life).await;
        match swap {
            Ok(Swap::Done(revision)) => {
                self.revision = revision;
                true
            }
            Ok(Swap::Conflict) | Err(_) => false,
        }
    }

    /// Gives it back.
    pub(super) async fn release(self) {
        let given = self
            .set(Bytes::from_static(FREE), Duration::from_secs(1))
            .await;
        if let Err(error) = given {
            tracing::debug!(%error, "a lease could not be given back; it ends by itself");
        }
    }

    async fn set(&self, value: Bytes, life: Duration) -> Result<Swap, Error> {
        self.shared
            .cells
            .compare_and_set(
                &self.workspace,
                &self.connection,
                TokenCell::Lock,
                Some(self.revision),
                value,
                life,
            )
            .await
    }
}
