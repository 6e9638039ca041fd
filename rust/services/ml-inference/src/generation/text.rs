//! From the bytes of tokens to text: whole code points, ended before the first stop text.

/// What a token added to the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// What may be sent.
    pub text: String,
    /// The stop text that ended it.
    pub stop: Option<String>,
}

/// A text that grows token by token.
///
/// What could be the beginning of a stop text, and the bytes of an unfinished code point, are held back until more is known.
#[derive(Debug, Default)]
pub struct Text {
    stops: Vec<String>,
    unfinished: Vec<u8>,
    held: String,
}

impl Text {
    /// An empty text that ends before any of `stops`, none of which is empty.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, unfinished: Vec::new(), held: String::new() }
    }

    /// Adds the bytes of a token.
    pub fn push(&mut self, bytes: &[u8]) -> Added {
        self.unfinished.extend_from_slice(bytes);
        let whole = take_whole(&mut self.unfinished);
        self.held.push_str(&whole);
        if let Some((at, stop)) = self.first_stop() {
            self.unfinished.clear();
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return Added { text, stop: Some(stop) };
        }
        let held = self.held.split_off(self.held.len() - self.could_be_stop());
        Added { text: std::mem::replace(&mut self.held, held), stop: None }
    }

    /// The rest, when no more tokens come. Half a code point is not text.
    pub fn finish(&mut self) -> String {
        self.unfinished.clear();
        std::mem::take(&mut self.held)
    }

    /// The stop text that begins first; of two that begin together, the longer.
    fn first_stop(&self) -> Option<(usize, String)> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop)))
            .min_by_key(|(at, stop)| (*at, usize::MAX - stop.len()))
            .map(|(at, stop)| (at, stop.clone()))
    }

    /// Length in bytes of the longest end of the text that is the beginning of a stop text.
    fn could_be_stop(&self) -> usize {
        let longest = |stop: &String| {
            (1..stop.len())
                .rev()
                .filter(|length| stop.is_char_boundary(*length))
                .find(|length| stop.get(..*length).is_some_and(|beginning| self.held.ends_with(beginning)))
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

/// Takes what is whole off the front; what can never become UTF-8 turns into U+FFFD.
fn take_whole(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(bytes) {
            Ok(whole) => {
                text.push_str(whole);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default()));
                let Some(invalid) = error.error_len() else {
                    bytes.drain(..valid);
                    return text;
                };
                text.push('\u{FFFD}');
                bytes.drain(..valid + invalid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut text = Text::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut sent = Vec::new();
        for piece in pieces {
            let added = text.push(piece);
            sent.push(added.text);
            if added.stop.is_some() {
                return (sent, added.stop);
            }
        }
        sent.push(text.finish());
        (sent, None)
    }

    #[test]
    fn text_never_cuts_a_code_point() {
        let bytes = "a\u{e9}\u{20ac}\u{1f600}z".as_bytes();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (sent, _) = all(&[], &single);
        assert_eq!(sent, ["a", "", "\u{e9}", "", "", "\u{20ac}", "", "", "", "\u{1f600}", "z", ""]);
    }

    #[test]
    fn text_replaces_what_is_no_utf8_and_drops_half_a_code_point_at_the_end() {
        assert_eq!(all(&[], &[b"a\xffb", b"\xe2\x82"]).0.concat(), "a\u{FFFD}b");
    }

    #[test]
    fn text_ends_before_a_stop_that_spans_tokens() {
        let (sent, stop) = all(&["END"], &[b"one E", b"N", b"D two"]);
        assert_eq!((sent.concat().as_str(), stop.as_deref()), ("one ", Some("END")));
        assert_eq!(sent[0], "one ");
    }

    #[test]
    fn text_held_back_for_a_stop_that_does_not_come_is_sent() {
        let (sent, stop) = all(&["END"], &[b"E", b"N", b"ough", b" EN"]);
        assert_eq!((sent.concat().as_str(), stop), ("ENough EN", None));
    }

    #[test]
    fn text_of_two_stops_ends_before_the_first_to_begin() {
        assert_eq!(all(&["b c", "a b"], &[b"x a b c"]), (vec!["x ".to_owned()], Some("a b".to_owned())));
        assert_eq!(all(&["ab", "abc"], &[b"xabc"]), (vec!["x".to_owned()], Some("abc".to_owned())));
    }
}
