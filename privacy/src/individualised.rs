//! Individualised budgets: groups of records that are not protected alike, and what each of them pays.
//!
//! Boenisch, Mühl, Rinberg, Ihrig and Dziedzic, *Individualized PATE: Differentially Private Machine Learning with Individual Privacy
//! Guarantees* (PETS 2023, arXiv 2202.10517), and the code of its authors. One noise protects everybody; groups differ in how much of
//! each answer is theirs:
//!
//! | method | a group with a larger budget | a record pays, per query | the proof needs |
//! |---|---|---|---|
//! | [upsampling](Copies) | has each record in d shards | d moves: the published price, d² | the shards of a record follow from it alone |
//! | [weighting](WeightGrid) | has votes of weight w | one move of weight w: the exact price at σ/w, about w² | a teacher has records of one group |
//! | [vanishing](Schedule) | votes on more of the queries | one move, or nothing | a teacher has records of one group; the schedule is public |
//!
//! [`plans`] sets all three against one budget for all.
//!
//! # What is proven, and which way it rounds
//!
//! A record of a group is protected by that group's own (ε, δ): what the campaign charges the group, the sum of the data-independent
//! prices of the queries in which its records take part, never exceeds the ρ of its ε. Prices are rounded up, caps down, sums are
//! exact; the law is that of the lattice noise which is drawn. Each group's sum is a filter of its own ([`crate::filter`]) with
//! charges that are fixed before anything is asked, so queries may be chosen adaptively.
//!
//! - *Upsampling* claims no exact price for two copies and more: d votes may move between several classes, for which only the
//!   published bound Σv² <= 2d² is proven ([`mod@crate::unit`]).
//! - *Vanishing* claims no amplification: the schedule is taken to be known to everybody. (Votes are not scaled up when few take part,
//!   as the authors' code does; that is the same noise in another unit.)
//! - For the same budgets and noise of price κ/σ², weighting gives the most votes per σ: a group of n teachers with cap c brings
//!   n√(c/(κQ)) over Q queries. Vanishing at a noise that suits the cap c* brings n·min(1, c/c*)·√(c*/(κQ)), never more; upsampling
//!   has whole copies and the published κ, never more either. What that leaves out: few heavy votes are noisier in themselves
//!   than many light ones, and copies make teachers of the same data more alike.
//!
//! # What it rests on
//!
//! A record's group follows from that record alone, never from votes, from answers or from other records; weights, copies and
//! schedules follow from groups and are public. **Which group somebody is in is sensitive in itself** (who asks for more protection
//! may have a reason) and is not hidden: it is part of the record, so telling one group from another is a removal and an addition,
//! bounded by both budgets together and no better. Declare groups public, or make them by something public, such as the organisation. A teacher, or a unit, that
//! has records of several groups pays for the loosest of them.

mod design;
mod plan;
mod upsampling;
mod vanishing;
mod weighting;

pub use plan::{Group, GroupCharge, IndividualPlan, IndividualTarget, Method, plans};
pub use upsampling::Copies;
pub use vanishing::Schedule;
pub use weighting::{GroupPrice, Weight, WeightGrid};
