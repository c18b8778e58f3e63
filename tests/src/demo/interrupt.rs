//! Ctrl-C and SIGTERM.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::wait;

/// Turns SIGINT and SIGTERM into [`wait::cancel`]. To be called before any other thread exists:
/// threads inherit the blocked signals, and so does no child (`Command` clears its signal mask).
pub(super) fn watch() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals
        .thread_block()
        .unwrap_or_else(|error| panic!("cannot block SIGINT: {error}"));
    thread::spawn(move || {
        if signals.wait().is_ok() {
            wait::cancel();
        }
    });
}
