//! The voice of the demonstration.

use std::time::Instant;

/// Prints one line a step, with the seconds since the beginning.
#[derive(Debug)]
pub(super) struct Teller {
    started: Instant,
    to_stderr: bool,
}

impl Teller {
    pub(super) fn new(to_stderr: bool) -> Self {
        Self {
            started: Instant::now(),
            to_stderr,
        }
    }

    /// A step of the story.
    pub(super) fn step(&self, text: impl AsRef<str>) {
        let seconds = self.started.elapsed().as_secs_f32();
        self.print(&format!("[{seconds:5.1} s] {}", text.as_ref()));
    }

    /// More about the step.
    pub(super) fn detail(&self, text: impl AsRef<str>) {
        self.print(&format!("          {}", text.as_ref()));
    }

    /// Text as it is.
    pub(super) fn print(&self, text: &str) {
        if self.to_stderr {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }
}
