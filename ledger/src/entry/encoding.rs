//! The bytes of an entry's body, as drawn in `docs/ledger-format.md`: a kind byte, then fixed fields.
//!
//! Every entry has one encoding, and bytes that are not the encoding of an entry are refused.

use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};

use super::{
    Abandon, AbandonReason, AccountOpened, CampaignOpened, Created, Draw, Entry, Interrupt, Release, Reserve,
    Start,
};
use crate::backend::{Columns, SCHEMA_VERSION, SCHEMA_VERSION_PLAIN};
use crate::codec::{Malformed, Reader, Writer};
use crate::keys::{CampaignKey, DataKey, Digest, KEY_BYTES_MAX, LedgerId, QueryKey};
use crate::terms::{AccountTerms, CampaignTerms, Genesis, NAME_BYTES_MAX, Predecessor};

type Read<T> = Result<T, Malformed>;

impl Entry {
    /// The kind as auditors read it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::Start(_) => "start",
            Self::Account(_) => "account",
            Self::Campaign(_) => "campaign",
            Self::Reserve(_) => "reserve",
            Self::Draw(_) => "draw",
            Self::Release(_) => "release",
            Self::Abandon(_) => "abandon",
            Self::Interrupt(_) => "interrupt",
        }
    }

    /// The readable columns that stand beside the body.
    pub(crate) fn columns(&self) -> Columns {
        let mut columns = Columns { kind: self.kind().to_owned(), ..Columns::default() };
        match self {
            Self::Genesis(_) | Self::Start(_) => {}
            Self::Account(entry) => columns.account = Some(entry.terms.data.to_string()),
            Self::Campaign(entry) => columns.campaign = Some(entry.terms.key.to_string()),
            Self::Reserve(entry) => {
                columns.campaign = Some(entry.campaign.to_string());
                columns.reservation = Some(entry.number);
            }
            Self::Draw(Draw { number, .. })
            | Self::Release(Release { number, .. })
            | Self::Abandon(Abandon { number, .. })
            | Self::Interrupt(Interrupt { number, .. }) => columns.reservation = Some(*number),
        }
        columns
    }

    /// The body.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let to = &mut body;
        match self {
            Self::Genesis(Created { schema, terms }) => {
                to.u8(1).u16(*schema).raw(terms.ledger_id.as_bytes()).bool(terms.simulated);
            }
            Self::Start(start) => {
                to.u8(2).u64(start.epoch);
            }
            Self::Account(account) => write_account(to.u8(3), account),
            Self::Campaign(campaign) => {
                let plain = campaign.terms.filter_order.is_unbounded();
                write_campaign(to.u8(if plain { CAMPAIGN_PLAIN } else { CAMPAIGN }), campaign);
            }
            Self::Reserve(reserve) => {
                to.u8(5).u64(reserve.number).u64(reserve.epoch).text(reserve.campaign.as_str());
                to.u64(reserve.price.units());
                write_positions(to, &reserve.members);
                to.count(reserve.queries.len());
                for (query, attempt) in &reserve.queries {
                    to.raw(query.as_bytes()).u8(*attempt);
                }
            }
            Self::Draw(draw) => {
                to.u8(6).u64(draw.number).u64(draw.epoch).raw(draw.vote_set.as_bytes());
                write_positions(to, &draw.silos);
            }
            Self::Release(release) => {
                to.u8(7).u64(release.number).u64(release.epoch).u64(release.charge.units());
                to.count(release.answers.len());
                for answer in &release.answers {
                    match answer {
                        // A state takes no answer beyond the classes of its campaign.
                        Outcome::Label(class) => {
                            to.u8(1).u16(u16::try_from(class.0).expect("a campaign has at most 2^16 classes"))
                        }
                        Outcome::Abstained => to.u8(2).u16(0),
                    };
                }
            }
            Self::Abandon(abandon) => {
                to.u8(8).u64(abandon.number).u64(abandon.epoch).u8(abandon.reason.code());
            }
            Self::Interrupt(interrupt) => {
                to.u8(9).u64(interrupt.number).u64(interrupt.epoch).count(interrupt.closed.len());
                for position in &interrupt.closed {
                    to.u32(*position);
                }
            }
        }
        body.finish()
    }

    /// The entry that a body says, or where it stops making sense.
    pub(crate) fn decode(body: &[u8]) -> Read<Self> {
        let from = &mut Reader::new(body);
        let entry = match from.u8("kind")? {
            1 => {
                let schema = from.u16("schema version")?;
                if !(SCHEMA_VERSION_PLAIN..=SCHEMA_VERSION).contains(&schema) {
                    return Err(from.malformed("schema version"));
                }
                let ledger_id = LedgerId::new(from.array("ledger id")?);
                let terms = Genesis { ledger_id, simulated: from.bool("simulated")? };
                Self::Genesis(Created { schema, terms })
            }
            2 => Self::Start(Start { epoch: from.u64("epoch")? }),
            3 => Self::Account(read_account(from)?),
            kind @ (CAMPAIGN_PLAIN | CAMPAIGN) => {
                Self::Campaign(read_campaign(from, kind == CAMPAIGN_PLAIN)?)
            }
            5 => Self::Reserve(Reserve {
                number: from.u64("reservation")?,
                epoch: from.u64("epoch")?,
                campaign: read_campaign_key(from)?,
                price: read_rho(from, "price")?,
                members: read_positions(from, "members")?,
                queries: from.list("queries", 33, |from| {
                    Ok((QueryKey::new(from.array("query")?), from.u8("attempt")?))
                })?,
            }),
            6 => Self::Draw(Draw {
                number: from.u64("reservation")?,
                epoch: from.u64("epoch")?,
                vote_set: Digest::new(from.array("vote set")?),
                silos: read_positions(from, "silos")?,
            }),
            7 => Self::Release(Release {
                number: from.u64("reservation")?,
                epoch: from.u64("epoch")?,
                charge: read_rho(from, "charge")?,
                answers: from.list("answers", 3, read_outcome)?,
            }),
            8 => Self::Abandon(Abandon {
                number: from.u64("reservation")?,
                epoch: from.u64("epoch")?,
                reason: AbandonReason::of_code(from.u8("reason")?).ok_or(from.malformed("reason"))?,
            }),
            9 => Self::Interrupt(Interrupt {
                number: from.u64("reservation")?,
                epoch: from.u64("epoch")?,
                closed: from.list("closed", 4, |from| from.u32("closed"))?,
            }),
            _ => return Err(from.malformed("kind")),
        };
        from.finish()?;
        Ok(entry)
    }
}

