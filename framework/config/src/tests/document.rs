//! Text to tree: scalars, anchors, merge keys, duplicates, syntax.

use expect_test::{Expect, expect};

use super::{FakeSurroundings, check_load};

#[track_caller]
fn check(text: &str, expect: Expect) {
    check_load(text, &FakeSurroundings::default(), expect);
}

#[test]
fn plain_scalars_mean_what_serde_yaml_says() {
    check(
        "[1, -2, 0x10, 017, 1.5, 1e3, true, True, yes, on, ~, null, '', '5', \"true\", 1_000, 10s, !!str 7]",
        expect![[
            r#"[1,-2,16,"017",1.5,1000.0,true,true,"yes","on",null,null,"","5","true","1_000","10s","7"]"#
        ]],
    );
}

#[test]
fn infinity_is_no_number_for_a_configuration() {
    check("a: .inf", expect!["main.yaml:1:4: a: infinity and NaN mean nothing here; quote a text"]);
}

#[test]
fn an_empty_text_is_null() {
    check("", expect!["null"]);
    check("# nothing but a comment\n", expect!["null"]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    check("\u{feff}a: 1", expect![[r#"{"a":1}"#]]);
}

#[test]
fn numbers_as_keys_are_their_text() {
    check("1: a\n2: b", expect![[r#"{"1":"a","2":"b"}"#]]);
}

#[test]
fn merge_keys_take_maps_and_lists_of_maps_and_explicit_keys_win() {
    check(
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\none: {<<: *a, x: 3}\ntwo: {<<: [*a, *b]}\n",
        expect![[r#"{"a":{"x":1,"y":1},"b":{"y":2,"z":2},"one":{"x":3,"y":1},"two":{"x":1,"y":1,"z":2}}"#]],
    );
}

#[test]
fn a_quoted_merge_key_is_a_key() {
    check("a: {'<<': 1}", expect![[r#"{"a":{"<<":1}}"#]]);
}

#[test]
fn a_merge_key_refuses_scalars() {
    check(
        "a: &a 5\nb: {<<: *a}\nc: {<<: [{x: 1}, 2]}",
        expect![[r#"
            main.yaml:1:4: b: `<<` expects a map or a list of maps, such as `<<: *defaults`
            main.yaml:3:18: c: `<<` expects a map or a list of maps, such as `<<: *defaults`"#]],
    );
}

#[test]
fn duplicate_keys_name_both_places_and_all_are_reported() {
    check(
        "a: 1\nb:\n  c: 1\n  c: 2\na: 2\n",
        expect![[r#"
            main.yaml:4:3: b: duplicate key `c`; it is already given at main.yaml:3:3
            main.yaml:5:1: duplicate key `a`; it is already given at main.yaml:1:1"#]],
    );
}

#[test]
fn syntax_errors_have_a_place() {
    check("a: [1, 2\nb: 3\n", expect!["main.yaml:2:2: a[1]: illegal placement of ':' indicator"]);
    check("a: *nowhere", expect!["main.yaml:1:4: a: while parsing node, found unknown anchor"]);
}

#[test]
fn what_has_no_meaning_here_is_refused() {
    check("a: 1\n---\nb: 2\n", expect!["main.yaml:2:1: expected one document, found a second one"]);
    check(
        "a: !thing {b: 1}",
        expect!["main.yaml:1:4: a: tags (`!name`) mean nothing here; quote a text that starts with `!`"],
    );
    check(
        "? [a, b]\n: 1",
        expect!["main.yaml:1:3: expected a plain or quoted string as key, found a list, a map or an alias"],
    );
    check("a: &a {b: *a}", expect!["main.yaml:1:11: a.b: an alias may not stand inside its own anchor"]);
}

#[test]
fn merges_chain_and_the_first_of_several_wins() {
    check(
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: [{z: 3, y: 4}, *b], x: 5}\nd: [{<<: *b}]\n",
        expect![[r#"{"a":{"x":1},"b":{"x":1,"y":2},"c":{"x":5,"y":4,"z":3},"d":[{"x":1,"y":2}]}"#]],
    );
}

#[test]
fn a_merge_key_given_twice_is_a_duplicate() {
    check(
        "a: &a {x: 1}\nb: {<<: *a, <<: *a}\n",
        expect!["main.yaml:2:13: b: duplicate key `<<`; it is already given at main.yaml:2:5"],
    );
}

#[test]
fn an_anchor_set_again_holds_from_there_on() {
    check("a: &v 1\nb: *v\nc: &v 2\nd: *v\n", expect![[r#"{"a":1,"b":1,"c":2,"d":2}"#]]);
}

#[test]
fn a_key_may_be_an_anchor_too() {
    check("&k name: 1\nwho: *k\n", expect![[r#"{"name":1,"who":"name"}"#]]);
}
