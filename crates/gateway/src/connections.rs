//! Open connections: counted, bounded, and closed in order.
//!
//! A stranger may open connections and say nothing. So at the cap the connection that has been
//! idle longest makes room for the new one, and a probe is still answered at once; only when every
//! connection is at work is a new one turned away, with a 503.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;

/// Every open connection of the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    most_per_address: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Grows with every admission and every end of a request, so that it orders idle connections.
    turn: u64,
    open: usize,
    addresses: HashMap<IpAddr, Address>,
    idle: BTreeMap<u64, IpAddr>,
}

#[derive(Debug, Default)]
struct Address {
    open: usize,
    idle: BTreeMap<u64, CancellationToken>,
}

/// One open connection; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    address: IpAddr,
    evicted: CancellationToken,
    /// The turn under which it is listed as idle; none while requests are in hand.
    standing: Mutex<Standing>,
}

#[derive(Debug)]
struct Standing {
    requests: usize,
    turn: u64,
}

/// A request in hand on a connection; dropping it says that the answer was sent.
#[derive(Debug)]
pub(crate) struct InHand(Arc<Connection>);

impl Connections {
    /// Returns an empty table with these bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Shared {
            most: limits.connections.max(1),
            most_per_address: limits.connections_per_address.max(1),
            table: Mutex::default(),
        }))
    }

    /// Admits a connection, closing the longest idle one where a bound is reached.
    ///
    /// Returns nothing when all that could make room are at work.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Arc<Connection>> {
        let mut table = self.0.table();
        if table.addresses.get(&address).map_or(0, |entry| entry.open) >= self.0.most_per_address {
            let oldest = table.addresses.get(&address)?.idle.keys().next().copied()?;
            table.evict(oldest, address);
        }
        if table.open >= self.0.most {
            let (turn, from) = table
                .idle
                .first_key_value()
                .map(|(turn, from)| (*turn, *from))?;
            table.evict(turn, from);
        }
        let evicted = CancellationToken::new();
        table.turn += 1;
        let turn = table.turn;
        table.open += 1;
        table.idle.insert(turn, address);
        let entry = table.addresses.entry(address).or_default();
        entry.open += 1;
        entry.idle.insert(turn, evicted.clone());
        drop(table);
        Some(Arc::new(Connection {
            shared: Arc::clone(&self.0),
            address,
            evicted,
            standing: Mutex::new(Standing { requests: 0, turn }),
        }))
    }

    /// Returns how many are open now.
    pub(crate) fn open(&self) -> usize {
        self.0.table().open
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn evict(&mut self, turn: u64, address: IpAddr) {
        self.idle.remove(&turn);
        if let Some(entry) = self.addresses.get_mut(&address)
            && let Some(connection) = entry.idle.remove(&turn)
        {
            connection.cancel();
            // Its room is given away now; its own drop must not give it away again.
            self.leave(address);
        }
    }

    fn leave(&mut self, address: IpAddr) {
        self.open = self.open.saturating_sub(1);
        if let Some(entry) = self.addresses.get_mut(&address) {
            entry.open = entry.open.saturating_sub(1);
            if entry.open == 0 && entry.idle.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Connection {
    /// Returns once the connection has to make room for another.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Says that a request has come in.
    pub(crate) fn begin(self: &Arc<Self>) -> InHand {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.requests += 1;
        if standing.requests == 1 {
            let mut table = self.shared.table();
            table.idle.remove(&standing.turn);
            if let Some(entry) = table.addresses.get_mut(&self.address) {
                entry.idle.remove(&standing.turn);
            }
        }
        drop(standing);
        InHand(Arc::clone(self))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let connection = &self.0;
        let mut standing = connection
            .standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        standing.requests -= 1;
        if standing.requests == 0 && !connection.evicted.is_cancelled() {
            let mut table = connection.shared.table();
            table.turn += 1;
            standing.turn = table.turn;
            table.idle.insert(standing.turn, connection.address);
            let entry = table.addresses.entry(connection.address).or_default();
            entry.idle.insert(standing.turn, connection.evicted.clone());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let standing = self
            .standing
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let mut table = self.shared.table();
        table.idle.remove(&standing.turn);
        if let Some(entry) = table.addresses.get_mut(&self.address) {
            entry.idle.remove(&standing.turn);
        }
        if !self.evicted.is_cancelled() {
            table.leave(self.address);
        }
    }
}

/// An answer's body that keeps its request in hand until the last byte is sent.
#[derive(Debug)]
pub(crate) struct HeldBody {
    body: Body,
    _in_hand: InHand,
}

impl HeldBody {
    /// Ties `body` to the request it answers.
    pub(crate) fn new(body: Body, in_hand: InHand) -> Self {
        Self {
            body,
            _in_hand: in_hand,
        }
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

    fn table(connections: usize, per_address: usize) -> Connections {
        Connections::new(&Limits {
            connections,
            connections_per_address: per_address,
            ..Limits::default()
        })
    }

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let connections = table(10, 2);
        let first = connections.admit(HERE).unwrap();
        let second = connections.admit(HERE).unwrap();
        drop(first.begin());
        let third = connections.admit(HERE).unwrap();
        assert!(
            second.evicted.is_cancelled(),
            "the first was used after the second came"
        );
        assert!(!first.evicted.is_cancelled() && !third.evicted.is_cancelled());
        assert_eq!(connections.open(), 2);
        drop((first, second, third));
        assert_eq!(connections.open(), 0);
        assert!(connections.0.table().addresses.is_empty());
    }

    #[test]
    fn a_connection_at_work_is_never_closed_for_another() {
        let connections = table(1, 1);
        let first = connections.admit(HERE).unwrap();
        let request = first.begin();
        assert!(connections.admit(HERE).is_none());
        assert!(connections.admit(THERE).is_none());
        drop(request);
        assert!(connections.admit(THERE).is_some());
        assert!(first.evicted.is_cancelled());
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others() {
        let connections = table(10, 1);
        let theirs = connections.admit(THERE).unwrap();
        let first = connections.admit(HERE).unwrap();
        let _second = connections.admit(HERE).unwrap();
        assert!(first.evicted.is_cancelled() && !theirs.evicted.is_cancelled());
    }
}
