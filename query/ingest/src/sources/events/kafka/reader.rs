//! The topic from a position on: partitions that we give ourselves, offsets that the table keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::settings::{Ear, common, unmade};
use crate::lakefile::{AfterGap, KafkaSpec};
use crate::sources::SourceError;

/// The longest wait for an answer about the topic.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest wait for messages that the brokers still have.
const LINGER: Duration = Duration::from_secs(1);
/// How often it is asked whether the topic has got more partitions, and whether anybody is there.
const LOOK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// How far a topic has been read: the next offset of each partition that has been read at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub topic: String,
    /// The cluster's own name for itself.
    pub cluster: Option<String>,
    pub offsets: BTreeMap<i32, i64>,
}

/// A message as the topic has it.
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    pub payload: Option<Vec<u8>>,
}

/// Reads one topic.
pub struct Reader {
    consumer: BaseConsumer<Ear>,
    topic: String,
    pub cluster: Option<String>,
    partitions: BTreeSet<i32>,
    /// Partitions of which nothing was left when they were last asked.
    ended: BTreeSet<i32>,
    looked: Instant,
}

impl Reader {
    /// Begins after a position, each new partition at its beginning. Blocks.
    /// - Shape: the reader, and what is missing where it was told to go on all the same.
    /// - Errors: [`SourceError::Unavailable`] where no broker answers; [`SourceError::Gap`] where the place is gone.
    pub fn open(spec: &KafkaSpec, after: Option<&Position>) -> Result<(Self, Option<String>), SourceError> {
        let consumer: BaseConsumer<Ear> =
            settings(spec)?.create_with_context(Ear::default()).map_err(|error| unmade(&error))?;
        let partitions = partitions(&consumer, &spec.topic)?;
        let cluster = consumer.client().fetch_cluster_id(ANSWER);
        let topic = spec.topic.clone();
        let (ended, looked) = (BTreeSet::new(), Instant::now());
        let reader = Self { consumer, topic, cluster, partitions, ended, looked };
        let gap = match after {
            Some(after) => reader.gap(after)?,
            None => None,
        };
        match (gap, after) {
            (Some(gap), _) if spec.after_gap == AfterGap::Stop => Err(SourceError::Gap { reason: gap }),
            (Some(gap), _) => reader.assign(None).map(|reader| (reader, Some(gap))),
            (None, after) => reader.assign(after).map(|reader| (reader, None)),
        }
    }

    /// What is missing between a position and what the topic has; `None` when it goes on without a gap.
    fn gap(&self, after: &Position) -> Result<Option<String>, SourceError> {
        if after.topic != self.topic {
            let reason = format!("the table goes on in topic {}: this is {}", after.topic, self.topic);
            return Ok(Some(reason));
        }
        if let (Some(was), Some(is)) = (&after.cluster, &self.cluster)
            && was != is
        {
            return Ok(Some(format!("the table goes on in cluster {was}: this is {is}")));
        }
        for (partition, next) in &after.offsets {
            if !self.partitions.contains(partition) {
                return Ok(Some(format!("topic {} has no partition {partition} any more", self.topic)));
            }
            let marks = self.consumer.fetch_watermarks(&self.topic, *partition, ANSWER);
            let (first, end) = marks.map_err(|error| self.unavailable(&error))?;
            if !(first..=end).contains(next) {
                return Ok(Some(format!(
                    "offset {next} of partition {partition} is next and gone: topic {} has {first} to {end}",
                    self.topic
                )));
            }
        }
        Ok(None)
    }

    fn assign(self, after: Option<&Position>) -> Result<Self, SourceError> {
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            let next = after.and_then(|after| after.offsets.get(partition));
            let offset = next.map_or(Offset::Beginning, |next| Offset::Offset(*next));
            let added = list.add_partition_offset(&self.topic, *partition, offset);
            added.map_err(|error| self.unavailable(&error))?;
        }
        self.consumer.assign(&list).map_err(|error| self.unavailable(&error))?;
        Ok(self)
    }

    /// Adds messages to `waiting` until it has `most`, the topic has no more, or a second is over. Blocks.
    /// - Errors: as [`Reader::open`]; a new reader begins again then.
    pub fn fetch(&mut self, waiting: &mut Vec<Message>, most: usize) -> Result<(), SourceError> {
        self.look()?;
        let (began, before) = (Instant::now(), waiting.len());
        while waiting.len() < most {
            let all = self.ended.len() == self.partitions.len();
            match self.consumer.poll(if all { Duration::ZERO } else { POLL }) {
                Some(Ok(message)) => {
                    self.ended.remove(&message.partition());
                    waiting.push(Message {
                        partition: message.partition(),
                        offset: message.offset(),
                        payload: message.payload().map(<[u8]>::to_vec),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ended.insert(partition);
                }
                Some(Err(error)) => self.judge(&error)?,
                None if all => break,
                None => {}
            }
            if began.elapsed() > LINGER && waiting.len() > before {
                break;
            }
            if began.elapsed() > ANSWER {
                return Err(self.silent("it gives no message and no end"));
            }
        }
        Ok(())
    }

    /// Now and then: whether the topic is still what it was.
    fn look(&mut self) -> Result<(), SourceError> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        match partitions(&self.consumer, &self.topic)? == self.partitions {
            true => Ok(()),
            false => Err(self.silent("its partitions have changed")),
        }
    }

    /// Whether to go on after an error of the client: it mends by itself what only a connection did.
    fn judge(&self, error: &KafkaError) -> Result<(), SourceError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let reason = format!("topic {} no longer has an offset that is next", self.topic);
                Err(SourceError::Gap { reason })
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Err(self.unavailable(error)),
            _ => {
                tracing::debug!(%error, "kafka: the consumer goes on");
                Ok(())
            }
        }
    }

    fn unavailable(&self, error: &KafkaError) -> SourceError {
        self.silent(&error.to_string())
    }

    fn silent(&self, why: &str) -> SourceError {
        let trouble = self.consumer.context().trouble().map(|t| format!(" ({t})")).unwrap_or_default();
        let reason = format!("topic {}: {why}{trouble}", self.topic);
        SourceError::Unavailable { reason, retry_after_secs: None }
    }
}

fn settings(spec: &KafkaSpec) -> Result<rdkafka::ClientConfig, SourceError> {
    let mut config = common(spec)?;
    config
        .set("group.id", "lakefront") // the client wants one; nothing is ever committed to it
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384");
    Ok(config)
}

/// The topic's partitions. Blocks. Errors: [`SourceError::Unavailable`] without a broker, or without the topic.
fn partitions(consumer: &BaseConsumer<Ear>, topic: &str) -> Result<BTreeSet<i32>, SourceError> {
    let unavailable = |why: String| {
        let trouble = consumer.context().trouble().map(|t| format!(" ({t})")).unwrap_or_default();
        SourceError::Unavailable { reason: format!("topic {topic}: {why}{trouble}"), retry_after_secs: None }
    };
    let metadata =
        consumer.fetch_metadata(Some(topic), ANSWER).map_err(|error| unavailable(error.to_string()))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions: BTreeSet<i32> =
        found.into_iter().flat_map(|found| found.partitions()).map(|partition| partition.id()).collect();
    match partitions.is_empty() {
        true => Err(unavailable("the brokers do not have it".to_owned())),
        false => Ok(partitions),
    }
}
