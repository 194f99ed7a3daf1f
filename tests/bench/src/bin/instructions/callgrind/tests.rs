//! A thread's file and what is counted of it.

use super::Counts;

const SENDING: &str = "\
events: Ir
fn=mainspring_kafka::producer::handle::Producer::send_async
10 5
12 7
cfn=rd_kafka_produceva
calls=1 20
12 1000
13 1
fn=rd_kafka_produceva
20 1000
fn=<mainspring_kafka::producer::send::SendFuture as core::future::future::Future>::poll
1 2
fn=core::ptr::drop_in_place<mainspring_kafka::consumer::message::Message>
1 20
fn=mainspring_bench::payloads::Payloads::get
3 400
fn=<futures_util::stream::FuturesUnordered<mainspring_kafka::producer::send::SendFuture>>::poll_next
3 400
";

#[test]
fn only_our_own_functions_are_counted_and_not_what_they_call() {
    let mut counts = Counts::default();
    counts.add(SENDING);
    assert_eq!(counts, Counts { reports: 0, others: 5 + 7 + 1 + 2 + 20 });
}

#[test]
fn thread_that_serves_reports_is_counted_by_itself() {
    let mut counts = Counts::default();
    counts.add(SENDING);
    counts.add(
        "fn=mainspring_kafka_ffi::producer::Producer::poll_events\n7 30\nfn=tokio::runtime::park\n1 100\n",
    );
    assert_eq!(counts, Counts { reports: 30, others: 35 });
}
