//! What was computed from vote counts and is therefore as private as they are.
//!
//! A [`Secret`] cannot be printed, serialised or compared; the way to its value is [`Secret::open`], and that
//! needs an [`Analyst`], which somebody has to make in so many words. Nothing in a cluster makes one.

use std::fmt;

/// A value that depends on vote counts.
pub struct Secret<T>(T);

/// Somebody who may see the vote counts themselves, such as a researcher with published votes or the report of a
/// simulation, and from whom costs that depend on them are therefore no secret.
#[derive(Debug)]
pub struct Analyst(());

impl Analyst {
    /// Declares that whoever gets to see what is opened may also see the votes.
    pub const fn who_may_see_the_votes() -> Self {
        Self(())
    }
}

impl<T> Secret<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for somebody who may see the votes.
    pub fn open(self, _: &Analyst) -> T {
        self.0
    }

    /// The value, to be changed by code of this crate that keeps it secret.
    pub(crate) const fn inside_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The value, for code of this crate that keeps it secret.
    pub(crate) const fn inside(&self) -> &T {
        &self.0
    }
}

/// Says nothing.
impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_and_opens_for_an_analyst() {
        let secret = Secret::new(4711.0);
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert!(secret.open(&Analyst::who_may_see_the_votes()) > 4710.0);
    }
}
