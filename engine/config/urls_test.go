package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPythonsURLsAreTranslated(t *testing.T) {
	t.Parallel()
	for python, want := range map[string]string{
		"postgresql://u:p@h:5432/d":                                              "postgres://u:p@h:5432/d",
		"postgres://u@h/d":                                                       "postgres://u@h/d",
		"postgresql+psycopg2://u:p@h/d?sslmode=require":                          "postgres://u:p@h/d?sslmode=require",
		"postgresql+psycopg://u:p@h/d":                                           "postgres://u:p@h/d",
		"postgresql+pg8000://h/d":                                                "postgres://h/d",
		"PostgreSQL+psycopg2://h/d":                                              "postgres://h/d",
		"postgresql+asyncpg://h/d?ssl=require&timeout=3":                         "postgres://h/d?connect_timeout=3&sslmode=require",
		"postgresql+asyncpg://h/d?prepared_statement_cache_size=0":               "postgres://h/d",
		"postgresql://h/d?keepalives=1&keepalives_idle=30&application_name=shop": "postgres://h/d?application_name=shop",
		"postgresql://u:p@/d?host=a:1&host=b:2":                                  "postgres://u:p@/d?host=a%2Cb&port=1%2C2",
		"postgresql://u:p@/d?host=/run/postgresql":                               "postgres://u:p@/d?host=%2Frun%2Fpostgresql",
		"postgresql://u:p@a:1,b:2/d":                                             "postgres://u:p@a:1,b:2/d",
		"postgresql://me:p%40ss@h/d":                                             "postgres://me:p%40ss@h/d",
		"postgresql://me:p@ss%@h/d":                                              "postgres://me:p%40ss%25@h/d",

		"mssql+pyodbc://sa:p@h:1433/shop?driver=ODBC+Driver+18+for+SQL+Server&TrustServerCertificate=yes&Encrypt=no": "sqlserver://sa:p@h:1433?TrustServerCertificate=true&database=shop&encrypt=false",
		"mssql+pymssql://sa:p@h/shop":                         "sqlserver://sa:p@h?database=shop",
		"mssql+pyodbc:///?odbc_connect=Server%3Dh%3BUID%3Dsa": "odbc:Server=h;UID=sa",

		"sqlite:///shop.sqlite":              "file:shop.sqlite",
		"sqlite:///data/shop.sqlite?mode=ro": "file:data/shop.sqlite?mode=ro",
		"sqlite:////var/lib/shop.sqlite":     "file:/var/lib/shop.sqlite",
		"sqlite+aiosqlite:///shop.sqlite":    "file:shop.sqlite",
		"sqlite:///file:shop?mode=memory":    "file:shop?mode=memory",
		"sqlite://":                          ":memory:",
		"sqlite:///":                         ":memory:",
		"sqlite:///:memory:":                 ":memory:",

		"redis://h:6379/2": "redis://h:6379/2",
		"redis://:p@h":     "redis://:p@h",
		"redis://a%3Ab@h":  "redis://a%3Ab@h",
		"redis://h/0?db=3&decode_responses=True&protocol=3":                "redis://h/0?db=3",
		"redis://h?socket_timeout=2&max_connections=7":                     "redis://h",
		"redis://h?username=u&password=p%26":                               "redis://u:p&@h",
		"rediss://h:6380/0":                                                "rediss://h:6380/0",
		"rediss://h?ssl_cert_reqs=none":                                    "rediss://h?ssl_cert_reqs=none",
		"rediss://h?ssl_cert_reqs=CERT_REQUIRED":                           "rediss://h?ssl_cert_reqs=required",
		"rediss://h?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_check_hostname=False": "rediss://h?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_check_hostname=false",
		"unix://u:p@/run/redis.sock?db=2":                                  "unix://u:p@/run/redis.sock?db=2",
		"unix:///run/redis.sock":                                           "unix:///run/redis.sock",

		"redis+sentinel://u:p@a:26379,b/mymaster/2?socket_timeout=2":   "redis+sentinel://u:p@a:26379,b/mymaster/2",
		"redis+sentinel://a/mymaster?db=2":                             "redis+sentinel://a/mymaster?db=2",
		"redis+sentinel://a/m?sentinel_username=s&sentinel_password=q": "redis+sentinel://a/m?sentinel_password=q&sentinel_username=s",
		"redis+sentinel://a/m?sentinel_password=q@%2F":                 "redis+sentinel://a/m?sentinel_password=q%40%2F",
		"rediss+sentinel://a/m/0?ssl_cert_reqs=CERT_NONE":              "rediss+sentinel://a/m/0?ssl_cert_reqs=none",
		"redis+cluster://u:p@ss@a:7000,b:7001,c":                       "redis+cluster://u:p%40ss@a:7000,b:7001,c",
		"redis+cluster://a/?max_connections=7":                         "redis+cluster://a/",
		"rediss+cluster://a?ssl_ca_certs=%2Fca.pem":                    "rediss+cluster://a?ssl_ca_certs=%2Fca.pem",
	} {
		got, err := translate(urlText{text: python})
		require.NoError(t, err, python)
		require.Equal(t, want, got, python)
	}
}

