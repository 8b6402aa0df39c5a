//! The attacks, one file or folder each. Adding one: a file here, and a line in `docs/extending.md`'s table of what it tests.
//!
//! | attack | needs | asks |
//! |---|---|---|
//! | [`extraction`] | labels through the served student | how many queries copy the student? |

pub mod extraction;
