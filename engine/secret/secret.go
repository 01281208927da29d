// Package secret keeps what is secret out of texts that others wrote: the errors
// of client libraries and of servers repeat user names, and whatever else they
// were given.
package secret

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mask is what a text has in the place of a secret.
const Mask = "***"

// inWords is how long a secret is that is hidden inside of other words too.
const inWords = 8

// Secrets are what a text must not repeat.
type Secrets struct {
	// Users are names of users, hidden where a text says that they are: streams and
	// databases often have the same name.
	Users []string
	// Values are all else. A short one is hidden where it stands alone: inside of
	// other words it is no secret.
	Values []string
}

// Hide returns a text without the secrets, as they are and as URLs and quoted
// texts have them.
func (s Secrets) Hide(text string) string {
	for _, form := range formsOf(s.Values) {
		if len(form) >= inWords {
			text = strings.ReplaceAll(text, form, Mask)
			continue
		}
		text = hideAlone(text, form)
	}
	for _, user := range formsOf(s.Users) {
		named := regexp.MustCompile(`(?i)(\b(?:user|username|role|login|database)[\s=:"'\x60]+)` + regexp.QuoteMeta(user) + `([^\w.-]|$)`)
		text = named.ReplaceAllString(text, "${1}"+Mask+"${2}")
	}
	return text
}

// formsOf are the secrets as texts may have them; the longest first, since one may
// be a part of another.
func formsOf(secrets []string) []string {
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted := strconv.Quote(s)
		forms = append(forms, s, quoted[1:len(quoted)-1], url.QueryEscape(s), url.PathEscape(s))
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	return slices.Compact(forms)
}

// hideAlone hides a word wherever it is no part of another.
func hideAlone(text, word string) string {
	var b strings.Builder
	inWord := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.", r)
	}
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		start := from + at
		end := start + len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		b.WriteString(text[from:start])
		if start > 0 && inWord(before) || end < len(text) && inWord(after) {
			b.WriteString(word)
		} else {
			b.WriteString(Mask)
		}
		from = end
	}
}

// Error returns an error with the text of err without the secrets, on one line.
// errors.Is and errors.As find what they find in err. Nil for nil.
func (s Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	return &hidden{err, s}
}

type hidden struct {
	err     error
	secrets Secrets
}

func (e *hidden) Unwrap() error { return e.err }

func (e *hidden) Error() string {
	return strings.Join(strings.Fields(e.secrets.Hide(e.err.Error())), " ")
}
