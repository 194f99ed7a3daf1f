//! What a user may want to know of a consumer besides its messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use mainspring_kafka_ffi::{self as ffi, OFFSET_BEGINNING, OFFSET_END};

use crate::consumer::client_error::ClientError;
use crate::consumer::partition::TopicPartition;
use crate::consumer::run::CallbackError;

/// Is told what happens to a consumer; see [`ConsumerScope::set_listener`](crate::ConsumerScope::set_listener). Every
/// method does nothing unless it is written.
///
/// They run on the callback's task processor, one after another, while the client is served; a panic is logged and does no
/// harm. A method that takes its time delays those after it, rebalances too. What is missed when more than 256 calls wait is
/// counted in the log: only errors, ends of partitions and statistics can be.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
///
/// use mainspring_kafka::{ConsumerListener, StartOffsets, TopicPartition};
///
/// /// Where each partition goes on, kept together with what became of the messages.
/// struct Bookmarks(Mutex<BTreeMap<TopicPartition, i64>>);
///
/// impl ConsumerListener for Bookmarks {
///     async fn on_assigned(
///         &self,
///         partitions: &[TopicPartition],
///     ) -> Result<StartOffsets, Box<dyn std::error::Error + Send + Sync>> {
///         let next = self.0.lock().map_err(|_| "the bookmarks are lost")?;
///         Ok(partitions.iter().fold(StartOffsets::default(), |start, partition| match next.get(partition) {
///             Some(offset) => start.with_offset(partition, *offset),
///             None => start.with_beginning(partition),
///         }))
///     }
/// }
/// ```
pub trait ConsumerListener: Send + Sync + 'static {
    /// Partitions are given to this member; none of their messages is taken before this is done. The offsets returned are
    /// where to begin, for groups that keep them in a store of their own; where none is given, the group's commit counts.
    ///
    /// # Errors
    /// When it is not known where to begin: the consumer leaves its group and starts anew after
    /// `restart_after_failure_delay`. So it does after a panic, and when this takes longer than half of
    /// `max_callback_duration`, or of the session timeout if that is longer.
    fn on_assigned(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<StartOffsets, Box<dyn std::error::Error + Send + Sync>>> + Send {
        let _ = partitions;
        async { Ok(StartOffsets::default()) }
    }

    /// Partitions go to another member. What callbacks have done is committed by then, as far as the commit policy does it, and
    /// they are handed over when this is done, 10 s later at the latest (1 s when the consumer stops).
    fn on_revoked(&self, partitions: &[TopicPartition]) -> impl Future<Output = ()> + Send {
        let _ = partitions;
        async {}
    }

    /// Partitions have gone to another member already, so that nothing can be committed for them any more.
    fn on_lost(&self, partitions: &[TopicPartition]) -> impl Future<Output = ()> + Send {
        let _ = partitions;
        async {}
    }

    /// Whether to tell of the ends of partitions. Asked once for each client.
    fn wants_partition_end(&self) -> bool {
        false
    }

    /// The consumer has taken everything a partition had; `offset` is that of the next message. Only told if
    /// [`ConsumerListener::wants_partition_end`], and again whenever the end is reached again.
    fn on_partition_end(&self, partition: &TopicPartition, offset: i64) -> impl Future<Output = ()> + Send {
        let _ = (partition, offset);
        async {}
    }

    /// Something is wrong with the client, a broker or a partition. Repetitions are told too.
    fn on_error(&self, error: &ClientError) -> impl Future<Output = ()> + Send {
        let _ = error;
        async {}
    }

    /// librdkafka's statistics, every `statistics_interval`, as JSON; its `STATISTICS.md` explains the fields. Reports that
    /// come while one waits are left out.
    fn on_statistics(&self, json: &str) -> impl Future<Output = ()> + Send {
        let _ = json;
        async {}
    }
}

/// Where to begin reading; partitions that are not named begin at the group's commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOffsets(BTreeMap<TopicPartition, i64>);

impl StartOffsets {
    /// Begins this partition at an offset, that of the next message to process; what is below 0 counts as 0. Where there is
    /// no such message, `auto_offset_reset` decides.
    #[must_use]
    pub fn with_offset(self, partition: &TopicPartition, offset: i64) -> StartOffsets {
        self.with(partition, offset.max(0))
    }

    /// Begins this partition at its first message.
    #[must_use]
    pub fn with_beginning(self, partition: &TopicPartition) -> StartOffsets {
        self.with(partition, OFFSET_BEGINNING)
    }

    /// Begins this partition at the next message to come.
    #[must_use]
    pub fn with_end(self, partition: &TopicPartition) -> StartOffsets {
        self.with(partition, OFFSET_END)
    }

    fn with(mut self, partition: &TopicPartition, offset: i64) -> StartOffsets {
        self.0.insert(partition.clone(), offset);
        self
    }

    /// Sets the offsets of those partitions that are named.
    pub(crate) fn set(&self, partitions: &mut [ffi::TopicPartition]) {
        for partition in partitions {
            let name = TopicPartition::new(Arc::clone(&partition.topic), partition.partition);
            if let Some(offset) = self.0.get(&name) {
                partition.offset = Some(*offset);
                partition.leader_epoch = None;
            }
        }
    }
}

/// Something to tell.
#[derive(Debug)]
pub(crate) enum Notice {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    PartitionEnd(TopicPartition, i64),
    Error(ClientError),
    Statistics(String),
}

impl Notice {
    /// The method that is told.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Notice::Assigned(_) => "on_assigned",
            Notice::Revoked(_) => "on_revoked",
            Notice::Lost(_) => "on_lost",
            Notice::PartitionEnd(..) => "on_partition_end",
            Notice::Error(_) => "on_error",
            Notice::Statistics(_) => "on_statistics",
        }
    }
}

/// A listener of any type.
pub(crate) type Listener = Arc<dyn AnyListener>;

pub(crate) trait AnyListener: Send + Sync {
    fn wants_end(&self) -> bool;

    fn tell(self: Arc<Self>, notice: Notice) -> BoxFuture<'static, Result<StartOffsets, CallbackError>>;
}

impl<L: ConsumerListener> AnyListener for L {
    fn wants_end(&self) -> bool {
        self.wants_partition_end()
    }

    fn tell(self: Arc<Self>, notice: Notice) -> BoxFuture<'static, Result<StartOffsets, CallbackError>> {
        Box::pin(async move {
            match notice {
                Notice::Assigned(partitions) => return self.on_assigned(&partitions).await,
                Notice::Revoked(partitions) => self.on_revoked(&partitions).await,
                Notice::Lost(partitions) => self.on_lost(&partitions).await,
                Notice::PartitionEnd(partition, offset) => self.on_partition_end(&partition, offset).await,
                Notice::Error(error) => self.on_error(&error).await,
                Notice::Statistics(json) => self.on_statistics(&json).await,
            }
            Ok(StartOffsets::default())
        })
    }
}

/// The names alone.
pub(crate) fn names(partitions: &[ffi::TopicPartition]) -> Vec<TopicPartition> {
    let names = partitions.iter();
    names.map(|known| TopicPartition::new(Arc::clone(&known.topic), known.partition)).collect()
}
