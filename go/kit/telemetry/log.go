package telemetry

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// NewLogger writes JSON lines of `time`, `level`, `msg`, `service`, `instance`, `trace_id`, `span_id` and fields to out.
func NewLogger(out io.Writer, level slog.Level, service, instance string) *slog.Logger {
	lines := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: lowerLevel})
	return slog.New(traced{lines}).With("service", service, "instance", instance)
}

func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey && len(groups) == 0 {
		a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
	}
	return a
}

// traced adds the ids of the context's span to each line.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, record slog.Record) error {
	if span := FromContext(ctx); span.Valid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID.String()), slog.String("span_id", span.SpanID.String()))
	}
	return t.Handler.Handle(ctx, record)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }
