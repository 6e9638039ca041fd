package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestPage_allPages_holdEachEndpointOnceInOrder(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 64)
	for i := range 23 {
		registry.Join(endpointAt(fmt.Sprintf("i%02d", i), uint16(i+1)))
	}
	for _, size := range []int{1, 5, 22, 23, 24} {
		var got []string
		token := ""
		for pages := 0; ; pages++ {
			shown, next, err := page(registry.List("echo"), "echo", token, size)
			if err != nil || len(shown) > size || pages > 23 {
				t.Fatalf("size %d, page %d: %d shown, %v", size, pages, len(shown), err)
			}
			for _, status := range shown {
				got = append(got, status.Endpoint.Instance)
			}
			if token = next; token == "" {
				break
			}
		}
		if len(got) != 23 || !slices.IsSorted(got) {
			t.Errorf("size %d: %v", size, got)
		}
	}
}

func TestPage_lastShownEndpointLeaves_goesOnAfterIt(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 64)
	tickets := map[string]uint64{}
	for i, instance := range []string{"a", "b", "c", "d"} {
		tickets[instance] = registry.Join(endpointAt(instance, uint16(i+1)))
	}
	_, token, _ := page(registry.List(""), "", "", 2)
	registry.Leave(Key{"echo", "b"}, tickets["b"], CauseWithdrawn)
	registry.Join(endpointAt("aa", 9))
	shown, next, err := page(registry.List(""), "", token, 2)
	if err != nil || next != "" || len(shown) != 2 || shown[0].Endpoint.Instance != "c" {
		t.Fatalf("got %+v, %q, %v", shown, next, err)
	}
}

func TestPage_foreignToken_isRefused(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 64)
	registry.Join(endpointAt("a", 1))
	registry.Join(endpointAt("b", 2))
	_, token, _ := page(registry.List("echo"), "echo", "", 1)
	for name, foreign := range map[string]string{
		"of another filter": newToken("", Key{"echo", "a"}),
		"cut short":         token[:len(token)-2],
		"altered":           "A" + token[1:],
		"not base64":        "%%%",
		"no token":          "YWJj",
	} {
		if foreign == token {
			t.Fatalf("%s: is the token itself", name)
		}
		if _, _, err := page(registry.List("echo"), "echo", foreign, 1); !errors.Is(err, &Error{Kind: KindPageTokenInvalid}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("echo", newToken("echo", Key{"echo", "a"}))
	f.Add("", "")
	f.Add("echo", "YWJj")
	f.Fuzz(func(t *testing.T, filter, token string) {
		if last, ok := parseToken(filter, token); ok && newToken(filter, last) != token {
			t.Fatalf("a token that was not issued was taken: %q for %q", token, filter)
		}
	})
}
