package main

import (
	"context"
	"math"
	"strconv"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"uait.dev/go/kit/fusion"
	"uait.dev/go/kit/value"
)

const (
	// maxDepth is Weaviate's limit of one query.
	maxDepth = 10000
	// leastDepth is how far each list of a hybrid search reaches at least, so that what both have is found.
	leastDepth = 100
)

// Query asks for the objects that fit best: by a vector, by words, or by both.
type Query struct {
	// Near is nil for a search by words alone.
	Near *Near
	// Keyword is nil for a search by vector alone.
	Keyword *Keyword
	// VectorWeight is the share of the vector in a search by both: 0 to 1.
	VectorWeight float64
	// Relative fuses by scores instead of ranks.
	Relative bool
	// Filter leaves out what does not fulfil it.
	Filter value.Filter
	// Limit is the most objects: 1 to 1,000.
	Limit int
	// Vectors says whether objects come with their vectors.
	Vectors bool
	// GroupBy has at most GroupLimit objects for each value of a property; "" for no groups.
	GroupBy    string
	GroupLimit int
}

// Found is an object that fits.
type Found struct {
	Object Object
	// Score is 0 to 1.
	Score float64
	// Distance is in the collection's metric; 0 where the query had no vector, or the object was found by words alone.
	Distance float64
	// Group is the value of the property grouped by.
	Group string
}

// search finds the objects of a collection that fit best, best first.
func (w *weaviate) find(ctx context.Context, c Collection, q Query) ([]Found, error) {
	filters, err := c.Spec.filters(q.Filter)
	if err != nil {
		return nil, err
	}
	for depth := q.depth(); ; depth = min(10*depth, maxDepth) {
		found, exhausted, err := w.ranked(ctx, c, q, filters, depth)
		if err != nil {
			return nil, err
		}
		grouped := q.grouped(found)
		if len(grouped) >= q.Limit || exhausted || depth == maxDepth {
			return grouped[:min(len(grouped), q.Limit)], nil
		}
	}
}

// depth is how many objects of each list are asked for at first.
func (q Query) depth() int {
	if q.GroupBy != "" || q.Near != nil && q.Keyword != nil {
		return max(q.Limit, leastDepth)
	}
	return q.Limit
}

// ranked makes one ranking of what Weaviate finds; exhausted says that a greater depth finds no more.
func (w *weaviate) ranked(ctx context.Context, c Collection, q Query, filters *pb.Filters, depth int) (found []Found, exhausted bool, err error) {
	var nearest, worded []hit
	if q.Near != nil {
		if nearest, err = w.near(ctx, c, *q.Near, filters, depth, q.Vectors); err != nil {
			return nil, false, err
		}
	}
	if q.Keyword != nil {
		if worded, err = w.keyword(ctx, c, *q.Keyword, filters, depth, q.Vectors); err != nil {
			return nil, false, err
		}
	}
	exhausted = len(nearest) < depth && len(worded) < depth
	switch {
	case q.Keyword == nil:
		for _, h := range nearest {
			found = append(found, Found{Object: h.object, Score: c.Spec.Vectors[q.Near.Place].Metric.score(h.distance), Distance: h.distance})
		}
	case q.Near == nil:
		for _, h := range worded {
			found = append(found, Found{Object: h.object, Score: scaled(h.score, worded[0].score)})
		}
	default:
		found = fuse(nearest, worded, q)
	}
	return found, exhausted, nil
}

// score is 1 for what is the same and falls towards 0 with the distance.
func (m Metric) score(distance float64) float64 {
	switch m {
	case Dot: // The distance is minus the inner product, of any size.
		return 1 / (1 + math.Exp(distance))
	case SquaredEuclidean:
		return 1 / (1 + distance)
	default:
		return min(1, max(0, 1-distance/2))
	}
}

func scaled(score, best float64) float64 {
	if best <= 0 {
		return 0
	}
	return min(1, max(0, score/best))
}

func fuse(nearest, worded []hit, q Query) []Found {
	byID := map[string]Found{}
	for _, h := range worded {
		byID[h.object.ID] = Found{Object: h.object}
	}
	for _, h := range nearest {
		byID[h.object.ID] = Found{Object: h.object, Distance: h.distance}
	}
	var order []fusion.Fused
	if q.Relative {
		near, words := map[string]float64{}, map[string]float64{}
		for _, h := range nearest {
			near[h.object.ID] = -h.distance
		}
		for _, h := range worded {
			words[h.object.ID] = h.score
		}
		order = fusion.RelativeScore(
			fusion.Scored{Weight: q.VectorWeight, Scores: near}, fusion.Scored{Weight: 1 - q.VectorWeight, Scores: words})
	} else {
		order = fusion.Ranked(
			fusion.Ranking{Weight: q.VectorWeight, IDs: ids(nearest)}, fusion.Ranking{Weight: 1 - q.VectorWeight, IDs: ids(worded)})
	}
	found := make([]Found, len(order))
	for i, fused := range order {
		found[i] = byID[fused.ID]
		found[i].Score = fused.Score
	}
	return found
}

func ids(hits []hit) []string {
	ids := make([]string, len(hits))
	for i, h := range hits {
		ids[i] = h.object.ID
	}
	return ids
}

// grouped keeps the first GroupLimit objects of each group; objects without the property are a group of their own.
func (q Query) grouped(found []Found) []Found {
	if q.GroupBy == "" {
		return found
	}
	sizes := map[string]int{}
	var kept []Found
	for _, f := range found {
		v, has := f.Object.Properties[q.GroupBy]
		if has {
			f.Group = label(v)
		}
		key := strconv.FormatBool(has) + f.Group
		if sizes[key]++; sizes[key] <= q.GroupLimit {
			kept = append(kept, f)
		}
	}
	return kept
}

// label is a value as the name of a group.
func label(v value.Value) string {
	switch v.Kind() {
	case value.Text:
		return v.Text()
	case value.Integer:
		return strconv.FormatInt(v.Integer(), 10)
	case value.Number:
		return strconv.FormatFloat(v.Number(), 'g', -1, 64)
	case value.Flag:
		return strconv.FormatBool(v.Flag())
	case value.Time:
		return v.Time().Format(time.RFC3339Nano)
	default:
		return strconv.Quote(listKey(v.Words()))
	}
}
