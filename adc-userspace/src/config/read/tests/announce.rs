//! `[announce]`: what it may say, and what not.

use std::time::Duration;

use super::{MINIMAL, read};
use crate::model::{Require, RouteAnnouncement};

#[test]
fn nothing_is_announced_without_the_table_and_an_empty_one_is_enough() {
    assert_eq!(read(MINIMAL).unwrap().announce, None);
    let read_one = |text: &str| read(&format!("{MINIMAL}\n[announce]\n{text}")).unwrap();
    let announce = read_one("").announce.unwrap();
    assert_eq!(announce, RouteAnnouncement::default());
    assert_eq!((announce.table, announce.min_up), (173, 1));
    let text = "table = 300\nvips = [\"203.0.113.10\"]\nrequire = \"all\"\nmin_up = 2\nup_after = \"0s\"\ndrain = \"2s\"";
    let announce = read_one(text).announce.unwrap();
    assert_eq!((announce.table, announce.require), (300, Require::All));
    assert_eq!(announce.vips, ["203.0.113.10".parse().unwrap()].into());
    assert_eq!(announce.up_after, Duration::ZERO);
    assert_eq!(announce.drain, Duration::from_secs(2));
}

#[test]
fn each_mistake_is_named_with_what_is_allowed() {
    let cases = [
        (
            "table = 254",
            "table: `254`: the kernel forwards packets by this table",
        ),
        ("table = 0", "table: `0`: out of range"),
        ("vips = []", "vips: is empty"),
        ("vips = [\"www\"]", "vips[0]: `www`: not an IP address"),
        (
            "vips = [\"203.0.113.10\", \"203.0.113.10\"]",
            "vips[1]: `203.0.113.10`: listed twice",
        ),
        (
            "require = \"one\"",
            "require: `one`: unknown value; allowed: any, all",
        ),
        ("min_up = 0", "min_up: `0`: out of range"),
        ("up_after = \"2h\"", "up_after: `2h`: out of range"),
        ("drain = \"21s\"", "drain: `21s`: out of range"),
        ("asn = 64513", "asn: unknown key"),
    ];
    for (text, said) in cases {
        let errors = read(&format!("{MINIMAL}\n[announce]\n{text}\n"));
        let errors = errors.expect_err(said).to_string();
        assert!(errors.contains(&format!("announce.{said}")), "{errors}");
        assert!(errors.ends_with("1 error"), "{errors}");
    }
}
