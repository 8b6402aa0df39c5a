//! Servers and clients over real TCP and TLS on loopback: who gets in, who does not, and what bounds hold.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod echo;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod kits;
#[cfg(test)]
mod probing;
#[cfg(test)]
mod turned_away;
