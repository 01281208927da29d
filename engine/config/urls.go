package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// translate turns a URL as SQLAlchemy and redis-py take it into the one that
// the Go client of that server takes. This table is the only place that knows
// the difference. Errors repeat nothing of the URL.
func translate(uri string) (string, error) {
	scheme, _, ok := strings.Cut(uri, "://")
	if !ok {
		return "", errors.New("expected a URL, such as postgresql://user@host/database or redis://host:6379/0")
	}
	switch dialectOf(scheme) {
	case "postgres", "postgresql":
		return translatePostgres(cutAddress(uri))
	case "mssql", "sqlserver":
		return translateSQLServer(cutAddress(uri))
	case "sqlite":
		return translateSQLite(uri), nil
	case "redis", "rediss", "unix":
		return translateRedis(cutAddress(uri))
	}
	return "", errors.New("expected a URL of postgresql, mssql, sqlite, redis, rediss, unix, redis+sentinel or redis+cluster")
}

// address is a URL in parts. Unlike net/url it takes several hosts, and any
// character in a password, as the Python libraries do.
type address struct {
	scheme string
	user   *url.Userinfo
	host   string
	path   string
	query  url.Values
}

func cutAddress(uri string) address {
	scheme, rest, _ := strings.Cut(uri, "://")
	a := address{scheme: strings.ToLower(scheme)}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	a.host = rest[:end]
	if at := strings.LastIndexByte(a.host, '@'); at >= 0 {
		a.user, a.host = userInfoOf(a.host[:at]), a.host[at+1:]
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	a.path = path
	a.query, _ = url.ParseQuery(query) // what is no parameter is left out
	return a
}

func userInfoOf(text string) *url.Userinfo {
	name, password, has := strings.Cut(text, ":")
	if !has {
		return url.User(unquote(name))
	}
	return url.UserPassword(unquote(name), unquote(password))
}

// unquote undoes %-escapes where all of them are some.
func unquote(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

func (a address) String() string {
	var b strings.Builder
	b.WriteString(a.scheme + "://")
	if a.user != nil {
		b.WriteString(a.user.String() + "@")
	}
	b.WriteString(a.host + a.path)
	if len(a.query) > 0 {
		b.WriteString("?" + a.query.Encode())
	}
	return b.String()
}

// rename gives a parameter another name, unless that is there already.
func (a address) rename(from, to string) {
	if values, ok := a.query[from]; ok && !a.query.Has(to) {
		a.query[to] = values
	}
	a.query.Del(from)
}

func (a address) drop(names ...string) {
	for _, name := range names {
		a.query.Del(name)
	}
}

// translatePostgres leaves to pgx what libpq and pgx share.
func translatePostgres(a address) (string, error) {
	a.scheme = "postgres"
	a.rename("ssl", "sslmode")             // asyncpg
	a.rename("timeout", "connect_timeout") // asyncpg
	a.drop(                                // libpq's and the drivers' own: pgx would send them to the server
		"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"gssencmode", "sslcompression", "fallback_application_name", "client_encoding", "async_fallback",
		"command_timeout", "prepared_statement_cache_size", "statement_cache_size", "prepare_threshold",
		"executemany_mode", "use_native_hstore",
	)
	a.joinHosts()
	return a.String(), nil
}

// joinHosts writes several `host=name:port` parameters as libpq does.
func (a address) joinHosts() {
	hosts := a.query["host"]
	if len(hosts) == 0 || strings.HasPrefix(hosts[0], "/") {
		return
	}
	var names, ports []string
	for h := range strings.SplitSeq(strings.Join(hosts, ","), ",") {
		name, port, has := strings.Cut(h, ":")
		names = append(names, name)
		if has {
			ports = append(ports, port)
		}
	}
	a.query.Set("host", strings.Join(names, ","))
	if len(ports) > 0 {
		a.query.Set("port", strings.Join(ports, ","))
	}
}

// translateSQLServer turns ODBC's words into go-mssqldb's.
func translateSQLServer(a address) (string, error) {
	if odbc := a.query.Get("odbc_connect"); odbc != "" {
		return "odbc:" + odbc, nil
	}
	a.scheme = "sqlserver"
	a.drop("driver")
	if name := strings.Trim(a.path, "/"); name != "" {
		a.query.Set("database", unquote(name))
	}
	a.path = ""
	a.rename("Encrypt", "encrypt")
	for _, name := range []string{"encrypt", "TrustServerCertificate"} {
		if a.query.Has(name) {
			a.query.Set(name, yesNo(a.query.Get(name)))
		}
	}
	return a.String(), nil
}

func yesNo(text string) string {
	switch strings.ToLower(text) {
	case "yes":
		return "true"
	case "no":
		return "false"
	}
	return text
}

var sqliteScheme = regexp.MustCompile(`(?i)^sqlite(\+\w+)?:///?`)

// translateSQLite returns what database/sql drivers take: three slashes begin a
// path relative to the working folder, four an absolute one.
func translateSQLite(uri string) string {
	path := sqliteScheme.ReplaceAllString(uri, "")
	if path == "" || path == ":memory:" {
		return ":memory:"
	}
	if strings.HasPrefix(path, "file:") {
		return path
	}
	return "file:" + path
}

// dialectOf is a URL's scheme without the driver that Python shall use, or
// without what stands at the addresses of Redis.
func dialectOf(scheme string) string {
	dialect, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	return dialect
}
