//! A real broker: what is written is read back, what is killed comes back, and nothing outlives its process.

use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn record_is_read_back_where_it_was_written() -> Result<(), BrokerError> {
    let broker = shared();
    let topic = unique_name("orders");
    broker.create_topic(&topic, 3)?;
    broker.write(&topic, "key", "payload")?;
    let records = broker.read_all(&topic, 1, LIMIT)?;
    let [record] = &records[..] else { panic!("expected one record, found {records:?}") };
    assert_eq!((record.offset, &record.key[..], &record.payload[..]), (0, &b"key"[..], &b"payload"[..]));
    Ok(())
}
