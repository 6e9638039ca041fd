package main

import (
	"time"

	"uait.dev/go/kit/config"
)

const (
	catalogueName = "memory"
	cataloguePort = 8017
)

// Config is what the service takes from its environment.
type Config struct {
	// Kit is what every service has.
	Kit config.Kit
	// DataDir is the folder of the database; it is made when it is missing.
	DataDir string
	// EmbeddingModel is ml-inference's name of the model that embeds.
	EmbeddingModel string
	// IndexTimeout is how long a search waits for its ranking by meaning.
	IndexTimeout time.Duration
}

var modelName = config.NewPattern("1 to 128 of [A-Za-z0-9._:/@-], a letter or digit first", "[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

func readConfig(environment *config.Environment) (Config, error) {
	configuration := Config{
		Kit:            environment.Kit(catalogueName, cataloguePort),
		DataDir:        environment.Check("UAIT_DATA_DIR", ".uait/data/memory", "a path of at most 4096 bytes", isPath),
		EmbeddingModel: environment.Match("UAIT_EMBEDDING_MODEL", "minilm-l6-v2", modelName),
		IndexTimeout:   environment.Millis("UAIT_INDEX_TIMEOUT_MS", 2000, 1, 60000),
	}
	return configuration, environment.Err()
}

func isPath(v string) bool { return len(v) <= 4096 }
