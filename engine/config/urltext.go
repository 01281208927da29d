package config

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// urlText is a URL before it is taken apart: its references are not filled in
// yet, so that what they hold stays within one component. A reference at the
// very beginning is filled in: where the scheme belongs, it holds the URL or its
// beginning.
type urlText struct {
	text string // a mark in the place of each reference
	refs []urlReference
}

// urlReference is one `${…}` inside a URL.
type urlReference struct {
	name   string // as it is written, without its default
	value  string
	unread bool // the value is not known
}

// The marks are characters for private use: the first stands for the first
// reference, and so on. No URL holds one of its own.
const (
	firstMark = '\uE000'
	lastMark  = '\uF8FF'
)

func isMark(r rune) bool { return r >= firstMark && r <= lastMark }

// expandURL reads the references of a URL, and those at its beginning into it.
func expandURL(text string, env lookup) (urlText, error) {
	var u urlText
	err := u.add(expander{env: env, left: new(maxExpansion)}, text)
	return u, err
}

func (u *urlText) add(x expander, text string) error {
	var errs []error
	for text != "" {
		before, inner, after, found := cutReference(text)
		if strings.ContainsFunc(before, isMark) {
			return errors.New("expected a URL, without characters for private use")
		}
		u.text += before
		if !found {
			break
		}
		text = after
		value, err := u.reference(x, inner)
		errs = append(errs, err)
		if *x.left -= referenceCost + len(value); *x.left < 0 || len(u.refs) > lastMark-firstMark {
			return errEndless
		}
	}
	return errors.Join(errs...)
}

// reference puts in the value of one reference, or its mark.
func (u *urlText) reference(x expander, inner string) (value string, err error) {
	text, in, err := x.find(inner)
	if err != nil {
		return "", err
	}
	if u.text != "" {
		if value, err = in.fill(text); err != nil {
			return "", err
		}
		name, _, _ := strings.Cut(inner, "|")
		u.refs = append(u.refs, urlReference{name: "${" + name + "}", value: value})
		u.text += string(rune(firstMark + len(u.refs) - 1))
		return value, nil
	}
	if !in.literal {
		return text, u.add(in, text)
	}
	if strings.ContainsFunc(text, isMark) {
		return "", errors.New("expected a URL, without characters for private use")
	}
	u.text = text
	return text, nil
}

// fill puts the values into a part of the text, each changed as the part needs
// it.
func (u urlText) fill(part string, change func(value string) string) string {
	return u.replace(part, func(r urlReference) string { return change(r.value) })
}

func (u urlText) replace(part string, by func(urlReference) string) string {
	if len(u.refs) == 0 || !strings.ContainsFunc(part, isMark) {
		return part
	}
	var pairs []string
	for i, r := range u.refs {
		pairs = append(pairs, string(rune(firstMark+i)), by(r))
	}
	return strings.NewReplacer(pairs...).Replace(part)
}

// literally leaves a value as it is.
func literally(value string) string { return value }

// escapePath escapes a value for a URL's path. Its slashes stay.
func escapePath(value string) string {
	return strings.ReplaceAll(url.PathEscape(value), "%2F", "/")
}

