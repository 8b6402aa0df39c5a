//! The campaign contract: what every silo agrees to before its first vote.
//!
//! Its digest is SHA-256 over the canonical bytes below, never over protobuf, so that two builds that encode a message
//! differently still agree. Each side computes the digest itself from the fields that it checked.

use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism};
use conclave_privacy::quantity::{Delta, FilterOrder, Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, Sensitivity, VotingScheme};
use conclave_proto::common::v1 as wire;
use conclave_proto::ids::{
    CampaignId, ContractDigest, DataId, FeaturesDigest, IdError, NodeId, OrganisationId, PartitionDigest,
    PoolDigest,
};
use conclave_proto::pool::{PoolError, check_class_names};
use sha2::{Digest as _, Sha256};

/// Most silos in one campaign.
pub const MEMBERS_MAX: usize = 10_000;
/// Most teachers that one node may host.
pub const TEACHERS_PER_NODE_MAX: u32 = 100_000;
/// Most queries that one campaign may ask.
pub const QUERIES_MAX: u32 = 10_000_000;
/// Bounds of the vote deadline, in milliseconds.
pub const VOTE_DEADLINE_MS: std::ops::RangeInclusive<u32> = 10..=600_000;

/// How votes reach the aggregator, and who could read them on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustMode {
    /// The aggregator sees each node's votes in clear.
    TrustedAggregator,
}

/// What every silo agrees to. A change of any field is another campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Names the campaign.
    pub campaign: CampaignId,
    /// Major version of the protocol.
    pub protocol_major: u32,
    /// How votes travel.
    pub trust_mode: TrustMode,
    /// How records turn into votes.
    pub scheme: VotingScheme,
    /// What is drawn, with its noise in integer lattice steps.
    pub mechanism: Mechanism,
    /// Who is protected.
    pub unit: PrivacyUnit,
    /// How neighbouring data sets differ.
    pub adjacency: Adjacency,
    /// A vote is an index into these.
    pub class_names: Vec<String>,
    /// The probability with which the guarantee may fail.
    pub delta: Delta,
    /// The campaign's sub-cap.
    pub rho_cap: Rho,
    /// ω: up to which Rényi order the sub-cap and all prices bound the loss; that of every member's account.
    pub filter_order: FilterOrder,
    /// Fewest teachers whose votes must have arrived for a draw.
    pub teachers_quorum_min: u32,
    /// Most queries that the campaign may ask.
    pub queries_max: u32,
    /// How long votes are waited for.
    pub vote_deadline_ms: u32,
    /// The public pool.
    pub pool: PoolDigest,
    /// The public feature space.
    pub features: FeaturesDigest,
    /// Noise comes from a seeded generator: nothing that this campaign makes is private.
    pub simulated: bool,
    /// Who takes part, and with which data.
    pub members: Vec<Member>,
}

/// One silo of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its teacher node.
    pub node: NodeId,
    /// Its private data.
    pub data: DataId,
    /// How that data is split over the node's teachers.
    pub partition: PartitionDigest,
    /// Teachers on the node; one vote each.
    pub teachers: u32,
}

