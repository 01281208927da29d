package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// translate turns a URL as SQLAlchemy and redis-py take it into the one that
// the Go client of that server takes. This table is the only place that knows
// the difference. Errors repeat nothing of the URL.
func translate(u urlText) (string, error) {
	scheme, _, _, ok := u.cut()
	if !ok {
		return "", errors.New("expected a URL, such as postgresql://user@host/database or redis://host:6379/0")
	}
	dialect := dialectOf(u.fill(scheme, literally))
	if dialect == "sqlite" {
		return translateSQLite(u.fill(u.text, literally)), nil
	}
	translators := map[string]func(address) (string, error){
		"postgres": translatePostgres, "postgresql": translatePostgres,
		"mssql": translateSQLServer, "sqlserver": translateSQLServer,
		"redis": translateRedis, "rediss": translateRedis, "unix": translateRedis,
	}
	to, ok := translators[dialect]
	if !ok {
		return "", errors.New("expected a URL of postgresql, mssql, sqlite, redis, rediss, unix, redis+sentinel or redis+cluster")
	}
	// The name of a database may hold an @, and it is percent-encoded then.
	_, _, tail, _ := u.cut()
	if path, _, _ := strings.Cut(tail, "?"); strings.Contains(path, "@") {
		return "", errEncode
	}
	a, err := u.address()
	if err != nil && strings.Contains(tail, "@") {
		return "", u.explain(err) // what follows may be no parameters
	}
	text, parameters := to(a)
	return text, errors.Join(err, u.explain(parameters))
}

// unquote undoes %-escapes where all of them are some.
func unquote(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

func (a address) String() string { return a.withQuery(a.query.Encode()) }

// withQuery is the URL with this query, escaped.
func (a address) withQuery(query string) string {
	var b strings.Builder
	b.WriteString(a.scheme + "://")
	if a.user != nil {
		b.WriteString(a.user.String() + "@")
	}
	b.WriteString(a.host + a.path)
	if query != "" {
		b.WriteString("?" + query)
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
	return a.String(), a.checkPostgres()
}

// The values of parameters that pgx would refuse at the first connection.
var postgresValues = map[string][]string{
	"sslmode":              {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
}

func (a address) checkPostgres() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(postgresValues)) {
		valid := postgresValues[name]
		if a.query.Has(name) && !slices.Contains(valid, a.query.Get(name)) {
			errs = append(errs, fmt.Errorf("expected as its parameter %s one of %s", name, strings.Join(valid, ", ")))
		}
	}
	if text := a.query.Get("connect_timeout"); text != "" && strings.Trim(text, "0123456789") != "" {
		errs = append(errs, errors.New("expected as its parameter connect_timeout a whole number of seconds"))
	}
	for port := range strings.SplitSeq(a.query.Get("port"), ",") {
		if port != "" && checkPort(port) != nil {
			errs = append(errs, errors.New("expected as its parameter port a port from 1 to 65535"))
		}
	}
	return errors.Join(errs...)
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
