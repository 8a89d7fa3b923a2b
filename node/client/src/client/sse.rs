//! Server-Sent Events, as the HTML standard defines their text (9.2.6), as far
//! as a reader needs them: the last id, the kind and the data of an event.

/// Bytes of one event at most: a value of 1 MiB, every byte of it escaped.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its kind; `message` when the server names none.
    pub kind: String,
    /// The last id that the server gave, with this event or before it.
    pub id: String,
    /// Its text, several lines joined.
    pub data: String,
}

/// The server sent an event that no reader should keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It does not end.
    #[error("an event of the live stream is longer than {MAX_EVENT_BYTES} bytes")]
    TooLong,
    /// It is not text.
    #[error("an event of the live stream is not UTF-8")]
    NotUtf8,
}

/// Cuts a stream of bytes into events: [`EventReader::push`] what has come,
/// then take [`EventReader::next_event`] until it has none.
#[derive(Clone, Debug, Default)]
pub struct EventReader {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were read.
    read: usize,
    /// The last line ended with a CR, so that an LF belongs to it.
    after_cr: bool,
    begun: bool,
    last_id: String,
    kind: String,
    data: Option<String>,
}

impl EventReader {
    /// Adds bytes that have come.
    ///
    /// # Errors
    /// An event does not end.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), EventError> {
        self.bytes.drain(..self.read);
        self.read = 0;
        let kept = self.data.as_ref().map_or(0, String::len);
        if self.bytes.len() + kept > MAX_EVENT_BYTES {
            return Err(EventError::TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is whole.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventError> {
        while let Some(line) = self.next_line() {
            let line = String::from_utf8(line).map_err(|_| EventError::NotUtf8)?;
            if !line.is_empty() {
                self.field(&line);
            } else if let Some(event) = self.dispatch() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// A line without its end: LF, CR or CR LF.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        if self.after_cr && self.bytes.get(self.read)? == &b'\n' {
            self.read += 1;
        }
        self.after_cr = false;
        let rest = &self.bytes[self.read..];
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let mut line = &rest[..end];
        if !self.begun {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            self.begun = true;
        }
        let line = line.to_vec();
        self.after_cr = rest[end] == b'\r';
        self.read += end + 1;
        Some(line)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_id),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            // A comment (no name), `retry`, or what a later standard adds.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = self.data.take()?;
        Some(Event {
            kind: if kind.is_empty() {
                "message".to_owned()
            } else {
                kind
            },
            id: self.last_id.clone(),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_in_pieces(text: &[u8], piece: usize) -> Vec<Event> {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        for bytes in text.chunks(piece.max(1)) {
            reader.push(bytes).unwrap();
            while let Some(event) = reader.next_event().unwrap() {
                events.push(event);
            }
        }
        events
    }

    fn event(kind: &str, id: &str, data: &str) -> Event {
        Event {
            kind: kind.to_owned(),
            id: id.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}: comment\n\nid: 1\ndata: first\n\nid\ndata:second\ndata\ndata:  third\n\n\
                    event: end\r\ndata\r\n\r\nretry: 3\nevent: nothing\n\ndata: cut off";
        let expected = [
            event("message", "1", "first"),
            event("message", "", "second\n\n third"),
            event("end", "", ""),
        ];
        for piece in 1..text.len() {
            assert_eq!(read_in_pieces(text.as_bytes(), piece), expected, "{piece}");
        }
        let with_cr = text.replace("\r\n", "\n").replace('\n', "\r");
        for piece in 1..text.len() {
            assert_eq!(
                read_in_pieces(with_cr.as_bytes(), piece),
                expected,
                "{piece}"
            );
        }
    }

    #[test]
    fn an_event_that_does_not_end_is_refused() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 1 << 20];
        let result = (0..20).try_for_each(|_| reader.push(&piece));
        assert_eq!(result, Err(EventError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20
        ) {
            let mut reader = EventReader::default();
            for bytes in bytes.chunks(piece) {
                reader.push(bytes).unwrap();
                while let Ok(Some(_)) = reader.next_event() {}
            }
        }

        #[test]
        fn events_are_the_same_however_they_are_cut(
            values in prop::collection::vec("[a-z:\\r\\n ]{0,8}", 0..8), piece in 1_usize..20
        ) {
            let text: String = values.iter().map(|v| format!("id: 7\ndata: {v}\n\n")).collect();
            prop_assert_eq!(
                read_in_pieces(text.as_bytes(), piece),
                read_in_pieces(text.as_bytes(), usize::MAX)
            );
        }
    }
}