/// Why a contract was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says it; its fields are what the text names")]
pub enum ContractError {
    #[error("contract, {0}: missing or unspecified; both sides must run protocol {major}.x", major = conclave_proto::PROTOCOL.major)]
    Missing(&'static str),
    #[error("contract, {field}: {value} is out of range; use {fix}")]
    Range { field: &'static str, value: String, fix: String },
    #[error("contract, protocol: version {0}; this build speaks {major}.x", major = conclave_proto::PROTOCOL.major)]
    Protocol(u32),
    #[error(
        "contract, members: {kind} `{value}` appears twice; every silo takes part once, with data of its own"
    )]
    Repeated { kind: &'static str, value: String },
    #[error("contract: {0}")]
    Id(#[from] IdError),
    #[error("contract: {0}")]
    Classes(#[from] PoolError),
    #[error("contract: {0}")]
    Privacy(#[from] conclave_privacy::Error),
}

impl Contract {
    /// Checks what single fields cannot show: counts, ranges, and that each silo takes part once.
    pub fn check(&self) -> Result<(), ContractError> {
        if self.protocol_major != conclave_proto::PROTOCOL.major {
            return Err(ContractError::Protocol(self.protocol_major));
        }
        check_class_names(&self.class_names)?;
        in_range("members", self.members.len() as u64, 1, MEMBERS_MAX as u64)?;
        for member in &self.members {
            in_range("teachers", member.teachers.into(), 1, TEACHERS_PER_NODE_MAX.into())?;
            if let PrivacyUnit::Organisation { teachers_max } = self.unit {
                in_range("teachers (unit organisation)", member.teachers.into(), 1, teachers_max.into())?;
            }
        }
        for (kind, names) in [
            ("organisation", self.members.iter().map(|m| m.organisation.as_str()).collect::<Vec<_>>()),
            ("data id", self.members.iter().map(|m| m.data.as_str()).collect()),
        ] {
            let mut seen = std::collections::HashSet::new();
            if let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) {
                return Err(ContractError::Repeated { kind, value: twice.to_owned() });
            }
        }
        in_range("teachers_quorum_min", self.teachers_quorum_min.into(), 1, self.teachers())?;
        in_range("queries_max", self.queries_max.into(), 1, QUERIES_MAX.into())?;
        let (shortest, longest) = VOTE_DEADLINE_MS.into_inner();
        in_range("vote_deadline_ms", self.vote_deadline_ms.into(), shortest.into(), longest.into())?;
        // The published price, which is the larger one, is enough to see that there is one.
        self.mechanism.worst_case(&self.sensitivity()?)?;
        Ok(())
    }

    /// Teachers in all.
    pub fn teachers(&self) -> u64 {
        self.members.iter().map(|member| u64::from(member.teachers)).sum()
    }

    /// How far the votes of neighbouring data sets differ.
    pub fn sensitivity(&self) -> Result<Sensitivity, ContractError> {
        Ok(Sensitivity::of(self.unit, self.adjacency, self.scheme)?)
    }

    /// The worst that one query can cost, whatever the votes.
    pub fn price_per_query(&self) -> Result<Rho, ContractError> {
        Ok(self.mechanism.worst_case_within(&self.sensitivity()?, self.filter_order)?)
    }

    /// The member that holds `data_id`.
    pub fn member(&self, data_id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.data.as_str() == data_id)
    }

    /// SHA-256 over [`Contract::canonical_bytes`].
    pub fn digest(&self) -> ContractDigest {
        ContractDigest::new(Sha256::digest(self.canonical_bytes()).into())
    }

    /// The layout that is hashed: every field in the order of this struct; integers little-endian, texts and lists
    /// with their length as `u32` before them, δ as the bits of its double. The filter order comes last, and only if there is
    /// one: contracts that were agreed before there were any keep their digests.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = Layout(b"conclave contract 1".to_vec());
        out.text(self.campaign.as_str());
        out.u32(self.protocol_major);
        out.u32(trust_mode_to_wire(self.trust_mode) as u32);
        out.u32(scheme_to_wire(self.scheme) as u32);
        out.mechanism(&self.mechanism);
        let unit = unit_to_wire(self.unit, self.adjacency);
        for figure in [unit.kind.cast_unsigned(), unit.adjacency.cast_unsigned(), unit.multiplicity] {
            out.u32(figure);
        }
        out.length(self.class_names.len());
        self.class_names.iter().for_each(|name| out.text(name));
        out.u64(self.delta.get().to_bits());
        out.u64(self.rho_cap.units());
        for figure in [self.teachers_quorum_min, self.queries_max, self.vote_deadline_ms] {
            out.u32(figure);
        }
        out.0.extend(self.pool.as_bytes());
        out.0.extend(self.features.as_bytes());
        out.0.push(u8::from(self.simulated));
        out.length(self.members.len());
        for member in &self.members {
            out.text(member.organisation.as_str());
            out.text(member.node.as_str());
            out.text(member.data.as_str());
            out.0.extend(member.partition.as_bytes());
            out.u32(member.teachers);
        }
        if !self.filter_order.is_unbounded() {
            out.u32(self.filter_order.get());
        }
        out.0
    }
}

/// Writes the canonical layout.
struct Layout(Vec<u8>);

impl Layout {
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// Lists are bounded by [`Contract::check`] far below 2^32.
    fn length(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn text(&mut self, value: &str) {
        self.length(value.len());
        self.0.extend(value.as_bytes());
    }

    fn mechanism(&mut self, mechanism: &Mechanism) {
        let steps = match mechanism {
            Mechanism::LnMax(m) => vec![m.scale().steps()],
            Mechanism::GnMax(m) => vec![m.sigma().steps()],
            Mechanism::ConfidentGnMax(m) => {
                vec![m.threshold().steps(), m.sigma1().steps(), m.sigma2().steps()]
            }
        };
        self.text(mechanism.name());
        self.0.push(mechanism.lattice().bits());
        for steps in steps {
            self.u64(steps);
        }
    }
}

impl From<&Contract> for wire::Contract {
    fn from(contract: &Contract) -> Self {
        Self {
            campaign_id: contract.campaign.to_string(),
            protocol: Some(wire::ProtocolVersion {
                major: contract.protocol_major,
                ..conclave_proto::PROTOCOL
            }),
            trust_mode: trust_mode_to_wire(contract.trust_mode).into(),
            scheme: scheme_to_wire(contract.scheme).into(),
            mechanism: Some(mechanism_to_wire(&contract.mechanism)),
            lattice_bits: contract.mechanism.lattice().bits().into(),
            unit: Some(unit_to_wire(contract.unit, contract.adjacency)),
            class_names: contract.class_names.clone(),
            delta: contract.delta.get(),
            rho_cap_units: contract.rho_cap.units(),
            filter_order_max: contract.filter_order.get(),
            teachers_quorum_min: contract.teachers_quorum_min,
            queries_max: contract.queries_max,
            vote_deadline_ms: contract.vote_deadline_ms,
            pool_digest: contract.pool.as_bytes().to_vec(),
            features_digest: contract.features.as_bytes().to_vec(),
            simulated: contract.simulated,
            members: contract.members.iter().map(member_to_wire).collect(),
        }
    }
}

impl TryFrom<wire::Contract> for Contract {
    type Error = ContractError;

