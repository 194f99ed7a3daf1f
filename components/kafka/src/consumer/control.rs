//! Control of a running consumer from its scope: where it reads, what it does not read, and what brokers know.
//!
//! What concerns the client's state is done by the consumer's task, in the order in which it was asked for. Brokers are asked
//! on blocking threads, a few at a time, because librdkafka waits for the answer.

use std::time::{Duration, SystemTime};

use mainspring_kafka_ffi::{self as ffi, KafkaCode, KafkaError, OFFSET_BEGINNING, Queries};
use tokio::sync::oneshot;

use crate::consumer::error::ControlError;
use crate::consumer::ledger::Key;
use crate::consumer::partition::TopicPartition;
use crate::consumer::scope::ConsumerScope;

/// How long brokers are given to answer one question.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Questions asked at the same time; each has a thread.
pub(crate) const QUERIES_MAX: usize = 4;

/// Where to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// At the first message there is.
    Beginning,
    /// At the next message to come.
    End,
    /// At this offset; where there is no such message, `auto_offset_reset` decides.
    Offset(i64),
    /// At the first message with this timestamp or a later one; at the end where there is none.
    Timestamp(SystemTime),
}

/// The messages that a partition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetRange {
    /// Offset of the first message.
    pub low: i64,
    /// Offset after the last message that may be read; transactions that are still open come after it.
    pub high: i64,
}

/// Something for the consumer's task to do.
#[derive(Debug)]
pub(crate) enum Command {
    Seek(Seek),
    Pause(Key, ControlReply),
    Resume(Key, ControlReply),
    Queries(oneshot::Sender<Queries>),
}

/// Where the result of a command goes.
pub(crate) type ControlReply = oneshot::Sender<Result<(), ControlError>>;

/// A partition and the offset to read on at.
#[derive(Debug)]
pub(crate) struct Seek {
    pub(crate) to: ffi::TopicPartition,
    pub(crate) reply: ControlReply,
}

impl ConsumerScope {
    /// Goes on reading one partition, which must be assigned to this member, at another place.
    ///
    /// Messages handed out before can be committed no more; a callback that works on some is not disturbed. Nothing is
    /// committed: after a restart the group goes on at its last commit. Within
    /// [`ConsumerListener::on_assigned`](crate::ConsumerListener::on_assigned) it says where reading begins.
    ///
    /// # Errors
    /// [`ControlError::NotAssigned`], [`ControlError::InvalidOffset`] for a negative one, [`ControlError::Query`] when the end or
    /// a timestamp could not be looked up, and those of a consumer that does not run.
    ///
    /// # Cancel safety
    /// When this is dropped the seek may take place or not.
    pub async fn seek(&self, topic: &str, partition: i32, position: Position) -> Result<(), ControlError> {
        let offset = match position {
            Position::Beginning => OFFSET_BEGINNING,
            // Asked for now: librdkafka would find out later, and what is written meanwhile would be left out.
            Position::End => self.offset_range(topic, partition).await?.high,
            Position::Offset(offset) if offset < 0 => return Err(ControlError::InvalidOffset { offset }),
            Position::Offset(offset) => offset,
            Position::Timestamp(time) => match self.offset_at(topic, partition, time).await? {
                Some(offset) => offset,
                None => self.offset_range(topic, partition).await?.high,
            },
        };
        let to = ffi::TopicPartition::new(topic, partition).with_offset(offset);
        self.command(|reply| Command::Seek(Seek { to, reply })).await?
    }

    /// Hands out no more messages of one partition, which must be assigned to this member, until
    /// [`ConsumerScope::resume`]. It stays so through rebalances, as long as the partition stays with this member. A batch that is
    /// with a callback is finished, and may be committed. Pausing what is paused does nothing.
    ///
    /// # Errors
    /// [`ControlError::NotAssigned`], and those of a consumer that does not run.
    ///
    /// # Cancel safety
    /// When this is dropped the partition may be paused or not.
    pub async fn pause(&self, topic: &str, partition: i32) -> Result<(), ControlError> {
        self.command(|reply| Command::Pause((topic.into(), partition), reply)).await?
    }

    /// Undoes [`ConsumerScope::pause`]; nothing is left out. Resuming what is not paused does nothing.
    ///
    /// # Errors
    /// As [`ConsumerScope::pause`].
    ///
    /// # Cancel safety
    /// As [`ConsumerScope::pause`].
    pub async fn resume(&self, topic: &str, partition: i32) -> Result<(), ControlError> {
        self.command(|reply| Command::Resume((topic.into(), partition), reply)).await?
    }

