package main

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/status"
)

const (
	defaultLimit  = 10
	defaultWeight = 0.5
	// depthFactor and leastDepth are how far each list reaches beyond the limit, so that what both have is found.
	depthFactor = 4
	leastDepth  = 100
	// maxDepth is the most that the vector index returns.
	maxDepth = 1000

	wordsAlone = "ranked by words alone"
)

// Search finds the memories that fit best. Words and meaning are looked for at the same time; meaning has a time of its own.
func (h *memoryHandler) Search(ctx context.Context, request *memoryv1.SearchRequest) (*memoryv1.SearchResponse, error) {
	criteria, err := criteriaFromProto(request)
	if err != nil {
		return nil, err
	}
	scoring := scoringFromProto(request)
	depth := min(maxDepth, max(leastDepth, depthFactor*scoring.Limit))
	if len(criteria.Filter) > 0 {
		depth = maxDepth // The index does not know properties; what it finds is filtered here.
	}
	var worded, near []Candidate
	var wordsErr, nearErr error
	var both sync.WaitGroup
	if scoring.Ranking != KeywordOnly {
		both.Go(func() { near, nearErr = h.near(ctx, request.GetQuery(), criteria, depth) })
	}
	if scoring.Ranking != VectorOnly {
		worded, wordsErr = h.store.words(ctx, tenantOf(ctx), request.GetQuery(), criteria, depth)
	}
	both.Wait()
	response := &memoryv1.SearchResponse{}
	if nearErr != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		response.Degradations = []*typesv1.Degradation{degradation(ctx, nearErr, wordsAlone)}
		if scoring.Ranking == VectorOnly {
			worded, wordsErr = h.store.words(ctx, tenantOf(ctx), request.GetQuery(), criteria, depth)
		}
		scoring.Ranking = KeywordOnly
	}
	if wordsErr != nil {
		return nil, wordsErr
	}
	hits := scoring.hits(worded, near, h.store.now())
	for i := range hits {
		if hits[i].KeywordRank == 0 {
			continue
		}
		if hits[i].Snippet, err = h.store.passage(ctx, tenantOf(ctx), request.GetQuery(), hits[i].Memory.ID); err != nil {
			return nil, err
		}
	}
	response.Hits = hitsProto(hits)
	return response, nil
}

// near finds memories by meaning. An index that has nothing of a tenant whose memories were told to it has lost them.
func (h *memoryHandler) near(ctx context.Context, query string, criteria Criteria, depth int) ([]Candidate, error) {
	if has, err := h.store.has(ctx, tenantOf(ctx), false); err != nil || !has {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, h.indexTimeout)
	defer cancel()
	neighbours, err := h.index.near(asking, query, criteria, depth)
	if err != nil {
		if status.Code(unwrapped(err)) == codes.NotFound {
			return nil, errors.Join(err, h.lost(ctx))
		}
		return nil, err
	}
	return h.store.near(ctx, tenantOf(ctx), neighbours, criteria)
}

// lost has the index told again of what it was told of, if it was told of anything.
func (h *memoryHandler) lost(ctx context.Context) error {
	had, err := h.store.has(ctx, tenantOf(ctx), true)
	if err != nil || !had {
		return err
	}
	return h.store.reindex(ctx, tenantOf(ctx))
}

func scoringFromProto(request *memoryv1.SearchRequest) Scoring {
	scoring := Scoring{
		Ranking: Ranking(request.GetRanking()), VectorWeight: defaultWeight, MinScore: request.GetMinScore(),
		Limit: int(request.GetLimit()), HalfLife: request.GetRecencyHalfLife().AsDuration(),
	}
	if scoring.Ranking == 0 {
		scoring.Ranking = Hybrid
	}
	if request.VectorWeight != nil {
		scoring.VectorWeight = request.GetVectorWeight()
	}
	if scoring.Limit == 0 {
		scoring.Limit = defaultLimit
	}
	return scoring
}
