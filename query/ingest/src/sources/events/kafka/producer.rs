//! Events into the topic, acknowledged when all its replicas that are in step have them.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::settings::{Ear, common, millis, unmade};
use crate::lakefile::KafkaSpec;
use crate::sources::SourceError;
use crate::sources::events::front::{Accepted, Front, Unwritten};

/// Bytes that may wait for the brokers; who comes then is told to come again.
const WAITING_KBYTES: &str = "65536";
/// Between two looks whether there is room among those that wait.
const ROOM: Duration = Duration::from_millis(20);

/// The client by which events go out.
#[derive(Clone)]
struct Client {
    producer: FutureProducer<Ear>,
    ear: Ear,
}

/// Writes to one topic.
pub struct Producer {
    spec: KafkaSpec,
    client: Mutex<Client>,
}

impl Producer {
    /// A producer by the lake's declaration; brokers are not asked yet.
    /// - Errors: [`SourceError::Refused`] for settings or secrets that cannot be used.
    pub fn new(spec: &KafkaSpec) -> Result<Self, SourceError> {
        Ok(Self { client: Mutex::new(client(spec)?), spec: spec.clone() })
    }

    /// Hands one event to the client, waiting for room until `deadline`.
    async fn send(
        &self,
        client: &Client,
        (id, text): &(String, String),
        deadline: Instant,
    ) -> Result<DeliveryFuture, Unwritten> {
        loop {
            // The same id always goes to the same partition, by whichever producer.
            let record = FutureRecord::to(&self.spec.topic).key(id).payload(text);
            match client.producer.send_result(record) {
                Ok(sent) => return Ok(sent),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(ROOM).await;
                }
                Err((error, _)) => {
                    tracing::warn!(%error, "an event cannot be handed to the brokers");
                    return Err(Unwritten::Unacknowledged);
                }
            }
        }
    }

    async fn produce(&self, client: &Client, events: &[(String, String)]) -> Result<(), Unwritten> {
        let deadline = Instant::now() + self.spec.timeout.0;
        let mut sent = Vec::with_capacity(events.len());
        for event in events {
            sent.push(self.send(client, event, deadline).await?);
        }
        let mut failed = None;
        for delivery in join_all(sent).await {
            match delivery {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => failed = Some(error.to_string()),
                Err(_) => failed = Some("the client was given up".to_owned()),
            }
        }
        let Some(error) = failed else { return Ok(()) };
        let trouble = client.ear.trouble();
        tracing::warn!(error, trouble, "events are not acknowledged");
        Err(Unwritten::Unacknowledged)
    }

    /// A client that the brokers no longer believe is replaced; its events were refused.
    fn replace(&self, spent: &Client) {
        if let Some((code, reason)) = spent.producer.client().fatal_error() {
            tracing::warn!(%code, reason, "the Kafka producer is made anew");
            match client(&self.spec) {
                Ok(fresh) => *self.client.lock() = fresh,
                Err(error) => tracing::error!(%error, "no Kafka producer"),
            }
        }
    }
}

fn client(spec: &KafkaSpec) -> Result<Client, SourceError> {
    let mut config = common(spec)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", WAITING_KBYTES)
        .set("message.timeout.ms", millis(spec.timeout.0));
    let ear = Ear::default();
    let producer = config.create_with_context(ear.clone()).map_err(|error| unmade(&error))?;
    Ok(Client { producer, ear })
}

#[async_trait]
impl Front for Producer {
    /// Returns when the brokers have them all. What the topic holds already is not known here: it is dropped when it is read.
    async fn append(
        &self,
        events: Vec<(String, String)>,
        _now: DateTime<Utc>,
    ) -> Result<Accepted, Unwritten> {
        let client = self.client.lock().clone();
        // The client ends each event by its own clock; this is for the case that it does not.
        let limit = self.spec.timeout.0 * 2;
        let done = tokio::time::timeout(limit, self.produce(&client, &events)).await;
        match done.unwrap_or(Err(Unwritten::Unacknowledged)) {
            Ok(()) => {
                lake::failpoint("source.topic-acknowledged");
                Ok(Accepted { accepted: events.len() as u64, duplicates: 0 })
            }
            Err(error) => {
                self.replace(&client);
                Err(error)
            }
        }
    }
}
