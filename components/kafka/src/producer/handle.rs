//! The handle that sends, and what it shares with the task that serves librdkafka's events.
//!
//! Everything of librdkafka sits in [`Live`], which [`Inner::end`] takes away: handles that outlive the component only
//! find that the producer has stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mainspring_core::Health;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, ProducerEvent};
use mainspring_logging::Level;
use mainspring_metrics::{Collector, Snapshot, UserverView};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::client::{ClientState, Credentials};
use crate::producer::batch::{Rest, Run, SendBatchFuture};
use crate::producer::error::{SendError, Target};
use crate::producer::events;
use crate::producer::line::{Line, Place};
use crate::producer::metrics::{Metrics, TopicMetrics};
use crate::producer::record::{Delivery, Record};
use crate::producer::send::{InFlight, SendFuture, Waiting};

/// Time between two purges while records are left.
const PURGE_INTERVAL: Duration = Duration::from_millis(100);

/// How long the reports of purged records may take, and then the client's threads to end.
pub(crate) const PURGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends records. Cheap to clone; any number of tasks may send through it.
///
/// ```no_run
/// # async fn example(producer: mainspring_kafka::Producer) -> Result<(), mainspring_kafka::SendError> {
/// use mainspring_kafka::Record;
///
/// let delivery = producer.send(Record::to("orders").with_key("17").with_payload("paid")).await?;
/// println!("stored in partition {} at offset {:?}", delivery.partition, delivery.offset);
///
/// // Many at once: hand them all over, then await the answers.
/// let sent: Vec<_> = (0..1000)
///     .map(|number| producer.send_async(Record::to("orders").with_payload(format!("order {number}"))))
///     .collect();
/// for answer in sent {
///     answer.await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    pub(crate) inner: Arc<Inner>,
}

