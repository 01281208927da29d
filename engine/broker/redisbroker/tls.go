package redisbroker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

const (
	certReqs      = "ssl_cert_reqs"
	checkHostname = "ssl_check_hostname"
	caCerts       = "ssl_ca_certs"
	certFile      = "ssl_certfile"
	keyFile       = "ssl_keyfile"
)

var tlsOptions = []string{certReqs, checkHostname, caCerts, certFile, keyFile}

// tlsConfig verifies the server's certificate and name unless told otherwise.
func tlsConfig(host string, query url.Values) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if host == "" {
		config.ServerName = "localhost"
	}
	roots, err := rootsOf(query.Get(caCerts))
	if err != nil {
		return nil, err
	}
	config.RootCAs = roots
	if config.Certificates, err = certificates(query.Get(certFile), query.Get(keyFile)); err != nil {
		return nil, err
	}
	return config, relax(config, query)
}

// rootsOf reads the authorities to trust; no path means the system's.
func rootsOf(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caCerts, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s holds no PEM certificate", caCerts, path)
	}
	return pool, nil
}

// certificates reads this client's own certificate.
func certificates(cert, key string) ([]tls.Certificate, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" {
		return nil, fmt.Errorf("%s needs %s", keyFile, certFile)
	}
	if key == "" {
		key = cert // one file may hold both
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	return []tls.Certificate{pair}, nil
}

// relax leaves out the checks that the URI does not want. To a client,
// "optional" is "required": servers always show a certificate.
func relax(config *tls.Config, query url.Values) error {
	anyName := false
	switch name := query.Get(checkHostname); name {
	case "", "true", "True":
	case "false", "False":
		anyName = true
	default:
		return fmt.Errorf("%s is %q: expected true or false", checkHostname, name)
	}
	switch reqs := query.Get(certReqs); reqs {
	case "", "required", "optional":
		if anyName {
			config.InsecureSkipVerify = true
			config.VerifyConnection = verifyChain(config.RootCAs)
		}
	case "none":
		config.InsecureSkipVerify = true
	default:
		return fmt.Errorf("%s is %q: expected none, optional or required", certReqs, reqs)
	}
	return nil
}

// verifyChain checks who signed the server's certificate, not its name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server showed no certificate")
		}
		between := x509.NewCertPool()
		for _, cert := range state.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}