impl AbandonReason {
    const fn code(self) -> u8 {
        match self {
            Self::NoQuorum => 1,
            Self::Stopped => 2,
            Self::GuardRefused => 3,
            Self::Failed => 4,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::NoQuorum),
            2 => Some(Self::Stopped),
            3 => Some(Self::GuardRefused),
            4 => Some(Self::Failed),
            _ => None,
        }
    }
}

fn write_account(to: &mut Writer, AccountOpened { terms, cap, inherited }: &AccountOpened) {
    to.text(terms.data.as_str()).text(&terms.organisation).raw(terms.partition.as_bytes());
    to.f64(terms.epsilon.get()).f64(terms.delta.get()).u64(cap.units()).u32(terms.filter_order.get());
    write_unit(to, terms.unit, terms.adjacency);
    to.u32(terms.max_silos_per_subject);
    match &terms.predecessor {
        Predecessor::None => to.u8(0),
        Predecessor::Inherits(data) => to.u8(1).text(data.as_str()),
        Predecessor::Disjoint(data) => to.u8(2).text(data.as_str()),
    };
    to.u64(inherited.units());
}

/// A campaign of plain zCDP; the only kind of schema version 1.
const CAMPAIGN_PLAIN: u8 = 4;
/// A campaign whose accounts bound the orders up to ω.
const CAMPAIGN: u8 = 10;

fn read_filter_order(from: &mut Reader<'_>) -> Read<FilterOrder> {
    let order = from.u32("filter order")?;
    FilterOrder::new(order).map_err(|_| from.malformed("filter order"))
}

