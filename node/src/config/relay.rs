//! What a relay carries for others, at most.

use serde::Deserialize;

use super::file::Refused;
use super::options::options;

options! {
    /// The limits of a relay. Every one has to end something: a relay that carries
    /// without bound is a free proxy.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct RelayLimits {
        /// Places for those who cannot be reached: about 1 KB each, and a
        /// connection.
        pub max_reservations: usize = 1_024,
        /// Circuits at a time.
        pub max_circuits: usize = 256,
        /// Circuits of one peer at a time. A node behind a symmetric router has no
        /// other way to its sources.
        pub max_circuits_per_peer: usize = 16,
        /// Bytes of one circuit, both directions together: a stream's recent
        /// history and its live records, until a direct connection is there. What
        /// needs more makes a new circuit.
        pub max_circuit_bytes: u64 = 16 << 20,
        /// How long one circuit lasts, in seconds. With 16 MiB and 256 circuits a
        /// relay carries 7 MB/s at most in the long run.
        pub max_circuit_duration_s: u32 = 600,
        /// Places granted to one IP address within an hour: to an office of thirty
        /// nodes, each with two relays. (They are renewed about once an hour.)
        pub reservations_per_ip_hour: u32 = 60,
        /// Circuits from one IP address within an hour: ten pairs that have no
        /// other way, one circuit after the other.
        pub circuits_per_ip_hour: u32 = 60,
    }
}

impl RelayLimits {
    /// Refuses a limit that would not limit, or let nothing through.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let nothing = "with 0 nothing is relayed; leave out the role `relay` instead";
        let limits = [
            (
                "relay.max_circuit_bytes",
                self.max_circuit_bytes,
                "0 means without limit to libp2p, which would make this node a free proxy; name a \
                 number of bytes, such as 16777216",
            ),
            (
                "relay.max_circuit_duration_s",
                self.max_circuit_duration_s.into(),
                "a circuit of 0 seconds ends at once; name a number of seconds, such as 600",
            ),
            (
                "relay.max_reservations",
                self.max_reservations as u64,
                nothing,
            ),
            ("relay.max_circuits", self.max_circuits as u64, nothing),
            (
                "relay.max_circuits_per_peer",
                self.max_circuits_per_peer as u64,
                nothing,
            ),
            (
                "relay.reservations_per_ip_hour",
                self.reservations_per_ip_hour.into(),
                nothing,
            ),
            (
                "relay.circuits_per_ip_hour",
                self.circuits_per_ip_hour.into(),
                nothing,
            ),
        ];
        for (option, limit, why) in limits {
            if limit == 0 {
                return Err(Refused::new(option, why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn set(text: &str) -> Result<RelayLimits, String> {
        let limits: RelayLimits = file::options(text)?;
        limits.check().map_err(|refused| refused.to_string())?;
        Ok(limits)
    }

    #[test]
    fn what_is_not_said_stays() {
        let limits = set("max_circuit_bytes = 1048576\nmax_circuit_duration_s = 120").unwrap();
        let expected = RelayLimits {
            max_circuit_bytes: 1 << 20,
            max_circuit_duration_s: 120,
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
