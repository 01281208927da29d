package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redisTLS are the parameters that say how a rediss URL's server is trusted.
var redisTLS = []string{"ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}

// sentinelCredentials are who we are to Sentinel, where that differs from who we
// are to the servers that it names.
var sentinelCredentials = []string{"sentinel_username", "sentinel_password"}

// redisPython are parameters about things that are Python's own, or that the Go
// client does by itself.
var redisPython = []string{
	"client_name", "decode_responses", "encoding", "encoding_errors", "health_check_interval", "lib_name",
	"lib_version", "protocol", "retry_on_error", "single_connection_client", "socket_keepalive",
	"socket_read_size", "ssl_min_version", "ssl_validate_ocsp",
}

// poolKeys are the settings of a pool that may be parameters as well.
func poolKeys() []string {
	names := make([]string, len(poolRows))
	for i, r := range poolRows {
		names[i] = r.name
	}
	return names
}

// translateRedis keeps of a redis-py URL the server, who we are there, the
// database, and how its certificate is checked. Of the schemes that redis-py does
// not have, redis+sentinel and redis+cluster, it keeps the hosts and the master.
func translateRedis(a address) (string, error) {
	if a.query.Has("password") || a.query.Has("username") {
		a.user = url.UserPassword(a.query.Get("username"), a.query.Get("password"))
	}
	wrong := errors.Join(a.checkOnce(), a.checkBooleans("retry_on_timeout", "ssl_check_hostname"))
	a.drop("username", "password")
	a.drop(poolKeys()...)
	a.drop(redisPython...)
	if a.query.Has("ssl_cert_reqs") {
		a.query.Set("ssl_cert_reqs", strings.TrimPrefix(strings.ToLower(a.query.Get("ssl_cert_reqs")), "cert_"))
	}
	if a.query.Has("ssl_check_hostname") {
		a.query.Set("ssl_check_hostname", pythonBool(a.query.Get("ssl_check_hostname")))
	}
	return a.String(), errors.Join(wrong, a.checkRedis())
}

// checkOnce says which parameter has several values: one of them would be taken.
// A name is repeated only where it is known, since it may be a part of a password.
func (a address) checkOnce() error {
	known := slices.Concat([]string{"db", "username", "password"}, poolKeys(), redisTLS, sentinelCredentials, redisPython)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.query)) {
		if len(a.query[name]) > 1 && slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("it has its parameter %s twice: expected it once", name))
		}
	}
	return errors.Join(errs...)
}

// checkRedis says what is wrong with the address of a server, of Sentinels or of
// a Cluster. Its parameters are named, never their values.
func (a address) checkRedis() error {
	scheme, topology, _ := strings.Cut(a.scheme, "+")
	known := []string{"db"}
	switch {
	case a.scheme == "unix" && (a.host != "" && !strings.HasPrefix(a.host, "/") || strings.Trim(a.host+a.path, "/") == ""):
		return errors.New("expected the path of a socket behind unix://, which begins with a slash: unix:///run/redis.sock")
	case a.scheme != "unix" && a.host == "" && a.path == "":
		return errors.New("the host is missing: expected such as redis://127.0.0.1:6379/0")
	case topology == "" && strings.Contains(a.host, ","):
		return fmt.Errorf("it names several hosts, which a %s URL cannot: expected redis+sentinel://host,host/master/0 or redis+cluster://host,host", a.scheme)
	case topology == "":
	case scheme == "unix", topology != "sentinel" && topology != "cluster":
		return errors.New("its scheme is not known: expected redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster")
	case slices.Contains(strings.Split(a.host, ","), ""):
		return errors.New("one of its hosts is empty: expected host or host:port between the commas")
	case topology == "sentinel":
		known = append(known, sentinelCredentials...)
		if master, _, _ := strings.Cut(strings.Trim(a.path, "/"), "/"); master == "" {
			return errors.New("the name of the master is missing: expected redis+sentinel://host:26379,host:26379/master/0")
		}
	case topology == "cluster":
		known = nil
		if strings.Trim(a.path, "/") != "" {
			return errors.New("a Cluster has no databases: expected redis+cluster://host:6379,host:6379 and nothing behind the hosts")
		}
	}
	if scheme == "rediss" {
		known = append(known, redisTLS...)
	}
	known = append(known, poolKeys()...)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.query)) {
		if !slices.Contains(known, name) { // its name may be a part of a password
			errs = append(errs, errors.New("a parameter of it is not known to a "+a.scheme+" URL: expected one of "+strings.Join(known, ", ")+didYouMean(nearest(name, known))))
		}
	}
	return errors.Join(append(errs, a.checkRedisValues())...)
}

// surprises says what of the address of a Redis is taken otherwise than it may have
// been meant.
func (a address) surprises() []string {
	var all []string
	if a.scheme != "unix" && (a.host == "" || strings.HasPrefix(a.host, ":")) {
		all = append(all, "names no host: localhost is taken")
	}
	if parameter, path := a.query.Get("db"), a.databaseInPath(); path != "" && parameter != "" && path != parameter {
		all = append(all, "names two databases: the one of its parameter db is taken")
	}
	return all
}

// databaseInPath is the database behind the hosts; "" where there is none.
func (a address) databaseInPath() string {
	database := strings.Trim(a.path, "/")
	switch {
	case strings.HasSuffix(a.scheme, "+sentinel"):
		_, database, _ = strings.Cut(database, "/")
	case strings.HasPrefix(a.scheme, "unix"):
		return ""
	}
	return database
}

// checkRedisValues says which value the Go client would refuse at the first
// connection.
func (a address) checkRedisValues() error {
	var errs []error
	for _, text := range []string{a.databaseInPath(), a.query.Get("db")} {
		if strings.Trim(text, "0123456789") != "" || len(text) > 9 {
			errs = append(errs, errors.New("expected as its database a whole number"))
		}
	}
	if text := a.query.Get("ssl_cert_reqs"); text != "" && !slices.Contains([]string{"none", "optional", "required"}, text) {
		errs = append(errs, errors.New("expected as its parameter ssl_cert_reqs one of none, optional, required"))
	}
	return errors.Join(errs...)
}

// The booleans of a URL, as redis-py has them; it takes any other word for true,
// which is refused here.
var (
	pythonFalse = []string{"", "0", "f", "false", "n", "no"}
	pythonTrue  = []string{"1", "t", "true", "y", "yes"}
)

// pythonBool is a boolean of a URL in our words.
func pythonBool(text string) string {
	return strconv.FormatBool(!slices.Contains(pythonFalse, strings.ToLower(text)))
}

// checkBooleans says which of the parameters is no boolean.
func (a address) checkBooleans(names ...string) error {
	var errs []error
	for _, name := range names {
		if text := strings.ToLower(a.query.Get(name)); !slices.Contains(pythonFalse, text) && !slices.Contains(pythonTrue, text) {
			errs = append(errs, fmt.Errorf("expected as its parameter %s true or false", name))
		}
	}
	return errors.Join(errs...)
}