    fn try_from(message: wire::Contract) -> Result<Self, ContractError> {
        let (unit, adjacency) = unit_from_wire(message.unit.ok_or(ContractError::Missing("unit"))?)?;
        let filter_order = FilterOrder::new(message.filter_order_max).map_err(|_| ContractError::Range {
            field: "filter_order_max",
            value: message.filter_order_max.to_string(),
            fix: "0 (plain zCDP), 2 to 16, 20, 24, 32, 48 or 64".to_owned(),
        })?;
        let contract = Self {
            campaign: CampaignId::new(&message.campaign_id)?,
            protocol_major: message.protocol.ok_or(ContractError::Missing("protocol"))?.major,
            trust_mode: match message.trust_mode() {
                wire::TrustMode::TrustedAggregator => TrustMode::TrustedAggregator,
                wire::TrustMode::Unspecified => return Err(ContractError::Missing("trust_mode")),
            },
            scheme: match message.scheme() {
                wire::VotingScheme::Ensemble => VotingScheme::Ensemble,
                wire::VotingScheme::Unspecified => return Err(ContractError::Missing("scheme")),
            },
            mechanism: mechanism_from_wire(message.mechanism, message.lattice_bits)?,
            unit,
            adjacency,
            class_names: message.class_names,
            delta: Delta::new(message.delta)?,
            rho_cap: Rho::from_units(message.rho_cap_units),
            filter_order,
            teachers_quorum_min: message.teachers_quorum_min,
            queries_max: message.queries_max,
            vote_deadline_ms: message.vote_deadline_ms,
            pool: PoolDigest::from_slice(&message.pool_digest)?,
            features: FeaturesDigest::from_slice(&message.features_digest)?,
            simulated: message.simulated,
            members: message.members.iter().map(member_from_wire).collect::<Result<_, _>>()?,
        };
        contract.check()?;
        Ok(contract)
    }
}

/// The unit and adjacency as a message.
pub fn unit_to_wire(unit: PrivacyUnit, adjacency: Adjacency) -> wire::PrivacyUnit {
    let (kind, multiplicity) = match unit {
        PrivacyUnit::Record => (wire::PrivacyUnitKind::Record, 1),
        PrivacyUnit::Subject { max_silos_per_subject } => {
            (wire::PrivacyUnitKind::Subject, max_silos_per_subject)
        }
        PrivacyUnit::Organisation { teachers_max } => (wire::PrivacyUnitKind::Organisation, teachers_max),
    };
    let adjacency = match adjacency {
        Adjacency::AddRemove => wire::Adjacency::AddRemove,
        Adjacency::Replace => wire::Adjacency::Replace,
    };
    wire::PrivacyUnit { kind: kind.into(), adjacency: adjacency.into(), multiplicity }
}

/// The unit and adjacency of a message.
pub fn unit_from_wire(message: wire::PrivacyUnit) -> Result<(PrivacyUnit, Adjacency), ContractError> {
    let multiplicity = message.multiplicity;
    in_range("unit.multiplicity", multiplicity.into(), 1, u64::from(TEACHERS_PER_NODE_MAX))?;
    let unit = match message.kind() {
        wire::PrivacyUnitKind::Unspecified => return Err(ContractError::Missing("unit.kind")),
        wire::PrivacyUnitKind::Record => {
            in_range("unit.multiplicity (record)", multiplicity.into(), 1, 1)?;
            PrivacyUnit::Record
        }
        wire::PrivacyUnitKind::Subject => PrivacyUnit::Subject { max_silos_per_subject: multiplicity },
        wire::PrivacyUnitKind::Organisation => PrivacyUnit::Organisation { teachers_max: multiplicity },
    };
    let adjacency = match message.adjacency() {
        wire::Adjacency::Unspecified => return Err(ContractError::Missing("unit.adjacency")),
        wire::Adjacency::AddRemove => Adjacency::AddRemove,
        wire::Adjacency::Replace => Adjacency::Replace,
    };
    Ok((unit, adjacency))
}

/// The mechanism as a message; its lattice travels beside it.
pub fn mechanism_to_wire(mechanism: &Mechanism) -> wire::Mechanism {
    use wire::mechanism::Kind;
    let kind = match mechanism {
        Mechanism::LnMax(m) => Kind::Lnmax(wire::LnMax { scale_steps: m.scale().steps() }),
        Mechanism::GnMax(m) => Kind::Gnmax(wire::GnMax { sigma_steps: m.sigma().steps() }),
        Mechanism::ConfidentGnMax(m) => Kind::ConfidentGnmax(wire::ConfidentGnMax {
            threshold_steps: m.threshold().steps(),
            sigma1_steps: m.sigma1().steps(),
            sigma2_steps: m.sigma2().steps(),
        }),
    };
    wire::Mechanism { kind: Some(kind) }
}

/// The mechanism of a message, whose noise is in steps of 2^-`lattice_bits` votes.
pub fn mechanism_from_wire(
    message: Option<wire::Mechanism>,
    lattice_bits: u32,
) -> Result<Mechanism, ContractError> {
    use wire::mechanism::Kind;
    in_range("lattice_bits", lattice_bits.into(), 0, 32)?;
    let lattice = Lattice::new(u8::try_from(lattice_bits).unwrap_or(u8::MAX))?;
    let noise = |steps| NoiseScale::from_steps(steps, lattice);
    Ok(match message.and_then(|m| m.kind).ok_or(ContractError::Missing("mechanism"))? {
        Kind::Lnmax(m) => Mechanism::LnMax(LnMax::new(noise(m.scale_steps)?)),
        Kind::Gnmax(m) => Mechanism::GnMax(GnMax::new(noise(m.sigma_steps)?)),
        Kind::ConfidentGnmax(m) => Mechanism::ConfidentGnMax(ConfidentGnMax::new(
            Threshold::from_steps(m.threshold_steps, lattice)?,
            noise(m.sigma1_steps)?,
            noise(m.sigma2_steps)?,
        )?),
    })
}

fn trust_mode_to_wire(mode: TrustMode) -> wire::TrustMode {
    match mode {
        TrustMode::TrustedAggregator => wire::TrustMode::TrustedAggregator,
    }
}

fn scheme_to_wire(scheme: VotingScheme) -> wire::VotingScheme {
    match scheme {
        VotingScheme::Ensemble => wire::VotingScheme::Ensemble,
    }
}

fn member_to_wire(member: &Member) -> wire::Member {
    wire::Member {
        organisation: member.organisation.to_string(),
        node: member.node.to_string(),
        data_id: member.data.to_string(),
        partition_digest: member.partition.as_bytes().to_vec(),
        teachers: member.teachers,
    }
}

fn member_from_wire(message: &wire::Member) -> Result<Member, ContractError> {
    Ok(Member {
        organisation: OrganisationId::new(&message.organisation)?,
        node: NodeId::new(&message.node)?,
        data: DataId::new(&message.data_id)?,
        partition: PartitionDigest::from_slice(&message.partition_digest)?,
        teachers: message.teachers,
    })
}

fn in_range(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), ContractError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let fix = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(ContractError::Range { field, value: value.to_string(), fix })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two silos with two and three teachers, two classes, GNMax.
    pub(crate) fn contract() -> Contract {
        let member = |name: &str, teachers: u8| Member {
            organisation: OrganisationId::new(&format!("org-{name}")).unwrap(),
            node: NodeId::new("node").unwrap(),
            data: DataId::new(&format!("data-{name}")).unwrap(),
            partition: PartitionDigest::new([teachers; 32]),
            teachers: teachers.into(),
        };
        let lattice = Lattice::new(20).unwrap();
        Contract {
            campaign: CampaignId::new("demo").unwrap(),
            protocol_major: conclave_proto::PROTOCOL.major,
            trust_mode: TrustMode::TrustedAggregator,
            scheme: VotingScheme::Ensemble,
            mechanism: Mechanism::GnMax(GnMax::new(NoiseScale::from_votes(10.0, lattice).unwrap())),
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            class_names: vec!["no".into(), "yes".into()],
            delta: Delta::new(1e-5).unwrap(),
            rho_cap: Rho::from_units(1 << 40),
            filter_order: FilterOrder::DEFAULT,
            teachers_quorum_min: 4,
            queries_max: 100,
            vote_deadline_ms: 1_000,
            pool: PoolDigest::new([1; 32]),
            features: FeaturesDigest::new([2; 32]),
            simulated: false,
            members: vec![member("a", 2), member("b", 3)],
        }
    }

