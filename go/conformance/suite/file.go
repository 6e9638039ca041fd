// Package suite runs the cases of proto/uait/echo/v1/cases.yaml, whose head explains their fields, against a server.
package suite

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// File is a file of cases.
type File struct {
	// Cases are in the order in which they run; later ones may use what earlier ones saved.
	Cases []Case `yaml:"cases"`
}

// Case is a call, or a probe with its parameters.
type Case struct {
	Name       string            `yaml:"name"`
	Call       string            `yaml:"call"`
	Metadata   map[string]string `yaml:"metadata"`
	Send       []any             `yaml:"send"`
	Fill       map[string]int    `yaml:"fill"`
	Compress   string            `yaml:"compress"`
	DeadlineMS int               `yaml:"deadline_ms"`
	Repeat     int               `yaml:"repeat"`
	Save       map[string]string `yaml:"save"`
	Expect     Expect            `yaml:"expect"`

	Probe    string `yaml:"probe"`
	Tries    int    `yaml:"tries"`
	Count    int    `yaml:"count"`
	Calls    int    `yaml:"calls"`
	DelayMS  int    `yaml:"delay_ms"`
	WithinMS int    `yaml:"within_ms"`
	GoneMS   int    `yaml:"gone_ms"`
}

// Expect is what a call must answer; what is not given is not looked at, but for the code, which is OK then.
type Expect struct {
	Code       string            `yaml:"code"`
	Responses  []any             `yaml:"responses"`
	Count      *int              `yaml:"count"`
	Bytes      map[string]int    `yaml:"bytes"`
	Message    *string           `yaml:"message"`
	Reason     string            `yaml:"reason"`
	Metadata   map[string]string `yaml:"metadata"`
	Violations []any             `yaml:"violations"`
	Hides      string            `yaml:"hides"`
	Trailers   map[string]string `yaml:"trailers"`
}

// Load reads a file of cases; a field that it does not know is an error, lest a case expect something that nobody looks at.
func Load(path string) (*File, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	decoder := yaml.NewDecoder(opened)
	decoder.KnownFields(true)
	file := &File{}
	if err := decoder.Decode(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}
