//! Who attacks: goal, knowledge, capability and budget, in the terms of MITRE ATLAS.
//!
//! A figure of an attack means nothing without its threat model, so no result exists without one.

use serde::Serialize;

use crate::meter::Budget;

/// A technique of MITRE ATLAS (identifiers as of version 5.6.0 of its data).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Technique {
    /// Such as `AML.T0040`.
    pub id: &'static str,
    /// Its name there.
    pub name: &'static str,
}

/// How far a row may be moved, in the unit of its raw values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// The largest change of one value.
    Linf,
    /// The Euclidean length of the change.
    L2,
}

/// One attacker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThreatModel {
    /// What would count as success.
    pub goal: &'static str,
    /// What the attacker knows beforehand.
    pub knowledge: &'static str,
    /// What the attacker can do.
    pub capability: &'static str,
    /// How changes to a row are measured, where rows are changed.
    pub norm: Option<Norm>,
    /// How far a row may be moved, smallest first; empty where rows are not changed.
    pub eps: Vec<f64>,
    /// What may be asked.
    pub budget: Budget,
    /// Silos whose labels the attacker may choose.
    pub poisoned_silos_max: u32,
    /// Teachers that vote as the attacker likes.
    pub colluders_max: u32,
    /// The techniques that this is.
    pub atlas: Vec<Technique>,
}

/// Uses the API that everybody may use.
pub const INFERENCE_API_ACCESS: Technique =
    Technique { id: "AML.T0040", name: "AI Model Inference API Access" };
/// Has the model's file.
pub const FULL_MODEL_ACCESS: Technique = Technique { id: "AML.T0044", name: "Full AI Model Access" };
/// Copies the model by asking it.
pub const EXTRACT_MODEL: Technique = Technique { id: "AML.T0024.002", name: "Extract AI Model" };
/// Trains a stand-in to attack in its place.
pub const PROXY_BY_REPLICATION: Technique =
    Technique { id: "AML.T0005.001", name: "Train Proxy via Replication" };
/// Crafts inputs with gradients.
pub const WHITE_BOX_OPTIMIZATION: Technique =
    Technique { id: "AML.T0043.000", name: "White-Box Optimization" };
/// Crafts inputs on another model.
pub const BLACK_BOX_TRANSFER: Technique = Technique { id: "AML.T0043.002", name: "Black-Box Transfer" };
/// Tries crafted inputs on the target.
pub const VERIFY_ATTACK: Technique = Technique { id: "AML.T0042", name: "Verify Attack" };
/// Makes the model wrong on chosen inputs.
pub const EVADE_MODEL: Technique = Technique { id: "AML.T0015", name: "Evade AI Model" };
/// Spoils what is learned from.
pub const POISON_TRAINING_DATA: Technique = Technique { id: "AML.T0020", name: "Poison Training Data" };
/// Makes the model worse for everybody.
pub const ERODE_MODEL: Technique = Technique { id: "AML.T0031", name: "Erode AI Model Integrity" };
/// Finds out about records.
pub const INFER_MEMBERSHIP: Technique =
    Technique { id: "AML.T0024.000", name: "Infer Training Data Membership" };
/// Reads more from outputs than they should tell.
pub const DISCOVER_OUTPUTS: Technique = Technique { id: "AML.T0063", name: "Discover AI Model Outputs" };
