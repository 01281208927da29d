package deliver

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

// hide removes secrets from a text: applications echo headers in their error
// pages. What is shorter than any secret would only garble the text.
func hide(s string, secrets []string) string {
	const shortest = 6
	for _, secret := range secrets {
		if len(secret) >= shortest {
			s = strings.ReplaceAll(s, secret, "xxxxx")
		}
	}
	return s
}

// secretsOf are what the configured headers and the URL keep secret, in each form
// in which a page of an error may echo them.
func (t *HTTP) secretsOf(configured map[string]string) []string {
	secrets := []string{t.target.RawQuery}
	for _, f := range t.template.fields {
		if f.name == "Authorization" {
			secrets = append(secrets, secretsIn(f.value)...)
		}
	}
	if user := t.target.User; user != nil {
		password, _ := user.Password()
		secrets = append(secrets, password)
	}
	for _, values := range t.target.Query() { // keys of APIs often stand there
		secrets = append(secrets, values...)
	}
	for segment := range strings.SplitSeq(t.target.Path, "/") {
		if !strings.Contains(t.name, segment) { // it came from a reference, which the name shows instead
			secrets = append(secrets, segment)
		}
	}
	for _, value := range configured {
		secrets = append(secrets, secretsIn(value)...)
	}
	var forms []string
	for _, secret := range secrets {
		forms = append(forms, formsOf(secret)...)
	}
	return forms
}

// formsOf are a text as it is, and as JSON, HTML and URLs write it; the longest
// first, since one may be a part of another.
func formsOf(secret string) []string {
	forms := []string{secret, html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret)}
	for _, escapeHTML := range []bool{true, false} {
		var text strings.Builder
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(escapeHTML)
		_ = enc.Encode(secret) // a string can be encoded
		forms = append(forms, strings.Trim(text.String(), "\"\n"))
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(forms)
}

// secretsIn are the texts by which a header's value would be known: all of it,
// what follows a scheme such as "Bearer", and the password of basic authentication.
func secretsIn(value string) []string {
	secrets := []string{value}
	scheme, credentials, ok := strings.Cut(value, " ")
	if !ok {
		return secrets
	}
	secrets = append(secrets, credentials)
	if pair, err := base64.StdEncoding.DecodeString(credentials); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(pair), ":")
		secrets = append(secrets, password)
	}
	return secrets
}
