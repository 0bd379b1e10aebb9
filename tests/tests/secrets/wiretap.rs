//! A plain NATS client that hears all and reads every stream.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;

/// A subject (or a place in a stream) and all bytes that came with it.
type Message = (String, Vec<u8>);

/// Every message that anybody may hear, headers and subject included.
pub(crate) struct Wiretap {
    heard: Arc<Mutex<Vec<Message>>>,
    client: async_nats::Client,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wiretap {
    pub(crate) async fn start(nats: &str) -> Self {
        house_tests::crypto();
        let client = async_nats::connect(nats)
            .await
            .expect("NATS can be reached");
        let mut messages = client.subscribe(">").await.expect("anybody may subscribe");
        client
            .flush()
            .await
            .expect("the subscription reaches the server");
        let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
        let into = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let headers = message
                    .headers
                    .as_ref()
                    .map(|headers| format!("{headers:?}"))
                    .unwrap_or_default();
                let mut bytes = headers.into_bytes();
                bytes.extend_from_slice(&message.payload);
                into.lock()
                    .expect("nobody panics while hearing")
                    .push((message.subject.to_string(), bytes));
            }
        });
        Self {
            heard,
            client,
            task,
        }
    }

    /// Everything heard and everything kept in streams.
    pub(crate) async fn everything(&self) -> Vec<Message> {
        let mut all = self
            .heard
            .lock()
            .expect("nobody panics while hearing")
            .clone();
        let jetstream = async_nats::jetstream::new(self.client.clone());
        let mut names = jetstream.stream_names();
        while let Some(name) = names.next().await {
            let name = name.expect("a stream's name");
            let mut stream = jetstream.get_stream(&name).await.expect("a stream");
            let state = stream.info().await.expect("its state").state.clone();
            for sequence in state.first_sequence..=state.last_sequence {
                if let Ok(message) = stream.get_raw_message(sequence).await {
                    let mut bytes =
                        format!("{} {:?}", message.subject, message.headers).into_bytes();
                    bytes.extend_from_slice(&message.payload);
                    all.push((format!("{name} {sequence}"), bytes));
                }
            }
        }
        all
    }
}
