//! Saying a thing once, however often it happens: a caller that comes back every second must not bury the log.
//!
//! What was said is not said again for a minute, then for two, and so on up to an hour while it goes on; each line tells
//! how often it happened in between. What was quiet for two minutes is news again. Only so many different things are said in
//! a minute, whoever makes them up: a scanner with many addresses cannot flood a log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Status;

use crate::wire_error::Refusal;

/// What was said lately. To be shared by all that write the same kind of line.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By what is said.
    said: HashMap<String, Said>,
    /// What happened while there was no room to remember what it was.
    overflow: u64,
}

#[derive(Debug)]
struct Said {
    /// When it was said last.
    at: Instant,
    /// How long that line stands.
    stands_for: Duration,
    /// When it happened last, said or not.
    happened: Instant,
    /// How often it has happened since without being said.
    unsaid: u64,
}

impl Repeats {
    /// Whether `key` is to be said now: `None` if its last line still stands; otherwise how often it, or something that
    /// nobody could keep apart, happened unsaid.
    pub fn to_say(&self, key: &str) -> Option<u64> {
        self.to_say_at(key, Instant::now())
    }

    /// Logs that a call was refused, unless its last line still stands, and makes the status to answer with: the same
    /// words for the log and for the caller.
    pub fn refuse(&self, call: &'static str, caller: &str, refusal: Refusal) -> Status {
        let reason = refusal.reason();
        // By reason: with the values of a caller in it, one caller could take the room of all.
        if let Some(before) = self.to_say(&format!("{call} {caller} {reason}")) {
            tracing::warn!(caller, call, reason, unsaid_before = before, "refused: {refusal}");
        }
        refusal.into_status()
    }

    fn to_say_at(&self, key: &str, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stands_for = match state.said.get_mut(key) {
            None => SAID_FOR,
            Some(said) => {
                let quiet = now.duration_since(said.happened) >= QUIET;
                said.happened = now;
                if !quiet && now.duration_since(said.at) < said.stands_for {
                    said.unsaid += 1;
                    return None;
                }
                if quiet { SAID_FOR } else { (said.stands_for * 2).min(SAID_FOR_MAX) }
            }
        };
        if state.said.len() >= REMEMBERED_MAX && !state.said.contains_key(key) {
            let recent = |said: &Said| now.duration_since(said.at) < SAID_FOR;
            let forgotten: u64 =
                state.said.values().filter(|said| !recent(said)).map(|said| said.unsaid).sum();
            state.said.retain(|_, said| recent(said));
            state.overflow += forgotten;
            if state.said.len() >= REMEMBERED_MAX {
                state.overflow += 1;
                return None;
            }
        }
        let said = Said { at: now, stands_for, happened: now, unsaid: 0 };
        let before = state.said.insert(key.to_owned(), said).map_or(0, |said| said.unsaid);
        Some(before + std::mem::take(&mut state.overflow))
    }
}

/// How long the first line stands for what happens again.
pub const SAID_FOR: Duration = Duration::from_mins(1);
/// After so long without it, it is news: longer than what is tried again at ever longer intervals is left alone.
const QUIET: Duration = Duration::from_mins(2);
/// How long any line stands.
const SAID_FOR_MAX: Duration = Duration::from_hours(1);
/// Most different lines in [`SAID_FOR`].
const REMEMBERED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_is_counted_and_told_a_minute_later() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        assert_eq!(repeats.to_say_at("a", start), Some(0));
        for second in 1..60 {
            assert_eq!(repeats.to_say_at("a", start + Duration::from_secs(second)), None);
        }
        assert_eq!(repeats.to_say_at("b", start), Some(0), "something else is said at once");
        assert_eq!(repeats.to_say_at("a", start + SAID_FOR), Some(59));
    }

    #[test]
    fn what_goes_on_all_day_is_said_ever_more_seldom_and_is_news_again_after_two_minutes_without_it() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let day_s = 24 * 60 * 60;
        let after = |second: u64| start + Duration::from_secs(second);
        let said: Vec<_> = (0..day_s)
            .filter_map(|second| repeats.to_say_at("a", after(second)).map(|unsaid| (second, unsaid)))
            .collect();
        assert_eq!(said[..5], [(0, 0), (60, 59), (180, 119), (420, 239), (900, 479)]);
        assert!(said.len() < 32, "about one an hour: {said:?}");
        assert_eq!(repeats.to_say_at("a", after(day_s + 10)), None);
        assert!(repeats.to_say_at("a", after(day_s + 135)).is_some(), "it had stopped for two minutes");
        assert_eq!(repeats.to_say_at("a", after(day_s + 136)), None);
        assert_eq!(repeats.to_say_at("a", after(day_s + 195)), Some(1), "and begins with a minute");

        // What is tried again a little more seldom than once a minute goes on, too.
        let tried = (0..day_s).step_by(64);
        let said = tried.filter(|second| repeats.to_say_at("b", after(*second)).is_some()).count();
        assert!(said < 32, "about one an hour: {said}");
    }

    #[test]
    fn ten_thousand_inventions_make_no_more_lines_than_there_is_room_and_none_is_forgotten() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let lines = (0..10_000).filter(|n| repeats.to_say_at(&format!("{n}"), start).is_some()).count();
        assert_eq!(lines, REMEMBERED_MAX);
        let told = repeats.to_say_at("later", start + SAID_FOR);
        assert_eq!(told, Some(10_000 - REMEMBERED_MAX as u64));
    }
}
