//! What happened, line by line: always as a sum, so that two runs can be compared, and printed where one is looked at.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use trunkline_adapter::Timestamp;

/// The clock of every seed begins here.
pub const DAWN: Timestamp = Timestamp(1_800_000_000_000_000);

pub struct Trace {
    sum: DefaultHasher,
    lines: u64,
    printed: bool,
}

struct Sum<'a>(&'a mut DefaultHasher);

impl Write for Sum<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Trace {
    pub fn new(printed: bool) -> Trace {
        Trace { sum: DefaultHasher::new(), lines: 0, printed }
    }

    pub fn note(&mut self, now: Timestamp, line: fmt::Arguments<'_>) {
        self.sum.write_i64(now.0);
        // A hasher takes everything.
        let _ = Sum(&mut self.sum).write_fmt(line);
        self.lines += 1;
        if self.printed {
            println!("{:>12.3} s  {line}", (now.0 - DAWN.0) as f64 / 1e6);
        }
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn sum(&self) -> u64 {
        self.sum.finish()
    }
}
