//! The clients behind a producer: the one that records go to, and those before it that still have records in flight.
//!
//! A client that failed for good, or whose certificates were renewed, is replaced behind the handles that others hold. The
//! new client is there before the old one is given up. Meanwhile records stand in line, as they do for a full queue, so that
//! none overtakes those sent before it. The old client sends what it has at once, for at most `delivery_timeout`; one
//! that failed is purged instead, and its records resolve with [`SendError::Fatal`](crate::SendError::Fatal).
//!
//! | Step | Records to send | The old client |
//! |---|---|---|
//! | asked for, or failed | go to the old one; wait in line once it refuses them | is served |
//! | the new one is there | wait in line | is sealed: counts no record more, sends or purges what it has |
//! | the old one has nothing left | go to the new one, those in line first | ends |

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use mainspring_core::LoadError;
use mainspring_engine::{Task, TaskProcessor};
use mainspring_kafka_ffi::{self as ffi, KafkaError, ProducerEvent};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Credentials;
use crate::producer::events;
use crate::producer::handle::{Inner, PURGE_INTERVAL, PURGE_TIMEOUT};
use crate::producer::metrics::TopicMetrics;

/// Wait before a client is made after one that could not be, or that failed early. It doubles up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_secs(1);

/// Longest such wait; a client that has lived for longer begins anew with none.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// librdkafka looks for records past their deadline once a second.
const TIMEOUT_SCAN: Duration = Duration::from_secs(2);

/// One client.
pub(crate) struct Live {
    client: ffi::Producer,
    /// Records accepted and not yet reported. librdkafka's own count includes events that are not records.
    in_flight: AtomicUsize,
    /// It takes no more records.
    sealed: AtomicBool,
}

/// It takes no more records: another client has taken its place, or is about to.
pub(crate) struct Sealed;

impl Live {
    pub(crate) fn new(client: ffi::Producer) -> Live {
        Live { client, in_flight: AtomicUsize::new(0), sealed: AtomicBool::new(false) }
    }

    pub(crate) fn client(&self) -> &ffi::Producer {
        &self.client
    }

    pub(crate) fn into_client(self) -> ffi::Producer {
        self.client
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts records that are about to be handed over; beforehand, as a report may come before the call returns.
    ///
    /// Either this sees the seal, or whoever sealed sees the count: both are in one order.
    pub(crate) fn begin(&self, records: usize) -> Result<(), Sealed> {
        self.in_flight.fetch_add(records, Ordering::SeqCst);
        if !self.sealed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.finish(records);
        Err(Sealed)
    }

    /// Counts off records that were reported, or not accepted.
    pub(crate) fn finish(&self, records: usize) {
        self.in_flight.fetch_sub(records, Ordering::SeqCst);
    }

    fn seal(&self) {
        self.sealed.store(true, Ordering::SeqCst);
    }

    fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Relaxed)
    }

    pub(crate) fn flush_blocking(&self, limit: Duration) {
        // Whoever asked counts what is left.
        let _left = self.client.flush_blocking(limit);
    }
}

/// How a client is made anew.
pub(crate) struct Renewal {
    pub(crate) processor: TaskProcessor,
    pub(crate) create: Arc<dyn Fn() -> Result<ffi::Producer, LoadError> + Send + Sync>,
    /// After which fatal errors there is no other client.
    pub(crate) is_final: fn(&KafkaError) -> bool,
}

/// Why a client is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It failed for good.
    Fatal,
    /// Somebody asked, as what it was made of has changed.
    Requested,
}

impl Cause {
    pub(crate) const ALL: [Cause; 2] = [Cause::Fatal, Cause::Requested];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Requested => "requested",
        }
    }
}

/// What the producer knows of its clients besides the current one.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) renewal: Option<Renewal>,
    requested: Notify,
    /// Clients before the current one that have records in flight; records stand in line while there are any.
    holds: AtomicUsize,
    retiring: Mutex<Vec<Weak<Live>>>,
    /// What secdist said last; `None` while that is what clients are made with.
    credentials: Mutex<Option<Arc<Credentials>>>,
    /// Why the last client failed, for as long as its place is not taken, and for the errors of its records after that.
    last_fatal: Mutex<Option<KafkaError>>,
}

