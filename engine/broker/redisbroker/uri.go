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
	kind     kind
	network  string   // tcp or unix
	addrs    []string // host:port of a server, of Sentinels or of nodes, or the path of a socket
	master   string   // by its name to Sentinel
	username string
	password string
	database int
	tls      *tls.Config // nil without TLS

	sentinelUsername string
	sentinelPassword string
}

// kind is what stands at the addresses of a target.
type kind int

const (
	single kind = iota
	sentinel
	cluster
)

const uriForm = "expected redis://[user:password@]host[:port][/database], unix://[user:password@]/path/of/socket[?db=number], " +
	"redis+sentinel://[user:password@]host[:port],…/master[/database] or redis+cluster://[user:password@]host[:port],…; rediss for TLS"

// parseURI never repeats the URI in an error: it may hold a password.
func parseURI(uri string) (target, error) {
	hosts, one := oneHost(uri)
	u, err := url.Parse(one)
	if err != nil || misread(u) {
		return target{}, errors.New("not a URI: " + uriForm + "; special characters of a password must be percent-encoded")
	}
	t := target{network: "tcp", username: u.User.Username()}
	t.password, _ = u.User.Password()
	query, port, path := u.Query(), "6379", strings.Trim(u.Path, "/")
	scheme, how, _ := strings.Cut(u.Scheme, "+")
	switch {
	case u.Scheme == "unix":
		t.network, hosts, path = "unix", []string{u.Path}, ""
	case scheme != "redis" && scheme != "rediss", how != "" && how != "sentinel" && how != "cluster":
		return target{}, fmt.Errorf("scheme %q is not supported: %s", u.Scheme, uriForm)
	case how == "sentinel":
		t.kind, port = sentinel, "26379"
		if t.master, path, _ = strings.Cut(path, "/"); t.master == "" {
			return target{}, fmt.Errorf("the name of the master is missing: %s", uriForm)
		}
		t.sentinelUsername, t.sentinelPassword = query.Get(sentinelUsername), query.Get(sentinelPassword)
	case how == "cluster":
		if t.kind = cluster; path != "" {
			return target{}, fmt.Errorf("a Cluster has no databases: %s", uriForm)
		}
	}
	if t.kind != cluster {
		if t.database, err = database(query, path); err != nil {
			return target{}, err
		}
	}
	if t.addrs, err = addresses(t.network, hosts, port); err != nil {
		return target{}, err
	}
	if scheme == "rediss" {
		host, _, _ := net.SplitHostPort(t.addrs[0])
		t.tls, err = tlsConfig(host, query)
	}
	return t, errors.Join(err, checkOptions(t, scheme == "rediss", query))
}

// oneHost takes the hosts out of a URI, since net/url parses one only, and
// returns them and the URI with the first.
func oneHost(uri string) (hosts []string, one string) {
	scheme, rest, _ := strings.Cut(uri, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	start := strings.LastIndexByte(rest[:end], '@') + 1
	hosts = strings.Split(rest[start:end], ",")
	if !strings.Contains(scheme, "+") || len(hosts) == 1 {
		return []string{rest[start:end]}, uri
	}
	return hosts, scheme + "://" + rest[:start] + hosts[0] + rest[end:]
}

// addresses are the hosts, each with its port.
func addresses(network string, hosts []string, port string) ([]string, error) {
	if network == "unix" {
		return hosts, nil
	}
	addrs := make([]string, len(hosts))
	for i, host := range hosts {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.Host != host || host == "" && len(hosts) > 1 {
			return nil, fmt.Errorf("address %d of %d is not host or host:port: %s", i+1, len(hosts), uriForm)
		}
		addrs[i] = hostPort(u, port)
	}
	return addrs, nil
}

// misread reports whether the URI holds characters where none of ours belong:
// what stands there may be the rest of a password that had to be encoded.
func misread(u *url.URL) bool {
	return u.Opaque != "" || u.Fragment != "" || strings.Contains(u.EscapedPath()+u.RawQuery, "@")
}

func hostPort(u *url.URL, defaultPort string) string {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = defaultPort
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
		return 0, fmt.Errorf("the database must be a number: %s", uriForm)
	}
	return number, nil
}

const (
	sentinelUsername = "sentinel_username"
	sentinelPassword = "sentinel_password"
)

// checkOptions refuses what would be ignored.
func checkOptions(t target, secure bool, query url.Values) error {
	var known []string
	if t.kind != cluster {
		known = append(known, "db")
	}
	if t.kind == sentinel {
		known = append(known, sentinelUsername, sentinelPassword)
	}
	if secure {
		known = append(known, tlsOptions...)
	}
	for option := range query { // not repeated: it may be a part of a password
		switch {
		case slices.Contains(known, option):
		case slices.Contains(tlsOptions, option):
			return fmt.Errorf("option %q needs the scheme rediss", option)
		case len(known) == 0:
			return errors.New("it has an option that is not known: there are none")
		default:
			return fmt.Errorf("it has an option that is not known: known are %s", strings.Join(known, ", "))
		}
	}
	return nil
}
