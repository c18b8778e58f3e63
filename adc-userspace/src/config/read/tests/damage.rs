//! Whatever the text, there is an answer.

use proptest::prelude::*;

use super::{FULL, read};

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for deep in [
        "a.".repeat(100_000) + "b = 1",
        "x = ".to_owned() + &"[".repeat(100_000),
        "x = ".to_owned() + &"{a = ".repeat(100_000),
        "[".to_owned() + &"a.".repeat(100_000) + "b]",
    ] {
        assert!(read(&deep).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in any::<String>()) {
        let printed = read(&text).map_err(|errors| errors.to_string());
        prop_assert!(printed.is_err(), "nothing random has interfaces");
    }

    #[test]
    fn no_damage_to_a_file_is_too_odd(
        cuts in prop::collection::vec((0..FULL.len(), 0usize..12, "[\\[\\]{}=\",.#\n a-z0-9é%-]{0,6}"), 1..6)
    ) {
        let mut text = FULL.as_bytes().to_vec();
        for (at, length, insert) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.into_bytes());
        }
        let text = String::from_utf8_lossy(&text);
        if let Err(errors) = read(&text) {
            prop_assert!(errors.iter().next().is_some());
            prop_assert!(errors.to_string().ends_with("error") || errors.to_string().ends_with("errors"));
        }
    }
}