impl Clients {
    /// Whether records have to stand in line until those before them have left an old client.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn last_fatal(&self) -> Option<KafkaError> {
        lock(&self.last_fatal).clone()
    }

    /// What replaces the client, unless nothing does after the way it failed.
    fn renewal(&self) -> Option<&Renewal> {
        let renewal = self.renewal.as_ref()?;
        let is_final = lock(&self.last_fatal).as_ref().is_some_and(renewal.is_final);
        (!is_final).then_some(renewal)
    }

    /// Whether a client that fails for good is replaced.
    pub(crate) fn are_renewed(&self) -> bool {
        self.renewal().is_some()
    }

    /// Old clients that are not gone yet.
    pub(crate) fn retiring(&self) -> Vec<Arc<Live>> {
        lock(&self.retiring).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Inner {
    /// Lets the client be replaced when it fails for good, and by [`Inner::renew_client`].
    pub(crate) fn renewing(mut self, renewal: Renewal) -> Inner {
        self.clients.renewal = Some(renewal);
        self
    }

    /// Has a new client take over from the current one, without losing, repeating or reordering a record, as far as brokers
    /// answer within `delivery_timeout`. Returns at once; asked for again before it is done, it is done once more.
    pub(crate) fn renew_client(&self) {
        // What clients are made with from now on is what secdist said last.
        *lock(&self.clients.credentials) = None;
        self.clients.requested.notify_one();
    }

    /// Authenticates connections made from now on with these.
    pub(crate) fn set_credentials(&self, credentials: Credentials) {
        let credentials = Arc::new(credentials);
        *lock(&self.clients.credentials) = Some(Arc::clone(&credentials));
        if let Some(live) = self.live() {
            self.state().on_credentials(authenticate(live.client(), &credentials));
        }
    }

    /// Serves the events of `live`, and of those that take its place, for ever; cancel it once the producer is closed.
    pub(crate) async fn serve(self: Arc<Self>, live: Arc<Live>) {
        let _whatever_happens = AnswerEverybody(&self);
        let mut current = live;
        let mut retiring = FuturesUnordered::new();
        let mut backoff = Backoff::default();
        loop {
            let cause = tokio::select! {
                fatal = self.serve_client(&current) => {
                    *lock(&self.clients.last_fatal) = Some(fatal);
                    Cause::Fatal
                }
                () = self.clients.requested.notified() => Cause::Requested,
                Some(()) = retiring.next() => continue,
            };
            let Some(renewal) = self.clients.renewal() else {
                // It stays what it is; its records fail, and its events tell why.
                self.serve_for_ever(&current).await
            };
            // What there is goes on being served while the new client is made.
            let next = tokio::select! {
                next = self.create(renewal, cause, &mut backoff) => next,
                () = self.serve_for_ever(&current) => unreachable!("it is served for ever"),
                () = async { while retiring.next().await.is_some() {} std::future::pending().await } => {
                    unreachable!("it waits for ever")
                }
            };
            let old = mem::replace(&mut current, Arc::clone(&next));
            if self.take_over(&old, next, cause) {
                retiring.push(Arc::clone(&self).retire(old, cause));
            }
        }
    }

    /// Serves the events of one client until it fails for good.
    async fn serve_client(self: &Arc<Self>, live: &Live) -> KafkaError {
        // Reports come in runs of one topic, so the last one's handles are nearly always the right ones.
        let mut last: Option<Arc<TopicMetrics>> = None;
        let mut fatal = None;
        loop {
            let mut sink = |event: ProducerEvent<'_>| {
                if let ProducerEvent::Error(error) = &event
                    && error.fatal
                {
                    fatal = Some(error.clone());
                }
                self.on_event(live, event, &mut last);
            };
            poll_fn(|cx| live.client.poll_events(cx, &mut sink)).await;
            self.serve_line();
            self.served.notify_waiters();
            if let Some(fatal) = fatal.take() {
                return fatal;
            }
            // Producers may share one thread; one with a steady stream of reports must let the others in.
            tokio::task::coop::consume_budget().await;
        }
    }

    async fn serve_for_ever<T>(self: &Arc<Self>, live: &Live) -> T {
        loop {
            // It fails for good once, and then goes on reporting what it had.
            let _known = self.serve_client(live).await;
        }
    }

    /// Whether an event is of the client that records go to, and not of one before it.
    pub(crate) fn is_current(live: &Live) -> bool {
        !live.is_sealed()
    }

    /// Makes a new client, however often that takes.
    async fn create(&self, renewal: &Renewal, cause: Cause, backoff: &mut Backoff) -> Arc<Live> {
        let component = self.state().component();
        loop {
            let delay = backoff.next();
            events::client_is_replaced(component, cause, delay);
            sleep(delay).await;
            let create = Arc::clone(&renewal.create);
            // It starts threads and reads files.
            let created = renewal.processor.spawn_blocking("kafka-producer-create", move || create()).await;
            let error = match created {
                Ok(Ok(client)) => {
                    // Those it was made with may be outdated.
                    if let Some(credentials) = lock(&self.clients.credentials).clone()
                        && let Err(error) = authenticate(&client, &credentials)
                    {
                        self.state().on_connection_unusable(&error);
                    }
                    return Arc::new(Live::new(client));
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            events::client_not_created(component, &error);
        }
    }

    /// Puts `next` in the place of `old`; `false` when the producer has stopped meanwhile.
    fn take_over(self: &Arc<Self>, old: &Arc<Live>, next: Arc<Live>, cause: Cause) -> bool {
        // In this order: whoever finds the new client finds the hold, and whoever has the old one finds the seal.
        self.clients.holds.fetch_add(1, Ordering::SeqCst);
        let name = next.client.client_name();
        if !self.swap_live(old, next) {
            self.clients.holds.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        old.seal();
        // What is known of clients is about this one from here on, which may fail while the old one is still at work.
        self.state().on_client_gone();
        lock(&self.clients.retiring).push(Arc::downgrade(old));
        self.metrics().client_replaced(cause);
        if cause == Cause::Requested {
            self.state().on_replaced();
        }
        events::client_replaced(self.state().component(), cause, &name, old.in_flight());
        true
    }

    /// Serves an old client until it has nothing left, then lets it go.
    async fn retire(self: Arc<Self>, old: Arc<Live>, cause: Cause) {
        {
            let emptied = pin!(self.empty(&old, cause));
            tokio::select! {
                () = emptied => {}
                () = self.serve_for_ever(&old) => unreachable!("it is served for ever"),
            }
        }
        lock(&self.clients.retiring)
            .retain(|live| live.upgrade().is_some_and(|live| !Arc::ptr_eq(&live, &old)));
        if self.clients.holds.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.serve_line();
        }
        // A sender that looked a moment ago may still hold it; then it goes with that one.
        let Some(old) = Arc::into_inner(old) else { return };
        if timeout(PURGE_TIMEOUT, old.into_client().destroy()).await.is_err() {
            events::client_lingers(self.state().component(), PURGE_TIMEOUT);
        }
    }

    async fn empty(&self, old: &Arc<Live>, cause: Cause) {
        if cause == Cause::Requested {
            let limit = self.delivery_timeout() + TIMEOUT_SCAN;
            let flushing = self.start_flush(old, limit);
            let _left = timeout(limit, self.until(|| old.in_flight() == 0)).await;
            // Begun, it ends with the last report, or at its limit. Nobody waits for one that no thread was free for: all senders
            // are held up meanwhile.
            if let Some(flushing) = flushing {
                flushing.cancel();
            }
        }
        // Records that are left after this resolve when the client ends.
        let _left = timeout(PURGE_TIMEOUT, self.purged(old)).await;
    }

    /// Sends what it has at once; a call that blocks until nothing is in flight, or for as long as said.
    fn start_flush(&self, live: &Arc<Live>, limit: Duration) -> Option<Task<()>> {
        let renewal = self.clients.renewal.as_ref().filter(|_| 0 < live.in_flight())?;
        let live = Arc::clone(live);
        let flush = move || live.flush_blocking(limit);
        Some(renewal.processor.spawn_blocking("kafka-producer-flush", flush))
    }

    /// Has everything sent at once, and waits for the answers.
    pub(crate) async fn flush(&self) {
        // Those in line have as long to find space, and then as long for their acknowledgement.
        let limit = 2 * self.delivery_timeout() + TIMEOUT_SCAN;
        let flushed = async {
            while !self.is_idle() {
                let flushing: Vec<_> =
                    self.all_live().iter().filter_map(|live| self.start_flush(live, limit)).collect();
                if flushing.is_empty() {
                    self.until(|| self.is_idle() || 0 < self.in_flight()).await;
                }
                // Each ends when its client has nothing in flight; from the line, more may have come by then.
                join_all(flushing).await;
            }
        };
        let _left = timeout(limit, flushed).await;
    }

    /// Gives up on everything in flight, again and again: what is on its way between two of librdkafka's queues escapes a
    /// purge.
    pub(crate) async fn purged(&self, live: &Live) {
        while 0 < live.in_flight() {
            live.client.purge();
            let _left = timeout(PURGE_INTERVAL, self.until(|| live.in_flight() == 0)).await;
        }
    }

    /// Waits until reports have made it so.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let served = self.served.notified();
            if is_so() {
                return;
            }
            served.await;
        }
    }
}

/// The waits between one client and the next.
#[derive(Default)]
struct Backoff {
    last: Option<(Instant, Duration)>,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let now = Instant::now();
        let delay = match self.last {
            Some((at, delay)) if now.duration_since(at) < BACKOFF_MAX => {
                (delay * 2).clamp(BACKOFF, BACKOFF_MAX)
            }
            Some(_) | None => Duration::ZERO,
        };
        self.last = Some((now + delay, delay));
        delay
    }
}

/// Ends the producer when its event loop ends unasked: without it no delivery would ever resolve.
struct AnswerEverybody<'i>(&'i Inner);

impl Drop for AnswerEverybody<'_> {
    fn drop(&mut self) {
        self.0.on_events_unserved();
    }
}

fn authenticate(client: &ffi::Producer, credentials: &Credentials) -> Result<(), KafkaError> {
    client.set_credentials(credentials.username.expose(), credentials.password.expose())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("processor", &self.processor.name()).finish_non_exhaustive()
    }
}
