//! What was measured, beside what was promised.

use std::process::ExitCode;

/// A table that is printed row by row as figures come.
pub struct Report {
    broken: usize,
}

/// A figure with a promise: at most `promise`, and better still `aim`.
pub struct Promise {
    /// What must not be exceeded.
    pub most: f64,
    /// Where it should go.
    pub aim: f64,
}

impl Report {
    /// An empty table; prints its head.
    pub fn new() -> Self {
        println!(
            "{:<52} {:>10} {:>10} {:>10}  kept",
            "figure", "measured", "promise", "aim"
        );
        Self { broken: 0 }
    }

    /// Prints a figure that nothing is promised about.
    pub fn note(&self, name: &str, value: f64) {
        println!("{name:<52} {value:>10.3}");
    }

    /// Prints a figure and whether its promise is kept.
    pub fn judge(&mut self, name: &str, value: f64, promise: &Promise) {
        let kept = value <= promise.most;
        self.broken += usize::from(!kept);
        let verdict = if kept { "yes" } else { "NO" };
        println!(
            "{name:<52} {value:>10.3} {:>10.2} {:>10.2}  {verdict}",
            promise.most, promise.aim
        );
    }

    /// 1 past any promise, else 0.
    pub fn finish(self) -> ExitCode {
        match self.broken {
            0 => ExitCode::SUCCESS,
            broken => {
                println!("{broken} promises are not kept");
                ExitCode::FAILURE
            }
        }
    }
}