impl Producer {
    /// Sends a record and waits for its acknowledgement.
    ///
    /// A full queue makes it wait for space first, in order of arrival: `delivery_timeout` at most, and as long again for
    /// the acknowledgement.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::is_retryable`] says whether to try again.
    ///
    /// # Cancel safety
    /// Dropping the future does not take back a record that is in flight: it is delivered or fails without anybody
    /// learning of it. Dropped while it waits for space, the record is not sent.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        self.send_async(record).await
    }

    /// Hands a record over at once and returns the future of its acknowledgement.
    ///
    /// The record is sent even if the future is never polled. A full queue makes the record wait in line; records handed
    /// over one after the other are sent in that order all the same. Dropping the future of a record that still waits takes
    /// it back; [`SendFuture::enqueued`] waits for just its turn.
    pub fn send_async(&self, record: Record) -> SendFuture {
        let (topic, record) = record.into_parts();
        if !self.inner.line.is_empty() {
            return self.inner.wait_in_line(ToSend { topic: topic.as_ref().into(), record });
        }
        match self.inner.try_enqueue(&topic, record) {
            Ok(in_flight) => SendFuture::in_flight(in_flight),
            Err(Refused::Full(to_send)) => self.inner.wait_in_line(to_send),
            Err(Refused::Failed(error)) => SendFuture::refused(error),
        }
    }

    /// Hands many records over at once and returns the one future of all their acknowledgements. Costs less than
    /// [`Producer::send_async`] for each, and tells as much.
    ///
    /// Records go in the order in which they are given, to whatever topics and partitions. Those that find the queue full
    /// wait for space in line, for `delivery_timeout` at most, and go without anybody's help as it comes. An iterator makes
    /// each record when its turn comes, so that not all of them need memory at once:
    ///
    /// ```no_run
    /// # async fn example(producer: mainspring_kafka::Producer) {
    /// use mainspring_kafka::Record;
    ///
    /// let records = (0..1000).map(|number| Record::to("orders").with_payload(format!("order {number}")));
    /// match producer.send_batch(records).await {
    ///     Ok(deliveries) => println!("the last one is at {:?}", deliveries.get(999)),
    ///     Err(error) => {
    ///         for (number, error) in error.failures() {
    ///             println!("record {number} is not there: {error}");
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendBatchError`] when any record fails. It says which, and where the others are.
    ///
    /// # Cancel safety
    /// Dropping the future does not take back records in flight; those that still wait for space are not sent.
    pub fn send_batch<I>(&self, records: I) -> SendBatchFuture
    where
        I: IntoIterator<Item = Record, IntoIter: ExactSizeIterator>,
    {
        SendBatchFuture::new(&self.inner, records.into_iter())
    }

    /// Records that wait for their acknowledgement; 0 once the producer has stopped.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("component", &self.inner.state.component()).finish_non_exhaustive()
    }
}

/// What handles, component and event loop share.
pub(crate) struct Inner {
    live: ArcSwapOption<Live>,
    state: ClientState,
    metrics: Metrics,
    line: Line<Waiter>,
    /// Records accepted and not yet reported. librdkafka's own count includes events that are not records.
    in_flight: AtomicUsize,
    delivery_timeout: Duration,
    operation_level: Level,
    /// The producer takes no more records.
    closed: AtomicBool,
    /// Its event loop ended by a bug.
    failed: AtomicBool,
    /// Wakes whoever waits for the queue to become empty.
    served: Notify,
    /// Records lost while stopping, by topic.
    undelivered: Mutex<BTreeMap<Arc<str>, usize>>,
}

/// The client.
pub(crate) struct Live {
    client: ffi::Producer,
}

/// A record that waits for space.
#[derive(Debug)]
struct ToSend {
    topic: Arc<str>,
    record: ffi::Record,
}

/// Who waits for space.
enum Waiter {
    /// One record, and whom to answer.
    Record(ToSend, oneshot::Sender<Result<InFlight, SendError>>),
    /// What is left of a batch.
    Batch(Rest),
}

/// Why a record was not accepted.
enum Refused {
    Full(ToSend),
    Failed(SendError),
}

/// The queue is full; what was not sent is still there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoSpace;

impl Live {
    pub(crate) fn new(client: ffi::Producer) -> Live {
        Live { client }
    }

    #[cfg(test)]
    pub(crate) fn client(&self) -> &ffi::Producer {
        &self.client
    }

    pub(crate) fn flush_blocking(&self, limit: Duration) {
        // Whoever stops the producer counts what is left itself.
        let _left = self.client.flush_blocking(limit);
    }
}

impl Inner {
    pub(crate) fn new(
        live: Arc<Live>,
        state: ClientState,
        metrics: Metrics,
        delivery_timeout: Duration,
        operation_level: Level,
    ) -> Inner {
        Inner {
            live: ArcSwapOption::new(Some(live)),
            state,
            metrics,
            line: Line::default(),
            in_flight: AtomicUsize::new(0),
            delivery_timeout,
            operation_level,
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            served: Notify::new(),
            undelivered: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> &ClientState {
        &self.state
    }

    /// Authenticates connections made from now on with these.
    pub(crate) fn set_credentials(&self, credentials: &Credentials) {
        let Some(live) = self.live() else { return };
        let (username, password) = (credentials.username.expose(), credentials.password.expose());
        self.state.on_credentials(live.client.set_credentials(username, password));
    }

    pub(crate) fn health(&self) -> Health {
        if self.failed.load(Ordering::Relaxed) {
            return Health::fatal("the producer's event loop ended by a bug; the log says where");
        }
        self.state.health()
    }

    pub(crate) fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    /// The client, unless the producer has stopped.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    #[expect(
        clippy::result_large_err,
        reason = "a full queue gives the record back; boxing it would cost more"
    )]
    fn try_enqueue(self: &Arc<Self>, topic: &str, record: ffi::Record) -> Result<InFlight, Refused> {
        let partition = record.partition;
        let live = self.live.load();
        let Some(live) = live.as_ref().filter(|_| !self.is_closed()) else {
            return Err(Refused::Failed(self.shut_down(topic.into(), partition)));
        };
        let topic = match live.client.topic(topic) {
            Ok(topic) => topic,
            Err(error) => return Err(Refused::Failed(self.refused(topic.into(), partition, error.code))),
        };
        // Counted beforehand, as the report may come before `send` returns.
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let sent = live.client.send(&topic, record);
        if sent.is_err() {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            // Whoever drains the queue may have counted this one.
            self.served.notify_waiters();
        }
        let topic = Arc::clone(topic.shared_name());
        match sent {
            Ok(delivery) => Ok(InFlight { topic, producer: Arc::clone(self), delivery }),
            Err(rejected) if rejected.code == KafkaCode::QUEUE_FULL => {
                Err(Refused::Full(ToSend { topic, record: rejected.record }))
            }
            Err(rejected) => Err(Refused::Failed(self.refused(topic, partition, rejected.code))),
        }
    }

    /// Hands over the records of a run; an error when there was no space for those left in it.
    pub(crate) fn send_run(&self, run: &mut Run, sender: &mut ffi::BatchSender) -> Result<(), NoSpace> {
        let Run { topic, records } = run;
        if records.is_empty() {
            return Ok(());
        }
        let fail = |records: &mut Vec<ffi::Record>, sender: &mut ffi::BatchSender, code| {
            records.drain(..).for_each(|record| sender.fail(code, record.partition));
        };
        let live = self.live.load();
        let Some(live) = live.as_ref().filter(|_| !self.is_closed()) else {
            fail(records, sender, KafkaCode::DESTROY);
            return Ok(());
        };
        let handle = match live.client.topic(topic) {
            Ok(handle) => handle,
            Err(error) => {
                events::gave_up(self.state.component(), &self.metrics, topic, records.len(), error.code);
                fail(records, sender, error.code);
                return Ok(());
            }
        };
        // Counted beforehand, as reports may come before `send_run` returns.
        let count = records.len();
        self.in_flight.fetch_add(count, Ordering::Relaxed);
        let mut n_refused = 0;
        let sent = live.client.send_run(&handle, records, sender, &mut |partition, code| {
            n_refused += 1;
            events::refused(self.state.component(), &self.metrics, topic, partition, code);
        });
        let n_not_sent = n_refused + records.len();
        if 0 < n_not_sent {
            self.in_flight.fetch_sub(n_not_sent, Ordering::Relaxed);
            // Whoever drains the queue may have counted these.
            self.served.notify_waiters();
        }
        sent.map_err(|_full| NoSpace)
    }

    fn wait_in_line(self: &Arc<Self>, to_send: ToSend) -> SendFuture {
        let target = Target { topic: Arc::clone(&to_send.topic), partition: to_send.record.partition };
        let metrics = self.metrics.topic(&target.topic);
        events::met_full_queue(self.state.component(), self.operation_level, &metrics, 1);
        let (answer, answered) = oneshot::channel();
        let place = self.line.join(Waiter::Record(to_send, answer));
        self.serve_line();
        SendFuture::waiting(Waiting::new(Arc::clone(self), target, place, answered))
    }

    /// Takes the last place in line for what is left of a batch.
    pub(crate) fn line_up(self: &Arc<Self>, rest: Rest) -> Place {
        for (topic, count) in rest.counts() {
            let metrics = self.metrics.topic(topic);
            events::met_full_queue(self.state.component(), self.operation_level, &metrics, count);
        }
        let place = self.line.join(Waiter::Batch(rest));
        self.serve_line();
        place
    }

    pub(crate) fn is_line_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Hands over as many records as there is space for.
    fn serve_line(self: &Arc<Self>) {
        self.line.advance(|waiter| match waiter {
            Waiter::Record(ToSend { topic, record }, answer) => {
                let result = match self.try_enqueue(&topic, record) {
                    Ok(in_flight) => Ok(in_flight),
                    Err(Refused::Failed(error)) => Err(error),
                    Err(Refused::Full(to_send)) => return Some(Waiter::Record(to_send, answer)),
                };
                // Whoever waited may have gone a moment ago.
                drop(answer.send(result));
                None
            }
            Waiter::Batch(mut rest) => {
                if rest.advance(self) {
                    None
                } else {
                    Some(Waiter::Batch(rest))
                }
            }
        });
    }

    /// Refuses everybody in line; called once the producer is closed.
    fn turn_line_away(&self) {
        self.line.advance(|waiter| {
            match waiter {
                Waiter::Record(ToSend { topic, record }, answer) => {
                    self.count_undelivered(&topic, 1);
                    drop(answer.send(Err(self.shut_down(topic, record.partition))));
                }
                Waiter::Batch(rest) => {
                    rest.counts().for_each(|(topic, count)| self.count_undelivered(topic, count));
                    rest.fail(KafkaCode::DESTROY);
                }
            }
            None
        });
    }

    /// Takes whoever stands there out of the line; `false` when its turn has come already.
    pub(crate) fn leave_line(self: &Arc<Self>, place: Place) -> bool {
        let has_left = self.line.leave(place).is_some();
        if has_left {
            // Smaller ones behind it may fit.
            self.serve_line();
        }
        has_left
    }

    /// The rest of a batch has waited for too long.
    pub(crate) fn give_up(self: &Arc<Self>, place: Place) {
        let Some(Waiter::Batch(rest)) = self.line.leave(place) else { return };
        for (topic, count) in rest.counts() {
            events::gave_up(self.state.component(), &self.metrics, topic, count, KafkaCode::QUEUE_FULL);
        }
        rest.fail(KafkaCode::QUEUE_FULL);
        self.serve_line();
    }

    /// The error of a record that never reached the queue, which is reported here.
    pub(crate) fn refused(&self, topic: Arc<str>, partition: Option<i32>, code: KafkaCode) -> SendError {
        events::refused(self.state.component(), &self.metrics, &topic, partition, code);
        self.error(code, Target { topic, partition })
    }

    fn shut_down(&self, topic: Arc<str>, partition: Option<i32>) -> SendError {
        self.error(KafkaCode::DESTROY, Target { topic, partition })
    }

    /// What `code` means for a record. After a fatal error everything fails, with codes that do not say so.
    pub(crate) fn error(&self, code: KafkaCode, target: Target) -> SendError {
        match self.live.load().as_ref().and_then(|live| live.client.fatal_error()) {
            Some(fatal) => SendError::Fatal { target, reason: fatal.text, code: fatal.code.as_raw() },
            None => SendError::new(code, target, self.delivery_timeout),
        }
    }

    fn count_undelivered(&self, topic: &Arc<str>, count: usize) {
        let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        *undelivered.entry(Arc::clone(topic)).or_default() += count;
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.live.load().as_ref().map_or(0, |_live| self.in_flight.load(Ordering::Relaxed))
    }

    /// Serves librdkafka's events for ever; cancel it once the producer is closed.
    pub(crate) async fn serve(self: Arc<Self>, live: Arc<Live>) {
        let _whatever_happens = AnswerEverybody(&self);
        // Reports come in runs of one topic, so the last one's handles are nearly always the right ones.
        let mut last: Option<Arc<TopicMetrics>> = None;
        let mut sink = |event: ProducerEvent<'_>| self.on_event(&live.client, event, &mut last);
        loop {
            poll_fn(|cx| live.client.poll_events(cx, &mut sink)).await;
            self.serve_line();
            self.served.notify_waiters();
            // Producers may share one thread; one with a steady stream of reports must let the others in.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn on_event(
        &self,
        client: &ffi::Producer,
        event: ProducerEvent<'_>,
        last: &mut Option<Arc<TopicMetrics>>,
    ) {
        match event {
            ProducerEvent::Reports(reports) => {
                let name = reports.topic();
                let topic = match last.take().filter(|topic| *topic.name == *name) {
                    Some(topic) => topic,
                    None => self.metrics.topic(name),
                };
                self.on_reports(&topic, &reports);
                *last = Some(topic);
            }
            ProducerEvent::Error(error) => self.state.on_error(&error),
            ProducerEvent::Log(line) => self.state.on_log(&line),
            ProducerEvent::Stats(json) => self.state.on_stats(&json),
            ProducerEvent::OauthRefresh => {
                // Only a custom option asks for it, and no key here provides tokens.
                if let Err(error) = client.set_oauth_failure("OAUTHBEARER is not supported") {
                    self.state.on_error(&error);
                }
            }
            _ => {}
        }
    }

    fn on_reports(&self, topic: &Arc<TopicMetrics>, reports: &ffi::DeliveryReports<'_>) {
        self.in_flight.fetch_sub(reports.len(), Ordering::Relaxed);
        let component = self.state.component();
        let tally = events::reported(component, self.operation_level, &self.metrics, topic, reports);
        if 0 < tally.delivered {
            self.state.on_answer();
        }
        if 0 < tally.failed && self.is_closed() {
            self.count_undelivered(&topic.name, tally.failed);
        }
    }

    /// Refuses new records, waits for those in flight up to `limit`, gives up on the rest, and says which those were. The
    /// event loop has to run meanwhile; [`Inner::end`] comes next.
    ///
    /// # Cancel safety
    /// Dropped in between, the producer refuses records but keeps its client; [`Inner::abandon`] ends that.
    pub(crate) async fn close(&self, limit: Duration) {
        self.closed.store(true, Ordering::Release);
        self.turn_line_away();
        let Some(live) = self.live() else { return };
        let in_flight = self.in_flight();
        if 0 < in_flight {
            events::draining(self.state.component(), in_flight, limit);
        }
        if timeout(limit, self.drained()).await.is_err() {
            // Records that are left after this resolve when the client ends.
            let _left = timeout(PURGE_TIMEOUT, self.purged(&live)).await;
        }
        let undelivered =
            std::mem::take(&mut *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner));
        events::stopped(self.state.component(), &undelivered, self.in_flight());
    }

    /// Gives up on everything in flight, again and again: what is on its way between two of librdkafka's queues escapes a
    /// purge.
    async fn purged(&self, live: &Live) {
        loop {
            live.client.purge();
            if timeout(PURGE_INTERVAL, self.drained()).await.is_ok() {
                return;
            }
        }
    }

    async fn drained(&self) {
        loop {
            let served = self.served.notified();
            if self.in_flight() == 0 {
                return;
            }
            served.await;
        }
    }

    /// Lets go of the client, which purges what is left, and waits until it is gone. To be called when the event loop has
    /// ended.
    pub(crate) async fn end(&self) {
        // A sender that looked a moment ago may still hold it; then it goes with that one.
        let Some(live) = self.live.swap(None).and_then(Arc::into_inner) else { return };
        if timeout(PURGE_TIMEOUT, live.client.destroy()).await.is_err() {
            events::client_lingers(self.state.component(), PURGE_TIMEOUT);
        }
    }

    /// Lets go of the client without waiting. Whatever is in flight resolves.
    pub(crate) fn abandon(&self) {
        self.closed.store(true, Ordering::Release);
        self.turn_line_away();
        let in_flight = self.in_flight();
        if self.live.swap(None).is_some() && 0 < in_flight {
            events::abandoned(self.state.component(), in_flight);
        }
    }
}

/// Ends the producer when its event loop ends unasked: without it no delivery would ever resolve.
struct AnswerEverybody<'i>(&'i Inner);

impl Drop for AnswerEverybody<'_> {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            self.0.failed.store(true, Ordering::Relaxed);
            self.0.abandon();
        }
    }
}

impl Collector for Inner {
    fn collect(&self, snapshot: &mut Snapshot) {
        if let Some(id) = self.live.load().as_ref().and_then(|live| live.client.cluster_id()) {
            self.state.on_cluster_id(id);
        }
        self.state.collect(snapshot);
        self.metrics.collect(self.in_flight(), &self.state.statistics(), snapshot);
    }

    fn collect_userver(&self, view: &mut UserverView) {
        self.metrics.collect_userver(view);
        self.state.collect_userver(view);
    }
}