    #[test]
    fn a_contract_crosses_the_wire_unchanged() {
        let contract = contract();
        let received = Contract::try_from(wire::Contract::from(&contract)).unwrap();
        assert_eq!(received, contract);
        assert_eq!(received.digest(), contract.digest());
    }

    /// Contracts of before there was a filter order stand in ledgers, with their digests.
    #[test]
    fn a_contract_without_a_filter_order_keeps_its_layout() {
        let bounded = contract();
        let plain = Contract { filter_order: FilterOrder::UNBOUNDED, ..bounded.clone() };
        assert_eq!(
            plain.digest().to_string(),
            "ebf257b6f32a082dbbb59b292e41bcbece56e71d66004330ea4f60ab9cf69812"
        );
        assert_eq!([plain.canonical_bytes(), vec![16, 0, 0, 0]].concat(), bounded.canonical_bytes());
    }

    type Change = fn(&mut wire::Contract);

    #[test]
    fn every_field_is_under_the_digest() {
        let original = contract();
        let changes: [Change; 18] = [
            |c| c.filter_order_max = 0,
            |c| c.filter_order_max = 32,
            |c| c.campaign_id = "other".into(),
            |c| {
                c.mechanism = Some(mechanism_to_wire(&Mechanism::GnMax(GnMax::new(
                    NoiseScale::from_votes(7.0, Lattice::new(20).unwrap()).unwrap(),
                ))));
            },
            |c| c.lattice_bits = 19,
            |c| c.unit = Some(unit_to_wire(PrivacyUnit::Record, Adjacency::Replace)),
            |c| {
                c.unit = Some(unit_to_wire(
                    PrivacyUnit::Subject { max_silos_per_subject: 2 },
                    Adjacency::AddRemove,
                ));
            },
            |c| c.class_names[1] = "maybe".into(),
            |c| c.delta = 1e-6,
            |c| c.rho_cap_units += 1,
            |c| c.teachers_quorum_min = 5,
            |c| c.queries_max = 99,
            |c| c.vote_deadline_ms = 999,
            |c| c.pool_digest[31] ^= 1,
            |c| c.features_digest[0] ^= 1,
            |c| c.simulated = true,
            |c| c.members[1].teachers = 4,
            |c| c.members[0].partition_digest[3] ^= 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut message = wire::Contract::from(&original);
            change(&mut message);
            assert_ne!(Contract::try_from(message).unwrap().digest(), original.digest(), "change {index}");
        }
    }

