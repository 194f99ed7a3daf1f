//! The handle that sends, and what it shares with the task that serves librdkafka's events.
//!
//! Everything of librdkafka sits in [`Live`], which [`Inner::end`] takes away: handles that outlive the component only
//! find that the producer has stopped. How one client takes the place of another is in `clients.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use mainspring_core::Health;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, ProducerEvent};
use mainspring_logging::Level;
use mainspring_metrics::{Collector, Snapshot, UserverView};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::client::ClientState;
use crate::producer::batch::{Rest, Run, SendBatchFuture};
use crate::producer::clients::{Clients, Live};
use crate::producer::error::{SendError, Target};
use crate::producer::events;
use crate::producer::line::{Line, Place};
use crate::producer::metrics::{Metrics, TopicMetrics};
use crate::producer::record::{Delivery, Record};
use crate::producer::send::{InFlight, SendFuture, Waiting};

/// Time between two purges while records are left.
pub(crate) const PURGE_INTERVAL: Duration = Duration::from_millis(100);

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
            Err(Refused::Wait(to_send)) => self.inner.wait_in_line(to_send),
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
    /// [`SendBatchError`](crate::SendBatchError) when any record fails. It says which, and where the others are.
    ///
    /// # Cancel safety
    /// Dropping the future does not take back records in flight; those that still wait for space are not sent.
    pub fn send_batch<I>(&self, records: I) -> SendBatchFuture
    where
        I: IntoIterator<Item = Record, IntoIter: ExactSizeIterator>,
    {
        SendBatchFuture::new(&self.inner, records.into_iter())
    }

    /// Has everything that was sent so far go at once, without waiting for others to share a batch with
    /// (`queue_buffering_max`), and waits until each of these records has its answer. The answers themselves are with the
    /// futures of the records.
    ///
    /// It does not tell earlier records from those that others send meanwhile: it ends when nothing is in flight, and at the
    /// latest when every record that was in flight or in line has had its time (twice `delivery_timeout`). Keeps one thread
    /// of the task processor for blocking calls busy.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the records go nevertheless.
    pub async fn flush(&self) {
        self.inner.flush().await;
    }

    /// Gives up on everything in flight and in line: each record fails with [`SendError::Purged`], which says whether it may
    /// have been stored. Returns at once. A record that librdkafka hands from one queue to another at this very moment may
    /// escape, and then is sent.
    pub fn purge(&self) {
        self.inner.purge();
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
    pub(crate) clients: Clients,
    delivery_timeout: Duration,
    operation_level: Level,
    /// The producer takes no more records.
    closed: AtomicBool,
    /// Its event loop ended by a bug.
    failed: AtomicBool,
    /// Wakes whoever waits for the queue to become empty.
    pub(crate) served: Notify,
    /// Records lost while stopping, by topic.
    undelivered: Mutex<BTreeMap<Arc<str>, usize>>,
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
    Wait(ToSend),
    Failed(SendError),
}

/// Why no client takes records.
enum NotNow {
    Held,
    Stopped,
}

/// The queue is full, or a client is being replaced; what was not sent is still there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MustWait;

/// Records counted as in flight; those that do not get that far are counted off again.
struct Counted<'i> {
    inner: &'i Inner,
    live: &'i Live,
    records: usize,
}

