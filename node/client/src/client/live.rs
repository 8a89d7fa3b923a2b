//! Live streams: history, then every new observation, as events.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use http::Method;

use super::address::{address, stream_path};
use super::sse::{Event, EventReader};
use super::{ByteStream, Client, Error, bytes_of};
use crate::query::LiveQuery;
use crate::times::Unit;

/// The header with which a reader comes back.
const LAST_EVENT_ID: &str = "last-event-id";

impl Client {
    /// The observations from an index or a time on, then every new one.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn live(
        &self,
        name: &str,
        from: &str,
        unit: Option<Unit>,
    ) -> Result<BoxStream<'static, Result<Event, Error>>, Error> {
        let query = LiveQuery {
            from: Some(from.to_owned()),
            time_unit: unit,
        };
        let path = address(&stream_path(name, "/live"), &query)?;
        let answer = self.request(Method::GET, &path, None).await?;
        Ok(events(bytes_of(answer)).boxed())
    }

    /// What follows the event that was the last one, of which this is the id. Whatever has
    /// become of the stream meanwhile: should the observations of before count no more, an
    /// event `reset` says so first.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn live_after(
        &self,
        name: &str,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Event, Error>>, Error> {
        let request = self.head_of(Method::GET, &stream_path(name, "/live"));
        let request = request.header(LAST_EVENT_ID, id);
        let answer = self.send_whole(request, None).await?;
        Ok(events(bytes_of(answer)).boxed())
    }
}

/// Cuts a live stream into its events.
fn events(bytes: ByteStream) -> impl Stream<Item = Result<Event, Error>> {
    let start = (bytes, EventReader::default(), VecDeque::new());
    stream::try_unfold(start, |(mut bytes, mut reader, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                return Ok(Some((event, (bytes, reader, ready))));
            }
            let Some(more) = bytes.try_next().await? else {
                return Ok(None);
            };
            reader.push(&more)?;
            while let Some(event) = reader.next_event()? {
                ready.push_back(event);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn events_are_read_across_the_pieces_they_come_in() {
        let pieces = [
            "id: 1\nda",
            "ta: a\n\nid: 2\ndata: b\n\nid: 3",
            "\ndata: c\n\n",
        ];
        let bytes = stream::iter(pieces.map(|piece| Ok(Bytes::from(piece)))).boxed();
        let events: Vec<Event> = events(bytes).try_collect().await.unwrap();
        let seen: Vec<_> = events
            .iter()
            .map(|e| (e.id.as_str(), e.data.as_str()))
            .collect();
        assert_eq!(seen, [("1", "a"), ("2", "b"), ("3", "c")]);
    }
}
