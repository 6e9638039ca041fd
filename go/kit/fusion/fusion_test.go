package fusion

import (
	"math"
	"testing"
)

func TestRanked_twoRankings_addsWhatEachRankGives(t *testing.T) {
	got := Ranked(Ranking{0.5, []string{"a", "b", "c"}}, Ranking{0.5, []string{"b", "d", "a"}})
	want := []Fused{
		{"b", 0.5*61.0/62 + 0.5}, {"a", 0.5 + 0.5*61.0/63}, {"d", 0.5 * 61.0 / 62}, {"c", 0.5 * 61.0 / 63},
	}
	same(t, got, want)
}

func TestRanked_weightOfNothing_leavesTheRankingOut(t *testing.T) {
	same(t, Ranked(Ranking{1, []string{"a"}}, Ranking{0, []string{"b", "a"}}), []Fused{{"a", 1}})
	same(t, Ranked(), nil)
}

func TestRelativeScore_twoLists_scalesEach(t *testing.T) {
	got := RelativeScore(Scored{0.25, map[string]float64{"a": 3, "b": 7, "c": 5}}, Scored{0.75, map[string]float64{"c": -2}})
	same(t, got, []Fused{{"c", 0.25*0.5 + 0.75}, {"b", 0.25}, {"a", 0}})
}

func same(t *testing.T, got, want []Fused) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i].ID != want[i].ID || math.Abs(got[i].Score-want[i].Score) > 1e-12 {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
