//! Custom options that librdkafka takes one by one and refuses together.
//!
//! Only creating a client has librdkafka check them, and that starts threads; so its rules (`rd_kafka_conf_finalize`) are
//! repeated here for what custom options can reach. A rule that is missing costs no safety: the client is refused at start.

use std::collections::BTreeMap;

use mainspring_config::Violation;
use mainspring_kafka_ffi::ClientConfig;

use super::Role;

/// What the brokers decide with `group.protocol: consumer`.
const DECIDED_BY_BROKERS: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// librdkafka's room for what surrounds the records of a response.
const RESPONSE_OVERHEAD: i64 = 512;

/// Most requests in flight with which an idempotent producer keeps the order.
const IDEMPOTENT_IN_FLIGHT_MAX: i64 = 5;

/// Complains of combinations in `custom`; `all` are librdkafka's values with everything set.
pub(super) fn check(role: Role, custom: &BTreeMap<String, String>, all: &ClientConfig) -> Vec<Violation> {
    let options = Options { custom, all };
    let mut violations = options.check_reconnects();
    violations.extend(match role {
        Role::Consumer => options.check_consumer(),
        Role::Producer => options.check_producer(),
    });
    violations
}

struct Options<'a> {
    custom: &'a BTreeMap<String, String>,
    all: &'a ClientConfig,
}

impl Options<'_> {
    fn check_reconnects(&self) -> Vec<Violation> {
        let (first, most) = ("reconnect.backoff.ms", "reconnect.backoff.max.ms");
        let (Some(first_value), Some(most_value)) = (self.number(first), self.number(most)) else {
            return Vec::new();
        };
        let given = self.given(&[most, first]).filter(|_| most_value < first_value);
        let message = format!("`{most}` (`{most_value}`) must not be less than `{first}` (`{first_value}`)");
        given.map(|name| violation(name, message)).into_iter().collect()
    }

    fn check_consumer(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.all.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
            let given = DECIDED_BY_BROKERS.iter().filter_map(|name| self.given(&[name]));
            violations.extend(given.map(|name| {
                violation(
                    name,
                    format!("`{name}` is not possible with `group.protocol: consumer`: brokers decide it"),
                )
            }));
        }
        violations.extend(self.check_fetches());
        violations
    }

    /// A response has room for the records asked for, and what is asked for has room for the largest record.
    fn check_fetches(&self) -> Option<Violation> {
        let (fetch, receive) = ("fetch.max.bytes", "receive.message.max.bytes");
        let largest = self.number("message.max.bytes")?;
        let mut fetched = self.number(fetch)?;
        if self.given(&[fetch]).is_none() {
            // librdkafka adapts its default to both.
            fetched =
                fetched.min(self.number("queued.max.messages.kbytes")?.saturating_mul(1024)).max(largest);
        } else if fetched < largest {
            let message =
                format!("must not be less than `message.max.bytes` (`{largest}`), found `{fetched}`");
            return Some(violation(fetch, message));
        }
        let received = self.number(receive)?;
        let least = fetched.saturating_add(RESPONSE_OVERHEAD);
        self.given(&[receive]).filter(|_| received < least).map(|name| {
            let message = format!(
                "must be at least `{least}`, {RESPONSE_OVERHEAD} more than `{fetch}`, found `{received}`"
            );
            violation(name, message)
        })
    }

    fn check_producer(&self) -> Vec<Violation> {
        let is_idempotent = self.all.get("enable.idempotence").is_some_and(|value| value == "true");
        let mut violations = Vec::new();
        let mut refuse = |names: &[&str], is_wrong: &dyn Fn(&str) -> bool, expected: &str| {
            let found = self.given(names).and_then(|name| Some((name, self.all.get(name)?)));
            violations.extend(found.filter(|(_, value)| is_wrong(value)).map(|(name, value)| {
                violation(
                    name,
                    format!("must be {expected} with `enable_idempotence: {is_idempotent}`, found `{value}`"),
                )
            }));
        };
        if !is_idempotent {
            refuse(&["enable.gapless.guarantee"], &|value| value == "true", "`false`");
            return violations;
        }
        let more_than = |most: i64| move |value: &str| value.parse().is_ok_and(|value: i64| most < value);
        let in_flight = ["max.in.flight", "max.in.flight.requests.per.connection"];
        refuse(
            &in_flight,
            &more_than(IDEMPOTENT_IN_FLIGHT_MAX),
            &format!("at most {IDEMPOTENT_IN_FLIGHT_MAX}"),
        );
        refuse(&["queue.buffering.backpressure.threshold"], &more_than(1), "1");
        refuse(&["acks", "request.required.acks"], &|value| value != "-1" && value != "all", "`all`");
        refuse(&["queuing.strategy"], &|value| value != "fifo", "`fifo`");
        violations
    }

    /// The first of some names of a property that custom options set.
    fn given<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.custom.contains_key(*name))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.all.get(name)?.parse().ok()
    }
}

fn violation(name: &str, message: String) -> Violation {
    Violation::new(format!("rd_kafka_custom_options.{name}"), message)
}
