// Package installed finds the programs that `make install` puts into the checkout, for tests that run them.
package installed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program returns the path of a program: what the environment variable names, or that of the checkout (.uait/bin, .uait/venv/bin), or
// that of the PATH. The error says what to do where there is none.
func Program(name, variable string) (string, error) {
	if named := os.Getenv(variable); named != "" {
		return named, nil
	}
	if root, err := checkout(); err == nil {
		for _, folder := range []string{"bin", "venv/bin"} {
			path := filepath.Join(root, ".uait", folder, name)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is missing: set %s, or run `make install`, or put it into the PATH: %w", name, variable, err)
	}
	return path, nil
}

// checkout returns the root of the checkout that the test runs in. Go starts a test in the folder of its package; where its sources
// were when it was compiled is left out of test programs, so that checkouts share them.
func checkout() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "deploy", "mesh.yaml")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("%s is in no checkout of the project", folder)
		}
		folder = parent
	}
}
