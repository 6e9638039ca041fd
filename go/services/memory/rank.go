package main

import (
	"cmp"
	"math"
	"slices"
	"time"

	"uait.dev/go/kit/fusion"
)

// Ranking is how memories are ranked.
type Ranking int

// The rankings, as the contract numbers them.
const (
	Hybrid Ranking = iota + 1
	KeywordOnly
	VectorOnly
)

// Candidate is a memory that words or meaning found.
type Candidate struct {
	Memory Memory
	// Cosine is that of its embedding and the query's; 0 when it was found by words.
	Cosine float64
	// Common says that the words which found it are in more than half of the tenant's memories, so that they tell nothing.
	Common bool
	// Snippet is the passage with the words; "" when it was found by meaning alone.
	Snippet string
}

// Hit is a memory with its place.
type Hit struct {
	Candidate
	// Score is 0 to 1.
	Score float64
	// KeywordRank and VectorRank count from 1; 0 for none.
	KeywordRank, VectorRank int
}

// Scoring is how candidates become hits.
type Scoring struct {
	// Ranking is how to rank.
	Ranking Ranking
	// VectorWeight is the share of meaning in Hybrid: 0 to 1.
	VectorWeight float64
	// HalfLife halves the score for each such span of age; 0 ignores age.
	HalfLife time.Duration
	// MinScore leaves out what scores less.
	MinScore float64
	// Limit is the most hits.
	Limit int
}

// hits ranks what words and meaning found, both best first. Scores lie between 0 and 1: reciprocal rank fusion scaled so that
// the first of every list has 1 (kit/fusion); by words alone the same of one list, because BM25 has no upper bound; by meaning
// alone the cosine, and 0 below it.
func (s Scoring) hits(worded, near []Candidate, now time.Time) []Hit {
	if s.Ranking == Hybrid {
		// Ranks hide that "the" alone matched; what meaning can rank is left to it then.
		worded = slices.DeleteFunc(slices.Clone(worded), func(c Candidate) bool { return c.Common && c.Memory.Indexed })
	}
	byID := map[string]*Hit{}
	for i, c := range near {
		byID[c.Memory.ID] = &Hit{Candidate: c, VectorRank: i + 1}
	}
	for i, c := range worded {
		if known := byID[c.Memory.ID]; known != nil {
			known.KeywordRank, known.Snippet = i+1, c.Snippet
			continue
		}
		byID[c.Memory.ID] = &Hit{Candidate: c, KeywordRank: i + 1}
	}
	var hits []Hit
	for _, fused := range s.fuse(worded, near) {
		hit := *byID[fused.ID]
		hit.Score = fused.Score * s.recency(hit.Memory, now)
		if hit.Score >= s.MinScore {
			hits = append(hits, hit)
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	return hits[:min(len(hits), s.Limit)]
}

func (s Scoring) fuse(worded, near []Candidate) []fusion.Fused {
	switch s.Ranking {
	case KeywordOnly:
		return fusion.Ranked(fusion.Ranking{Weight: 1, IDs: ids(worded)})
	case VectorOnly:
		fused := make([]fusion.Fused, len(near))
		for i, c := range near {
			fused[i] = fusion.Fused{ID: c.Memory.ID, Score: min(1, max(0, c.Cosine))}
		}
		return fused
	default:
		return fusion.Ranked(
			fusion.Ranking{Weight: 1 - s.VectorWeight, IDs: ids(worded)}, fusion.Ranking{Weight: s.VectorWeight, IDs: ids(near)})
	}
}

func (s Scoring) recency(m Memory, now time.Time) float64 {
	if s.HalfLife <= 0 {
		return 1
	}
	return math.Exp2(-max(0, float64(now.Sub(m.CreateTime))) / float64(s.HalfLife))
}

func ids(candidates []Candidate) []string {
	ids := make([]string, len(candidates))
	for i, c := range candidates {
		ids[i] = c.Memory.ID
	}
	return ids
}
