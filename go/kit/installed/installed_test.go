package installed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const variable = "UAIT_TEST_PROGRAM"

func TestProgram(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{"deploy/mesh.yaml", ".uait/venv/bin/only-in-venv", ".uait/bin/in-both", ".uait/venv/bin/in-both", "elsewhere/in-path"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	within := filepath.Join(root, "go", "kit")
	if err := os.MkdirAll(within, 0o750); err != nil {
		t.Fatal(err)
	}
	t.Chdir(within)
	t.Setenv("PATH", filepath.Join(root, "elsewhere"))

	for name, want := range map[string]string{
		"in-both":      ".uait/bin/in-both",
		"only-in-venv": ".uait/venv/bin/only-in-venv",
		"in-path":      "elsewhere/in-path",
	} {
		if got, err := Program(name, variable); err != nil || got != filepath.Join(root, want) {
			t.Errorf("Program(%q) = %q, %v; want %s", name, got, err, want)
		}
	}
	if _, err := Program("nowhere", variable); err == nil || !strings.Contains(err.Error(), variable) {
		t.Errorf("Program of a missing one = %v; want an error that names %s", err, variable)
	}
	t.Setenv(variable, "named")
	if got, err := Program("in-both", variable); err != nil || got != "named" {
		t.Errorf("Program with the variable = %q, %v; want what it names", got, err)
	}
}
