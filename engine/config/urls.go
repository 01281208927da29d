package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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
	a.drop(postgresPython...)
	a.joinHosts()
	return a.String(), a.checkPostgres()
}

// postgresPython are libpq's and the drivers' own parameters, which pgx would send
// to the server.
var postgresPython = []string{
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	"gssencmode", "sslcompression", "fallback_application_name", "client_encoding", "async_fallback",
	"command_timeout", "prepared_statement_cache_size", "statement_cache_size", "prepare_threshold",
	"executemany_mode", "use_native_hstore", "gssdelegation", "ssl_min_protocol_version", "ssl_max_protocol_version",
	"sslcrl", "sslcrldir", "gsslib", "requirepeer", "load_balance_hosts",
}

// postgresValues are the parameters that have one of a few values. pgx refuses
// another at the first connection, if at all.
var postgresValues = map[string][]string{
	"sslmode":                 {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"target_session_attrs":    {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
	"default_query_exec_mode": {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
	"channel_binding":         {"disable", "prefer", "require"},
	"sslnegotiation":          {"postgres", "direct"},
	"sslsni":                  {"0", "1"},
	"sslcertmode":             {"disable", "allow", "require"},
	"min_protocol_version":    {"3.0", "3.2", "latest"},
	"max_protocol_version":    {"3.0", "3.2", "latest"},
}

// postgresNumbers are those that have a whole number, and the greatest one.
var postgresNumbers = map[string]int64{
	"connect_timeout":            int64(longest / time.Second),
	"statement_cache_capacity":   1_000_000,
	"description_cache_capacity": 1_000_000,
}

// postgresTexts are those that have any text, and settings of a session that are
// often given. What is not known is sent to the server as such a setting.
var postgresTexts = []string{
	"user", "password", "host", "port", "dbname", "database", "passfile", "service", "servicefile", "application_name", "options",
	"sslcert", "sslkey", "sslrootcert", "sslpassword", "krbsrvname", "krbspn", "require_auth",
	"search_path", "role", "timezone", "datestyle", "intervalstyle", "statement_timeout", "lock_timeout",
	"idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout", "work_mem", "default_transaction_isolation",
	"default_transaction_read_only", "synchronous_commit", "jit", "extra_float_digits", "client_min_messages",
}

// checkPostgres says which value the Go client would refuse at the first
// connection. Parameters are named, never their values.
func (a address) checkPostgres() error {
	var errs []error
	bad := func(name, expected string) {
		errs = append(errs, fmt.Errorf("expected as its parameter %s %s", name, expected))
	}
	for _, name := range slices.Sorted(maps.Keys(postgresValues)) {
		if valid := postgresValues[name]; a.query.Has(name) && !slices.Contains(valid, a.query.Get(name)) {
			bad(name, "one of "+strings.Join(valid, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(postgresNumbers)) {
		text, most := a.query.Get(name), postgresNumbers[name]
		if n, err := strconv.ParseInt(text, 10, 64); text != "" && (err != nil || n < 0 || n > most) {
			bad(name, fmt.Sprintf("a whole number from 0 to %d", most))
		}
	}
	if hosts, ports := strings.Split(cmp.Or(a.query.Get("host"), a.host), ","), strings.Split(a.query.Get("port"), ","); len(ports) > 1 && len(ports) != len(hosts) {
		bad("port", "one port, or as many as hosts")
	} else if slices.ContainsFunc(ports, func(port string) bool { return port != "" && checkPort(port) != nil }) {
		bad("port", "a port from 1 to 65535")
	}
	return errors.Join(errs...)
}

// postgresSurprises says whether the server is sent a setting that it may not have.
func (a address) postgresSurprises() []string {
	if dialect := dialectOf(a.scheme); dialect != "postgres" && dialect != "postgresql" {
		return nil
	}
	known := slices.Concat(postgresTexts, postgresPython, []string{"ssl", "timeout"}, slices.Collect(maps.Keys(postgresValues)), slices.Collect(maps.Keys(postgresNumbers)))
	slices.Sort(known)
	for _, name := range slices.Sorted(maps.Keys(a.query)) {
		if !slices.Contains(known, strings.ToLower(name)) && !strings.Contains(name, ".") { // its name may be a part of a password
			return []string{"has a parameter that is not known: it is sent to the server as a setting of the session, and refused if the server has none of that name" + didYouMean(nearest(name, known))}
		}
	}
	return nil
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
