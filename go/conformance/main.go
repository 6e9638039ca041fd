// Command conformance runs the cases of the kit's behaviour against a server; CONTRIBUTING.md specifies it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"uait.dev/go/conformance/suite"
	"uait.dev/go/kit/config"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	var options suite.Options
	var cases, cert, key, authority string
	var pid int
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&cases, "cases", "", "`file` of cases")
	flags.StringVar(&options.Target, "target", "", "`host:port` to call")
	flags.StringVar(&options.Server, "server", "", "`host:port` of the server itself, for health checks (default: the target)")
	flags.IntVar(&pid, "pid", 0, "process `id` of the server, for the drain")
	flags.StringVar(&options.Service, "service", "", "catalogue `name` of the service to call")
	flags.StringVar(&cert, "tls-cert", "", "PEM `file` of the client's certificate")
	flags.StringVar(&key, "tls-key", "", "PEM `file` of its key")
	flags.StringVar(&authority, "tls-ca", "", "PEM `file` of the servers' authority")
	flags.StringVar(&options.Only, "only", "", "run this `case` alone, and those that it needs")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if cases == "" || options.Target == "" {
		return fmt.Errorf("--cases and --target are needed")
	}
	if cert != "" || key != "" || authority != "" {
		keys, err := config.LoadTLS(cert, key, authority)
		if err != nil {
			return fmt.Errorf("--tls-cert, --tls-key and --tls-ca: %w", err)
		}
		options.TLS = keys
	}
	if pid > 0 {
		options.Process = suite.ProcessID(pid)
	}
	file, err := suite.Load(cases)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(os.Stdout)
	return suite.Run(context.Background(), file, options, func(result suite.Result) error { return lines.Encode(result) })
}
