//! Services inside the test process on a real Kafka, for what no sample does: callbacks that fail.

mod failing_callback;
