package redisbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// target is what a URI says.
type target struct {
	network  string // tcp or unix
	addr     string // host:port, or the path of a socket
	username string
	password string
	database int
	tls      *tls.Config // nil without TLS
}

const uriForm = "expected redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix://[user:password@]/path/of/socket[?db=number]"

// parseURI never repeats the URI in an error: it may hold a password.
func parseURI(uri string) (target, error) {
	u, err := url.Parse(uri)
	if err != nil || misread(u) {
		return target{}, errors.New("not a URI: " + uriForm + "; special characters of a password must be percent-encoded")
	}
	t := target{username: u.User.Username()}
	t.password, _ = u.User.Password()
	query := u.Query()
	switch u.Scheme {
	case "redis", "rediss":
		t.network, t.addr = "tcp", hostPort(u)
		t.database, err = database(query, strings.Trim(u.Path, "/"))
	case "unix":
		t.network, t.addr = "unix", u.Path
		t.database, err = database(query, "")
	case "redis+sentinel", "redis+cluster":
		return target{}, fmt.Errorf("scheme %q: Sentinel and Cluster are not supported; give the address of one server: %s", u.Scheme, uriForm)
	default:
		return target{}, fmt.Errorf("scheme %q is not supported: %s", u.Scheme, uriForm)
	}
	if err != nil {
		return target{}, err
	}
	if u.Scheme == "rediss" {
		t.tls, err = tlsConfig(u.Hostname(), query)
	}
	return t, errors.Join(err, checkOptions(u.Scheme, query))
}

// misread reports whether the URI holds characters where none of ours belong:
// what stands there may be the rest of a password that had to be encoded.
func misread(u *url.URL) bool {
	return u.Opaque != "" || u.Fragment != "" || strings.Contains(u.EscapedPath()+u.RawQuery, "@")
}

func hostPort(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(host, port)
}

// database is the option db if given, else what stands in the path, else 0.
func database(query url.Values, path string) (int, error) {
	text := path
	if query.Has("db") {
		text = query.Get("db")
	}
	if text == "" {
		return 0, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 {
		return 0, fmt.Errorf("database %q must be a number: %s", text, uriForm)
	}
	return number, nil
}

// checkOptions refuses what would be ignored.
func checkOptions(scheme string, query url.Values) error {
	known := []string{"db"}
	if scheme == "rediss" {
		known = append(known, tlsOptions...)
	}
	var errs []error
	for option := range query {
		switch {
		case slices.Contains(known, option):
		case slices.Contains(tlsOptions, option):
			errs = append(errs, fmt.Errorf("option %q needs the scheme rediss", option))
		default:
			errs = append(errs, fmt.Errorf("option %q is not known: known are %s", option, strings.Join(known, ", ")))
		}
	}
	return errors.Join(errs...)
}
