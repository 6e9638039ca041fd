// Package fusion makes one ranking of several.
package fusion

import (
	"cmp"
	"slices"
)

// K damps the difference between the first ranks: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet
// and individual Rank Learning Methods" (SIGIR 2009), use 60.
const K = 60

// Ranking is one ordering of ids, best first, and how much it counts.
type Ranking struct {
	// Weight is the share of this ranking: 0 to 1, together 1.
	Weight float64
	// IDs are the ids, best first, each once.
	IDs []string
}

// Fused is an id with the score of all rankings.
type Fused struct {
	// ID is the id.
	ID string
	// Score is 0 to 1; 1 for what is first in every ranking that counts.
	Score float64
}

// Ranked fuses by reciprocal rank, best first, equal scores by id. The paper's score, the sum over the rankings of 1/(K+rank)
// with ranks from 1, is weighted and multiplied by K+1, so that it lies between 0 and 1.
func Ranked(rankings ...Ranking) []Fused {
	scores := map[string]float64{}
	for _, ranking := range rankings {
		if ranking.Weight <= 0 {
			continue
		}
		for i, id := range ranking.IDs {
			scores[id] += ranking.Weight * Reciprocal(i+1)
		}
	}
	return order(scores)
}

// Reciprocal is the part of a score that a rank, from 1, gives: 1 for the first.
func Reciprocal(rank int) float64 { return (K + 1) / float64(K+rank) }

// Scored is one list of scores, and how much it counts.
type Scored struct {
	// Weight is the share of this list: 0 to 1, together 1.
	Weight float64
	// Scores are the scores by id; greater is better.
	Scores map[string]float64
}

// RelativeScore fuses by scores, each list scaled so that its least is 0 and its greatest 1; best first, equal scores by id.
func RelativeScore(lists ...Scored) []Fused {
	scores := map[string]float64{}
	for _, list := range lists {
		if list.Weight <= 0 || len(list.Scores) == 0 {
			continue
		}
		first := true
		var least, greatest float64
		for _, score := range list.Scores {
			if first {
				least, greatest, first = score, score, false
			}
			least, greatest = min(least, score), max(greatest, score)
		}
		for id, score := range list.Scores {
			scaled := 1.0
			if greatest > least {
				scaled = (score - least) / (greatest - least)
			}
			scores[id] += list.Weight * scaled
		}
	}
	return order(scores)
}

func order(scores map[string]float64) []Fused {
	fused := make([]Fused, 0, len(scores))
	for id, score := range scores {
		fused = append(fused, Fused{ID: id, Score: min(1, score)})
	}
	slices.SortFunc(fused, func(a, b Fused) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return fused
}
