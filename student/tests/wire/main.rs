//! The whole student over real mutual TLS, against a campaign that answers by script.

mod following;
mod life;
mod serving;
mod world;
