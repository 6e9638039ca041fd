package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"uait.dev/go/kit/serve"
)

// service is the server with the store under it and the loops that bring what the store has to others.
type service struct {
	server *serve.Server
	store  *store
	loops  []func(context.Context)
}

// newService builds the service; tests run it as main does.
func newService(configuration Config, options ...serve.Option) (*service, error) {
	server, err := serve.New(configuration.Kit, append(options, serve.Errors(mapError))...)
	if err != nil {
		return nil, err
	}
	kept, err := openStore(configuration.DataDir, configuration.Kit.NATSURL != "", now, newID)
	if err != nil {
		return nil, err
	}
	if err := kept.indexedBy(context.Background(), configuration.EmbeddingModel); err != nil {
		return nil, errors.Join(err, kept.close())
	}
	index := newVectorIndex(server.Mesh(), configuration.EmbeddingModel, newID)
	registerMemories(server, kept, index, configuration.IndexTimeout)
	observe(server.Telemetry().Registry, kept)
	tracer, logger := server.Telemetry().Tracer, server.Telemetry().Logger
	s := &service{server: server, store: kept}
	s.loops = append(s.loops, (&indexer{store: kept, index: index, tracer: tracer, logger: logger}).run)
	s.loops = append(s.loops, func(ctx context.Context) { sweep(ctx, kept, logger) })
	if configuration.Kit.NATSURL != "" {
		s.loops = append(s.loops, (&publisher{store: kept, log: server.Events(), tracer: tracer, logger: logger}).run)
	}
	return s, nil
}

// now is the clock of what is stored, which keeps microseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newID makes an id that sorts by time; it fails only where the system has no randomness, and then nothing can go on.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func (s *service) runUntilSignal() error { return s.around(s.server.RunUntilSignal) }

func (s *service) run(ctx context.Context) error {
	return s.around(func() error { return s.server.Run(ctx) })
}

// around runs the loops while serve does, and closes the store after both.
func (s *service) around(serve func() error) error {
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, loop := range s.loops {
		loops.Go(func() {
			select {
			case <-s.server.Ready(): // The event log is connected before.
				loop(ctx)
			case <-ctx.Done():
			}
		})
	}
	loops.Go(func() {
		select {
		case <-s.server.Stopping():
			cancel() // The mesh and the event log are left soon.
		case <-ctx.Done():
		}
	})
	err := serve()
	cancel()
	loops.Wait()
	return errors.Join(err, s.store.close())
}

// observe shows how much waits to be told to others.
func observe(registry *prometheus.Registry, s *store) {
	const timeout = time.Second
	waiting := func(choose func(events, index int64) int64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			events, index, err := s.waiting(ctx)
			if err != nil {
				return -1
			}
			return float64(choose(events, index))
		}
	}
	for outbox, choose := range map[string]func(events, index int64) int64{
		"events": func(events, _ int64) int64 { return events },
		"index":  func(_, index int64) int64 { return index },
	} {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "memory_outbox_waiting",
			Help:        "Changes that wait to be told to the event log or the vector index; -1 when the store cannot be asked.",
			ConstLabels: prometheus.Labels{"outbox": outbox},
		}, waiting(choose)))
	}
}
