//! The accountants by name, and which mechanisms each can price.

use super::Answered;
use crate::Error;
use crate::accountant::Direction;
use crate::data_dependent::NoisyVote;

/// An accountant by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountantName {
    /// Pure ε.
    Pure,
    /// Advanced composition of pure ε.
    Advanced,
    /// Zero-concentrated differential privacy.
    Zcdp,
    /// Rényi, published data-independent costs.
    Rdp,
    /// Privacy-loss distributions.
    Pld,
    /// The same, rounded the other way.
    PldLower,
    /// Gaussian differential privacy.
    Gdp,
    /// Rényi, published data-dependent costs.
    RdpDataDependent,
    /// Rényi, exact costs of these votes.
    Exact,
    /// Rényi, exact worst case over all votes.
    ExactWorstCase,
}

impl AccountantName {
    /// All of them, the most general first.
    pub const ALL: [Self; 10] = [
        Self::Pure,
        Self::Advanced,
        Self::Zcdp,
        Self::Rdp,
        Self::Pld,
        Self::PldLower,
        Self::Gdp,
        Self::RdpDataDependent,
        Self::Exact,
        Self::ExactWorstCase,
    ];

    /// The name on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Advanced => "advanced",
            Self::Zcdp => "zcdp",
            Self::Rdp => "rdp",
            Self::Pld => "pld",
            Self::PldLower => "pld-lower",
            Self::Gdp => "gdp",
            Self::RdpDataDependent => "rdp-data-dependent",
            Self::Exact => "exact",
            Self::ExactWorstCase => "exact-worst-case",
        }
    }

    /// Whether its prices are the same for all votes.
    pub const fn cost_publishable(self) -> bool {
        !matches!(self, Self::RdpDataDependent | Self::Exact)
    }

    /// Where its results lie beside the loss that they are about.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Exact => Direction::Exact,
            Self::RdpDataDependent => Direction::OneDirection,
            Self::PldLower => Direction::LowerBound,
            Self::Pure
            | Self::Advanced
            | Self::Zcdp
            | Self::Rdp
            | Self::Pld
            | Self::Gdp
            | Self::ExactWorstCase => Direction::UpperBound,
        }
    }

    /// Whether its results bound a loss from above.
    pub const fn is_guarantee(self) -> bool {
        !matches!(self.direction(), Direction::LowerBound)
    }

    /// Refuses pairs that have no meaning, and a threshold that is no number.
    pub fn check(self, mechanism: &NoisyVote, answered: Answered) -> Result<(), Error> {
        mechanism.check()?;
        let laplace = matches!(mechanism, NoisyVote::LnMax { .. });
        let refuse = |event, fix| Err(Error::UnsupportedEvent { accountant: self.as_str(), event, fix });
        match self {
            Self::Pure | Self::Advanced if !laplace => {
                refuse("Gaussian noise", "use zcdp, rdp, pld, gdp, exact or exact-worst-case")
            }
            Self::Gdp if laplace => {
                refuse("Laplace noise", "use pure, advanced, zcdp, rdp, pld, exact or exact-worst-case")
            }
            Self::Exact => Ok(()),
            _ if answered == Answered::Joint => {
                refuse("threshold and argmax as one law", "use exact, or answered all, expected or a number")
            }
            _ => Ok(()),
        }
    }

    /// Whether it is a sum of Rényi costs on the grid of orders.
    pub(super) const fn on_grid(self) -> bool {
        !matches!(self, Self::Pure | Self::Advanced | Self::Zcdp | Self::Pld | Self::PldLower | Self::Gdp)
    }

    /// Whether one query has a cost at each order.
    pub(super) const fn has_curve(self) -> bool {
        self.on_grid() || matches!(self, Self::Zcdp)
    }
}
