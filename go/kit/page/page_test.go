package page

import "testing"

func TestCursor_tokenOfThisList_isWhereItGoesOn(t *testing.T) {
	if cursor, err := Cursor("List/acme", Token("List/acme", "17")); cursor != "17" || err != nil {
		t.Errorf("got %q, %v", cursor, err)
	}
	if cursor, err := Cursor("List/acme", ""); cursor != "" || err != nil {
		t.Errorf("the first page got %q, %v", cursor, err)
	}
}

func TestCursor_tokenOfAnotherListOrNobody_isRefused(t *testing.T) {
	for _, token := range []string{Token("List/globex", "17"), "x", "AAAA", "!!", Token("List/acme", "17") + "A"} {
		if cursor, err := Cursor("List/acme", token); err == nil {
			t.Errorf("%q is taken for %q", token, cursor)
		}
	}
}
