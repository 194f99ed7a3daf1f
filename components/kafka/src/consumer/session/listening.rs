//! The listener of a consumer: told one thing after another, on the callback's task processor, never waited for but where a
//! rebalance has to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mainspring_engine::{Task, TaskError};
use mainspring_kafka_ffi::{self as ffi, KafkaError, MessageError};
use mainspring_logging::Chain;
use tokio::time::Instant;

use crate::consumer::client_error::ClientError;
use crate::consumer::events;
use crate::consumer::listener::{Listener, Notice, StartOffsets, names};
use crate::consumer::partition::TopicPartition;
use crate::consumer::run::ClientFailure;
use crate::consumer::session::Session;

/// Calls that may wait for the listener; errors, ends and statistics beyond that are left out.
const NOTICES_MAX: usize = 256;

/// Longest waits for `on_revoked`: while the client goes on, and while it closes.
pub(super) const REVOKED_MAX: Duration = Duration::from_secs(10);
pub(super) const REVOKED_CLOSING_MAX: Duration = Duration::from_secs(1);

/// A listener, the call it is in, and what it is still to be told.
pub(super) struct Listening {
    listener: Listener,
    running: Option<(&'static str, ListenerTask)>,
    waiting: VecDeque<Notice>,
    n_missed: u64,
}

/// A call of the listener; its error as text, because what a user's error does when shown or dropped is its affair.
type ListenerTask = Task<Result<StartOffsets, String>>;

/// What a call of the listener came to.
pub(super) type ListenerResult = Result<Result<StartOffsets, String>, TaskError>;

/// Partitions that the listener is told of before they are read.
pub(super) struct Assigning {
    pub(super) partitions: Vec<ffi::TopicPartition>,
    pub(super) until: Instant,
}

impl Assigning {
    /// One of them.
    pub(super) fn find(&mut self, topic: &str, partition: i32) -> Option<&mut ffi::TopicPartition> {
        self.partitions.iter_mut().find(|it| it.partition == partition && *it.topic == *topic)
    }
}

impl Listening {
    pub(super) fn new(listener: Listener) -> Listening {
        Listening { listener, running: None, waiting: VecDeque::new(), n_missed: 0 }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Whether there is room for what may be missed.
    fn has_room_for(&mut self, notice: &Notice) -> bool {
        let may_be_missed = match notice {
            Notice::Assigned(_) | Notice::Revoked(_) | Notice::Lost(_) => false,
            // Only the latest figures are of interest.
            Notice::Statistics(_) => {
                return !self.waiting.iter().any(|waiting| matches!(waiting, Notice::Statistics(_)));
            }
            Notice::PartitionEnd(..) | Notice::Error(_) => true,
        };
        let has_room = !may_be_missed || self.waiting.len() < NOTICES_MAX;
        self.n_missed += u64::from(!has_room);
        has_room
    }
}

/// The end of the running call; never when there is none.
pub(super) async fn listener_end(listening: &mut Option<Listening>) -> ListenerResult {
    match listening.as_mut().and_then(|listening| listening.running.as_mut()) {
        Some((_, task)) => task.await,
        None => std::future::pending().await,
    }
}

impl Session<'_> {
    /// Whether a listener was told; without one there is nobody to wait for.
    pub(super) fn tell(&mut self, notice: Notice) -> bool {
        let Some(listening) = &mut self.listening else { return false };
        if listening.has_room_for(&notice) {
            listening.waiting.push_back(notice);
            self.tell_next();
        }
        true
    }

    fn tell_next(&mut self) {
        let Some(listening) = &mut self.listening else { return };
        if listening.running.is_some() {
            return;
        }
        let Some(notice) = listening.waiting.pop_front() else {
            let missed = std::mem::take(&mut listening.n_missed);
            if 0 < missed {
                events::listener_missed(&self.run.status, missed);
            }
            return;
        };
        let (method, listener) = (notice.method(), Arc::clone(&listening.listener));
        let call = async move { listener.tell(notice).await.map_err(|error| Chain(&*error).to_string()) };
        let task = self.run.cx.spawn_on(&self.run.callback_processor, "consumer_listener", call);
        listening.running = Some((method, task));
    }

    pub(super) fn on_listener(&mut self, result: ListenerResult) {
        let Some((method, _)) = self.listening.as_mut().and_then(|listening| listening.running.take()) else {
            return;
        };
        let result = match result {
            Ok(result) => result,
            // Its task has been reported already.
            Err(error) => Err(error.to_string()),
        };
        match (method, result) {
            ("on_assigned", Ok(start)) => self.on_assigned_told(&start),
            ("on_assigned", Err(error)) => self.give_up_assigning(&error),
            ("on_revoked", result) => {
                if let Some(revoking) = &mut self.revoking {
                    revoking.told = true;
                }
                if let Err(error) = result {
                    events::listener_failed(&self.run.status, method, &error);
                }
            }
            (method, Err(error)) => events::listener_failed(&self.run.status, method, &error),
            (_, Ok(_)) => {}
        }
        self.tell_next();
    }

    fn on_assigned_told(&mut self, start: &StartOffsets) {
        if let Some(mut assigning) = self.assigning.take() {
            start.set(&mut assigning.partitions);
            self.assign(&assigning.partitions);
        }
    }

    /// Reading at the group's commit what the user keeps elsewhere would repeat or lose messages.
    pub(super) fn give_up_assigning(&mut self, error: &str) {
        if self.assigning.take().is_some() {
            events::listener_failed(&self.run.status, "on_assigned", error);
            self.failure = Some(ClientFailure::Broken);
        }
    }

    pub(super) fn tell_error(&mut self, error: &KafkaError) {
        if self.listening.is_some() {
            self.tell(Notice::Error(ClientError::of_client(error)));
        }
    }

    pub(super) fn tell_partition_error(&mut self, error: &MessageError) {
        if self.listening.is_some() {
            self.tell(Notice::Error(ClientError::of_partition(error)));
        }
    }

    /// Everything that a partition had was taken.
    pub(super) fn on_partition_end(&mut self, end: &MessageError) {
        self.run.status.ledger().reached_end(&end.topic, end.partition, end.offset);
        self.tell(Notice::PartitionEnd(TopicPartition::new(end.topic.as_str(), end.partition), end.offset));
    }

    pub(super) fn tell_lost(&mut self, partitions: &[ffi::TopicPartition]) {
        if self.listening.is_some() {
            self.tell(Notice::Lost(names(partitions)));
        }
    }
}
