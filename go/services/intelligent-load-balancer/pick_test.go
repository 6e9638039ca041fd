package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomPool makes up to eight endpoints in any state, some in zones, some with reports.
func randomPool(random *rand.Rand) []Status {
	statuses := make([]Status, 1+random.IntN(8))
	for i := range statuses {
		statuses[i] = Status{
			Endpoint: Endpoint{Service: "echo", Instance: fmt.Sprintf("i%d", i), Host: "127.0.0.1", Port: uint16(i + 1), Zone: []string{"", "a", "b"}[random.IntN(3)]},
			State:    []State{StateHealthy, StateHealthy, StateHealthy, StatePending, StateUnhealthy}[random.IntN(5)],
		}
		if random.IntN(4) > 0 {
			statuses[i].Utilisation = &Utilisation{
				CPU:         float64(random.IntN(5)) / 4, // steps, so that equal ones occur
				Application: random.Float64() / 4,
				RPS:         float64(random.IntN(1000)),
				EPS:         float64(random.IntN(3)),
			}
		}
	}
	return statuses
}

func TestPick_frequencies_matchWhatExplainSays(t *testing.T) {
	const draws = 20_000
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		pool := randomPool(random)
		wish := Wish{Service: "echo", Zone: []string{"", "a"}[random.IntN(2)]}
		candidates, err := Explain(pool, wish)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[Key]int{}
		picker := NewPicker(random)
		for range draws {
			chosen, err := picker.Pick(pool, wish)
			if err != nil {
				break
			}
			counts[chosen.Endpoint.Key()]++
		}
		for _, candidate := range candidates {
			p := candidate.Probability
			got := float64(counts[candidate.Status.Endpoint.Key()]) / draws
			// Five standard deviations of a binomial share: one false alarm in a million, and the seeds are fixed.
			if tolerance := 5*math.Sqrt(p*(1-p)/draws) + 1e-9; math.Abs(got-p) > tolerance {
				t.Errorf("seed %d: %s was picked %.4f of the time, explained %.4f +- %.4f", seed, candidate.Status.Endpoint.Instance, got, p, tolerance)
			}
		}
	}
}

func TestExplain_probabilities_sumToOneAndFallInOrder(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		pool := randomPool(random)
		wish := Wish{Service: "echo", Zone: []string{"", "a"}[random.IntN(2)], Affinity: []string{"", "k"}[random.IntN(2)]}
		candidates, err := Explain(pool, wish)
		if err != nil {
			t.Fatal(err)
		}
		sum, want := 0.0, 0.0
		for i, candidate := range candidates {
			sum += candidate.Probability
			if candidate.Status.State == StateHealthy {
				want = 1
			} else if candidate.Probability != 0 {
				t.Errorf("seed %d: an endpoint that is %s has probability %g", seed, candidate.Status.State, candidate.Probability)
			}
			if i > 0 && candidate.Probability > candidates[i-1].Probability {
				t.Errorf("seed %d: not the likeliest first", seed)
			}
			if len(candidate.Reasons) == 0 {
				t.Errorf("seed %d: %s has no reason", seed, candidate.Status.Endpoint.Instance)
			}
		}
		if math.Abs(sum-want) > 1e-9 || len(candidates) != len(pool) {
			t.Errorf("seed %d: probabilities sum to %g, want %g; %d of %d candidates", seed, sum, want, len(candidates), len(pool))
		}
	}
}

func TestPick_sameSeed_choosesTheSame(t *testing.T) {
	pool := randomPool(rand.New(rand.NewPCG(4, 4)))
	run := func() (chosen []string) {
		picker := NewPicker(rand.New(rand.NewPCG(7, 7)))
		for range 100 {
			status, err := picker.Pick(pool, Wish{Service: "echo"})
			if err != nil {
				t.Fatal(err)
			}
			chosen = append(chosen, status.Endpoint.Instance)
		}
		return chosen
	}
	if !slices.Equal(run(), run()) {
		t.Fatal("two runs with one seed differ")
	}
}

// healthyPool makes n healthy endpoints that report the utilisation given, or nothing where it is negative.
func healthyPool(cpu ...float64) []Status {
	statuses := make([]Status, len(cpu))
	for i, share := range cpu {
		statuses[i] = Status{Endpoint: endpointAt(fmt.Sprintf("i%d", i), uint16(i+1)), State: StateHealthy}
		if share >= 0 {
			statuses[i].Utilisation = &Utilisation{CPU: share}
		}
	}
	return statuses
}

func probability(t *testing.T, pool []Status, wish Wish, instance string) float64 {
	t.Helper()
	candidates, err := Explain(pool, wish)
	if err != nil {
		t.Fatal(err)
	}
	for _, candidate := range candidates {
		if candidate.Status.Endpoint.Instance == instance {
			return candidate.Probability
		}
	}
	t.Fatalf("no candidate %s", instance)
	return 0
}

