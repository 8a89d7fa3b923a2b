//! What a relay carries for others, at most.

use std::time::Duration;

use anyhow::bail;
use serde::Deserialize;

/// The limits of a relay. Every one has to end something: a relay that carries
/// without bound is a free proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Places for those who cannot be reached: about 1 KB each, and a
    /// connection.
    pub max_reservations: usize,
    /// Circuits at a time.
    pub max_circuits: usize,
    /// Circuits of one peer at a time.
    pub max_circuits_per_peer: usize,
    /// Bytes of one circuit, both directions together.
    pub max_circuit_bytes: u64,
    /// How long one circuit lasts.
    pub max_circuit_duration: Duration,
    /// Places granted to one IP address within an hour. (They are renewed about
    /// once an hour.)
    pub reservations_per_ip_hour: u32,
    /// Circuits from one IP address within an hour.
    pub circuits_per_ip_hour: u32,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            max_reservations: 1_024,
            max_circuits: 256,
            // A node behind a symmetric router has no other way to its sources.
            max_circuits_per_peer: 16,
            // A stream's recent history and its live records, until a direct
            // connection is there. What needs more makes a new circuit.
            max_circuit_bytes: 16 << 20,
            // With 16 MiB and 256 circuits a relay carries 7 MB/s at most in
            // the long run.
            max_circuit_duration: Duration::from_secs(600),
            // An office of thirty nodes, each with two relays.
            reservations_per_ip_hour: 60,
            // Ten pairs that have no other way, one circuit after the other.
            circuits_per_ip_hour: 60,
        }
    }
}

/// What a user may have said of them. An absent option leaves what was said
/// before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct RelayOptions {
    /// See [`RelayLimits::max_reservations`].
    pub max_reservations: Option<usize>,
    /// See [`RelayLimits::max_circuits`].
    pub max_circuits: Option<usize>,
    /// See [`RelayLimits::max_circuits_per_peer`].
    pub max_circuits_per_peer: Option<usize>,
    /// See [`RelayLimits::max_circuit_bytes`].
    pub max_circuit_bytes: Option<u64>,
    /// See [`RelayLimits::max_circuit_duration`].
    pub max_circuit_duration_s: Option<u32>,
    /// See [`RelayLimits::reservations_per_ip_hour`].
    pub reservations_per_ip_hour: Option<u32>,
    /// See [`RelayLimits::circuits_per_ip_hour`].
    pub circuits_per_ip_hour: Option<u32>,
}

impl RelayLimits {
    /// Takes over what a user said.
    ///
    /// # Errors
    /// A limit would not limit, or let nothing through.
    pub(super) fn set(&mut self, options: &RelayOptions) -> anyhow::Result<()> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        put(&mut self.max_reservations, options.max_reservations);
        put(&mut self.max_circuits, options.max_circuits);
        put(
            &mut self.max_circuits_per_peer,
            options.max_circuits_per_peer,
        );
        put(&mut self.max_circuit_bytes, options.max_circuit_bytes);
        put(
            &mut self.max_circuit_duration,
            options.max_circuit_duration_s.map(seconds),
        );
        put(
            &mut self.reservations_per_ip_hour,
            options.reservations_per_ip_hour,
        );
        put(&mut self.circuits_per_ip_hour, options.circuits_per_ip_hour);
        self.check()
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.max_circuit_bytes == 0 {
            bail!(
                "relay.max_circuit_bytes: 0 means without limit to libp2p, which would make this \
                 node a free proxy; name a number of bytes, such as 16777216"
            );
        }
        if self.max_circuit_duration.is_zero() {
            bail!(
                "relay.max_circuit_duration_s: a circuit of 0 seconds ends at once; name a number \
                 of seconds, such as 600"
            );
        }
        let counts = [
            ("max_reservations", self.max_reservations == 0),
            ("max_circuits", self.max_circuits == 0),
            ("max_circuits_per_peer", self.max_circuits_per_peer == 0),
            (
                "reservations_per_ip_hour",
                self.reservations_per_ip_hour == 0,
            ),
            ("circuits_per_ip_hour", self.circuits_per_ip_hour == 0),
        ];
        for (option, is_zero) in counts {
            if is_zero {
                bail!(
                    "relay.{option}: with 0 nothing is relayed; leave out the role `relay` instead"
                );
            }
        }
        Ok(())
    }
}

fn put<T>(value: &mut T, option: Option<T>) {
    if let Some(option) = option {
        *value = option;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<RelayLimits, String> {
        let mut limits = RelayLimits::default();
        let options = toml::from_str(text).map_err(|error| error.to_string())?;
        (limits.set(&options)).map_err(|error| error.to_string())?;
        Ok(limits)
    }

    #[test]
    fn what_is_not_said_stays() {
        let limits = set("max_circuit_bytes = 1048576\nmax_circuit_duration_s = 120").unwrap();
        let expected = RelayLimits {
            max_circuit_bytes: 1 << 20,
            max_circuit_duration: Duration::from_secs(120),
            ..RelayLimits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn a_limit_that_does_not_limit_is_refused_with_the_reason() {
        assert!(
            set("max_circuit_bytes = 0")
                .unwrap_err()
                .contains("without limit")
        );
        assert!(
            set("max_circuit_duration_s = 0")
                .unwrap_err()
                .contains("ends at once")
        );
        assert!(
            set("max_reservations = 0")
                .unwrap_err()
                .contains("leave out the role")
        );
        assert!(
            set("circuits_per_ip_hour = 0")
                .unwrap_err()
                .contains("leave out the role")
        );
        assert!(set("max_circuit = 1").unwrap_err().contains("max_circuit"));
    }
}
