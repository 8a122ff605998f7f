//! A Kafka cluster for a test: librdkafka's own mock brokers, in a process of `confluent-kafka` from PyPI.
//!
//! It speaks the protocol over sockets, holds topics in memory (5 MB or 100 000 messages a partition), and can be frozen.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use crate::python::Python;

const PACKAGES: [&str; 1] = ["confluent-kafka==2.16.1"];

/// Brokers, and a topic of four partitions for each name; it ends when its input does.
const CLUSTER: &str = r#"
import sys
from confluent_kafka import Producer
cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0})
for topic in sys.argv[1:]:
    brokers = cluster.list_topics(topic, timeout=10).brokers
print(",".join(f"{b.host}:{b.port}" for b in brokers.values()), flush=True)
sys.stdin.read()
"#;

/// Sends each line of its input as a message without a key; at an empty line it says how many are not acknowledged.
const SENDER: &str = r#"
import sys
from confluent_kafka import Producer
servers, topic = sys.argv[1:3]
producer = Producer({"bootstrap.servers": servers, "acks": "all", "linger.ms": 5,
                     "queue.buffering.max.messages": 2000000, "log_level": 0})
for line in sys.stdin.buffer:
    line = line.rstrip(b"\n")
    if line == b"":
        print(producer.flush(30), flush=True)
        continue
    while True:
        try:
            producer.produce(topic, line)
            break
        except BufferError:
            producer.poll(0.05)
    producer.poll(0)
"#;

/// Counts the messages of a topic from its beginning: `count seconds`.
const COUNTER: &str = r#"
import sys, time
from confluent_kafka import Consumer, TopicPartition
servers, topic = sys.argv[1:3]
consumer = Consumer({"bootstrap.servers": servers, "group.id": "count", "enable.partition.eof": True,
                     "enable.auto.commit": False, "log_level": 0})
partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
count, ended, first, last = 0, set(), None, None
while len(ended) < len(partitions):
    for message in consumer.consume(10000, 1.0):
        if message.error():
            ended.add(message.partition())
        else:
            count, last = count + 1, time.monotonic()
            first = first or last
print(count, (last or 0) - (first or 0))
"#;

/// Running brokers. They end with the value.
pub struct Kafka {
    child: Child,
    python: Python,
    /// `host:port`.
    pub servers: String,
}

/// Somebody else who writes to a topic.
pub struct Sender {
    child: Child,
    input: Mutex<ChildStdin>,
    output: Mutex<BufReader<std::process::ChildStdout>>,
}

impl Kafka {
    /// Starts brokers with empty topics; `None`, and said, where the package cannot be installed.
    pub fn start(topics: &[&str]) -> Option<Self> {
        let python = Python::with(&PACKAGES)?;
        let mut child = Command::new(python.program("python"))
            .args(["-c", CLUSTER])
            .args(topics)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut servers = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut servers).ok()?;
        let servers = servers.trim().to_owned();
        (!servers.is_empty()).then_some(Self { child, python, servers })
    }

    /// Stops the brokers without ending them: they take connections and never answer.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets frozen brokers go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
    }

    /// Somebody who writes to a topic, one line a message.
    pub fn sender(&self, topic: &str) -> std::io::Result<Sender> {
        let mut child = Command::new(self.python.program("python"))
            .args(["-c", SENDER, &self.servers, topic])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let absent = || std::io::Error::other("no pipe");
        let input = Mutex::new(child.stdin.take().ok_or_else(absent)?);
        let output = Mutex::new(BufReader::new(child.stdout.take().ok_or_else(absent)?));
        Ok(Sender { child, input, output })
    }

    /// How many messages a topic has, and the seconds in which a bare consumer read them.
    pub fn count(&self, topic: &str) -> std::io::Result<(u64, f64)> {
        let output = self.python.run(COUNTER, &[&self.servers, topic])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split_whitespace();
        let count = words.next().and_then(|word| word.parse().ok());
        let seconds = words.next().and_then(|word| word.parse().ok());
        count.zip(seconds).ok_or_else(|| std::io::Error::other(format!("no count: {text}")))
    }
}

impl Sender {
    /// Hands messages over; they are on their way.
    pub fn send(&self, lines: &str) -> std::io::Result<()> {
        let mut input = self.input.lock().map_err(|_| std::io::Error::other("a sender died"))?;
        input.write_all(lines.as_bytes())?;
        input.flush()
    }

    /// Waits until the brokers have all that was sent.
    pub fn acknowledged(&self) -> std::io::Result<()> {
        self.send("\n")?;
        let mut left = String::new();
        let mut output = self.output.lock().map_err(|_| std::io::Error::other("a sender died"))?;
        output.read_line(&mut left)?;
        match left.trim() {
            "0" => Ok(()),
            left => Err(std::io::Error::other(format!("{left} messages are not acknowledged"))),
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.thaw();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