impl Counted<'_> {
    /// So many were accepted.
    fn keep(mut self, records: usize) {
        self.records -= records;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if 0 < self.records {
            self.live.finish(self.records);
            // Whoever drains the queue may have counted these.
            self.inner.served.notify_waiters();
        }
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
            clients: Clients::default(),
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

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn health(&self) -> Health {
        if self.failed.load(Ordering::Relaxed) {
            return Health::fatal("the producer's event loop ended by a bug; the log says where");
        }
        match self.state.health() {
            // Until the next client has taken over.
            health if health.is_fatal() && self.clients.are_renewed() => {
                Health::fallback(format!("{}; it is being replaced", health.reason().unwrap_or_default()))
            }
            health => health,
        }
    }

    pub(crate) fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    /// The client, unless the producer has stopped.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// Puts `next` in the place of `old`; `false` when it is there no more, as the producer has stopped.
    pub(crate) fn swap_live(&self, old: &Arc<Live>, next: Arc<Live>) -> bool {
        let previous = self.live.compare_and_swap(old, Some(next));
        previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, old))
    }

    /// The client that takes records now, with `records` of them counted as its own.
    fn begin(&self, records: usize) -> Result<Guard<Option<Arc<Live>>>, NotNow> {
        loop {
            let guard = self.live.load();
            let Some(live) = guard.as_ref().filter(|_| !self.is_closed()) else {
                return Err(NotNow::Stopped);
            };
            // After the client was looked up: whoever finds a new one finds this.
            if self.clients.is_held() {
                return Err(NotNow::Held);
            }
            if live.begin(records).is_ok() {
                return Ok(guard);
            }
            self.served.notify_waiters();
        }
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
        let guard = match self.begin(1) {
            Ok(guard) => guard,
            Err(NotNow::Stopped) => return Err(Refused::Failed(self.shut_down(topic.into(), partition))),
            Err(NotNow::Held) => return Err(Refused::Wait(ToSend { topic: topic.into(), record })),
        };
        let Some(live) = guard.as_ref() else { unreachable!("`begin` has found it") };
        let counted = Counted { inner: self, live, records: 1 };
        let topic = match live.client().topic(topic) {
            Ok(topic) => topic,
            Err(error) => return Err(Refused::Failed(self.refused(topic.into(), partition, error.code))),
        };
        match live.client().send(&topic, record) {
            Ok(delivery) => {
                counted.keep(1);
                let topic = Arc::clone(topic.shared_name());
                Ok(InFlight { topic, producer: Arc::clone(self), delivery })
            }
            Err(rejected) => {
                let topic = Arc::clone(topic.shared_name());
                if self.has_to_wait(rejected.code) {
                    return Err(Refused::Wait(ToSend { topic, record: rejected.record }));
                }
                Err(Refused::Failed(self.refused(topic, partition, rejected.code)))
            }
        }
    }

    /// Whether a record refused for this reason has its chance later: there is no space, or the client failed and is about
    /// to be replaced.
    fn has_to_wait(&self, code: KafkaCode) -> bool {
        code == KafkaCode::QUEUE_FULL || (code == KafkaCode::FATAL && self.clients.are_renewed())
    }

    /// Hands over the records of a run; an error when those left in it have to wait.
    pub(crate) fn send_run(&self, run: &mut Run, sender: &mut ffi::BatchSender) -> Result<(), MustWait> {
        let Run { topic, records } = run;
        let count = records.len();
        if count == 0 {
            return Ok(());
        }
        let fail = |records: &mut Vec<ffi::Record>, sender: &mut ffi::BatchSender, code| {
            records.drain(..).for_each(|record| sender.fail(code, record.partition));
        };
        let guard = match self.begin(count) {
            Ok(guard) => guard,
            Err(NotNow::Held) => return Err(MustWait),
            Err(NotNow::Stopped) => {
                fail(records, sender, KafkaCode::DESTROY);
                return Ok(());
            }
        };
        let Some(live) = guard.as_ref() else { unreachable!("`begin` has found it") };
        let counted = Counted { inner: self, live, records: count };
        let handle = match live.client().topic(topic) {
            Ok(handle) => handle,
            Err(error) => {
                events::gave_up(self.state.component(), &self.metrics, topic, count, error.code);
                fail(records, sender, error.code);
                return Ok(());
            }
        };
        let mut n_refused = 0;
        let mut refuse = |partition, code| {
            n_refused += 1;
            events::refused(self.state.component(), &self.metrics, topic, partition, code);
        };
        let sent = live.client().send_run(&handle, records, sender, &mut refuse);
        counted.keep(count - n_refused - records.len());
        match sent {
            Err(code) if self.has_to_wait(code) => Err(MustWait),
            Err(code) => {
                events::gave_up(self.state.component(), &self.metrics, topic, records.len(), code);
                fail(records, sender, code);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
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
    pub(crate) fn serve_line(self: &Arc<Self>) {
        self.line.advance(|waiter| match waiter {
            Waiter::Record(ToSend { topic, record }, answer) => {
                let result = match self.try_enqueue(&topic, record) {
                    Ok(in_flight) => Ok(in_flight),
                    Err(Refused::Failed(error)) => Err(error),
                    Err(Refused::Wait(to_send)) => return Some(Waiter::Record(to_send, answer)),
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
        self.empty_line(KafkaCode::DESTROY, |topic, count| self.count_undelivered(topic, count));
    }

    /// Gives everybody in line this answer. `count` is told of the records of each topic.
    fn empty_line(&self, code: KafkaCode, count: impl Fn(&Arc<str>, usize)) {
        self.line.advance(|waiter| {
            match waiter {
                Waiter::Record(ToSend { topic, record }, answer) => {
                    count(&topic, 1);
                    let target = Target { topic, partition: record.partition };
                    drop(answer.send(Err(SendError::new(code, target, self.delivery_timeout))));
                }
                Waiter::Batch(rest) => {
                    rest.counts().for_each(|(topic, records)| count(topic, records));
                    rest.fail(code);
                }
            }
            None
        });
    }

    /// Makes room at once, by giving up.
    fn purge(&self) {
        self.empty_line(KafkaCode::PURGE_QUEUE, |topic, records| {
            let component = self.state.component();
            events::gave_up(component, &self.metrics, topic, records, KafkaCode::PURGE_QUEUE);
        });
        for live in self.all_live() {
            live.client().purge();
        }
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
        SendError::new(KafkaCode::DESTROY, Target { topic, partition }, self.delivery_timeout)
    }

    /// What `code` means for a record. After a fatal error everything fails, with codes that do not say so.
    pub(crate) fn error(&self, code: KafkaCode, target: Target) -> SendError {
        if matches!(code, KafkaCode::PURGE_QUEUE | KafkaCode::PURGE_INFLIGHT) && self.is_closed() {
            // That is how a stop ends what did not make it in time.
            return self.shut_down(target.topic, target.partition);
        }
        let fatal = if code == KafkaCode::FATAL { self.clients.last_fatal() } else { None };
        let fatal = fatal.or_else(|| self.live.load().as_ref().and_then(|live| live.client().fatal_error()));
        match fatal {
            Some(fatal) => SendError::Fatal { target, reason: fatal.text, code: fatal.code.as_raw() },
            None => SendError::new(code, target, self.delivery_timeout),
        }
    }

    fn count_undelivered(&self, topic: &Arc<str>, count: usize) {
        let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        *undelivered.entry(Arc::clone(topic)).or_default() += count;
    }

    pub(crate) fn in_flight(&self) -> usize {
        let current = self.live.load().as_ref().map_or(0, |live| live.in_flight());
        current + self.clients.retiring().iter().map(|live| live.in_flight()).sum::<usize>()
    }

    /// The current client and those before it.
    pub(crate) fn all_live(&self) -> Vec<Arc<Live>> {
        let mut all = self.clients.retiring();
        all.extend(self.live());
        all
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.line.is_empty() && self.in_flight() == 0
    }

    pub(crate) fn on_event(
        &self,
        live: &Live,
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
                self.on_reports(live, &topic, &reports);
                *last = Some(topic);
            }
            ProducerEvent::Error(error) => self.state.on_error(&error),
            ProducerEvent::Log(line) => self.state.on_log(&line),
            ProducerEvent::Stats(json) if Self::is_current(live) => self.state.on_stats(&json),
            ProducerEvent::OauthRefresh => {
                // Only a custom option asks for it, and no key here provides tokens.
                if let Err(error) = live.client().set_oauth_failure("OAUTHBEARER is not supported") {
                    self.state.on_error(&error);
                }
            }
            _ => {}
        }
    }

    fn on_reports(&self, live: &Live, topic: &Arc<TopicMetrics>, reports: &ffi::DeliveryReports<'_>) {
        live.finish(reports.len());
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
        if self.live.load().is_none() {
            return;
        }
        let in_flight = self.in_flight();
        if 0 < in_flight {
            events::draining(self.state.component(), in_flight, limit);
        }
        if timeout(limit, self.until(|| self.in_flight() == 0)).await.is_err() {
            // Records that are left after this resolve when the client ends.
            let purged = async {
                for live in self.all_live() {
                    self.purged(&live).await;
                }
            };
            let _left = timeout(PURGE_TIMEOUT, purged).await;
        }
        let undelivered =
            std::mem::take(&mut *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner));
        events::stopped(self.state.component(), &undelivered, self.in_flight());
    }

    /// Lets go of the client, which purges what is left, and waits until it is gone. To be called when the event loop has
    /// ended.
    pub(crate) async fn end(&self) {
        // A sender that looked a moment ago may still hold it; then it goes with that one.
        let Some(live) = self.live.swap(None).and_then(Arc::into_inner) else { return };
        if timeout(PURGE_TIMEOUT, live.into_client().destroy()).await.is_err() {
            events::client_lingers(self.state.component(), PURGE_TIMEOUT);
        }
    }

    /// Nobody serves events any more. Unless that was asked for, it is the end of the producer.
    pub(crate) fn on_events_unserved(&self) {
        if !self.is_closed() {
            self.failed.store(true, Ordering::Relaxed);
            self.abandon();
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

impl Collector for Inner {
    fn collect(&self, snapshot: &mut Snapshot) {
        if let Some(id) = self.live.load().as_ref().and_then(|live| live.client().cluster_id()) {
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
