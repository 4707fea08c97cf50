//! The only place that draws progress: on stderr, if that is a terminal and `-q` was not given.
//!
//! Nothing here redraws by itself, so that nothing is drawn between two clock reads.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::hub::FetchEvent;
use crate::units;

const DOWNLOAD: &str = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";

/// Whether remarks may go to stderr: not with `-q`.
pub fn may_speak() -> bool {
    tracing::enabled!(tracing::Level::WARN)
}

/// A line on stderr, above any bar, broken between words on a terminal; none with `-q`.
pub fn remark(text: &str) {
    if may_speak() {
        match terminal_width() {
            Some(width) => eprintln!("{}", wrapped(text, width)),
            None => eprintln!("{text}"),
        }
    }
}

/// Columns of the terminal on stderr, if it is one.
fn terminal_width() -> Option<usize> {
    let mut table = comfy_table::Table::new();
    table.use_stderr().width().map(usize::from)
}

/// `text` in lines of at most `width` characters, where its words allow it; its own line breaks stay.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut column = 0;
    for piece in text.split_inclusive([' ', '\n']) {
        let word = piece.trim_end_matches([' ', '\n']);
        if column > 0 && column + word.chars().count() > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            column = 0;
        }
        out.push_str(piece);
        column = if piece.ends_with('\n') { 0 } else { column + piece.chars().count() };
    }
    out
}

/// The progress of one fetch: a bar on a terminal, else a line for each thing worth knowing.
#[derive(Debug)]
pub struct DownloadBar {
    bar: ProgressBar,
    /// Bytes of the files that are finished.
    finished: u64,
}

impl DownloadBar {
    /// For files of that many bytes together, those in the cache included.
    pub fn new(total_bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total_bytes), target());
        if let Ok(style) = ProgressStyle::with_template(DOWNLOAD) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, finished: 0 }
    }

    /// Shows what happened.
    pub fn on_event(&mut self, event: FetchEvent<'_>) {
        if let Some(line) = worth_a_line(&event) {
            self.bar.suspend(|| remark(&line));
        }
        match event {
            FetchEvent::Started { name, from, .. } => {
                self.bar.set_message(name.to_string());
                self.bar.set_position(self.finished + from);
                self.bar.reset_eta();
            }
            FetchEvent::Received { so_far, .. } => self.bar.set_position(self.finished + so_far),
            FetchEvent::Cached { bytes, .. } | FetchEvent::Finished { bytes, .. } => {
                self.finished += bytes;
                self.bar.set_position(self.finished);
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over things that are counted, with the time left; hidden unless stderr is a terminal.
pub fn counted(total: u64, things: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    let template = format!("{{msg}} [{{wide_bar}}] {{human_pos}}/{{human_len}} {things}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The line that tells what a run is doing. Redrawn when told to, never by itself.
#[derive(Debug)]
pub struct RunLine {
    bar: ProgressBar,
}

impl RunLine {
    /// Hidden unless stderr is a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, target());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Shows what runs, and the time that is left at the most.
    pub fn show(&self, what: &str, left: Option<Duration>) {
        let left = left.map(|left| format!(" · at most {} left", HumanDuration(left)));
        self.bar.set_message(format!("{what}{}", left.unwrap_or_default()));
        self.bar.tick();
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Default for RunLine {
    fn default() -> Self {
        Self::new()
    }
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() && may_speak() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

fn worth_a_line(event: &FetchEvent<'_>) -> Option<String> {
    match event {
        FetchEvent::Waiting { name } => {
            Some(format!("{name}: another process is fetching it; waiting for that"))
        }
        FetchEvent::Discarded { name, path, found } => Some(format!(
            "{name}: the copy in the cache, {}, is bad ({found}); it is deleted and fetched again",
            path.display()
        )),
        FetchEvent::Retrying { name, error, wait } => {
            Some(format!("{name}: {}; trying again in {}", error.what(), humantime::format_duration(*wait)))
        }
        FetchEvent::Restarting { name } => {
            Some(format!("{name}: the resumed download came out wrong; fetching it whole"))
        }
        FetchEvent::Started { name, from, bytes } if *from > 0 => {
            Some(format!("{name}: going on at {} of {}", units::bytes(*from), units::bytes(*bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_break_between_words_and_keep_their_own_lines() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("one two three", 8), "one two\nthree");
        assert_eq!(wrapped("one two three", 13), "one two three");
        assert_eq!(wrapped("one two\nthree four", 9), "one two\nthree\nfour");
        assert_eq!(wrapped("https://a.very/long/word here", 4), "https://a.very/long/word\nhere");
        assert_eq!((wrapped("", 4), wrapped("αβγ δε", 6)), (String::new(), "αβγ δε".to_owned()));
    }

    #[test]
    fn the_bar_counts_cached_resumed_and_finished_bytes() {
        let mut bar = DownloadBar::new(100);
        bar.on_event(FetchEvent::Cached { name: "a", bytes: 10 });
        bar.on_event(FetchEvent::Started { name: "b", from: 5, bytes: 90 });
        assert_eq!(bar.bar.position(), 15);
        bar.on_event(FetchEvent::Received { name: "b", so_far: 50, bytes: 90 });
        assert_eq!(bar.bar.position(), 60);
        bar.on_event(FetchEvent::Finished { name: "b", bytes: 90 });
        assert_eq!(bar.bar.position(), 100);
    }
}
