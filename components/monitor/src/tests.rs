//! Facts about the parts that need no service around them.

use crate::metrics::accepts_gzip;

#[test]
fn gzip_is_chosen_only_by_those_who_accept_it() {
    for accepting in [
        "gzip",
        "deflate, gzip;q=0.5",
        "GZIP",
        "*",
        "identity;q=0.1, *;q=0.5",
        "gzip; q=1",
        "gzip, identity",
        "identity;q=0, *;q=0.1",
    ] {
        assert!(accepts_gzip(accepting), "{accepting}");
    }
    for refusing in [
        "",
        "identity",
        "gzip;q=0",
        "gzip;q=0, *",
        "gzip;q=none",
        "br",
        "x-gzip-y",
        "identity;q=0.5, *;q=0.1",
        "gzip;q=0.5, identity",
    ] {
        assert!(!accepts_gzip(refusing), "{refusing}");
    }
}
