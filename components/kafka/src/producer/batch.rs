//! Many records with one waiter: what is handed over at once, what waits in line, and what is told in the end.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainspring_kafka_ffi::{self as ffi, KafkaCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::producer::error::{SendBatchError, Target};
use crate::producer::handle::Inner;
use crate::producer::line::Place;
use crate::producer::record::{Delivery, Record};

/// The fate of a batch of records; see [`Producer::send_batch`](crate::Producer::send_batch).
///
/// # Cancel safety
/// Dropping it never stops records that are in flight: only the answer is lost. Records that still wait for space in a full
/// queue are not sent then.
#[must_use = "without awaiting it nobody learns whether the records arrived"]
pub struct SendBatchFuture {
    producer: Arc<Inner>,
    delivery: ffi::BatchDelivery,
    records: Records,
    waiting: Option<Waiting>,
    is_done: bool,
}

/// Acknowledged records, in the order in which they were given to
/// [`Producer::send_batch`](crate::Producer::send_batch). What is told of each is put together when it is asked for.
pub struct Deliveries {
    outcomes: ffi::Outcomes,
    records: Records,
}

/// Which topics the records of a batch were for: most batches have one.
#[derive(Debug, Default)]
struct Records {
    /// With the number of the first record after them.
    topics: Vec<(Arc<str>, usize)>,
}

/// Records that are not handed over yet, and the batch they belong to.
#[derive(Debug)]
pub(crate) struct Rest {
    sender: ffi::BatchSender,
    runs: VecDeque<Run>,
    /// Never used; whoever waits learns that this has gone.
    _handed_over: oneshot::Sender<()>,
}

/// Records in a row for one topic.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) topic: Arc<str>,
    pub(crate) records: Vec<ffi::Record>,
}

/// The place in line of what is left of a batch.
struct Waiting {
    place: Place,
    handed_over: oneshot::Receiver<()>,
    give_up: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl SendBatchFuture {
    /// Hands over what fits, and lines up with the rest.
    pub(crate) fn new(
        producer: &Arc<Inner>,
        records: impl ExactSizeIterator<Item = Record>,
    ) -> SendBatchFuture {
        let len = records.len();
        let (sender, delivery) = ffi::batch(len);
        let mut outgoing = Outgoing { producer, sender, runs: VecDeque::new() };
        let mut topics = Records::default();
        let mut run = Run { topic: Arc::default(), records: Vec::with_capacity(len.min(ffi::RUN_MAX)) };
        // An iterator that says less than it has would find no slots for the rest.
        for record in records.take(len) {
            let (topic, record) = record.into_parts();
            let is_other = *run.topic != *topic;
            if is_other || run.records.len() == ffi::RUN_MAX {
                outgoing.send(&mut run);
            }
            if is_other {
                run.topic = topic.as_ref().into();
            }
            topics.push(&run.topic);
            run.records.push(record);
        }
        outgoing.send(&mut run);
        let waiting = outgoing.line_up();
        SendBatchFuture { producer: Arc::clone(producer), delivery, records: topics, waiting, is_done: false }
    }

    /// Waits until each record is in the producer's queue, or was refused. From then on they are sent even if this future
    /// is dropped. Returns at once unless the queue was full.
    ///
    /// # Cancel safety
    /// May be given up and taken up again; the records keep their place in line.
    pub async fn enqueued(&mut self) {
        poll_fn(|cx| self.poll_enqueued(cx)).await;
    }

    fn poll_enqueued(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(()) };
        if Pin::new(&mut waiting.handed_over).poll(cx).is_pending() {
            let timer = waiting.timer.get_or_insert_with(|| Box::pin(sleep_until(waiting.give_up)));
            ready!(timer.as_mut().poll(cx));
            // Should its turn have come this very moment, nothing is left of it.
            self.producer.give_up(waiting.place);
        }
        self.waiting = None;
        Poll::Ready(())
    }

