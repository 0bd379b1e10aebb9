//! Takes over at once what a process that is gone had in hand.

use crate::connect::Bus;
use crate::error::Error;
use crate::provision::{consumer_config, failed};
use async_nats::jetstream::consumer::pull;
use std::time::Duration;
use wire::stream::Consumer;

/// So short that everything in hand is past its time.
const AT_ONCE: Duration = Duration::from_millis(10);

/// The server looks at what is past its time a tenth of a second after the time was changed.
const UNTIL_IT_LOOKED: Duration = Duration::from_millis(250);

impl Bus {
    /// Has every message that is in hand delivered again now, instead of when its time is over.
    ///
    /// Only for a process that knows itself to be the only one, before it consumes: what another one has in hand would
    /// be worked on twice. Deliveries go on being counted. Nothing in hand costs one look for each consumer; otherwise
    /// it takes a quarter of a second.
    pub async fn take_over(&self) -> Result<(), Error> {
        let live = self.live().await?;
        let mut held = Vec::new();
        for consumer in Consumer::ALL {
            let (name, stream) = (consumer.name(), consumer.stream().name());
            let stream = live
                .jetstream
                .get_stream_no_info(stream)
                .await
                .map_err(|error| failed(stream, "read", error))?;
            let info = stream
                .consumer_info(name)
                .await
                .map_err(|error| failed(name, "read", error))?;
            if info.num_ack_pending > 0 {
                let kept = info.config.ack_wait;
                held.push((consumer, stream, kept));
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        for (consumer, stream, _) in &held {
            let config = with_time(*consumer, AT_ONCE);
            let changed = stream.update_consumer(config).await;
            changed.map_err(|error| failed(consumer.name(), "changed", error))?;
        }
        tokio::time::sleep(UNTIL_IT_LOOKED).await;
        for (consumer, stream, kept) in &held {
            let config = with_time(*consumer, *kept);
            let changed = stream.update_consumer(config).await;
            changed.map_err(|error| failed(consumer.name(), "changed", error))?;
            tracing::info!(
                consumer = consumer.name(),
                "took over what an earlier process had in hand"
            );
        }
        Ok(())
    }
}

fn with_time(consumer: Consumer, ack_wait: Duration) -> pull::Config {
    pull::Config {
        ack_wait,
        ..consumer_config(consumer, &crate::provision::Provision::default())
    }
}
