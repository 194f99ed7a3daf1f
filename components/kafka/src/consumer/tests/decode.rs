//! What is said of payloads that cannot be decoded.

use std::collections::BTreeMap;

use crate::consumer::decode::NotJson;

fn complaint(payload: &str) -> String {
    let error = serde_json::from_str::<BTreeMap<String, u32>>(payload).expect_err("it is not such JSON");
    NotJson::from(&error).to_string()
}

#[test]
fn a_payload_that_is_no_such_json_is_placed_and_not_quoted() {
    assert_eq!(complaint(r#"{"card": "4111-1111"}"#), "JSON of another shape at line 1 column 20");
    assert_eq!(complaint("{\n hush}"), "malformed JSON at line 2 column 2");
    assert_eq!(complaint(r#"{"card""#), "JSON that ends too early at line 1 column 7");
}