func TestURLsOfOtherServersAreErrors(t *testing.T) {
	t.Parallel()
	for python, want := range map[string]string{
		"":                             "expected a URL",
		"localhost:6379":               "expected a URL",
		"mysql://h/d":                  "expected a URL of postgresql",
		"redis://h?ssl_cert_reqs=none": "a parameter of it is not known to a redis URL: expected one of db, max_connections",
		"redis://h?sockettimeout=1":    `; did you mean "socket_timeout"?`,

		"redis://a,b":                                    "expected redis+sentinel://host,host/master/0 or redis+cluster://host,host",
		"redis+foo://h":                                  `its scheme is not known: expected redis,`,
		"unix+cluster:///run/redis.sock":                 "its scheme is not known: expected redis,",
		"redis+sentinel://a,b":                           "the name of the master is missing",
		"redis+sentinel://a/m?ssl_cert_reqs=x":           "a parameter of it is not known to a redis+sentinel URL",
		"redis://h?sentinel_password=q":                  "a parameter of it is not known to a redis URL",
		"redis+cluster://a/0":                            "a Cluster has no databases",
		"redis://h:65536":                                "a port from 1 to 65535",
		"redis://h:notaport":                             "a port from 1 to 65535",
		"redis+cluster://h:1,h:notaport":                 "a port from 1 to 65535",
		"redis://::1":                                    "an IPv6 address in brackets",
		"redis://a=b":                                    "expected host or host:port",
		"redis://[::1":                                   "expected host or host:port",
		"redis://":                                       "the host is missing",
		"redis://h/zero":                                 "expected as its database a whole number",
		"redis://h/0?db=-1":                              "expected as its database a whole number",
		"redis+sentinel://a/m/zero":                      "expected as its database a whole number",
		"rediss://h?ssl_cert_reqs=sometimes":             "expected as its parameter ssl_cert_reqs one of none, optional, required",
		"redis://h/0#x":                                  `it has a "#"`,
		"postgresql://h/d%zz":                            `a "%" that is no percent-encoding`,
		"redis://h?db=%zz":                               "its parameters cannot be read",
		"redis://:pa?ss@h/0":                             `an @ follows a "/", "?" or "#"`,
		"redis://u:12/ss@h/0":                            `an @ follows a "/", "?" or "#"`,
		"redis://u:1?x@h/0":                              `an @ follows a "/", "?" or "#"`,
		"redis://u:p#w@h/0":                              `an @ follows a "/", "?" or "#"`,
		"postgresql://me:pa?ss@h/d":                      `an @ follows a "/", "?" or "#"`,
		"postgresql://me:1/ss@h/d":                       `an @ follows a "/", "?" or "#"`,
		"postgresql://h:65536/d":                         "a port from 1 to 65535",
		"postgresql://h/d?sslmode=sometimes":             "expected as its parameter sslmode one of disable, allow,",
		"postgresql+asyncpg://h/d?ssl=sometimes":         "expected as its parameter sslmode one of disable, allow,",
		"postgresql://h/d?connect_timeout=soon":          "its parameter connect_timeout a whole number from 0 to 31622400",
		"postgresql://h/d?port=70000":                    "expected as its parameter port",
		"postgresql://u@/d?host=a:notaport":              "expected as its parameter port",
		"postgresql://h/d?target_session_attrs=whatever": "target_session_attrs one of any,",
		"mssql+pyodbc://sa@h:notaport/d":                 "a port from 1 to 65535",
		"redis+cluster://h,,h":                           "one of its hosts is empty",
		"redis://h:/0":                                   "a port from 1 to 65535",
		"unix://":                                        "the path of a socket behind unix://",
		"unix:///":                                       "the path of a socket behind unix://",
		"unix://tmp/x.sock":                              "which begins with a slash",
		"redis://h?db=1&db=2":                            "it has its parameter db twice",
		"redis://h?retry_on_timeout=maybe":               "its parameter retry_on_timeout true or false",
		"rediss://h?ssl_check_hostname=maybe":            "its parameter ssl_check_hostname true or false",
		"postgresql://h/d?min_protocol_version=x":        "its parameter min_protocol_version one of 3.0,",
		"postgresql://h/d?default_query_exec_mode=x":     "its parameter default_query_exec_mode one of cache_statement,",
		"postgresql://h/d?statement_cache_capacity=x":    "its parameter statement_cache_capacity a whole number",
		"postgresql://h/d?channel_binding=x":             "its parameter channel_binding one of disable,",
		"postgresql://h/d?sslnegotiation=x":              "its parameter sslnegotiation one of postgres,",
		"postgresql://h/d?sslsni=x":                      "its parameter sslsni one of 0, 1",
		"postgresql://h/d?port=1,2,3":                    "its parameter port one port, or as many as hosts",
		"postgresql://h/d?connect_timeout=99999999999":   "its parameter connect_timeout a whole number",
		"redis+cluster://a?db=1":                         "a parameter of it is not known to a redis+cluster URL",
	} {
		_, err := translate(urlText{text: python})
		require.ErrorContains(t, err, want, python)
	}
}

