//! Peers that mean a node no good, and the way on which they come.

mod detour;
mod speaker;

pub use detour::{ATTACKERS, Detour, open, tcp_address};
pub use speaker::{
    CONTROL, QUESTION, Speaker, bytes_field, frame, number_field, write_while_taken,
};
