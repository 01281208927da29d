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
		if _, _, _, found := cutReference(v); found {
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

// show prefers the text that arrived, unless it came from a file: what is kept
// out of the environment is a secret.
func (e *expanded) show(key string) string {
	switch {
	case e.failed || strings.Contains(e.raw, "${"+filePrefix) && !slices.Contains(urlKeys, key):
		return showReferences(key, e.raw)
	case slices.Contains(urlKeys, key), strings.Contains(e.text, "://"):
		u, _ := e.url()
		return strconv.Quote(u.masked())
	}
	return showText(key, e.text)
}

// urlKeys are the keys whose value is a URL. What stands there and is none may
// be a secret that was meant for another place.
var urlKeys = []string{"URI", "database_uri", "deliver", "redis_url", "alert_callback", "endpoint"}

// plainParameters are the parameters of a server's URL that hold no secret.
var plainParameters = slices.Concat([]string{
	"db", "max_connections", "socket_timeout", "socket_connect_timeout", "retry_on_timeout",
	"sslmode", "ssl", "host", "port", "connect_timeout", "timeout", "application_name", "target_session_attrs",
	"sslrootcert", "sslcert", "driver", "Encrypt", "encrypt", "TrustServerCertificate", "sentinel_username", "mode",
}, redisTLS, redisPython)

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
