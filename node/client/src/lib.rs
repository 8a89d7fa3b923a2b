//! What a program needs to talk to a Headwater node, without being one: nothing
//! here knows of a store or a swarm, and nothing compiles C++.

pub mod data_dir;
pub mod failure;
pub mod invite;
pub mod keys;
pub mod object;
pub mod proof;
pub mod times;
pub mod types;
