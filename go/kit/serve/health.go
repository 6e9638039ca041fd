package serve

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"uait.dev/go/kit/events"
)

// eventsHealth is the health name of the event log.
const eventsHealth = "events"

func (s *Server) eventsChanged(state events.State) {
	serving := healthpb.HealthCheckResponse_NOT_SERVING
	if state == events.Up {
		serving = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus(eventsHealth, serving)
}

// watchable ends the watches of health when the server stops, which would otherwise hold up its drain.
type watchable struct {
	*health.Server
	stopping <-chan struct{}
}

func (w watchable) Watch(request *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-w.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return w.Server.Watch(request, watchStream{Health_WatchServer: stream, ctx: ctx})
}

type watchStream struct {
	healthpb.Health_WatchServer
	ctx context.Context
}

func (w watchStream) Context() context.Context { return w.ctx }

// httpHandler serves /metrics and /healthz.
func (s *Server) httpHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.telemetry.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", s.healthz)
	return mux
}

// healthzBody is what /healthz answers.
type healthzBody struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	code, body := http.StatusOK, healthzBody{Checks: map[string]string{"nats": string(s.events.State())}}
	for dependency, check := range s.checks {
		body.Checks[dependency] = check(r.Context())
	}
	response, err := s.health.Check(r.Context(), &healthpb.HealthCheckRequest{})
	body.Status = response.GetStatus().String()
	if err != nil || response.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.telemetry.Logger.Debug("answer /healthz", "error", err)
	}
}
