// Package page makes the tokens of paged lists.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"

	"google.golang.org/grpc/codes"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

// sumBytes is how many bytes of the digest bind a token to its list.
const sumBytes = 8

// Token is where a list goes on after cursor. It is good for the list of that scope only: the RPC, the tenant and every filter.
// It needs no secret: whoever forges one sees only what the list shows anyway.
func Token(scope, cursor string) string {
	return base64.RawURLEncoding.EncodeToString(append(sum(scope, cursor), cursor...))
}

// Cursor is what Token was given; "" for the empty token of a first page.
//
// Errors: INVALID_ARGUMENT, reason PAGE_TOKEN_INVALID, for a token of another list or of nobody.
func Cursor(scope, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= sumBytes || !bytes.Equal(raw[:sumBytes], sum(scope, string(raw[sumBytes:]))) {
		return "", &status.Error{
			Code:    codes.InvalidArgument,
			Reason:  errorv1.Reason_REASON_PAGE_TOKEN_INVALID,
			Message: "the page token was not issued for this request",
		}
	}
	return string(raw[sumBytes:]), nil
}

func sum(scope, cursor string) []byte {
	digest := sha256.Sum256([]byte(scope + "\x00" + cursor))
	return digest[:sumBytes]
}
