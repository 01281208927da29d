package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const masked = "***"

var (
	// A password may itself hold any character: all before the last @ is taken
	// for user-info.
	userInfo = regexp.MustCompile(`(?s)(://).*@`)
	// Redis and libpq take passwords as parameters too; so does a libpq
	// connection string.
	secretParameter = regexp.MustCompile(`(?i)\b((?:[a-z_]*password|pwd|token|secret|api_?key)=)('[^']*'|[^&\s"']*)`)
)

// show is a value for people: no secret of a key or of a URL is in it.
func show(key string, value any) string {
	if secretKey(key) {
		return masked
	}
	switch v := value.(type) {
	case nil:
		return ""
	case *expanded:
		return v.show(key)
	case string:
		if strings.Contains(v, "${") {
			return showReferences(key, v)
		}
		return showText(key, v)
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	}
	return fmt.Sprint(value)
}

// show is the text with the names of its references: what they hold, or their
// defaults, may be a secret that was meant for another key. Of a URL it is what
// they hold, so that what is wrong with it can be seen.
func (e *expanded) show(key string) string {
	if !slices.Contains(urlKeys, key) || e.failed {
		return showReferences(key, e.raw)
	}
	u, _ := e.url()
	return strconv.Quote(u.masked())
}

// urlKeys are the keys whose value is a URL. What stands there and is none may
// be a secret that was meant for another place.
var urlKeys = []string{"URI", "database_uri", "deliver", "redis_url", "alert_callback", "endpoint"}

// urlSchemes are the schemes of URLs that are shown. What stands before another
// "://" may be a part of a secret.
var urlSchemes = []string{
	"http", "https", "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
	"postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+pg8000",
	"mssql", "mssql+pyodbc", "mssql+pymssql", "mssql+aioodbc", "sqlserver", "sqlite", "sqlite+aiosqlite", "sqlite+pysqlite",
	"amqp", "ftp", "kafka", "mongodb", "mysql", "mysql+pymysql", "nats", "tcp",
}

// plainParameters are the parameters of a server's URL whose values show, each
// if it is one that the parameter may have: what stands there otherwise may be
// the rest of a password that had to be encoded.
var plainParameters = func() map[string]func(value string) bool {
	among := func(values ...string) func(string) bool {
		return func(value string) bool { return slices.Contains(values, strings.ToLower(value)) }
	}
	all := map[string]func(string) bool{
		"ssl":           among(append([]string{"true", "false", "on", "off"}, postgresValues["sslmode"]...)...),
		"ssl_cert_reqs": among("none", "optional", "required", "cert_none", "cert_optional", "cert_required"),
		"encrypt":       among("yes", "no", "true", "false", "disable", "strict"), "mode": among("ro", "rw", "rwc", "memory"),
	}
	for name, values := range postgresValues {
		all[name] = among(values...)
	}
	for _, name := range []string{"db", "max_connections", "socket_timeout", "socket_connect_timeout", "port", "connect_timeout", "timeout", "protocol"} {
		all[name] = shortNumber.MatchString
	}
	for _, name := range []string{"retry_on_timeout", "ssl_check_hostname", "decode_responses", "trustservercertificate"} {
		all[name] = among(append(pythonFalse, pythonTrue...)...)
	}
	return all
}()

// shortNumber is a number that is too short for a password.
var shortNumber = regexp.MustCompile(`^[0-9]{1,5}(\.[0-9]{1,3})?$`)

// showsParameter reports whether one `name=value` of a URL can be shown.
func showsParameter(text string) bool {
	name, value, _ := strings.Cut(text, "=")
	valid := plainParameters[strings.ToLower(name)]
	return valid != nil && valid(value)
}

func showText(key, text string) string {
	switch {
	case slices.Contains(urlKeys, key), strings.Contains(text, "://"):
		text = urlText{text: text}.masked()
	case strings.Contains(text, "@"):
		text = masked
	}
	return strconv.Quote(maskText(text))
}

// showReferences is a text whose references are not filled in: their names show
// and their defaults do not.
func showReferences(key, text string) string {
	var u urlText
	for text != "" {
		before, inner, after, found := cutReference(text)
		if open := strings.Index(before, "${"); open >= 0 && !strings.HasPrefix(before[open:], "${}") { // it has no end
			return strconv.Quote(masked)
		}
		u.text += before
		if !found {
			break
		}
		name, _, _ := strings.Cut(inner, "|")
		u.refs = append(u.refs, urlReference{name: "${" + name + "}", unread: true})
		u.text += string(rune(firstMark + len(u.refs) - 1))
		text = after
	}
	if strings.ContainsFunc(u.text, func(r rune) bool { return !isMark(r) }) &&
		(slices.Contains(urlKeys, key) || strings.Contains(u.text, "://")) {
		return strconv.Quote(u.masked())
	}
	if strings.ContainsAny(u.text, "@}") { // a brace may have ended a default too early
		return strconv.Quote(masked)
	}
	return strconv.Quote(maskText(u.replace(u.text, func(r urlReference) string { return r.name })))
}

// maskText hides what is secret in any text, such as the error of a library.
func maskText(text string) string {
	text = userInfo.ReplaceAllString(text, "${1}"+masked+"@")
	return secretParameter.ReplaceAllString(text, "${1}"+masked)
}

func secretKey(key string) bool {
	key = strings.ToLower(key)
	for _, name := range []string{"password", "secret", "token", "authorization", "api_key", "api-key", "apikey", "cookie", "credential"} {
		if strings.Contains(key, name) {
			return true
		}
	}
	return false
}
