//! Facts about `/proc/self/stat`.

use super::*;

#[test]
fn a_program_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
    // Field 3 is `S`, then each field holds its own number.
    let fields: Vec<String> = (4..=52).map(|number: u32| number.to_string()).collect();
    let stat = Stat::parse(&format!("1 (a) b (c) S {}", fields.join(" "))).expect("all fields are there");
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    assert_eq!((stat.major_faults, stat.threads), (12.0, 20.0));
    assert_eq!(stat.cpu_seconds, 14.0 / ticks_per_second + 15.0 / ticks_per_second);
    assert_eq!(stat.started_seconds_after_boot, 22.0 / ticks_per_second);
    assert_eq!(stat.resident_bytes, 24.0 * rustix::param::page_size() as f64);
}

#[test]
fn what_does_not_parse_is_left_out() {
    assert!(Stat::parse("").is_none());
    assert!(Stat::parse("1 (a) S 4 5 6").is_none());
}
