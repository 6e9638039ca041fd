//! Flow control of HTTP/2, for both ends. h2 ends a connection ("too_many_data_frames") whose unread DATA frames of fewer than 256
//! bytes, each counted as what it lacks of them, add up to half of the connection's window; a fast stream of small messages to a
//! reader that is busy would do that. The stream's window is what bounds the frames that can be unread.

/// Unread bytes of one stream: with its header a message takes at least five, and 4,096 of 16 bytes count a megabyte.
pub(crate) const STREAM: u32 = 65_535;
/// Unread bytes of one connection; half of it is the budget, for sixteen streams that nobody reads at all.
pub(crate) const CONNECTION: u32 = 32 << 20;
