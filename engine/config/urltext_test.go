package config

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// awkward are passwords as secret stores make them.
var awkward = []string{
	"plain", "se%41cret", "a/b", "a#b", "a?b", "a@b", "a:b", "a b", "a&b=c", "100%", "%zz", "${HOME}", "ä", "\xff\xfe", `a"b\c`, "http://x@y", "",
}

// loadedURLs are the URLs that a file makes of one secret, by where it stands.
func loadedURLs(t *testing.T, reference string, vars map[string]string) map[string]string {
	t.Helper()
	c := parse(t, `
[brokers.default]
provider = "redis"
URI = "redis://me:`+reference+`@h:6379/0"
[brokers.parameter]
provider = "redis"
URI = "redis+sentinel://h:26379/m?sentinel_password=`+reference+`"
[databases.default]
provider = "postgresql"
database_uri = "postgresql+psycopg2://me:`+reference+`@h:5432/d?sslmode=disable"
[observatory.handlers.H]
stream = "s"
deliver = "http://me:`+reference+`@h:80/hook?b=1&a=`+reference+`"
`, vars)
	broker, err := c.Brokers["default"].URI()
	require.NoError(t, err)
	parameter, err := c.Brokers["parameter"].URI()
	require.NoError(t, err)
	database, err := c.Databases["default"].URI()
	require.NoError(t, err)
	return map[string]string{"broker": broker, "parameter": parameter, "database": database, "deliver": c.Handlers[0].Target}
}

func TestASecretInAURLIsWhatItsFileOrVariableHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for _, secret := range awkward {
		require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
		variable := strings.ReplaceAll(secret, "${HOME}", "$HOME") // what a variable names is filled in
		for reference, want := range map[string]string{
			"${file:" + path + "}": secret, "${SECRET}": variable, "${SECRET|other}": variable, "${NONE|${SECRET}}": variable,
		} {
			for place, text := range loadedURLs(t, reference, map[string]string{"SECRET": variable}) {
				u, err := url.Parse(text)
				require.NoError(t, err, "%q %s", secret, place)
				if place == "parameter" {
					require.Equal(t, want, u.Query().Get("sentinel_password"), place)
					continue
				}
				password, _ := u.User.Password()
				require.Equal(t, want, password, "%q %s", secret, place)
				require.Equal(t, "h", u.Hostname(), place)
				if place == "deliver" {
					require.Equal(t, "/hook", u.Path)
					require.Equal(t, "b=1&a="+url.QueryEscape(want), u.RawQuery)
				}
			}
		}
	}
}

func TestWhatAURLHoldsElsewhereIsEscapedForItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://${HOST}/x":                        "http://db:5432/x",
		"http://h:${PORT}/x":                      "http://h:81/x",
		"${SCHEME}://h/x":                         "https://h/x",
		"http://h/${PATH}/end":                    "http://h/a/b%3Fc%23d/end",
		"http://h/x?${NAME}=1&k=${PARAMETER}":     "http://h/x?n%26=1&k=p%26q%3D%23",
		"http://pre%40${PARAMETER}:${PORT}@h/x":   "http://pre%40p&q=%23:81@h/x",
		"${WHOLE}":                                "http://u:p%40@h/x?a=b",
		"${BASE}/more":                            "http://h/base/more",
		"${NONE|http://h/default}":                "http://h/default",
		"${NONE|http://me:${PARAMETER}@h/nested}": "http://me:p&q=%23@h/nested",
		"${NESTED}/x":                             "http://me:p&q=%23@h/x",
	} {
		c := parse(t, "[observatory.handlers.H]\nstream = \"s\"\ndeliver = \""+text+"\"", map[string]string{
			"HOST": "db:5432", "PORT": "81", "SCHEME": "https", "PATH": "a/b?c#d", "NAME": "n&", "PARAMETER": "p&q=#",
			"WHOLE": "http://u:p%40@h/x?a=b", "BASE": "http://h/base", "NESTED": "http://me:${PARAMETER}@h",
		})
		require.Equal(t, want, c.Handlers[0].Target, text)
	}
}

func TestATargetsNameHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://u:hunter2@h:81/hook?key=hunter2": "http://h:81/hook",
		"https://h/hooks/${SECRET}?a=${SECRET}":  "https://h/hooks/${SECRET}",
		"${URL}":                                 "http://h/x",
		"log:":                                   "log:",
	} {
		c := parse(t, "[observatory.handlers.H]\nstream = \"s\"\ndeliver = \""+text+"\"", map[string]string{
			"SECRET": "hunter2", "URL": "http://hunter2@h/x?hunter2",
		})
		require.Equal(t, want, c.Handlers[0].TargetName, text)
	}
}

func TestAWholeURLInAFileIsParsedAsOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(path, []byte("redis://me:p%40ss@h/1\n"), 0o600))
	c := parse(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"${file:"+path+"}\"")
	uri, err := c.Brokers["default"].URI()
	require.NoError(t, err)
	require.Equal(t, "redis://me:p%40ss@h/1", uri)
	require.Empty(t, c.Warnings)
}

func TestAHostThatHoldsMoreThanAHostIsAnError(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`domain.toml: [brokers.default] URI = "redis://***": expected host or host:port behind the scheme and the user-info, an IPv6 address in brackets; a ${…} there holds no more than these`,
	}, mistakes(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://${ADDRESS}\"", map[string]string{"ADDRESS": "me:hunter2@h/0"}))
}

func TestAUserThatHoldsThePasswordTooIsAnError(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`domain.toml: [brokers.default] URI = "redis://***@h/0": what stands for its user holds a colon: expected user:password@, a ${…} for each`,
	}, mistakes(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://${CREDENTIALS}@h/0\"", map[string]string{"CREDENTIALS": "me:hunter2"}))
}

func TestAPercentEncodedSecretIsWarnedOf(t *testing.T) {
	t.Parallel()
	c := parse(t, `
brokers.default = {provider = "redis", URI = "redis://:${PASSWORD}@h"}
databases.default = {provider = "postgresql", database_uri = "postgresql://me:p%40ss@h/d"}
observatory.handlers.H = {stream = "s", deliver = "http://me:${PASSWORD|x}@h"}
observatory.handlers.I = {stream = "s", deliver = "http://me:${PLAIN}@h"}
`, map[string]string{"PASSWORD": "p%40ss", "PLAIN": "100%"})
	var got []string
	for _, w := range c.Warnings {
		require.Equal(t, CodePercentEncoded, w.Code)
		got = append(got, w.String())
	}
	require.Equal(t, []string{
		"[brokers.default] URI: what ${PASSWORD} holds looks percent-encoded: it is taken as it stands, so it must hold the plain text",
		"[observatory.handlers.H] deliver: what ${PASSWORD} holds looks percent-encoded: it is taken as it stands, so it must hold the plain text",
	}, got)
}

// A file that was rotated to something that is no URL is in the log of a running
// engine.
func TestARotatedURLThatIsMalformedIsNotRepeated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "url")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("redis://h/0")
	c := parse(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"${file:"+path+"}\"")
	for _, malformed := range []string{
		"hunter2", "redis//:hunter2@h", "redis://:pa?hunter2@h/0", "redis://:hunter2/0", "redis://h/hunter2", "redis://h?hunter2=1", "redis://h?pasword=hunter2",
	} {
		write(malformed)
		_, err := c.Brokers["default"].URI()
		require.ErrorContains(t, err, "shop/domain.toml: [brokers.default] URI: ", malformed)
		require.NotContains(t, err.Error(), "hunter2", malformed)
	}
}

// The user-info of a target is read anew for each request, as headers are.
func TestARotatedPasswordOfATargetIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("first")
	c := parse(t, `
[observatory.handlers]
A = {stream = "a", deliver = "http://me:${file:`+path+`}@h/", headers = {X-Key = "k"}}
B = {stream = "b", deliver = "http://me:${file:`+path+`}@h/", headers = {authorization = "Bearer t"}}
C = {stream = "c", deliver = "http://me:fixed@h/"}
`)
	sent := func(handler int) map[string]string {
		headers, err := c.Handlers[handler].Headers()
		require.NoError(t, err)
		return headers
	}
	authorization := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+password))
	}
	require.Equal(t, map[string]string{"X-Key": "k", "Authorization": authorization("first")}, sent(0))
	write("sec:ond")
	require.Equal(t, map[string]string{"X-Key": "k", "Authorization": authorization("sec:ond")}, sent(0))
	require.Equal(t, map[string]string{"authorization": "Bearer t"}, sent(1), "a configured one wins")
	require.Empty(t, sent(2), "the target itself has it")
	require.Equal(t, []string{"X-Key"}, c.Handlers[0].HeaderNames)

	require.NoError(t, os.Remove(path))
	_, err := c.Handlers[0].Headers()
	require.ErrorContains(t, err, "[observatory.handlers.A] deliver: file of ${file:")
}
