//! The attacks, one file or folder each. Adding one: a file here, and a line in `docs/extending.md`'s table of what it tests.
//!
//! | attack | needs | asks |
//! |---|---|---|
//! | [`evasion`] | a model whose gradients are in the attacker's hands | how many rows stay right within ε? |
//! | [`extraction`] | labels through the served student | how many queries copy the student? |

pub mod evasion;
pub mod extraction;
