//! Saying a thing once, however often it happens: a caller that comes back every second must not bury the log.
//!
//! What was said is not said again for a minute, and its next line tells how often it happened in between. Only so many
//! different things are said in that time, whoever makes them up: a scanner with many addresses cannot flood a log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was said lately. To be shared by all that write the same kind of line.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By what is said: when, and how often it has happened since without being said.
    said: HashMap<String, (Option<Instant>, u64)>,
    /// What happened while there was no room to remember what it was.
    overflow: u64,
}

impl Repeats {
    /// Whether `key` is to be said now: `None` if it was said within [`SAID_FOR`]; otherwise how often it, or something
    /// that nobody could keep apart, happened unsaid.
    pub fn to_say(&self, key: &str) -> Option<u64> {
        self.to_say_at(key, Instant::now())
    }

    fn to_say_at(&self, key: &str, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |said: &Option<Instant>| said.is_some_and(|said| now.duration_since(said) < SAID_FOR);
        if state.said.len() >= REMEMBERED_MAX && !state.said.contains_key(key) {
            let unsaid: u64 =
                state.said.values().filter(|(said, _)| !recent(said)).map(|(_, unsaid)| unsaid).sum();
            state.said.retain(|_, (said, _)| recent(said));
            state.overflow += unsaid;
            if state.said.len() >= REMEMBERED_MAX {
                state.overflow += 1;
                return None;
            }
        }
        let (said, unsaid) = state.said.entry(key.to_owned()).or_default();
        if recent(said) {
            *unsaid += 1;
            return None;
        }
        *said = Some(now);
        let unsaid = std::mem::take(unsaid);
        Some(unsaid + std::mem::take(&mut state.overflow))
    }
}

/// How long a line stands for what happens again.
pub const SAID_FOR: Duration = Duration::from_mins(1);
/// Most different lines in that time.
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
    fn ten_thousand_inventions_make_no_more_lines_than_there_is_room_and_none_is_forgotten() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let lines = (0..10_000).filter(|n| repeats.to_say_at(&format!("{n}"), start).is_some()).count();
        assert_eq!(lines, REMEMBERED_MAX);
        let told = repeats.to_say_at("later", start + SAID_FOR);
        assert_eq!(told, Some(10_000 - REMEMBERED_MAX as u64));
    }
}
