package config

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"google.golang.org/grpc/credentials"
)

// TLS holds a service's own certificate and the authority that it trusts for its peers.
type TLS struct {
	certificate tls.Certificate
	authority   *x509.CertPool
}

// LoadTLS reads PEM files.
func LoadTLS(certFile, keyFile, authorityFile string) (*TLS, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(authorityFile)
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		return nil, os.ErrInvalid
	}
	return &TLS{certificate: certificate, authority: authority}, nil
}

// Server takes only clients that show a certificate of the authority.
func (t *TLS) Server() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{t.certificate},
		ClientCAs:    t.authority,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
	})
}

// Client shows the service's certificate and takes only servers of the authority.
func (t *TLS) Client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{t.certificate},
		RootCAs:      t.authority,
		MinVersion:   tls.VersionTLS12,
	})
}

const tlsAllowed = "paths of PEM files, all three or none"

func (e *Environment) tls() *TLS {
	names := []string{"UAIT_TLS_CERT", "UAIT_TLS_KEY", "UAIT_TLS_CA"}
	values := make([]string, len(names))
	set := 0
	for i, name := range names {
		values[i] = e.Check(name, "", tlsAllowed, isFile)
		if v, ok := e.lookup(name); ok && v != "" {
			set++
		}
	}
	if set == 0 || e.err != nil {
		return nil
	}
	keys, err := LoadTLS(values[0], values[1], values[2])
	if err == nil {
		return keys
	}
	culprit := 0
	for i, v := range values {
		if v == "" {
			culprit = i
		}
	}
	e.err = &Refusal{Variable: names[culprit], Value: values[culprit], Range: tlsAllowed}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
