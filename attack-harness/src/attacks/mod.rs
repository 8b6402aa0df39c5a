//! The attacks, one file or folder each. Adding one: `docs/extending.md`.
//!
//! | attack | needs | asks |
//! |---|---|---|
//! | [`evasion`] | a model whose gradients are in the attacker's hands | how many rows stay right within ε? |
//! | [`served_evasion`] | a published student, or a copy, and labels through the served one | how many rows does the served student judge rightly, once moved? |
//! | [`extraction`] | labels through the served student | how many queries copy the student? |
//! | [`repeated_query`] | a student's place in a campaign | does asking again say more? |
//! | [`poisoning`] | silos that lie with their records | how wrong do labels and student become? |
//! | [`lying_teachers`] | teachers that lie with their votes | how many does a label survive? |

pub mod evasion;
pub mod extraction;
pub mod lying_teachers;
pub mod poisoning;
pub mod repeated_query;
pub mod served_evasion;

/// What an attack costs that asks a served student.
const ASKING_IS_FREE: &str = "What the attacker asked cost no ε: the student is made of released labels, and asking it is post-processing.";
/// The pass rule of an attack that only measures.
const NO_PROMISE: &str = "Never: nothing is promised that the figures could break.";