fn read_account(from: &mut Reader<'_>) -> Read<AccountOpened> {
    let data = read_data_key(from)?;
    let organisation = from.text("organisation", NAME_BYTES_MAX)?;
    let partition = Digest::new(from.array("partition")?);
    let (epsilon, delta) = read_epsilon_delta(from)?;
    let cap = read_rho(from, "cap")?;
    let filter_order = read_filter_order(from)?;
    let (unit, adjacency) = read_unit(from)?;
    let max_silos_per_subject = from.u32("max_silos_per_subject")?;
    let predecessor = match from.u8("predecessor")? {
        0 => Predecessor::None,
        1 => Predecessor::Inherits(read_data_key(from)?),
        2 => Predecessor::Disjoint(read_data_key(from)?),
        _ => return Err(from.malformed("predecessor")),
    };
    let inherited = read_rho(from, "inherited")?;
    let terms = AccountTerms {
        data,
        organisation,
        partition,
        epsilon,
        delta,
        filter_order,
        unit,
        adjacency,
        max_silos_per_subject,
        predecessor,
    };
    Ok(AccountOpened { terms, cap, inherited })
}

fn write_campaign(to: &mut Writer, CampaignOpened { terms, sub_cap, price, abstention }: &CampaignOpened) {
    to.text(terms.key.as_str()).raw(terms.contract_digest.as_bytes()).blob(&terms.contract);
    write_mechanism(to, &terms.mechanism);
    write_unit(to, terms.unit, terms.adjacency);
    to.u8(match terms.scheme {
        VotingScheme::Ensemble => 1,
    });
    to.f64(terms.epsilon.get()).f64(terms.delta.get());
    if !terms.filter_order.is_unbounded() {
        to.u32(terms.filter_order.get());
    }
    to.u64(sub_cap.units()).u64(price.units());
    if !terms.filter_order.is_unbounded() {
        to.u64(abstention.unwrap_or(*price).units());
    }
    to.u64(terms.queries_max).count(terms.classes.len());
    for class in &terms.classes {
        to.text(class);
    }
    to.count(terms.members.len());
    for member in &terms.members {
        to.text(member.as_str());
    }
    to.bool(terms.simulated);
}

fn read_campaign(from: &mut Reader<'_>, plain: bool) -> Read<CampaignOpened> {
    let key = read_campaign_key(from)?;
    let contract_digest = Digest::new(from.array("contract digest")?);
    let contract = from.blob("contract")?.to_vec();
    let mechanism = read_mechanism(from)?;
    let (unit, adjacency) = read_unit(from)?;
    let scheme = match from.u8("voting scheme")? {
        1 => VotingScheme::Ensemble,
        _ => return Err(from.malformed("voting scheme")),
    };
    let (epsilon, delta) = read_epsilon_delta(from)?;
    let filter_order = if plain { FilterOrder::UNBOUNDED } else { read_filter_order(from)? };
    if filter_order.is_unbounded() != plain {
        return Err(from.malformed("filter order"));
    }
    let sub_cap = read_rho(from, "sub-cap")?;
    let price = read_rho(from, "price")?;
    let abstention = if plain { None } else { Some(read_rho(from, "abstention")?) };
    let queries_max = from.u64("queries_max")?;
    let classes = from.list("classes", 4, |from| from.text("class name", NAME_BYTES_MAX))?;
    let members = from.list("members", 4, read_data_key)?;
    let simulated = from.bool("simulated")?;
    let terms = CampaignTerms {
        key,
        contract_digest,
        contract,
        mechanism,
        unit,
        adjacency,
        scheme,
        epsilon,
        delta,
        filter_order,
        queries_max,
        classes,
        members,
        simulated,
    };
    Ok(CampaignOpened { terms, sub_cap, price, abstention })
}

fn write_mechanism(to: &mut Writer, mechanism: &Mechanism) {
    to.u8(match mechanism {
        Mechanism::LnMax(_) => 1,
        Mechanism::GnMax(_) => 2,
        Mechanism::ConfidentGnMax(_) => 3,
    });
    to.u8(mechanism.lattice().bits());
    match mechanism {
        Mechanism::LnMax(lnmax) => to.u64(lnmax.scale().steps()),
        Mechanism::GnMax(gnmax) => to.u64(gnmax.sigma().steps()),
        Mechanism::ConfidentGnMax(confident) => to
            .u64(confident.threshold().steps())
            .u64(confident.sigma1().steps())
            .u64(confident.sigma2().steps()),
    };
}

