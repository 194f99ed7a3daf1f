//! Waiting in order, without a clock and without librdkafka.

use super::{Attempt, Line, Place};

/// Hands over while there is space, which each one handed over takes.
fn free(line: &Line<&'static str, String>, mut space: u32) {
    line.advance(|what| {
        if space == 0 {
            return Attempt::Full(what);
        }
        space -= 1;
        Attempt::Done(format!("{what} sent"))
    });
}

fn answer(place: &mut Place<String>) -> Option<String> {
    place.answer.try_recv().ok()
}

#[test]
fn whoever_came_first_is_served_first() {
    let line = Line::default();
    let [mut first, mut second, mut third] = ["first", "second", "third"].map(|name| line.join(name));
    free(&line, 1);
    assert_eq!((answer(&mut first).as_deref(), answer(&mut second)), (Some("first sent"), None));
    free(&line, 2);
    assert_eq!(answer(&mut second).as_deref(), Some("second sent"));
    assert_eq!(answer(&mut third).as_deref(), Some("third sent"));
    assert!(line.is_empty());
}

#[test]
fn whoever_is_tried_in_vain_keeps_its_place() {
    let line = Line::default();
    let [mut first, mut second] = ["first", "second"].map(|name| line.join(name));
    free(&line, 0);
    free(&line, 0);
    assert!(!line.is_empty());
    free(&line, 1);
    assert_eq!((answer(&mut first).as_deref(), answer(&mut second)), (Some("first sent"), None));
}

#[test]
fn a_place_given_up_comes_back_with_what_stood_there() {
    let line = Line::default();
    let [first, second, mut third] = ["first", "second", "third"].map(|name| line.join(name));
    assert_eq!(line.leave(&second), Some("second"));
    assert_eq!(line.leave(&first), Some("first"));
    assert_eq!(line.leave(&first), None);
    free(&line, 1);
    assert_eq!(answer(&mut third).as_deref(), Some("third sent"));
    assert!(line.is_empty());
}

#[test]
fn a_place_whose_turn_has_come_cannot_be_given_up() {
    let line = Line::default();
    let mut place = line.join("only");
    free(&line, 1);
    assert_eq!(line.leave(&place), None);
    assert_eq!(answer(&mut place).as_deref(), Some("only sent"));
}

#[test]
fn an_answer_that_nobody_waits_for_stops_nothing() {
    let line = Line::default();
    drop(line.join("forgotten"));
    let mut second = line.join("second");
    free(&line, 2);
    assert_eq!(answer(&mut second).as_deref(), Some("second sent"));
}
