//! Limits to the request, on a clock of the test's own.

use std::time::Duration;

use super::{Exceeded, HandlerTuning, Limits, Throttle};
use crate::HandlerOptions;

fn limits(in_flight: usize, per_second: u32) -> Limits {
    Limits { in_flight: in_flight.try_into().ok(), per_second: per_second.try_into().ok() }
}

#[test]
fn as_many_are_in_flight_as_the_limit_says_and_not_one_more() {
    let throttle = Throttle::new(limits(2, 0));
    let now = throttle.began;
    let first = throttle.admit(now).unwrap();
    let _second = throttle.admit(now).unwrap();
    assert_eq!(throttle.admit(now).unwrap_err(), Exceeded::InFlight);
    drop(first);
    let _third = throttle.admit(now).unwrap();
    assert_eq!(throttle.admit(now).unwrap_err(), Exceeded::InFlight, "a refusal leaves no place taken");
}

#[test]
fn a_second_has_room_for_the_rate_and_then_for_one_per_interval() {
    let throttle = Throttle::new(limits(0, 4));
    let at = |millis| throttle.began + Duration::from_millis(millis);
    let admitted = |millis| (0..10).take_while(|_| throttle.admit(at(millis)).is_ok()).count();
    assert_eq!(admitted(0), 4);
    assert_eq!(throttle.admit(at(100)).unwrap_err(), Exceeded::PerSecond(Duration::from_millis(150)));
    assert_eq!(admitted(249), 0);
    assert_eq!(admitted(250), 1);
    assert_eq!(admitted(900), 2);
    assert_eq!(admitted(60_000), 4, "no more is saved up than a second's");
}

#[test]
fn a_limit_counts_those_who_came_before_it() {
    let throttle = Throttle::new(limits(0, 0));
    let _early = [(); 3].map(|()| throttle.admit(throttle.began).unwrap());
    throttle.limits.store(limits(3, 0).into());
    assert_eq!(throttle.admit(throttle.began).unwrap_err(), Exceeded::InFlight);
}

#[test]
fn what_is_tuned_wins_key_by_key() {
    let options = HandlerOptions {
        max_requests_in_flight: 5.try_into().ok(),
        max_requests_per_second: 50.try_into().ok(),
        ..HandlerOptions::default()
    };
    assert_eq!(Limits::new(&options, None), limits(5, 50));
    let fewer = HandlerTuning { max_requests_in_flight: 2.try_into().ok(), ..HandlerTuning::default() };
    assert_eq!(Limits::new(&options, Some(&fewer)), limits(2, 50));
    let off = HandlerTuning { throttling_enabled: Some(false), ..fewer.clone() };
    assert_eq!(Limits::new(&options, Some(&off)), Limits::default());
    let configured_off = HandlerOptions { throttling_enabled: Some(false), ..options };
    assert_eq!(Limits::new(&configured_off, Some(&fewer)), Limits::default());
    let on = HandlerTuning { throttling_enabled: Some(true), ..HandlerTuning::default() };
    assert_eq!(Limits::new(&configured_off, Some(&on)), limits(5, 50));
}
