package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"uait.dev/go/kit/config"
)

func read(variables map[string]string) (Config, error) {
	return readConfig(config.From(func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}, 1))
}

func TestConfig_empty_isTheCataloguesDefault(t *testing.T) {
	c, err := read(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kit.Service != "intelligent-load-balancer" || c.Kit.Port != 8080 || c.Kit.HTTPPort != 18080 {
		t.Errorf("got %+v", c.Kit)
	}
	if c.LeaseTTL.String() != "3s" || c.HealthInterval.String() != "1s" || c.HealthTimeout.String() != "500ms" ||
		c.HealthThresholds != (Thresholds{Out: 2, In: 1}) || c.Coalesce.String() != "50ms" || c.Settle.String() != "6s" || len(c.Seeds) != 0 || c.Descriptors != nil {
		t.Errorf("got %+v", c)
	}
}

func TestConfig_seeds_areReadInOrder(t *testing.T) {
	c, err := read(map[string]string{"UAIT_SEEDS": "echo-go=127.0.0.1:8002, echo-go=127.0.0.1:8202,echo-ts=[::1]:8001"})
	if err != nil || len(c.Seeds) != 3 {
		t.Fatalf("got %+v, %v", c.Seeds, err)
	}
	for i, want := range []Endpoint{
		{Service: "echo-go", Instance: "seed-127.0.0.1-8002", Host: "127.0.0.1", Port: 8002},
		{Service: "echo-go", Instance: "seed-127.0.0.1-8202", Host: "127.0.0.1", Port: 8202},
		{Service: "echo-ts", Instance: "seed---1-8001", Host: "::1", Port: 8001},
	} {
		if c.Seeds[i] != want {
			t.Errorf("got %+v, want %+v", c.Seeds[i], want)
		}
	}
}

func TestConfig_badValue_isRefusedByName(t *testing.T) {
	directory := t.TempDir()
	garbage, empty := filepath.Join(directory, "garbage"), filepath.Join(directory, "empty")
	for path, content := range map[string]string{garbage: "no descriptors", empty: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for variable, values := range map[string][]string{
		"UAIT_SEEDS": {
			"echo-go", "echo-go=", "echo-go=localhost:1", "echo-go=127.0.0.1", "echo-go=127.0.0.1:0", "echo-go=127.0.0.1:70000",
			"Echo=127.0.0.1:1", "=127.0.0.1:1", "a=127.0.0.1:1,", "a=0.0.0.0:1", "a=127.0.0.1:1,a=127.0.0.1:1", "a=[fe80::1%eth0]:1",
		},
		"UAIT_DESCRIPTORS":        {filepath.Join(directory, "absent"), garbage, empty},
		"UAIT_LEASE_TTL_MS":       {"99", "60001", "3s"},
		"UAIT_HEALTH_INTERVAL_MS": {"49", "60001"},
		"UAIT_HEALTH_TIMEOUT_MS":  {"9", "60001"},
		"UAIT_HEALTH_OUT":         {"0", "11"},
		"UAIT_HEALTH_IN":          {"0", "11"},
		"UAIT_XDS_COALESCE_MS":    {"-1", "1001"},
		"UAIT_XDS_SETTLE_MS":      {"-1", "60001"},
		"UAIT_HISTORY":            {"0", "1000001"},
	} {
		for _, value := range values {
			_, err := read(map[string]string{variable: value})
			refusal, ok := errors.AsType[*config.Refusal](err)
			if !ok || refusal.Variable != variable || refusal.Value != value || refusal.Range == "" {
				t.Errorf("%s=%s: %v", variable, value, err)
			}
		}
	}
}

func FuzzParseSeeds(f *testing.F) {
	f.Add("echo-go=127.0.0.1:8002,echo-ts=[::1]:8001")
	f.Add(",=")
	f.Fuzz(func(t *testing.T, value string) {
		seeds, ok := parseSeeds(value)
		for _, seed := range seeds {
			if !ok || seed.Port == 0 || seed.Service == "" || seed.Host == "" {
				t.Fatalf("%q gave %+v, %t", value, seed, ok)
			}
		}
	})
}
