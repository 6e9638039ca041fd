package serve

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// residentFile is how much of files the process has mapped and resident, in kB.
func residentFile(t *testing.T) (kilobytes int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "RssFile:")
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes
}

func TestReleaseStartup_ExecutablePages_AreGivenBack(t *testing.T) {
	before := residentFile(t)
	if err := releaseStartup(); err != nil {
		t.Fatal(err)
	}
	if after := residentFile(t); after > before*3/4 {
		t.Errorf("%d kB of files were resident, and %d kB are", before, after)
	}
}

func TestParseMapping_LinesOfSmaps_AreHeadsOrNot(t *testing.T) {
	got, ok := parseMapping("00400000-00dfc000 r-xp 00000000 fe:00 1234                       /usr/bin/a name")
	if want := (mapping{start: 0x400000, end: 0xdfc000, path: "/usr/bin/a name"}); !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if got, ok := parseMapping("c000000000-c000400000 rw-p 00000000 00:00 0"); !ok || !got.writable || got.path != "" {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, line := range []string{"Anonymous:             0 kB", "VmFlags: rd ex mr mw me", ""} {
		if got, ok := parseMapping(line); ok {
			t.Errorf("%q was read as %+v", line, got)
		}
	}
}
