package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// readFile reads a file of at most so many bytes. What is no regular file, such as
// a pipe or a device, may have no end, or no beginning: it is refused.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a folder")}
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is no regular file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("is longer than %d bytes", most)}
	}
	return text, err
}

// maxFile is how long a certificate, or what it belongs to, may be.
const maxFile = 1 << 20

// checkFiles says which file that a URL's parameters name cannot be used. It is
// not part of [translate], since each new connection reads them anew. Parameters
// are named, never their values.
func (a address) checkFiles() error {
	var errs []error
	bad := func(name, expected string, err error) {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		errs = append(errs, fmt.Errorf("expected as its parameter %s %s: %w", name, expected, err))
	}
	authorities := func(name, path string) {
		pem, err := readFile(path, maxFile)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = errors.New("it holds no PEM certificate")
		}
		if err != nil {
			bad(name, "a file with the certificates of authorities", err)
		}
	}
	switch scheme, _, _ := strings.Cut(a.scheme, "+"); scheme {
	case "rediss":
		if path := a.query.Get("ssl_ca_certs"); path != "" {
			authorities("ssl_ca_certs", path)
		}
		certificate := a.query.Get("ssl_certfile")
		key := cmp.Or(a.query.Get("ssl_keyfile"), certificate)
		switch {
		case certificate == "" && key != "":
			bad("ssl_certfile", "a file beside ssl_keyfile", errors.New("there is none"))
		case certificate != "":
			if err := checkPair(certificate, key); err != nil {
				bad("ssl_certfile", "a file with a certificate, and as ssl_keyfile one with its key", err)
			}
		}
	case "postgres", "postgresql":
		if a.query.Get("sslmode") == "disable" {
			break
		}
		if path := a.query.Get("sslrootcert"); path != "" && path != "system" {
			authorities("sslrootcert", path)
		}
		home, _ := os.UserHomeDir()
		for _, file := range []struct{ name, other, variable, inHome string }{
			{"sslcert", "sslkey", "PGSSLCERT", "postgresql.crt"}, {"sslkey", "sslcert", "PGSSLKEY", "postgresql.key"},
		} {
			if path := a.query.Get(file.name); path != "" {
				if _, err := readFile(path, maxFile); err != nil {
					bad(file.name, "a file that can be read", err)
				}
				continue
			}
			_, err := os.Stat(filepath.Join(home, ".postgresql", file.inHome)) // the default
			if a.query.Get(file.other) != "" && os.Getenv(file.variable) == "" && err != nil {
				bad(file.name, "a file beside "+file.other, errors.New("there is none"))
			}
		}
		if name := a.query.Get("service"); name != "" {
			path := cmp.Or(a.query.Get("servicefile"), os.Getenv("PGSERVICEFILE"), filepath.Join(home, ".pg_service.conf"))
			text, err := readFile(path, maxFile)
			if err == nil && !strings.Contains("\n"+string(text), "\n["+name+"]") {
				err = errors.New("the file of services has none of that name")
			}
			if err != nil {
				bad("service", "one of the file of services (servicefile, PGSERVICEFILE or ~/.pg_service.conf)", err)
			}
		}
	}
	return errors.Join(errs...)
}

// checkPair says what is wrong with the files of a certificate and its key.
func checkPair(certificate, key string) error {
	cert, err := readFile(certificate, maxFile)
	if err != nil {
		return err
	}
	private, err := readFile(key, maxFile)
	if err != nil {
		return err
	}
	_, err = tls.X509KeyPair(cert, private)
	return err
}
