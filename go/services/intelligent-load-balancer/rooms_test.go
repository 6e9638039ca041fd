package main

import (
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// The domain knows neither gRPC nor proto nor the kit: its files import the standard library alone.
func TestRooms_domainFiles_importOnlyTheStandardLibrary(t *testing.T) {
	for _, noun := range []string{"announce", "clock", "endpoint", "health", "history", "lease", "page", "pick", "registry", "seed", "snapshot"} {
		file, err := parser.ParseFile(token.NewFileSet(), noun+".go", nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range file.Imports {
			path, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s.go imports %s", noun, path)
			}
		}
	}
}
