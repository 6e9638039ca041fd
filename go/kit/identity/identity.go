// Package identity knows on whose behalf a call is made: tenant, subject and scopes.
package identity

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"
)

// The metadata keys that carry an identity. Only Envoy's edge sets them from a verified key; it removes them from what comes from outside.
const (
	TenantKey  = "x-uait-tenant"
	SubjectKey = "x-uait-subject"
	ScopesKey  = "x-uait-scopes"
)

const (
	maxTenant  = 63
	maxSubject = 256
)

// Identity is who calls.
type Identity struct {
	// Tenant owns everything that the call may see: [a-z0-9][a-z0-9-]{0,62}; empty only in tenantless services.
	Tenant string
	// Subject is the person or program within the tenant, at most 256 characters; empty when unknown.
	Subject string
	// Scopes are what the subject's key allows, in the order sent.
	Scopes []string
}

// HasScope says whether the key allows scope.
func (i Identity) HasScope(scope string) bool { return slices.Contains(i.Scopes, scope) }

// FromHeaders reads the identity out of a call's headers. It reports false when the tenant is missing or
// malformed, or when the subject is too long; what is returned then has no tenant.
func FromHeaders(headers metadata.MD) (Identity, bool) {
	tenant, subject := first(headers[TenantKey]), first(headers[SubjectKey])
	if !ValidTenant(tenant) || len(subject) > maxSubject && utf8.RuneCountInString(subject) > maxSubject {
		return Identity{}, false
	}
	identity := Identity{Tenant: tenant, Subject: subject}
	if scopes := first(headers[ScopesKey]); scopes != "" {
		identity.Scopes = strings.Fields(scopes)
	}
	return identity, true
}

func first(values []string) string {
	if len(values) > 0 {
		return values[0]
	}
	return ""
}

// ValidTenant says whether tenant is [a-z0-9][a-z0-9-]{0,62}.
func ValidTenant(tenant string) bool {
	if tenant == "" || len(tenant) > maxTenant || tenant[0] == '-' {
		return false
	}
	for i := range len(tenant) {
		c := tenant[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ContextKey is the key under which a context holds its *Identity. It is exported so that the server can answer
// for several keys with one allocation; everybody else uses FromContext and NewContext.
type ContextKey struct{}

// FromContext is the identity on whose behalf ctx acts; the zero Identity when it acts for nobody.
func FromContext(ctx context.Context) Identity {
	if identity, ok := ctx.Value(ContextKey{}).(*Identity); ok {
		return *identity
	}
	return Identity{}
}

// NewContext makes ctx act on behalf of identity.
func NewContext(ctx context.Context, identity Identity) context.Context {
	return context.WithValue(ctx, ContextKey{}, &identity)
}

// AppendOutgoing adds the identity of ctx as pairs of keys and values for metadata.AppendToOutgoingContext.
func AppendOutgoing(pairs []string, ctx context.Context) []string {
	identity := FromContext(ctx)
	if identity.Tenant != "" {
		pairs = append(pairs, TenantKey, identity.Tenant)
	}
	if identity.Subject != "" {
		pairs = append(pairs, SubjectKey, identity.Subject)
	}
	if len(identity.Scopes) > 0 {
		pairs = append(pairs, ScopesKey, strings.Join(identity.Scopes, " "))
	}
	return pairs
}