    /// The partitions that this member reads now.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let progress = self.control().status.ledger().progress();
        progress.into_iter().map(|known| TopicPartition::new(known.topic, known.partition)).collect()
    }

    /// The messages that a partition has, asked from its leader.
    ///
    /// # Errors
    /// [`ControlError::Query`] when it is unknown or does not answer within 5 s, and those of a consumer that does not run.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn offset_range(&self, topic: &str, partition: i32) -> Result<OffsetRange, ControlError> {
        let owned = topic.to_owned();
        let range = self.query(move |queries| queries.watermarks(&owned, partition, QUERY_TIMEOUT)).await?;
        let (low, high) =
            range.map_err(|error| ControlError::query("offset range", topic, Some(partition), &error))?;
        Ok(OffsetRange { low, high })
    }

    /// How many messages of a partition are still to be processed: up to the end of its [`ConsumerScope::offset_range`], from
    /// where this member is, or, when the partition is not assigned to it, from the group's last commit.
    ///
    /// # Errors
    /// As [`ConsumerScope::offset_range`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn lag(&self, topic: &str, partition: i32) -> Result<u64, ControlError> {
        let range = self.offset_range(topic, partition).await?;
        let ours = self.control().status.ledger().position(topic, partition);
        let position = match ours {
            Some(position) => Some(position),
            None => self.committed(topic, partition).await?,
        };
        let position = position.unwrap_or(range.low).clamp(range.low, range.high);
        Ok(u64::try_from(range.high - position).unwrap_or(0))
    }

    /// The partitions of a topic, asked from a broker.
    ///
    /// # Errors
    /// [`ControlError::Query`] when there is no such topic or no answer within 5 s, and those of a consumer that does not run.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn partition_ids(&self, topic: &str) -> Result<Vec<i32>, ControlError> {
        let owned = topic.to_owned();
        let ids = self.query(move |queries| queries.partition_ids(&owned, QUERY_TIMEOUT)).await?;
        ids.map_err(|error| ControlError::query("partitions", topic, None, &error))
    }

    /// The group's last commit.
    async fn committed(&self, topic: &str, partition: i32) -> Result<Option<i64>, ControlError> {
        let asked = [ffi::TopicPartition::new(topic, partition)];
        let answer = self.query(move |queries| queries.committed(&asked, QUERY_TIMEOUT)).await?;
        let found = only(answer)
            .map_err(|error| ControlError::query("committed offset", topic, Some(partition), &error))?;
        Ok(found.offset.filter(|offset| 0 <= *offset))
    }

    /// The first offset of this time or a later one.
    async fn offset_at(
        &self,
        topic: &str,
        partition: i32,
        time: SystemTime,
    ) -> Result<Option<i64>, ControlError> {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let asked = [ffi::TopicPartition::new(topic, partition).with_offset(millis)];
        let answer = self.query(move |queries| queries.offsets_for_times(&asked, QUERY_TIMEOUT)).await?;
        let found =
            only(answer).map_err(|error| ControlError::query("timestamp", topic, Some(partition), &error))?;
        Ok(found.offset.filter(|offset| 0 <= *offset))
    }

    /// Has the consumer's task do something.
    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ControlError> {
        let committer = self.control().committer().ok_or(ControlError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        committer.command(command(reply)).map_err(|refused| match refused {
            tokio::sync::mpsc::error::TrySendError::Full(_) => ControlError::Busy,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => ControlError::Stopped,
        })?;
        // Without an answer there is no client to do it with.
        answer.await.map_err(|_| ControlError::NoClient)
    }

    /// Asks brokers on a blocking thread.
    async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Queries) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = self.control();
        let _permit = control.queries.acquire().await.map_err(|_| ControlError::Stopped)?;
        let queries = self.command(Command::Queries).await?;
        let asking = control.cx.spawn_blocking("kafka-query", move || ask(&queries));
        asking.await.map_err(|_| ControlError::Stopped)
    }
}

/// The one partition of an answer.
fn only(answer: Result<Vec<ffi::TopicPartition>, KafkaError>) -> Result<ffi::TopicPartition, KafkaError> {
    let found = answer?.into_iter().next();
    let found = found.ok_or_else(|| KafkaError::from_code(KafkaCode::UNKNOWN_PARTITION))?;
    match found.error {
        Some(code) => Err(KafkaError::from_code(code)),
        None => Ok(found),
    }
}