    fn finish(&mut self, outcomes: ffi::Outcomes) -> Result<Deliveries, SendBatchError> {
        self.is_done = true;
        let records = mem::take(&mut self.records);
        let failures: Vec<_> = (0..records.len())
            .filter_map(|idx| Some((idx, outcomes.get(idx).err()?)))
            .map(|(idx, error)| {
                let target = Target { topic: Arc::clone(records.topic(idx)), partition: error.partition };
                (idx, self.producer.error(error.code, target))
            })
            .collect();
        let deliveries = Deliveries { outcomes, records };
        if failures.is_empty() { Ok(deliveries) } else { Err(SendBatchError::new(failures, deliveries)) }
    }
}

impl Future for SendBatchFuture {
    type Output = Result<Deliveries, SendBatchError>;

    /// # Panics
    /// When polled again after it was ready. When polled outside of a Tokio runtime while the queue is full: waiting for
    /// space needs its timer.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.is_done, "`SendBatchFuture` polled after it was ready");
        // Either may come first: records at the end of the batch may be refused while others wait for the broker.
        let _enqueued = self.poll_enqueued(cx);
        self.delivery.poll_outcomes(cx).map(|outcomes| self.finish(outcomes))
    }
}

impl Drop for SendBatchFuture {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.producer.leave_line(waiting.place);
        }
    }
}

/// A batch on its way into the queue.
struct Outgoing<'p> {
    producer: &'p Arc<Inner>,
    sender: ffi::BatchSender,
    runs: VecDeque<Run>,
}

impl Outgoing<'_> {
    fn send(&mut self, run: &mut Run) {
        let must_wait = !self.runs.is_empty() || !self.producer.is_line_empty();
        if must_wait || self.producer.send_run(run, &mut self.sender).is_err() {
            let records = mem::take(&mut run.records);
            if !records.is_empty() {
                self.runs.push_back(Run { topic: Arc::clone(&run.topic), records });
            }
        }
    }

    fn line_up(self) -> Option<Waiting> {
        if self.runs.is_empty() {
            return None;
        }
        let (sender, handed_over) = oneshot::channel();
        let rest = Rest { sender: self.sender, runs: self.runs, _handed_over: sender };
        let give_up = Instant::now() + self.producer.delivery_timeout();
        Some(Waiting { place: self.producer.line_up(rest), handed_over, give_up, timer: None })
    }
}

impl Rest {
    /// Topics of the records that wait, each with how many there are.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.runs.iter().map(|run| (&run.topic, run.records.len()))
    }

    /// Hands over what there is space for; `false` when something is left.
    pub(crate) fn advance(&mut self, producer: &Inner) -> bool {
        while let Some(run) = self.runs.front_mut() {
            if producer.send_run(run, &mut self.sender).is_err() {
                return false;
            }
            self.runs.pop_front();
        }
        true
    }

    /// Gives everything that is left this outcome.
    pub(crate) fn fail(mut self, code: KafkaCode) {
        for record in self.runs.iter().flat_map(|run| &run.records) {
            self.sender.fail(code, record.partition);
        }
    }
}

impl Records {
    fn push(&mut self, topic: &Arc<str>) {
        match self.topics.last_mut() {
            Some((last, end)) if Arc::ptr_eq(last, topic) => *end += 1,
            _ => self.topics.push((Arc::clone(topic), self.len() + 1)),
        }
    }

    fn len(&self) -> usize {
        self.topics.last().map_or(0, |(_, end)| *end)
    }

    fn topic(&self, idx: usize) -> &Arc<str> {
        &self.topics[self.topics.partition_point(|(_, end)| *end <= idx)].0
    }
}

impl Deliveries {
    /// How many records the batch had.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the batch was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a record is, by its number in the batch; `None` past its end.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<Delivery> {
        if self.len() <= idx {
            return None;
        }
        let delivered = self.outcomes.get(idx).ok()?;
        Some(Delivery::new(Arc::clone(self.records.topic(idx)), delivered))
    }

    /// Where each record is.
    pub fn iter(&self) -> impl Iterator<Item = Delivery> {
        (0..self.len()).filter_map(|idx| self.get(idx))
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for SendBatchFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatchFuture")
            .field("records", &self.records.len())
            .field("waits_for_space", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}