func TestARedisURLMayCarryThePoolsSettings(t *testing.T) {
	t.Parallel()
	b := parse(t, `
[brokers.default]
provider = "redis"
URI = "redis://h/0?max_connections=7&socket_timeout=2.5&retry_on_timeout=yes"
max_connections = 50
socket_connect_timeout = 1
`).Brokers["default"]
	require.Equal(t, 7, b.MaxConnections)
	require.Equal(t, 2500*time.Millisecond, b.SocketTimeout)
	require.Equal(t, time.Second, b.ConnectTimeout)
	require.True(t, b.RetryOnTimeout)

	require.Equal(t,
		[]string{`domain.toml: [brokers.default.URI] max_connections = ***: expected a whole number from 1 to 10000`},
		mistakes(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://h?max_connections=x\""))
}

func TestAllMistakesOfAURLAreReportedAtOnceByTheirParameters(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`domain.toml: [databases.default] database_uri = "postgresql://h/d?***&***&port=0": expected as its parameter channel_binding one of disable, prefer, require`,
		`domain.toml: [databases.default] database_uri = "postgresql://h/d?***&***&port=0": expected as its parameter sslmode one of disable, allow, prefer, require, verify-ca, verify-full`,
		`domain.toml: [databases.default] database_uri = "postgresql://h/d?***&***&port=0": expected as its parameter port a port from 1 to 65535`,
	}, mistakes(t, `databases.default = {provider = "postgresql", database_uri = "postgresql://h/d?sslmode=x&channel_binding=y&port=0"}`))
}

