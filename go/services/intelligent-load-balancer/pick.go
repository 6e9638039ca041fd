package main

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
)

// Wish is what a caller asks of a pick.
type Wish struct {
	Service  string
	Zone     string // preferred zone; empty for no preference
	Affinity string // calls with the same key go to the same endpoint; empty for none
}

// minUtilisation is the least utilisation from which a capacity can be told. Below it a process's fixed costs drown
// those of its calls, and an endpoint would gain weight by the very calls that it is given.
const minUtilisation = 0.05

// maxWeightRatio is how much more weight one endpoint may have than another, so that one that overstates itself starves
// nobody and each is tried often enough to be known.
const maxWeightRatio = 100

// maxRPS is more than any process serves; a report beyond it must not overflow the arithmetic.
const maxRPS = 1e9

// Candidate is an endpoint as a pick weighs it.
type Candidate struct {
	Status      Status
	Probability float64 // that Pick chooses it, 0 to 1
	Reasons     []string
}

// Picker chooses endpoints. Safe for concurrent use.
type Picker struct {
	mu     sync.Mutex
	random *rand.Rand
}

// NewPicker draws from the generator given, which it owns from then on.
func NewPicker(random *rand.Rand) *Picker { return &Picker{random: random} }

// Pick chooses one of a service's endpoints by the rule that newDraw describes.
//
// Errors: KindServiceUnknown where there is no endpoint, KindNoHealthyEndpoint where none is healthy.
func (p *Picker) Pick(endpoints []Status, wish Wish) (Status, error) {
	d, err := newDraw(endpoints, wish)
	if err != nil {
		return Status{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return d.pool[d.choose(p.random)], nil
}

// Explain returns every endpoint of the service with the exact probability that Pick chooses it, the likeliest first.
//
// Errors: KindServiceUnknown where there is no endpoint. Where none is healthy, all have probability 0.
func Explain(endpoints []Status, wish Wish) ([]Candidate, error) {
	if len(endpoints) == 0 {
		return nil, &Error{Kind: KindServiceUnknown, Service: wish.Service}
	}
	chances := map[Key]Candidate{}
	var narrowed bool
	if d, err := newDraw(endpoints, wish); err == nil {
		narrowed = d.narrowed
		for i, probability := range d.probabilities() {
			chances[d.pool[i].Endpoint.Key()] = Candidate{Probability: probability, Reasons: d.reasons(i, wish)}
		}
	}
	candidates := make([]Candidate, len(endpoints))
	for i, status := range endpoints {
		candidate, drawn := chances[status.Endpoint.Key()]
		candidate.Status = status
		switch {
		case drawn:
		case status.State != StateHealthy:
			candidate.Reasons = []string{"takes no calls: " + status.State.String()}
		case narrowed:
			candidate.Reasons = []string{"healthy", "outside the preferred zone " + strconv.Quote(wish.Zone) + ", which has healthy endpoints"}
		}
		candidates[i] = candidate
	}
	slices.SortStableFunc(candidates, func(a, b Candidate) int { return cmp.Compare(b.Probability, a.Probability) })
	return candidates, nil
}

// draw is one pick, decided but for chance.
type draw struct {
	pool        []Status
	narrowed    bool // whether the zone left endpoints out
	affine      int  // the endpoint that affinity decides for; -1 where chance decides
	weights     []float64
	utilisation []float64
}

// newDraw sets the rule of a pick. Only healthy endpoints count, and of those only the ones in the preferred zone where
// there are any. With an affinity key the highest rendezvous score decides (Thaler and Ravishankar, 1998): a key moves
// only when its endpoint leaves or a new one scores higher. Otherwise two different endpoints are drawn in proportion
// to their weights and the less utilised one of them is chosen, either by even chance where they are equal
// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
func newDraw(endpoints []Status, wish Wish) (*draw, error) {
	if len(endpoints) == 0 {
		return nil, &Error{Kind: KindServiceUnknown, Service: wish.Service}
	}
	var healthy, near []Status
	for _, status := range endpoints {
		if status.State != StateHealthy {
			continue
		}
		healthy = append(healthy, status)
		if wish.Zone != "" && status.Endpoint.Zone == wish.Zone {
			near = append(near, status)
		}
	}
	if len(healthy) == 0 {
		return nil, &Error{Kind: KindNoHealthyEndpoint, Service: wish.Service}
	}
	d := &draw{pool: healthy, affine: -1}
	if len(near) > 0 {
		d.pool, d.narrowed = near, len(near) < len(healthy)
	}
	d.utilisation = utilisations(d.pool)
	d.weights = weights(d.pool)
	if wish.Affinity != "" {
		d.affine = rendezvous(d.pool, wish.Affinity)
	}
	return d, nil
}

// choose returns the index of the endpoint chosen.
func (d *draw) choose(random *rand.Rand) int {
	switch {
	case d.affine >= 0:
		return d.affine
	case len(d.pool) == 1:
		return 0
	}
	first := sample(random, d.weights, -1)
	second := sample(random, d.weights, first)
	switch cmp.Compare(d.utilisation[first], d.utilisation[second]) {
	case -1:
		return first
	case 1:
		return second
	}
	if random.Float64() < 0.5 {
		return first
	}
	return second
}

// probabilities returns, for each endpoint, the exact probability that choose returns it.
func (d *draw) probabilities() []float64 {
	probabilities := make([]float64, len(d.pool))
	switch {
	case d.affine >= 0:
		probabilities[d.affine] = 1
		return probabilities
	case len(d.pool) == 1:
		probabilities[0] = 1
		return probabilities
	}
	total := 0.0
	for _, weight := range d.weights {
		total += weight
	}
	for i, a := range d.weights {
		for j := i + 1; j < len(d.weights); j++ {
			b := d.weights[j]
			pair := a / total * b / (total - a)
			pair += b / total * a / (total - b)
			switch cmp.Compare(d.utilisation[i], d.utilisation[j]) {
			case -1:
				probabilities[i] += pair
			case 1:
				probabilities[j] += pair
			default:
				probabilities[i] += pair / 2
				probabilities[j] += pair / 2
			}
		}
	}
	return probabilities
}

// reasons says in words what decides over the endpoint of the pool.
func (d *draw) reasons(i int, wish Wish) []string {
	status := d.pool[i]
	reasons := []string{"healthy"}
	switch {
	case wish.Zone == "":
	case status.Endpoint.Zone == wish.Zone:
		reasons = append(reasons, "in the preferred zone "+strconv.Quote(wish.Zone))
	default:
		reasons = append(reasons, "the preferred zone "+strconv.Quote(wish.Zone)+" has no healthy endpoint")
	}
	if d.affine >= 0 {
		if d.affine == i {
			return append(reasons, "has the highest rendezvous score for the affinity key")
		}
		return append(reasons, "another endpoint has the highest rendezvous score for the affinity key")
	}
	if status.Utilisation == nil {
		reasons = append(reasons, "has not reported: taken as the mean of the others")
	}
	return append(reasons,
		"utilisation "+strconv.FormatFloat(d.utilisation[i], 'g', 4, 64),
		"weight "+strconv.FormatFloat(d.weights[i], 'g', 4, 64))
}

// utilisations returns how busy each endpoint is: the scarcer of processor and call slots. One that has not reported
// counts as the mean of those that have.
func utilisations(pool []Status) []float64 {
	return fillMean(pool, 0, func(u Utilisation) (float64, bool) { return busyness(u), true })
}

func busyness(u Utilisation) float64 { return max(u.CPU, u.Application) }

// weights estimates each endpoint's capacity as client-side weighted round robin does (gRFC A58): calls per second
// divided by utilisation, which errors raise in proportion to their rate. One that tells too little to estimate counts
// as the mean of the others, and none counts less than maxWeightRatio allows.
func weights(pool []Status) []float64 {
	weights := fillMean(pool, 1, func(u Utilisation) (float64, bool) {
		if busyness(u) < minUtilisation || u.RPS <= 0 {
			return 0, false
		}
		rps := min(u.RPS, maxRPS)
		return rps / (busyness(u) + min(u.EPS/u.RPS, 1)), true
	})
	least := slices.Max(weights) / maxWeightRatio
	for i := range weights {
		weights[i] = max(weights[i], least)
	}
	return weights
}

// fillMean measures each endpoint's report, and gives the mean of the measured ones, or otherwise where there are none,
// to the rest.
func fillMean(pool []Status, otherwise float64, measure func(Utilisation) (float64, bool)) []float64 {
	values := make([]float64, len(pool))
	var missing []int
	sum := 0.0
	for i, status := range pool {
		if status.Utilisation != nil {
			if value, ok := measure(*status.Utilisation); ok {
				values[i] = value
				sum += value
				continue
			}
		}
		missing = append(missing, i)
	}
	mean := otherwise
	if known := len(pool) - len(missing); known > 0 {
		mean = sum / float64(known)
	}
	for _, i := range missing {
		values[i] = mean
	}
	return values
}

// sample draws an index in proportion to the weights, leaving one out (-1 for none).
func sample(random *rand.Rand, weights []float64, without int) int {
	total := 0.0
	last := -1
	for i, weight := range weights {
		if i != without {
			total += weight
			last = i
		}
	}
	mark := random.Float64() * total
	for i, weight := range weights {
		if i == without {
			continue
		}
		if mark < weight {
			return i
		}
		mark -= weight
	}
	return last // rounding carried the mark past the end
}

// rendezvous returns the endpoint with the highest score for the key, the first by instance where two are equal.
func rendezvous(pool []Status, key string) int {
	best, highest := 0, uint64(0)
	for i, status := range pool {
		hash := fnv.New64a()
		hash.Write([]byte(status.Endpoint.Instance))
		hash.Write([]byte{0}) // no instance or key can run into the other
		hash.Write([]byte(key))
		if score := mix(hash.Sum64()); i == 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}

// mix spreads a hash over all bits (the finaliser of SplitMix64; Steele, Lea and Flood, 2014): FNV's high bits, which
// decide here, hardly depend on the last bytes.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
