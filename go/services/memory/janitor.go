package main

import (
	"context"
	"log/slog"
	"time"
)

const (
	// sweepEvery is how often memories are deleted whose time is over; until then no query shows them.
	sweepEvery = time.Second
	// sweepMost is how many of them one change deletes.
	sweepMost = 500
	// forgetEvery is how often old answers and changes are dropped.
	forgetEvery = 10 * time.Minute
)

// sweep deletes what has expired, and drops what is kept for a time only, until ctx ends.
func sweep(ctx context.Context, s *store, logger *slog.Logger) {
	sweeps, forgets := time.NewTicker(sweepEvery), time.NewTicker(forgetEvery)
	defer sweeps.Stop()
	defer forgets.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-sweeps.C:
			for expired := sweepMost; expired == sweepMost && err == nil; {
				expired, err = s.expire(ctx, sweepMost)
			}
		case <-forgets.C:
			err = s.forget(ctx)
		}
		if err != nil && ctx.Err() == nil {
			logger.Error("sweep the store", "error", err)
		}
	}
}