func TestAFileThatAURLNamesMustBeUsable(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	require.NoError(t, os.WriteFile(text, []byte("no certificate"), 0o600))
	broker := func(parameters string) string {
		return "brokers.default = {provider = \"redis\", URI = \"rediss://h?" + parameters + "\"}"
	}
	database := func(parameters string) string {
		return "databases.default = {provider = \"postgresql\", database_uri = \"postgresql://h/d?" + parameters + "\"}"
	}
	for file, want := range map[string]string{
		broker("ssl_ca_certs=/nope"):                      "its parameter ssl_ca_certs a file with the certificates of authorities: no such file",
		broker("ssl_ca_certs=" + text):                    "ssl_ca_certs a file with the certificates of authorities: it holds no PEM certificate",
		broker("ssl_ca_certs=" + folder):                  "its parameter ssl_ca_certs a file with the certificates of authorities: is a folder",
		broker("ssl_certfile=/nope"):                      "its parameter ssl_certfile a file with a certificate",
		broker("ssl_certfile=" + text):                    "its parameter ssl_certfile a file with a certificate",
		broker("ssl_keyfile=" + text):                     "its parameter ssl_certfile a file beside ssl_keyfile",
		database("sslmode=verify-full&sslrootcert=/nope"): "its parameter sslrootcert a file with the certificates of authorities: no such file",
		database("sslcert=/nope&sslkey=" + text):          "its parameter sslcert a file that can be read: no such file",
		database("sslkey=" + text):                        "its parameter sslcert a file beside sslkey: there is none",
		database("service=x&servicefile=" + text):         "its parameter service one of the file of services",
	} {
		found := mistakes(t, file)
		require.Len(t, found, 1, file)
		require.Contains(t, found[0], want)
	}
	found := mistakes(t, "observatory.listen_address = \"x\"\n"+broker("ssl_ca_certs=/nope")+"\nbrokers.two = {provider = \"redis\", URI = \"redis+cluster://h,,h\"}")
	require.Len(t, found, 3, "beside the other mistakes of the file: %s", found)
}

func TestWhatAURLSaysTwiceOrLeavesOutIsWarnedOf(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		`brokers.default = {provider = "redis", URI = "redis://h/3?db=4"}`: "[brokers.default] URI: names two databases: the one of its parameter db is taken",
		`brokers.default = {provider = "redis", URI = "redis:///0"}`:       "[brokers.default] URI: names no host: localhost is taken",
		`brokers.default = {provider = "redis", URI = "redis://:6379/0"}`:  "[brokers.default] URI: names no host: localhost is taken",
		`databases.default = {provider = "postgresql", database_uri = "postgresql://h/d?pool_max_conns=x"}`: "[databases.default] database_uri: has a parameter that is not known: " +
			"it is sent to the server as a setting of the session, and refused if the server has none of that name",
		`databases.default = {provider = "postgresql", database_uri = "postgresql://h/d?sslmod=require"}`: `; did you mean "sslmode"?`,
	} {
		c := parse(t, file)
		require.Len(t, c.Warnings, 1, file)
		require.Equal(t, CodeNoEffect, c.Warnings[0].Code)
		require.Contains(t, c.Warnings[0].String(), want)
	}
	require.Empty(t, parse(t, `databases.default = {provider = "postgresql", database_uri = "postgresql+asyncpg://h/d?ssl=require&timeout=3&search_path=x&shop.tenant=1&keepalives=1"}`).Warnings)
}

func FuzzTranslate(f *testing.F) {
	f.Add("postgresql+psycopg2://u:p@h/d?host=a:1&host=b")
	f.Add("redis://u:p@ss%@h?db=x#y")
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := translate(urlText{text: uri})
		if err != nil || strings.HasPrefix(got, "file:") || strings.HasPrefix(got, "odbc:") || got == ":memory:" {
			return
		}
		again, err := urlText{text: got}.address()
		require.NoError(t, err)
		first, err := urlText{text: uri}.address()
		require.NoError(t, err)
		require.Equal(t, first.host, again.host)
		if first.user != nil && !first.query.Has("password") && !first.query.Has("username") {
			require.Equal(t, password(first.user), password(again.user), "a password arrives as it was written")
		}
	})
}

func password(u *url.Userinfo) string {
	text, _ := u.Password()
	return text
}