    #[test]
    fn what_is_unspecified_or_out_of_range_is_refused_with_its_name() {
        let cases: [(&str, Change); 17] = [
            ("unit", |c| c.unit = None),
            ("unit.kind", |c| c.unit = Some(wire::PrivacyUnit { kind: 0, adjacency: 1, multiplicity: 1 })),
            ("unit.kind", |c| c.unit = Some(wire::PrivacyUnit { kind: 77, adjacency: 1, multiplicity: 1 })),
            ("unit.multiplicity", |c| {
                c.unit = Some(wire::PrivacyUnit { kind: 1, adjacency: 1, multiplicity: 2 });
            }),
            ("trust_mode", |c| c.trust_mode = 0),
            ("scheme", |c| c.scheme = 9),
            ("mechanism", |c| c.mechanism = None),
            ("lattice_bits", |c| c.lattice_bits = 33),
            ("delta", |c| c.delta = f64::NAN),
            ("protocol", |c| c.protocol = Some(wire::ProtocolVersion { major: 2, minor: 0 })),
            ("teachers_quorum_min", |c| c.teachers_quorum_min = 6),
            ("queries_max", |c| c.queries_max = 0),
            ("vote_deadline_ms", |c| c.vote_deadline_ms = 0),
            ("data id", |c| c.members[1].data_id = "data-a".into()),
            ("filter_order_max", |c| c.filter_order_max = 17),
            ("classes", |c| c.class_names.truncate(1)),
            ("classes: 65536 named", |c| {
                c.class_names = (0..65_536).map(|class| class.to_string()).collect();
            }),
        ];
        for (name, change) in cases {
            let mut message = wire::Contract::from(&contract());
            change(&mut message);
            let said = Contract::try_from(message).unwrap_err().to_string();
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}
