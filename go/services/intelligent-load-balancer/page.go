package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
)

// tokenSum is how many bytes of the digest bind a page token to its list.
const tokenSum = 8

// page cuts the page after the token out of statuses, which are ordered by key, and returns the token of the next one,
// empty on the last. A token holds the last key shown, so that endpoints which come and go between two pages neither
// repeat nor hide others, and a digest over the key and the filter, so that it fits no other list. It needs no secret:
// whoever forges one sees only what the list shows anyway.
//
// Errors: KindPageTokenInvalid.
func page(statuses []Status, filter, token string, size int) (shown []Status, next string, err error) {
	if token != "" {
		last, ok := parseToken(filter, token)
		if !ok {
			return nil, "", &Error{Kind: KindPageTokenInvalid}
		}
		start, found := slices.BinarySearchFunc(statuses, last, func(s Status, key Key) int { return s.Endpoint.Key().Compare(key) })
		if found {
			start++
		}
		statuses = statuses[start:]
	}
	if len(statuses) <= size {
		return statuses, "", nil
	}
	shown = statuses[:size]
	return shown, newToken(filter, shown[size-1].Endpoint.Key()), nil
}

func newToken(filter string, last Key) string {
	cursor := last.Service + "/" + last.Instance
	return base64.RawURLEncoding.EncodeToString(append(digest(filter, cursor), cursor...))
}

func parseToken(filter, token string) (last Key, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < tokenSum {
		return Key{}, false
	}
	cursor := string(raw[tokenSum:])
	if !bytes.Equal(raw[:tokenSum], digest(filter, cursor)) {
		return Key{}, false
	}
	last.Service, last.Instance, ok = strings.Cut(cursor, "/")
	return last, ok
}

func digest(filter, cursor string) []byte {
	sum := sha256.Sum256([]byte("ListEndpoints/" + filter + "/" + cursor))
	return sum[:tokenSum]
}
