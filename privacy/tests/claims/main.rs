//! Claims about the whole crate: laws of the noise, prices, conversions and sensitivities, checked against
//! numbers that were computed elsewhere (`tests/vectors`, each with its origin) and against brute force.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod accounting;
mod argmax_law;
mod audit;
mod calibration;
mod chi_square;
mod cumulative;
mod data_dependent;
mod defects;
mod filters;
mod histogram;
mod individualised;
mod interactive;
mod loss_distribution;
mod many_classes;
mod noise_law;
mod planning;
mod prices;
mod properties;
mod published_votes;
mod refusals;
mod sanitised;
mod secrecy;
mod sensitivity;
mod soundness;
mod truncated;
mod vectors;
mod weighting;
mod worst_case;
