package main

import "time"

// history keeps the last changes, numbered, for those who watch and resume. Not safe for concurrent use: the registry's
// lock covers it.
type history struct {
	base    uint64   // the number before the first change of this process
	last    uint64   // the number of the latest change
	changes []Change // ring: the change n is at n % len
	changed chan struct{}
}

// newHistory keeps up to size changes. Numbering starts at the microseconds of the Unix epoch, so that numbers rise
// across restarts (below a million changes per second) and one from an earlier process is recognised as expired; they
// stay below 2^53 until the year 2255, which keeps them exact in a JavaScript number.
func newHistory(size int, start time.Time) *history {
	base := uint64(start.UnixMicro())
	return &history{base: base, last: base, changes: make([]Change, size), changed: make(chan struct{})}
}

// append numbers the change, keeps it and wakes everybody who waits.
func (h *history) append(change Change) Change {
	h.last++
	change.Sequence = h.last
	h.changes[h.last%uint64(len(h.changes))] = change
	close(h.changed)
	h.changed = make(chan struct{})
	return change
}

// oldest is the number of the oldest change kept, or of the next one where there is none.
func (h *history) oldest() uint64 {
	if kept := uint64(len(h.changes)); h.last-h.base > kept {
		return h.last - kept + 1
	}
	return h.base + 1
}

// since returns the changes after the given number, in order.
//
// Errors: KindSequenceExpired where a change after it is no longer kept, or where this process never reached it.
func (h *history) since(after uint64) ([]Change, error) {
	if after+1 < h.oldest() || after > h.last {
		return nil, &Error{Kind: KindSequenceExpired, Oldest: h.oldest()}
	}
	changes := make([]Change, 0, h.last-after)
	for n := after + 1; n <= h.last; n++ {
		changes = append(changes, h.changes[n%uint64(len(h.changes))])
	}
	return changes, nil
}
