//! The handle that begins transactions, and what it shares with those that are open.

use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mainspring_core::{ComponentContext, Health};
use mainspring_engine::TaskProcessor;
use mainspring_kafka_ffi::{self as ffi, KafkaCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::producer::{Inner, Live};
use crate::transactions::call::{Resumes, until_answered};
use crate::transactions::error::{TransactionError, TransactionErrorClass, TransactionStep, is_fenced};
use crate::transactions::events::Reporter;
use crate::transactions::transaction::{Open, Transaction};

/// Wait before the coordinator is asked again after it could not be for `transaction_timeout`.
const INIT_PAUSE: Duration = Duration::from_secs(1);

/// Wait between two looks at whether a client was replaced.
const REPLACED_POLL: Duration = Duration::from_millis(20);

/// Begins transactions, one at a time. Cheap to clone; any number of tasks may begin one, and stand in line for it.
///
/// ```no_run
/// # use mainspring_kafka::TransactionalProducer;
/// # async fn example(producer: TransactionalProducer) -> Result<(), Box<dyn std::error::Error>> {
/// use mainspring_kafka::Record;
///
/// let transaction = producer.begin().await?;
/// transaction.send(Record::to("debits").with_key("17").with_payload("-3")).await?;
/// transaction.send(Record::to("credits").with_key("18").with_payload("3")).await?;
/// // Left without a commit, by `?` or otherwise, it is aborted.
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TransactionalProducer {
    pub(crate) shared: Arc<Shared>,
}

impl TransactionalProducer {
    /// Begins a transaction, once the one before has ended.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when its turn has not come, or the coordinator has not answered, within
    /// `transaction_timeout`; [`TransactionError::Fatal`] when the cluster refuses this producer; [`TransactionError::Fenced`]
    /// or [`TransactionError::Stopped`] when there will be none any more.
    ///
    /// # Cancel safety
    /// Dropped, it gives up its place in line; what had begun is aborted.
    pub async fn begin(&self) -> Result<Transaction, TransactionError> {
        let begun = self.shared.closing.run_until_cancelled(self.shared.begin()).await;
        begun.unwrap_or_else(|| Err(self.shared.stopped())).inspect_err(|error| {
            // What is for good was told when it was noted.
            if error.class() != TransactionErrorClass::Fatal {
                self.shared.reporter.not_begun(error);
            }
        })
    }

    pub(crate) fn component(&self) -> &str {
        &self.shared.reporter.component
    }

    /// The name by which the cluster knows this producer.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        &self.shared.id
    }
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("component", &self.shared.reporter.component)
            .field("transactional_id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

/// What the component, handles and transactions share.
pub(crate) struct Shared {
    pub(crate) id: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) producer: Arc<Inner>,
    pub(crate) cx: ComponentContext,
    pub(crate) processor: TaskProcessor,
    pub(crate) reporter: Reporter,
    /// Whose turn it is. Closed when the component stops.
    turn: Arc<Semaphore>,
    /// Ends whatever would begin.
    closing: CancellationToken,
    state: Mutex<State>,
}

/// How clients stand with the coordinator.
#[derive(Clone)]
enum State {
    /// No client has met it.
    New,
    /// This one has: a transaction may begin.
    Ready(Weak<Live>),
    /// This one cannot begin another transaction; the next one can.
    Spent(Weak<Live>),
    /// There will be no more.
    Down(TransactionError),
}

impl Shared {
    pub(crate) fn new(
        (id, timeout): (Arc<str>, Duration),
        producer: Arc<Inner>,
        cx: ComponentContext,
        processor: TaskProcessor,
        reporter: Reporter,
    ) -> Shared {
        let (turn, state) = (Arc::new(Semaphore::new(1)), Mutex::new(State::New));
        let closing = CancellationToken::new();
        Shared { id, timeout, producer, cx, processor, reporter, turn, closing, state }
    }

    async fn begin(self: &Arc<Self>) -> Result<Transaction, TransactionError> {
        let deadline = Instant::now() + self.timeout;
        let turn = self.turn(deadline).await?;
        let live = self.client(deadline).await?;
        self.init(&live, deadline).await?;
        // From here on it is aborted when it is dropped.
        let transaction = Transaction::new(Open::new(Arc::clone(self), live, turn));
        transaction.begin().await?;
        Ok(transaction)
    }

    /// Waits for its turn.
    async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, TransactionError> {
        if let State::Down(error) = self.state() {
            return Err(error);
        }
        match timeout_at(deadline, Arc::clone(&self.turn).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(self.stopped()),
            Err(_elapsed) => {
                let reason = match self.state() {
                    State::New => "the coordinator has not answered in time",
                    State::Ready(_) | State::Spent(_) | State::Down(_) => {
                        "the transaction before it has not ended in time"
                    }
                };
                Err(TransactionError::not_in_time(&self.id, TransactionStep::Begin, reason))
            }
        }
    }

    /// A client that a transaction may begin with, once there is one.
    async fn client(&self, deadline: Instant) -> Result<Arc<Live>, TransactionError> {
        loop {
            let live = self.producer.live().ok_or_else(|| self.stopped())?;
            let is_spent = match self.state() {
                State::Down(error) => return Err(error),
                State::Spent(spent) => ptr::eq(spent.as_ptr(), Arc::as_ptr(&live)),
                State::New | State::Ready(_) => false,
            };
            // One that was shut out is not replaced, and says so when it is used.
            let has_failed = live.client().fatal_error().is_some_and(|error| !is_fenced(error.code));
            if !is_spent && !has_failed {
                return Ok(live);
            }
            if deadline <= Instant::now() {
                let reason = "its client has not been replaced in time";
                return Err(TransactionError::not_in_time(&self.id, TransactionStep::Begin, reason));
            }
            // Rare, and nothing that anybody else waits for, so nothing announces it.
            sleep(REPLACED_POLL).await;
        }
    }

    /// Makes the coordinator know this producer, unless it does.
    async fn init(&self, live: &Arc<Live>, deadline: Instant) -> Result<(), TransactionError> {
        if let State::Ready(known) = self.state()
            && ptr::eq(known.as_ptr(), Arc::as_ptr(live))
        {
            return Ok(());
        }
        self.call(TransactionStep::Init, live, deadline, ffi::Producer::init_transactions_blocking).await?;
        self.enter(State::Ready(Arc::downgrade(live)));
        self.reporter.ready(&self.id);
        Ok(())
    }

    /// Becomes known to the coordinator as soon as there is one, so that readers are not held up by what an earlier instance
    /// left open.
    pub(crate) async fn init_early(self: Arc<Self>) {
        let _closing = self.closing.run_until_cancelled(self.init_in_the_end()).await;
    }

    async fn init_in_the_end(&self) {
        loop {
            let deadline = Instant::now() + self.timeout;
            let met = async {
                let _turn = self.turn(deadline).await?;
                self.init(&self.client(deadline).await?, deadline).await
            };
            match met.await {
                Err(error @ (TransactionError::Retriable(_) | TransactionError::Fatal(_))) => {
                    self.reporter.not_ready(&error);
                }
                // That it is for good was told when it was noted.
                Ok(()) | Err(_) => return,
            }
            // Whoever waits for a turn comes in between.
            sleep(INIT_PAUSE).await;
        }
    }

    /// Makes a call until it is answered. An error that is for good is noted.
    pub(crate) async fn call(
        &self,
        step: TransactionStep,
        live: &Arc<Live>,
        deadline: Instant,
        call: impl Fn(&ffi::Producer, Duration) -> Result<(), ffi::KafkaError> + Send + Sync + 'static,
    ) -> Result<(), TransactionError> {
        let resumes = if step == TransactionStep::SendOffsets { Resumes::No } else { Resumes::Yes };
        let result = until_answered(&self.processor, live, deadline, resumes, call).await;
        result.map_err(|error| {
            // The call that meets a fatal error may be told only that the state does not fit.
            let error =
                live.client().fatal_error().filter(|_| error.code != KafkaCode::DESTROY).unwrap_or(error);
            let error = TransactionError::new(&self.id, step, error);
            self.note(&error);
            error
        })
    }

    /// Takes note of an error that ends all transactions.
    pub(crate) fn note(&self, error: &TransactionError) {
        if matches!(error, TransactionError::Fenced(_)) && !matches!(self.state(), State::Down(_)) {
            self.reporter.down(error);
            self.enter(State::Down(error.clone()));
        }
    }

    /// Has the client replaced, unless it is shut out or replaced already: it does not get on with its transaction, and the next
    /// one's first call ends that.
    pub(crate) fn replace(&self, live: &Arc<Live>) {
        if matches!(self.state(), State::Down(_)) {
            return;
        }
        self.enter(State::Spent(Arc::downgrade(live)));
        let is_current = self.producer.live().is_some_and(|current| Arc::ptr_eq(&current, live));
        // One that failed is replaced without being asked.
        if is_current && live.client().fatal_error().is_none() {
            self.producer.renew_client();
        }
    }

    pub(crate) fn stopped(&self) -> TransactionError {
        TransactionError::Stopped { transactional_id: Arc::clone(&self.id) }
    }

    /// Lets nobody begin any more, and waits for the transaction that is open.
    pub(crate) async fn close(&self, limit: Duration) {
        self.closing.cancel();
        let last = timeout_at(Instant::now() + limit, self.turn.acquire()).await;
        self.turn.close();
        drop(last);
    }

    pub(crate) fn health(&self) -> Health {
        match self.state() {
            State::Down(error) => Health::fatal(error.to_string()),
            State::New | State::Ready(_) | State::Spent(_) => self.producer.health(),
        }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn enter(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("transactional_id", &self.id).finish_non_exhaustive()
    }
}
