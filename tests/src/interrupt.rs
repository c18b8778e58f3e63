//! Ctrl-C and SIGTERM.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::wait::{self, Cancelled};

/// Turns SIGINT and SIGTERM into [`wait::cancel`]. To be called before any other thread exists:
/// threads inherit the blocked signals. Children do as well, unless `Namespace::spawn` starts them.
pub fn watch() {
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

/// An interruption is not a crash: no message, no backtrace.
pub fn silence_cancellation() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Cancelled>() {
            report(info);
        }
    }));
}
