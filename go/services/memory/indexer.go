package main

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

const (
	// batchMost and batchBytes bound one call to embed.
	batchMost  = 64
	batchBytes = 1 << 20
	// indexTimeout bounds what one batch takes of the neighbours.
	indexTimeout = 30 * time.Second

	// An index that is away is asked again after awayLeast, doubling to awayMost.
	awayLeast = 250 * time.Millisecond
	awayMost  = 10 * time.Second
	// A memory that the index refuses is tried again after refusedLeast, doubling to refusedMost.
	refusedLeast = time.Second
	refusedMost  = time.Hour
	// idleMost is how long the indexer sleeps while nothing changes; what was postponed comes due meanwhile.
	idleMost = time.Second
)

// indexer keeps the vector index at what the store has.
type indexer struct {
	store  *store
	index  *vectorIndex
	tracer *telemetry.Tracer
	logger *slog.Logger
	// uncertain says that a call may have been cut off halfway: at the start, and after a failure until the queue is empty.
	// What is told then is deleted first, because Weaviate takes an object that it has for indexed, also where it was killed
	// between the two.
	uncertain bool
}

// run works until ctx ends. Whatever fails stays in the queue.
func (x *indexer) run(ctx context.Context) {
	away := awayLeast
	x.uncertain = true
	for ctx.Err() == nil {
		changed := x.store.changes()
		worked, err := x.step(ctx)
		wait := time.Duration(0)
		switch {
		case err != nil && ctx.Err() == nil:
			x.logger.WarnContext(ctx, "the vector index cannot be told; it will be tried again", "after_ms", away.Milliseconds(), "error", err)
			wait, changed, x.uncertain = away, nil, true
			away = min(2*away, awayMost)
		case worked:
			away = awayLeast
			continue
		default:
			wait, x.uncertain = idleMost, false
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// step does the jobs of one tenant that are due; worked says whether there were any.
func (x *indexer) step(ctx context.Context) (worked bool, err error) {
	jobs, err := x.store.jobs(ctx, batchMost)
	if err != nil || len(jobs) == 0 {
		return false, err
	}
	ctx, cancel := context.WithTimeout(identity.NewContext(ctx, identity.Identity{Tenant: jobs[0].Tenant}), indexTimeout)
	defer cancel()
	ctx, span := x.tracer.StartFrom(ctx, telemetry.SpanContext{}, "index memories", telemetry.Internal)
	defer func() { span.End(err) }()
	if jobs[0].ID == "" {
		if err := x.index.forget(ctx); err != nil {
			return false, err
		}
		return true, x.store.done(ctx, jobs)
	}
	var gone, there []Job
	for _, job := range jobs {
		if job.Memory == nil {
			gone = append(gone, job)
		} else {
			there = append(there, job)
		}
	}
	if err := x.removeAll(ctx, gone); err != nil {
		return false, err
	}
	return true, x.putAll(ctx, there)
}

func (x *indexer) removeAll(ctx context.Context, jobs []Job) error {
	if len(jobs) == 0 {
		return nil
	}
	ids := make([]string, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	if err := x.index.remove(ctx, ids); err != nil {
		return err
	}
	return x.store.done(ctx, jobs)
}

// putAll tells the index of memories, in parts that a call can carry.
func (x *indexer) putAll(ctx context.Context, jobs []Job) error {
	for len(jobs) > 0 {
		count, bytes := 0, 0
		for count < len(jobs) && (count == 0 || bytes+len(jobs[count].Memory.Text) <= batchBytes) {
			bytes += len(jobs[count].Memory.Text)
			count++
		}
		if err := x.put(ctx, jobs[:count]); err != nil {
			return err
		}
		jobs = jobs[count:]
	}
	return nil
}

func (x *indexer) put(ctx context.Context, jobs []Job) error {
	memories, ids := make([]Memory, len(jobs)), make([]string, len(jobs))
	for i, job := range jobs {
		memories[i], ids[i] = *job.Memory, job.ID
	}
	if x.uncertain {
		if err := x.index.remove(ctx, ids); err != nil {
			return err
		}
	}
	refused, created, err := x.index.put(ctx, memories)
	if created {
		// The index has lost what it had of the tenant, or never had anything.
		if err := x.store.reindex(ctx, jobs[0].Tenant); err != nil {
			return err
		}
	}
	if err != nil && status.Code(unwrapped(err)) == codes.InvalidArgument {
		return x.putEach(ctx, jobs, err)
	}
	if err != nil {
		return err
	}
	var taken []Job
	for _, job := range jobs {
		if reason, is := refused[job.ID]; is {
			if err := x.refused(ctx, job, reason); err != nil {
				return err
			}
			continue
		}
		taken = append(taken, job)
	}
	return x.store.done(ctx, taken)
}

// putEach finds out which of several memories is the one that a neighbour takes not.
func (x *indexer) putEach(ctx context.Context, jobs []Job, failed error) error {
	if len(jobs) == 1 {
		return x.refused(ctx, jobs[0], failed.Error())
	}
	for _, job := range jobs {
		if err := x.put(ctx, []Job{job}); err != nil {
			return err
		}
	}
	return nil
}

func (x *indexer) refused(ctx context.Context, job Job, reason string) error {
	wait := min(refusedLeast<<min(job.Attempts, 20), refusedMost)
	x.logger.ErrorContext(ctx, "the vector index refuses a memory; it will be tried again", "memory_id", job.ID, "after_s", wait.Seconds(), "error", reason)
	return x.store.postpone(ctx, job, x.store.now().Add(wait))
}