func TestPick_lessUtilised_isPreferred(t *testing.T) {
	pool := healthyPool(0.1, 0.5, 0.9)
	// Of three equal weights each pair has 1/3: the idlest wins two of them, the busiest none.
	for instance, want := range map[string]float64{"i0": 2.0 / 3, "i1": 1.0 / 3, "i2": 0} {
		if got := probability(t, pool, Wish{Service: "echo"}, instance); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %g, want %g", instance, got, want)
		}
	}
}

func TestPick_withoutReports_isEven(t *testing.T) {
	pool := healthyPool(-1, -1, -1, -1)
	for i := range 4 {
		if got := probability(t, pool, Wish{Service: "echo"}, fmt.Sprintf("i%d", i)); math.Abs(got-0.25) > 1e-12 {
			t.Errorf("i%d: %g", i, got)
		}
	}
}

func TestPick_higherCapacity_isDrawnMoreOften(t *testing.T) {
	pool := healthyPool(0.5, 0.5, 0.5)
	pool[0].Utilisation.RPS, pool[1].Utilisation.RPS, pool[2].Utilisation.RPS = 400, 100, 100
	if got := probability(t, pool, Wish{Service: "echo"}, "i0"); got <= 1.0/3 {
		t.Errorf("four times the calls at equal utilisation: %g", got)
	}
	pool[0].Utilisation.EPS = 400 // all of its calls fail
	if got := probability(t, pool, Wish{Service: "echo"}, "i0"); got >= 0.5 {
		t.Errorf("with errors: %g", got)
	}
}

func TestPick_absurdReports_keepEveryProbabilityFinite(t *testing.T) {
	pool := healthyPool(1e308, 0.06, 5)
	pool[0].Utilisation.RPS, pool[1].Utilisation.RPS, pool[2].Utilisation.RPS = math.MaxFloat64, math.MaxFloat64, math.SmallestNonzeroFloat64
	pool[2].Utilisation.EPS = math.MaxFloat64
	sum := 0.0
	for i := range 3 {
		sum += probability(t, pool, Wish{Service: "echo"}, fmt.Sprintf("i%d", i))
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Fatalf("probabilities sum to %g", sum)
	}
}

func TestPick_zone_isPreferredWhileItHasHealthyEndpoints(t *testing.T) {
	pool := healthyPool(-1, -1)
	pool[0].Endpoint.Zone = "near"
	wish := Wish{Service: "echo", Zone: "near"}
	if got := probability(t, pool, wish, "i0"); got != 1 {
		t.Errorf("near: %g", got)
	}
	pool[0].State = StateUnhealthy
	if got := probability(t, pool, wish, "i1"); got != 1 {
		t.Errorf("far, near down: %g", got)
	}
	candidates, err := Explain(pool, wish)
	if err != nil || !strings.Contains(strings.Join(candidates[0].Reasons, "; "), `zone "near" has no healthy endpoint`) {
		t.Errorf("reasons %v, %v", candidates[0].Reasons, err)
	}
}

func TestPick_affinity_movesOnlyTheKeysOfTheEndpointThatLeft(t *testing.T) {
	pool := healthyPool(-1, -1, -1, -1)
	picker := NewPicker(rand.New(rand.NewPCG(1, 1)))
	home := func(pool []Status, key string) string {
		status, err := picker.Pick(pool, Wish{Service: "echo", Affinity: key})
		if err != nil {
			t.Fatal(err)
		}
		return status.Endpoint.Instance
	}
	without := slices.Clone(pool)
	without[2].State = StateUnhealthy
	share := map[string]int{}
	const keys = 4000
	for i := range keys {
		key := fmt.Sprintf("user-%d", i)
		before, after := home(pool, key), home(without, key)
		share[before]++
		if before != "i2" && before != after {
			t.Fatalf("%s moved from %s to %s though its endpoint stayed", key, before, after)
		}
		if after == "i2" {
			t.Fatalf("%s went to an unhealthy endpoint", key)
		}
	}
	for instance, count := range share {
		if math.Abs(float64(count)-keys/4) > 5*math.Sqrt(keys*0.25*0.75) {
			t.Errorf("%s is home to %d of %d keys", instance, count, keys)
		}
	}
}

func TestPick_nobodyToChoose_saysWhy(t *testing.T) {
	picker := NewPicker(rand.New(rand.NewPCG(1, 1)))
	if _, err := picker.Pick(nil, Wish{Service: "echo"}); !errors.Is(err, &Error{Kind: KindServiceUnknown}) {
		t.Errorf("no endpoint: %v", err)
	}
	pool := healthyPool(-1)
	pool[0].State = StatePending
	if _, err := picker.Pick(pool, Wish{Service: "echo"}); !errors.Is(err, &Error{Kind: KindNoHealthyEndpoint}) {
		t.Errorf("none healthy: %v", err)
	}
	candidates, err := Explain(pool, Wish{Service: "echo"})
	if err != nil || len(candidates) != 1 || candidates[0].Probability != 0 || candidates[0].Reasons[0] != "takes no calls: pending" {
		t.Errorf("explained %+v, %v", candidates, err)
	}
}