// schemeForm is how RFC 3986 has a scheme, a mark in it or not.
var schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.\-\x{E000}-\x{F8FF}]*$`)

// escapeForm is what looks like a percent-encoded character.
var escapeForm = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// cut takes the authority out of a URL; tail is all behind it. It is not ok
// where the text has not the form of a URL.
func (u urlText) cut() (scheme, authority, tail string, ok bool) {
	scheme, rest, ok := strings.Cut(u.text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return scheme, rest[:end], rest[end:], ok && schemeForm.MatchString(scheme)
}

// errEncode is where a character that ends the user-info seems to be a part of
// the password.
var errEncode = errors.New(`an @ follows a "/", "?" or "#": where these are part of the password they must be percent-encoded, ` +
	"or the password must come from a ${file:…} or ${VARIABLE} of its own")

// explain adds to an error what may be the reason for it.
func (u urlText) explain(err error) error {
	_, _, tail, _ := u.cut()
	if err == nil || errors.Is(err, errEncode) || !strings.Contains(tail, "@") {
		return err
	}
	return errors.New(err.Error() + "; " + errEncode.Error())
}

// address is a URL in parts. Unlike net/url it takes several hosts, and any
// character in a password but those that end the user-info, as the Python
// libraries do.
type address struct {
	scheme string
	user   *url.Userinfo
	host   string
	path   string // escaped
	raw    string // the query, escaped
	query  url.Values
}

// address takes a URL apart. Errors repeat nothing of it.
func (u urlText) address() (address, error) {
	scheme, authority, tail, ok := u.cut()
	if !ok {
		return address{}, errors.New("expected a URL")
	}
	a := address{scheme: strings.ToLower(u.fill(scheme, literally))}
	var errs []error
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		info := authority[:at]
		a.user = u.userInfo(info)
		if _, has := a.user.Password(); !has && strings.ContainsFunc(info, isMark) && strings.Contains(a.user.Username(), ":") {
			errs = append(errs, errors.New("what stands for its user holds a colon: expected user:password@, a ${…} for each"))
		}
		authority = authority[at+1:]
	}
	a.host = u.fill(authority, literally)
	if a.scheme != "unix" || !strings.HasPrefix(a.host, "/") {
		errs = append(errs, checkHosts(a.host))
	}
	tail, fragment, _ := strings.Cut(tail, "#")
	path, query, _ := strings.Cut(tail, "?")
	a.path, a.raw = u.fill(path, escapePath), u.fill(query, url.QueryEscape)
	if _, err := url.PathUnescape(a.path); err != nil {
		errs = append(errs, errors.New(`what follows its host has a "%" that is no percent-encoding: a "%" itself is %25`))
	}
	var err error
	if a.query, err = url.ParseQuery(a.raw); err != nil {
		errs = append(errs, errors.New(`its parameters cannot be read: expected name=value, joined by "&", percent-encoded`))
	}
	if fragment != "" {
		errs = append(errs, errors.New(`it has a "#", which ends a URL here`))
	}
	return a, errors.Join(errs...)
}

func (u urlText) userInfo(text string) *url.Userinfo {
	name, password, has := strings.Cut(text, ":")
	part := func(text string) string { return u.fill(unquote(text), literally) }
	if !has {
		return url.User(part(name))
	}
	return url.UserPassword(part(name), part(password))
}

// checkHosts says what is wrong with the hosts of a URL, each with a port or
// without. Neither is repeated: where a URL is malformed, they may be the
// beginning of a password.
func checkHosts(hosts string) error {
	for host := range strings.SplitSeq(hosts, ",") {
		name, port := host, ""
		if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
			name, port = host[:colon], host[colon+1:]
		}
		inner, bracketed := strings.CutPrefix(name, "[")
		inner, closed := strings.CutSuffix(inner, "]")
		if strings.ContainsAny(port, "/?#@") || bracketed != closed || strings.Contains(inner, ":") != bracketed || inner != "" && !isHost(inner) {
			return errors.New("expected host or host:port behind the scheme and the user-info, an IPv6 address in brackets; a ${…} there holds no more than these")
		}
		if port == "" && name == host {
			continue
		}
		if err := checkPort(port); err != nil {
			return err
		}
	}
	return nil
}

func checkPort(text string) error {
	if n, err := strconv.ParseUint(text, 10, 64); err != nil || n < 1 || n > 65535 {
		return errors.New("expected a port from 1 to 65535 behind the host")
	}
	return nil
}

// encoded are the references whose values look percent-encoded.
func (u urlText) encoded() []string {
	var names []string
	for _, r := range u.refs {
		if escapeForm.MatchString(r.value) && !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

// masked is the URL for people: user-info, and parameters that are not known to
// hold no secret, do not show. All of it is hidden where it may be malformed, or
// its scheme is not one of a server.
func (u urlText) masked() string {
	scheme, authority, tail, ok := u.cut()
	if !ok || !slices.Contains(urlSchemes, strings.ToLower(scheme)) {
		return masked
	}
	readable := func(part string) string {
		return u.replace(part, func(r urlReference) string { return r.name })
	}
	hosts := func(part string) string {
		return u.replace(part, func(r urlReference) string {
			if r.unread {
				return "1" // a host as well as a port
			}
			return r.value
		})
	}
	shown := readable(scheme) + "://"
	at := strings.LastIndexByte(authority, '@')
	if at >= 0 {
		shown += masked + "@"
	}
	if authority = authority[at+1:]; strings.ContainsAny(tail, "@#") || !portsAreNumbers(hosts(authority)) {
		return strings.TrimSuffix(shown, masked+"@") + masked
	}
	path, query, has := strings.Cut(tail, "?")
	shown += readable(authority) + readable(path)
	if !has {
		return shown
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		if showsParameter(p) {
			parameters[i] = p
		} else {
			parameters[i] = masked
		}
	}
	return shown + "?" + strings.Join(parameters, "&")
}

// portsAreNumbers reports whether what follows a colon in each host has digits
// only: else it may be a password.
func portsAreNumbers(hosts string) bool {
	for host := range strings.SplitSeq(hosts, ",") {
		if checkHosts(host) == nil {
			continue
		}
		name, port, _ := strings.Cut(host, ":")
		if checkHosts(name) != nil || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	return true
}
