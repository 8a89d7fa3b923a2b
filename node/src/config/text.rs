//! Values that are written as texts, in the file and behind a flag alike.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use libp2p::Multiaddr;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A value that is written as a text.
pub(super) trait Text: Sized {
    /// What such texts are, for whoever wrote something else.
    const WHAT: &'static str;

    /// Reads it.
    ///
    /// # Errors
    /// It is something else; says what is expected.
    fn read(text: &str) -> Result<Self, String>;
}

impl Text for Multiaddr {
    const WHAT: &'static str = "a multiaddr such as /ip4/192.0.2.1/tcp/4600";

    fn read(text: &str) -> Result<Self, String> {
        (text.parse()).map_err(|_| format!("`{text}` is not {}", Self::WHAT))
    }
}

impl Text for SocketAddr {
    const WHAT: &'static str = "an IP address with a port, such as 127.0.0.1:8600";

    fn read(text: &str) -> Result<Self, String> {
        (text.parse()).map_err(|_| format!("`{text}` is not {}", Self::WHAT))
    }
}

/// For a field that is such a value.
///
/// # Errors
/// It is no text, or not one of these.
pub(super) fn one<'de, D: Deserializer<'de>, T: Text>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(Reader(PhantomData))
}

/// For a field that may be left off.
///
/// # Errors
/// As [`one`].
pub(super) fn optional<'de, D: Deserializer<'de>, T: Text>(from: D) -> Result<Option<T>, D::Error> {
    one(from).map(Some)
}

/// For a field that is a list of them.
///
/// # Errors
/// It is no list, or an element as in [`one`].
pub(super) fn list<'de, D: Deserializer<'de>, T: Text>(from: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<Element<T>>::deserialize(from)?;
    Ok(values.into_iter().map(|Element(value)| value).collect())
}

struct Element<T>(T);

impl<'de, T: Text> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one(from).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }
}