fn read_mechanism(from: &mut Reader<'_>) -> Read<Mechanism> {
    let kind = from.u8("mechanism")?;
    let lattice = Lattice::new(from.u8("lattice")?).map_err(|_| from.malformed("lattice"))?;
    let scale = |from: &mut Reader<'_>, what| {
        let steps = from.u64(what)?;
        NoiseScale::from_steps(steps, lattice).map_err(|_| from.malformed(what))
    };
    match kind {
        1 => Ok(LnMax::new(scale(from, "scale")?).into()),
        2 => Ok(GnMax::new(scale(from, "sigma")?).into()),
        3 => {
            let steps = from.u64("threshold")?;
            let threshold = Threshold::from_steps(steps, lattice).map_err(|_| from.malformed("threshold"))?;
            let (sigma1, sigma2) = (scale(from, "sigma1")?, scale(from, "sigma2")?);
            let confident = ConfidentGnMax::new(threshold, sigma1, sigma2);
            Ok(confident.map_err(|_| from.malformed("mechanism"))?.into())
        }
        _ => Err(from.malformed("mechanism")),
    }
}

fn write_unit(to: &mut Writer, unit: PrivacyUnit, adjacency: Adjacency) {
    match unit {
        PrivacyUnit::Record => to.u8(1).u32(0),
        PrivacyUnit::Subject { max_silos_per_subject } => to.u8(2).u32(max_silos_per_subject),
        PrivacyUnit::Organisation { teachers_max } => to.u8(3).u32(teachers_max),
    };
    to.u8(match adjacency {
        Adjacency::AddRemove => 1,
        Adjacency::Replace => 2,
    });
}

fn read_unit(from: &mut Reader<'_>) -> Read<(PrivacyUnit, Adjacency)> {
    let unit = match (from.u8("unit")?, from.u32("unit")?) {
        (1, 0) => PrivacyUnit::Record,
        (2, max_silos_per_subject) => PrivacyUnit::Subject { max_silos_per_subject },
        (3, teachers_max) => PrivacyUnit::Organisation { teachers_max },
        _ => return Err(from.malformed("unit")),
    };
    let adjacency = match from.u8("adjacency")? {
        1 => Adjacency::AddRemove,
        2 => Adjacency::Replace,
        _ => return Err(from.malformed("adjacency")),
    };
    Ok((unit, adjacency))
}

fn write_positions(to: &mut Writer, positions: &[u16]) {
    to.count(positions.len());
    for position in positions {
        to.u16(*position);
    }
}

fn read_positions(from: &mut Reader<'_>, what: &'static str) -> Read<Vec<u16>> {
    from.list(what, 2, |from| from.u16(what))
}

fn read_outcome(from: &mut Reader<'_>) -> Read<Outcome> {
    match (from.u8("answer")?, from.u16("answer")?) {
        (1, class) => Ok(Outcome::Label(class.into())),
        (2, 0) => Ok(Outcome::Abstained),
        _ => Err(from.malformed("answer")),
    }
}

fn read_epsilon_delta(from: &mut Reader<'_>) -> Read<(Epsilon, Delta)> {
    let epsilon = Epsilon::new(from.f64("epsilon")?).map_err(|_| from.malformed("epsilon"))?;
    let delta = Delta::new(from.f64("delta")?).map_err(|_| from.malformed("delta"))?;
    Ok((epsilon, delta))
}

fn read_rho(from: &mut Reader<'_>, what: &'static str) -> Read<Rho> {
    from.u64(what).map(Rho::from_units)
}

fn read_data_key(from: &mut Reader<'_>) -> Read<DataKey> {
    let text = from.text("data id", KEY_BYTES_MAX)?;
    DataKey::new(text).map_err(|_| from.malformed("data id"))
}

fn read_campaign_key(from: &mut Reader<'_>) -> Read<CampaignKey> {
    let text = from.text("campaign", KEY_BYTES_MAX)?;
    CampaignKey::new(text).map_err(|_| from.malformed("campaign"))
}
