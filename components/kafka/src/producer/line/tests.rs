//! Waiting in order, without a clock and without librdkafka.

use super::Line;

/// Hands over while there is space, which each one handed over takes.
fn free(line: &Line<&'static str>, mut space: u32) -> Vec<&'static str> {
    let mut sent = Vec::new();
    line.advance(|what| {
        if space == 0 {
            return Some(what);
        }
        space -= 1;
        sent.push(what);
        None
    });
    sent
}

#[test]
fn whoever_came_first_is_served_first() {
    let line = Line::default();
    for name in ["first", "second", "third"] {
        line.join(name);
    }
    assert_eq!(free(&line, 1), ["first"]);
    assert_eq!(free(&line, 3), ["second", "third"]);
    assert!(line.is_empty());
}

#[test]
fn whoever_is_tried_in_vain_keeps_its_place() {
    let line = Line::default();
    for name in ["first", "second"] {
        line.join(name);
    }
    assert!(free(&line, 0).is_empty());
    assert!(!line.is_empty());
    assert_eq!(free(&line, 1), ["first"]);
}

#[test]
fn what_is_left_of_someone_stays_first_in_line() {
    let line = Line::default();
    let place = line.join(5);
    line.join(100);
    line.advance(|count| Some(count - 3));
    assert_eq!(line.leave(place), Some(2));
}

#[test]
fn a_place_given_up_comes_back_with_what_stood_there() {
    let line = Line::default();
    let [first, second, _] = ["first", "second", "third"].map(|name| line.join(name));
    assert_eq!(line.leave(second), Some("second"));
    assert_eq!(line.leave(first), Some("first"));
    assert_eq!(line.leave(first), None);
    assert_eq!(free(&line, 1), ["third"]);
    assert!(line.is_empty());
}

#[test]
fn a_place_whose_turn_has_come_cannot_be_given_up() {
    let line = Line::default();
    let place = line.join("only");
    assert_eq!(free(&line, 1), ["only"]);
    assert_eq!(line.leave(place), None);
}
