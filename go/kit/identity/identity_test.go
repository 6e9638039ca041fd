package identity

import (
	"context"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

func TestFromHeaders_Metadata_IsReadOrRefused(t *testing.T) {
	cases := []struct {
		name     string
		metadata metadata.MD
		want     Identity
		known    bool
	}{
		{"tenant_alone_is_enough", metadata.Pairs(TenantKey, "acme"), Identity{Tenant: "acme"}, true},
		{
			"all_three_are_read",
			metadata.Pairs(TenantKey, "acme", SubjectKey, "user:7", ScopesKey, "a.read b.write"),
			Identity{Tenant: "acme", Subject: "user:7", Scopes: []string{"a.read", "b.write"}}, true,
		},
		{"nothing_is_refused", metadata.MD{}, Identity{}, false},
		{"path_is_refused", metadata.Pairs(TenantKey, "../etc"), Identity{}, false},
		{"subject_of_256_characters_passes",
			metadata.Pairs(TenantKey, "acme", SubjectKey, strings.Repeat("ü", 256)),
			Identity{Tenant: "acme", Subject: strings.Repeat("ü", 256)}, true},
		{"subject_of_257_characters_is_refused",
			metadata.Pairs(TenantKey, "acme", SubjectKey, strings.Repeat("u", 257)), Identity{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, known := FromHeaders(c.metadata)
			if known != c.known || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, known, c.want, c.known)
			}
		})
	}
}

func FuzzValidTenant(f *testing.F) {
	rule := regexp.MustCompile(`\A[a-z0-9][a-z0-9-]{0,62}\z`)
	for _, seed := range []string{"", "a", "-a", "a-", "A", "ä", "a b", "a\n", strings.Repeat("a", 63), strings.Repeat("a", 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tenant string) {
		if got, want := ValidTenant(tenant), rule.MatchString(tenant); got != want {
			t.Errorf("ValidTenant(%q) = %v, the rule says %v", tenant, got, want)
		}
	})
}

func TestAppendOutgoing_Identity_ArrivesAsItWas(t *testing.T) {
	want := Identity{Tenant: "acme", Subject: "user:7", Scopes: []string{"a", "b"}}
	pairs := AppendOutgoing(nil, NewContext(context.Background(), want))
	got, known := FromHeaders(metadata.Pairs(pairs...))
	if !known || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if pairs := AppendOutgoing(nil, context.Background()); len(pairs) != 0 {
		t.Errorf("nobody's call carries %v", pairs)
	}
}
