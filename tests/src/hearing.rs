//! A plain NATS client that hears updates, as any subscriber would.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use serde_json::Value;

/// What was heard on a subject so far.
pub struct Hearing {
    heard: Arc<Mutex<Vec<Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Hearing {
    /// Subscribes to the updates of the default workspace.
    pub async fn updates(nats: &str) -> Self {
        Self::on(nats, "tidemark.v1.default.update.>").await
    }

    /// Subscribes to a subject.
    pub async fn on(nats: &str, subject: &str) -> Self {
        crate::crypto();
        let client = async_nats::connect(nats)
            .await
            .expect("NATS can be reached");
        let mut messages = client
            .subscribe(subject.to_owned())
            .await
            .expect("anybody may subscribe");
        // An echo on the same connection: the server has the subscription once it comes back.
        let inbox = client.new_inbox();
        let mut echo = client
            .subscribe(inbox.clone())
            .await
            .expect("anybody may subscribe");
        client
            .publish(inbox, "".into())
            .await
            .expect("anybody may publish");
        echo.next().await.expect("the echo comes back");
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let into = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let value = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
                into.lock()
                    .expect("nobody panics while hearing")
                    .push(value);
            }
            drop(client);
        });
        Self { heard, task }
    }

    /// Everything heard so far.
    pub fn all(&self) -> Vec<Value> {
        self.heard
            .lock()
            .expect("nobody panics while hearing")
            .clone()
    }

    /// Waits for a message that fits.
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        crate::eventually(what, || async { self.all().into_iter().find(&fits) }).await
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}
