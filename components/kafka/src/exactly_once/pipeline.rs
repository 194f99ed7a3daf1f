//! From a batch to a committed transaction.

use std::fmt;
use std::sync::Arc;

use crate::consumer::{Batch, ConsumerError, ConsumerScope};
use crate::exactly_once::events;
use crate::exactly_once::input::Input;
use crate::producer::Record;
use crate::transactions::{TransactionError, TransactionalProducer};

/// The error of a transformation, and those of transactions.
type PipelineError = Box<dyn std::error::Error + Send + Sync>;

/// The right to run a pipeline. One exists per component at a time; dropping it stops the pipeline.
///
/// ```no_run
/// # fn example(pipeline: &mainspring_kafka::ExactlyOncePipeline) -> Result<(), mainspring_kafka::ConsumerError> {
/// use mainspring_kafka::{Input, Record};
///
/// pipeline.start(|input: Input| async move {
///     let doubled = |message: &mainspring_kafka::Message| {
///         let text = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
///         Ok(Record::to("doubled").with_payload((2 * text.parse::<i64>()?).to_string()))
///     };
///     input.iter().map(doubled).collect::<Result<Vec<_>, std::num::ParseIntError>>()
/// })
/// # }
/// ```
#[must_use = "dropping the pipeline stops it"]
pub struct ExactlyOncePipeline {
    scope: ConsumerScope,
    producer: TransactionalProducer,
}

impl ExactlyOncePipeline {
    pub(crate) fn new(scope: ConsumerScope, producer: TransactionalProducer) -> ExactlyOncePipeline {
        ExactlyOncePipeline { scope, producer }
    }

    /// Starts the pipeline: `transform` makes records of messages, on the callback task processor of the consumer, and both
    /// take effect together.
    ///
    /// A batch of the consumer, up to its `max_batch_size`, is one transaction; larger ones cost less for each message, and
    /// what fails comes again as a whole. The transaction begins once `transform` is done, so a slow one does not use up
    /// `transaction_timeout`. An error, a panic, `max_callback_duration` for all of it, or a failed transaction makes the
    /// batch come again after `restart_after_failure_delay`. No records is a result, too: the messages count as read. Once the
    /// producer is shut out by another one the pipeline stops, so that its partitions go to others.
    ///
    /// # Errors
    /// [`ConsumerError::Running`] when it was started and not stopped since, [`ConsumerError::Stopped`] when its consumer is
    /// stopped.
    pub fn start<F, Fut, E>(&self, transform: F) -> Result<(), ConsumerError>
    where
        F: Fn(Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Record>, E>> + Send + 'static,
        E: Into<PipelineError> + 'static,
    {
        let (producer, control) = (self.producer.clone(), Arc::clone(self.scope.control()));
        self.scope.start(move |batch: Batch| {
            let (messages, batch) = batch.split();
            let transforming = transform(Input::new(messages));
            let (producer, control) = (producer.clone(), Arc::clone(&control));
            async move {
                let records = transforming.await.map_err(Into::<PipelineError>::into)?;
                let transacted = transact(&producer, records, &batch).await;
                let is_over = |error: &TransactionError| {
                    matches!(error, TransactionError::Fenced(_) | TransactionError::Stopped { .. })
                };
                if transacted.as_ref().is_err_and(is_over) {
                    // Others can do what this one cannot do any more.
                    events::gives_up(producer.component());
                    control.stop_soon();
                }
                Ok::<(), PipelineError>(transacted?)
            }
        })
    }

    /// Stops the pipeline and waits until its consumer is gone; otherwise as [`ConsumerScope::stop`]. What a transaction had
    /// begun is committed or aborted.
    ///
    /// # Cancel safety
    /// Stopping goes on when this is dropped.
    pub async fn stop(&self) {
        self.scope.stop().await;
    }
}

/// Sends what was made of a batch, and commits both.
async fn transact(
    producer: &TransactionalProducer,
    records: Vec<Record>,
    batch: &Batch,
) -> Result<(), TransactionError> {
    let transaction = producer.begin().await?;
    let mut sent: Vec<_> = records.into_iter().map(|record| transaction.send_async(record)).collect();
    for record in &mut sent {
        // In line for space; the commit waits for what is in flight, and learns what failed.
        record.enqueued().await;
    }
    drop(sent);
    transaction.send_offsets(batch).await?;
    transaction.commit().await
}

impl fmt::Debug for ExactlyOncePipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactlyOncePipeline")
            .field("consumer", &self.scope)
            .field("producer", &self.producer)
            .finish()
    }
}
