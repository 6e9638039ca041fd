package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"uait.dev/go/conformance/suite"
	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/natstest"
	"uait.dev/go/kit/serve"
)

const casesFile = "../../../proto/uait/echo/v1/cases.yaml"

// inProcess is the service under test; terminating it ends its context, as a signal does.
type inProcess struct {
	server *serve.Server
	cancel context.CancelFunc
	ended  chan struct{}
}

func (p *inProcess) Terminate() error {
	p.cancel()
	return nil
}

func (p *inProcess) Gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// startEcho runs the service as main does, on free ports and with itself as the mesh.
func startEcho(t *testing.T, natsURL string, keys *config.TLS) *inProcess {
	t.Helper()
	configuration, err := readConfig(config.From(func(string) (string, bool) { return "", false }, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	kit := &configuration.Kit
	kit.Port, kit.HTTPPort, kit.Lease, kit.NATSURL, kit.TLS = freePort(t), 0, false, natsURL, keys
	kit.Mesh, kit.OTLPEndpoint = kit.Address(), "http://127.0.0.1:1"
	server, err := newServer(configuration, serve.Logs(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &inProcess{server: server, cancel: cancel, ended: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		defer close(p.ended)
		if err := server.Run(ctx); err != nil {
			failed <- err
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	select {
	case <-server.Ready():
	case err := <-failed:
		t.Fatal(err)
	}
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestConformance_EveryCase_Passes(t *testing.T) {
	nats := natstest.Start(t)
	file, err := suite.Load(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]*config.TLS{"plain": nil, "mutual_tls": newKeys(t)} {
		t.Run(name, func(t *testing.T) {
			echo := startEcho(t, nats.URL, keys)
			options := suite.Options{
				Target: echo.server.Address(), Service: catalogueName, API: echov1.EchoService_ServiceDesc.ServiceName,
				Process: echo, TLS: keys,
			}
			count := 0
			err := suite.Run(context.Background(), file, options, func(result suite.Result) error {
				count++
				if !result.OK {
					t.Errorf("%s: %s", result.Case, result.Error)
				}
				return nil
			})
			if err != nil || count != len(file.Cases) || count == 0 {
				t.Errorf("%d of %d cases were run: %v", count, len(file.Cases), err)
			}
		})
	}
}

// newKeys makes an authority and a certificate of it for both ends on the loopback.
func newKeys(t *testing.T) *config.TLS {
	t.Helper()
	authorityKey, leafKey := newKey(t), newKey(t)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "echo-go"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	directory := t.TempDir()
	write := func(name, kind string, bytes []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authorityBytes, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	authorityFile := write("ca.pem", "CERTIFICATE", authorityBytes, err)
	leafBytes, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	certificateFile := write("cert.pem", "CERTIFICATE", leafBytes, err)
	keyBytes, err := x509.MarshalPKCS8PrivateKey(leafKey)
	keyFile := write("key.pem", "PRIVATE KEY", keyBytes, err)
	keys, err := config.LoadTLS(certificateFile, keyFile, authorityFile)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
