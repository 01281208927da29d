package config

import (
	"fmt"
	"regexp"
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
	if e, ok := value.(*expanded); ok {
		return e.show(key)
	}
	if secretKey(key) {
		return masked
	}
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(maskText(v))
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	}
	return fmt.Sprint(value)
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
