package validate

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

func TestCheck_BrokenRules_AreNamedByPath(t *testing.T) {
	validator, err := New()
	if err != nil {
		t.Fatal(err)
	}
	type violation struct{ field, reason string }
	cases := []struct {
		name    string
		message proto.Message
		want    []violation
	}{
		{"valid_message_passes", &echov1.EchoRequest{Message: "x"}, nil},
		{"message_without_rules_passes", &echov1.Seen{}, nil},
		{"field", &echov1.EchoRequest{}, []violation{{"message", "string.min_len"}}},
		{"two_fields", &echov1.EchoRequest{CallId: "a b"}, []violation{{"message", "string.min_len"}, {"call_id", "string.pattern"}}},
		{"nested_field", &echov1.EchoRequest{Message: "x", Behaviour: &echov1.Behaviour{Delay: durationpb.New(-1)}},
			[]violation{{"behaviour.delay", "duration.gte_lte"}}},
		{"map_key", &echov1.EchoRequest{Message: "x", Behaviour: &echov1.Behaviour{Trailers: map[string]string{"bad key": "v"}}},
			[]violation{{`behaviour.trailers["bad key"]`, "string.pattern"}}},
		{"list_item", &echov1.RelayRequest{Message: "x", Route: []string{"ok", "NO"}}, []violation{{"route[1]", "string.pattern"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := validator.Check(c.message)
			if c.want == nil {
				if err != nil {
					t.Fatalf("got %v", err)
				}
				return
			}
			invalid, ok := errors.AsType[*status.Error](err)
			if !ok || invalid.Code != codes.InvalidArgument || invalid.Reason != errorv1.Reason_REASON_FIELD_INVALID {
				t.Fatalf("got %v, want FIELD_INVALID", err)
			}
			var got []violation
			for _, v := range invalid.Violations {
				got = append(got, violation{v.GetField(), v.GetReason()})
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if prefix := "invalid request: " + c.want[0].field + ": "; !strings.HasPrefix(invalid.Message, prefix) {
				t.Errorf("message %q does not begin with %q", invalid.Message, prefix)
			}
		})
	}
}
