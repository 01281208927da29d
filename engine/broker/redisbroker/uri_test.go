package redisbroker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURIsSayWhereAndAsWhom(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]target{
		"redis://":                         {network: "tcp", addrs: []string{"localhost:6379"}},
		"redis://cache.internal":           {network: "tcp", addrs: []string{"cache.internal:6379"}},
		"redis://cache:7000/":              {network: "tcp", addrs: []string{"cache:7000"}},
		"redis://[::1]:7000/4":             {network: "tcp", addrs: []string{"[::1]:7000"}, database: 4},
		"redis://:pw@cache/1":              {network: "tcp", addrs: []string{"cache:6379"}, password: "pw", database: 1},
		"redis://ada:p%40%2F%3A@cache/1":   {network: "tcp", addrs: []string{"cache:6379"}, username: "ada", password: "p@/:", database: 1},
		"redis://ada@cache":                {network: "tcp", addrs: []string{"cache:6379"}, username: "ada"},
		"redis://cache/1?db=2":             {network: "tcp", addrs: []string{"cache:6379"}, database: 2},
		"redis+cluster://ada:pw@a,b:7000/": {kind: cluster, network: "tcp", addrs: []string{"a:6379", "b:7000"}, username: "ada", password: "pw"},
		"redis+cluster://[::1]:7000":       {kind: cluster, network: "tcp", addrs: []string{"[::1]:7000"}},
		"redis+sentinel://a,b:7000/mymaster/2": {
			kind: sentinel, network: "tcp", addrs: []string{"a:26379", "b:7000"}, master: "mymaster", database: 2,
		},
		"redis+sentinel://:p%2Cw@a,b/mymaster?sentinel_username=u&sentinel_password=s&db=3": {
			kind: sentinel, network: "tcp", addrs: []string{"a:26379", "b:26379"}, master: "mymaster", database: 3,
			password: "p,w", sentinelUsername: "u", sentinelPassword: "s",
		},
		"unix:///run/redis.sock":             {network: "unix", addrs: []string{"/run/redis.sock"}},
		"unix://ada:pw@/run/redis.sock?db=2": {network: "unix", addrs: []string{"/run/redis.sock"}, username: "ada", password: "pw", database: 2},
	} {
		got, err := parseURI(uri)
		require.NoError(t, err, uri)
		require.Equal(t, want, got, uri)
	}
}

func TestTLSVerifiesUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for uri, insecure := range map[string]bool{
		"rediss://cache":                                                     false,
		"rediss://cache?ssl_cert_reqs=required":                              false,
		"rediss://cache?ssl_cert_reqs=optional":                              false,
		"rediss://cache?ssl_cert_reqs=none":                                  true,
		"rediss://cache?ssl_cert_reqs=none&ssl_check_hostname=false":         true,
		"rediss://cache?ssl_cert_reqs=required&ssl_check_hostname=true&db=1": false,
	} {
		got, err := parseURI(uri)
		require.NoError(t, err, uri)
		require.Equal(t, "cache", got.tls.ServerName, uri)
		require.Equal(t, insecure, got.tls.InsecureSkipVerify, uri)
		require.Nil(t, got.tls.VerifyConnection, uri)
	}
	got, err := parseURI("rediss://cache?ssl_check_hostname=false")
	require.NoError(t, err)
	require.NotNil(t, got.tls.VerifyConnection, "the chain is still checked")
}

func TestWhatAURICannotSayIsExplained(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"localhost:6379":                            "expected redis://",
		"http://cache":                              "scheme \"http\" is not supported: expected redis://",
		"cache":                                     "scheme \"\"",
		"redis+sentinel://a,b":                      "the name of the master is missing",
		"redis+sentinel://a/mymaster/x":             "the database must be a number",
		"redis+sentinel://a:x,b/mymaster":           "not a URI",
		"redis+sentinel://a,b:x/mymaster":           "address 2 of 2",
		"redis+sentinel://a,,b/mymaster":            "address 2 of 3",
		"redis+cluster://a,b/1":                     "a Cluster has no databases",
		"redis+cluster://a,b?db=1":                  "an option that is not known: there are none",
		"redis+cluster://a?sentinel_password=x":     "an option that is not known",
		"redis+proxy://a":                           "scheme \"redis+proxy\" is not supported",
		"redis://cache/orders":                      "the database must be a number",
		"redis://cache/-1":                          "the database must be a number",
		"redis://cache?db=x":                        "the database must be a number",
		"redis://cache?ssl_cert_reqs=none":          "option \"ssl_cert_reqs\" needs the scheme rediss",
		"redis://cache?timeout=3":                   "an option that is not known: known are db",
		"rediss://cache?ssl_cert_reqs=maybe":        "expected none, optional or required",
		"rediss://cache?ssl_check_hostname=1":       "expected true or false",
		"rediss://cache?ssl_ca_certs=/none/ca.pem":  "/none/ca.pem",
		"rediss://cache?ssl_ca_certs=uri_test.go":   "holds no PEM certificate",
		"rediss://cache?ssl_keyfile=/none/key.pem":  "ssl_keyfile needs ssl_certfile",
		"rediss://cache?ssl_certfile=/none/own.pem": "/none/own.pem",
		"redis://:p#w@cache":                        "percent-encoded",
	} {
		_, err := parseURI(uri)
		require.ErrorContains(t, err, want, uri)
	}
}

func FuzzURIsNeverTellThePassword(f *testing.F) {
	for _, rest := range []string{"", "/", "#", "?", "%", ":", "1/", "?db=", "&ssl_cert_reqs=", " "} {
		f.Add("redis", "ada", rest, "cache:6379/0")
		f.Add("rediss", "", "", rest)
		f.Add("unix", rest, "", "/run/redis.sock")
		f.Add("redis+sentinel", "ada", rest, "a:1,b:2/master")
		f.Add("redis+cluster", "ada", rest, "a,b")
	}
	f.Fuzz(func(t *testing.T, scheme, user, rest, host string) {
		if _, err := parseURI(scheme + "://" + user + ":1/hunter2" + rest + "@" + host); err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
		if _, err := parseURI(scheme + "://" + user + ":hunter2" + rest + "@" + host); err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
	})
}
