//! Where a command writes: results on standard output, everything else on standard error.

use std::io::Write;

use engine::session::{ModelInfo, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::failure::Failure;

/// Said with everything that a model made.
pub const NOTICE: &str = "research use only, not for diagnosis";
/// Said with everything that a model with random weights made.
pub const UNTRAINED: &str = "untrained test model";

/// Where a command writes.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// One JSON value on standard output, and nothing else there.
    pub json: bool,
    bars: bool,
    /// Whether it spins, because the end is not known, and the bar.
    bar: Option<(bool, ProgressBar)>,
}

impl<'a> Console<'a> {
    /// Bars are drawn only when standard error is a terminal.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, json: bool, terminal: bool) -> Self {
        Self {
            out,
            err,
            json,
            bars: terminal && !json,
            bar: None,
        }
    }

    /// Text for people on standard output, at once; nothing with `--json`.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.end_progress();
        if !self.json {
            write!(self.out, "{}", printable(text))?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// The one JSON value of a command; nothing without `--json`.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print_json(&mut self, value: &Value) -> Result<(), Failure> {
        self.end_progress();
        if self.json {
            writeln!(self.out, "{value:#}")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// A line on standard error. A closed standard error is no reason to stop.
    pub fn say(&mut self, line: &str) {
        self.end_progress();
        let _ = writeln!(self.err, "{}", printable(line));
    }

    /// Says what a failed command has to say: on standard output with `--json`, else on standard error.
    pub fn fail(&mut self, failure: &Failure) {
        let value = serde_json::json!({
            "error": { "kind": failure.kind, "message": failure.message },
        });
        if self.json {
            let _ = self.print_json(&value);
        } else {
            self.say(&format!("error: {}", failure.message));
        }
    }

    /// Says with every result of a model what it is worth.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn say_worth(&mut self, model: &ModelInfo) -> Result<(), Failure> {
        if !model.trained {
            self.print(&format!(
                "[{UNTRAINED}: its weights are random and what it makes means nothing]\n"
            ))?;
        }
        if let Some(caution) = &model.caution {
            self.print(&format!("[{}: {caution}]\n", model.name))?;
        }
        self.say(NOTICE);
        Ok(())
    }

    /// Draws how far a job is.
    pub fn progress(&mut self, progress: &Progress) {
        if !self.bars {
            return;
        }
        let open_ended = progress.of == 0;
        if self
            .bar
            .as_ref()
            .is_some_and(|(spins, _)| *spins != open_ended)
        {
            self.end_progress();
        }
        let (_, bar) = self
            .bar
            .get_or_insert_with(|| (open_ended, bar(progress.of)));
        bar.set_length(progress.of);
        bar.set_message(progress.stage.clone());
        bar.set_position(progress.done);
        if open_ended {
            bar.tick();
        }
    }

    /// Takes the bar away, so that a line can be written.
    pub fn end_progress(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(of: u64) -> ProgressBar {
    let bar = ProgressBar::new(of);
    let template = if of == 0 {
        "{spinner} {msg} {elapsed}"
    } else {
        "{msg} {wide_bar} {pos}/{len} {eta}"
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The text without what a terminal would obey: a model's answer or a scan's description may hold escape sequences.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_escape_sequences() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut out, &mut err, false, false);
        console.print("a\u{1b}[2J\u{9b}b\n").unwrap();
        console.say("tab\there\r");
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}[2J\u{fffd}b\n");
        assert_eq!(String::from_utf8(err).unwrap(), "tab\there\u{fffd}\n");
    }

    #[test]
    fn with_json_only_the_value_is_on_standard_output() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut out, &mut err, true, true);
        console.print("text").unwrap();
        console.print_json(&serde_json::json!([1])).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[\n  1\n]\n");
    }
}
