package events

import "sync"

type progress int

const (
	fresh progress = iota
	running
	done
)

// handledSet remembers the ids of the events being handled and of the last ones that were. It is safe for concurrent use.
type handledSet struct {
	mu       sync.Mutex
	progress map[string]progress
	recent   []string // a ring of the ids that are done
	next     int
}

func newHandledSet(keep int) *handledSet {
	return &handledSet{progress: map[string]progress{}, recent: make([]string, keep)}
}

// begin says how far the event of that id is, and counts a fresh one as running.
func (h *handledSet) begin(id string) progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.progress[id]
	if before == fresh {
		h.progress[id] = running
	}
	return before
}

// end counts a running event as done, or as fresh again.
func (h *handledSet) end(id string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !ok {
		delete(h.progress, id)
		return
	}
	h.progress[id] = done
	if oldest := h.recent[h.next]; oldest != "" {
		delete(h.progress, oldest)
	}
	h.recent[h.next] = id
	h.next = (h.next + 1) % len(h.recent)
}
